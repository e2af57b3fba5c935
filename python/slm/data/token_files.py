"""Token files of other projects: nanoGPT, llm.c and Megatron-LM. All numbers are little-endian.

| | file | ids | end of text |
|---|---|---|---|
| nanoGPT | ids and nothing else | u16 | after each document |
| llm.c | 256 i32 (magic, version, number of ids), then ids | u16, or u32 by another magic | before each document |
| Megatron-LM | `.bin`: ids and nothing else; `.idx`: where documents are | u16 or i32 | after each document |

Sources: karpathy/nanoGPT `data/openwebtext/prepare.py` and `train.py`; karpathy/llm.c `dev/data/data_common.py` and
`llmc/dataloader.h`; NVIDIA/Megatron-LM `megatron/core/datasets/indexed_dataset.py`.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slm.errors import DataError

ExportFormat: TypeAlias = Literal["nanogpt", "llmc", "megatron"]
"""Whose files are written."""

ImportFormat: TypeAlias = Literal["nanogpt", "llmc"]
"""Whose files are read."""

CHUNK_TOKENS: Final = 1 << 20
"""Ids that are in memory at once."""

LLMC_HEADER_BYTES: Final = 256 * 4
LLMC_MAX_TOKENS: Final = (1 << 31) - 1
"""The header counts in i32."""

MEGATRON_MAX_DOCUMENT_TOKENS: Final = (1 << 31) - 1
"""The index has lengths in i32."""

_LLMC_KINDS: Final = {np.dtype("<u2"): (20240520, 1), np.dtype("<u4"): (20240801, 7)}
_LLMC_DTYPES: Final = {kind: dtype for dtype, kind in _LLMC_KINDS.items()}
_MEGATRON_MAGIC: Final = b"MMIDIDX\x00\x00"
_MEGATRON_CODES: Final = {np.dtype("<i4"): 4, np.dtype("<u2"): 8}

Ids = NDArray[np.uint16 | np.uint32]


def llmc_header(num_tokens: int, dtype: np.dtype[Any]) -> bytes:
    """The first 1,024 bytes of an llm.c file of u16 (as for GPT-2) or u32 (as for Llama 3)."""
    return struct.pack("<3i", *_LLMC_KINDS[dtype], num_tokens).ljust(LLMC_HEADER_BYTES, b"\x00")


def megatron_index_header(num_documents: int, dtype: np.dtype[Any]) -> bytes:
    """What stands in an `.idx` file before lengths, byte offsets and the list of documents.

    A sequence is one document here; the list of documents has one entry more than there are.
    """
    code = _MEGATRON_CODES[dtype]
    return _MEGATRON_MAGIC + struct.pack("<QBQQ", 1, code, num_documents, num_documents + 1)


@dataclass(frozen=True)
class TokenFile:
    """A file of ids that was opened once and found whole."""

    path: Path
    """Where it is."""

    dtype: np.dtype[Any]
    """What an id is stored as."""

    header_bytes: int
    """Bytes before the ids."""

    num_tokens: int
    """Ids in it."""

    def chunks(self) -> Iterator[Ids]:
        """Read the ids, `CHUNK_TOKENS` at a time.

        Raises:
            DataError: The file has become shorter since it was opened.
        """
        with self.path.open("rb") as file:
            file.seek(self.header_bytes)
            yield from read_chunks(file, self.path, self.dtype, self.num_tokens)


def read_chunks(file: BinaryIO, path: Path, dtype: np.dtype[Any], count: int) -> Iterator[Any]:
    """Read `count` elements of an array from where a file stands; plain reads, which keep no page mapped.

    Raises:
        DataError: The file ends before.
    """
    while count:
        chunk = np.fromfile(file, dtype, min(count, CHUNK_TOKENS))
        if not len(chunk):
            raise DataError(f"`{path}` ended {count} elements early: it was changed while it was read")
        count -= len(chunk)
        yield chunk


def open_token_file(path: str | os.PathLike[str], file_format: ImportFormat) -> TokenFile:
    """Read the header of a file, if it has one, and compare it with the size.

    Raises:
        DataError: It is empty, cut off, longer than it says, or of another format.
        FileNotFoundError: There is none.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = file.read(LLMC_HEADER_BYTES)
    if file_format == "llmc":
        return _open_llmc(path, size, header)
    if len(header) == LLMC_HEADER_BYTES and struct.unpack_from("<2i", header) in _LLMC_DTYPES:
        raise DataError(f"`{path}` begins as a file of llm.c does\n\nhint: import it with `--from llmc`")
    if size == 0 or size % 2:
        raise DataError(
            f"`{path}` has {size} bytes, a file of nanoGPT is ids of 2 bytes and nothing else\n\n"
            "hint: if it was copied, copy it again; it may be cut off"
        )
    return TokenFile(path, np.dtype("<u2"), 0, size // 2)


def _open_llmc(path: Path, size: int, header: bytes) -> TokenFile:
    if len(header) < LLMC_HEADER_BYTES:
        raise DataError(f"`{path}` has {size} bytes, the header of llm.c alone has {LLMC_HEADER_BYTES}")
    magic, version, num_tokens = struct.unpack_from("<3i", header)
    dtype = _LLMC_DTYPES.get((magic, version))
    if dtype is None:
        known = " or ".join(f"{magic} version {version}" for magic, version in _LLMC_DTYPES)
        raise DataError(
            f"`{path}` begins with {magic} version {version}, token files of llm.c begin with {known}\n\n"
            "hint: ids without a header are imported with `--from nanogpt`"
        )
    held = size - LLMC_HEADER_BYTES
    if num_tokens < 1 or held != num_tokens * dtype.itemsize:
        raise DataError(
            f"`{path}` has {held} bytes behind its header, which announces {num_tokens} ids of {dtype.itemsize} bytes"
            "\n\nhint: if it was copied, copy it again; it may be cut off"
        )
    return TokenFile(path, dtype, LLMC_HEADER_BYTES, num_tokens)
