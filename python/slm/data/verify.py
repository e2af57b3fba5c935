"""Check that a shard directory still holds what its manifest says, byte by byte."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slm import _core
from slm.data.copy_progress import CopyProgress, OnCopyProgress
from slm.data.manifest import TOKENIZER_DIRECTORY, Manifest, ShardEntry
from slm.data.shard_writer import HEADER_BYTES, npy_header
from slm.errors import DataError
from slm.tokenizer.tokenizer import Tokenizer

_BLOCK_BYTES = 4 << 20
_DIGITS = 16
_CHUNK_ELEMENTS = 1 << 20

_HINT = "hint: copy it again from where it came, or remove the directory and run `slm data build`"


@dataclass(frozen=True)
class VerifyResult:
    """What was checked and found right."""

    files: int
    """Files that were hashed."""

    bytes: int
    """Their bytes."""


def verify_shards(directory: str | os.PathLike[str], *, progress: OnCopyProgress = None) -> VerifyResult:
    """Hash every shard, and check its arrays and the tokenizer beside it.

    Args:
        directory: The shard directory.
        progress: Called about twenty times a second from this thread; an exception in it stops the work.

    Raises:
        DataError: A file differs from what the manifest says, is missing or is not named there; the message names the
            first such file and the first range of its bytes that is wrong, at most 4 MiB long where the manifest has
            checksums of blocks.
        FileNotFoundError: The directory or the manifest is missing.
        TokenizerError: The tokenizer in the directory is missing, malformed or another one.
    """
    directory = Path(directory)
    manifest = _load(directory)
    _check_names(directory, manifest)
    sizes = {name: (directory / name).stat().st_size for shard in manifest.shards for name in shard.files}
    total, done = sum(sizes.values()), 0
    for shard in manifest.shards:
        for file in _files_of(manifest, shard):
            _check_bytes(directory, file, _shifted(progress, done, total))
            done += sizes[file.name]
        _check_arrays(directory, manifest, shard)
    tokenizer = Tokenizer.load(directory / TOKENIZER_DIRECTORY)
    manifest.require_tokenizer(tokenizer.fingerprint, owner=f"`{directory / TOKENIZER_DIRECTORY}`")
    return VerifyResult(len(sizes), total)


@dataclass(frozen=True)
class _ArrayFile:
    """A file as the manifest has it."""

    name: str
    dtype: "np.dtype[Any]"
    length: int
    checksum: str
    blocks: str


def _files_of(manifest: Manifest, shard: ShardEntry) -> Iterator[_ArrayFile]:
    ids = np.dtype(manifest.dtype)
    yield _ArrayFile(shard.tokens_file, ids, shard.tokens, shard.tokens_xxh3, shard.tokens_blocks_xxh3)
    offsets = np.dtype(np.uint64)
    yield _ArrayFile(shard.index_file, offsets, shard.documents + 1, shard.index_xxh3, shard.index_blocks_xxh3)


def _load(directory: Path) -> Manifest:
    try:
        return Manifest.load(directory)
    except FileNotFoundError as error:
        name = Path(os.fsdecode(error.filename)).name if error.filename else ""
        if not name.startswith("shard-"):
            raise
        raise DataError(f"`{directory / name}` is missing, and the manifest names it\n\n{_HINT}") from error


def _check_names(directory: Path, manifest: Manifest) -> None:
    """Whoever opens all shards by a pattern would get those that are not named too."""
    named = {name for shard in manifest.shards for name in shard.files}
    for name in sorted(entry.name for entry in os.scandir(directory)):
        if name.startswith("shard-") and name not in named:
            raise DataError(
                f"`{directory / name}` is not named in the manifest: it is no part of these shards\n\n"
                "hint: remove it, or look for the manifest that it belongs to"
            )


def _shifted(progress: OnCopyProgress, before: int, total: int) -> "Callable[[_core.Progress], object] | None":
    """Progress of one file as that of all."""
    if progress is None:
        return None
    return lambda report: progress(CopyProgress("verify", before + report.done, total, unit="bytes"))


def _check_bytes(directory: Path, file: _ArrayFile, progress: "Callable[[_core.Progress], object] | None") -> None:
    path = directory / file.name
    checksum, blocks = _core.file_checksums(path, progress=progress)
    if checksum == file.checksum and (blocks == file.blocks or not file.blocks):
        return
    size = path.stat().st_size
    first, last, found, expected = 0, size - 1, checksum, file.checksum
    for at in range(0, max(len(blocks), len(file.blocks)), _DIGITS):
        if blocks[at : at + _DIGITS] != file.blocks[at : at + _DIGITS] and file.blocks:
            first = at // _DIGITS * _BLOCK_BYTES
            last = min(first + _BLOCK_BYTES, size) - 1
            found, expected = blocks[at : at + _DIGITS], file.blocks[at : at + _DIGITS]
            break
    if first == 0 and file.blocks:
        # The header is known, so damage to it is told from damage to what follows.
        with path.open("rb") as opened:
            is_header_right = opened.read(HEADER_BYTES) == npy_header(file.dtype, file.length)
        first, last = (HEADER_BYTES, last) if is_header_right else (0, HEADER_BYTES - 1)
    raise DataError(
        f"`{path}` has changed in its bytes {first} to {last}: it has checksum {found} there, its manifest says "
        f"{expected}\n\n{_HINT}"
    )


def _check_arrays(directory: Path, manifest: Manifest, shard: ShardEntry) -> None:
    """Checksums tell accidents to the file; this tells a writer that was wrong from the start."""
    tokens = np.load(directory / shard.tokens_file, mmap_mode="r", allow_pickle=False)
    offsets = np.load(directory / shard.index_file, mmap_mode="r", allow_pickle=False)
    claims = {
        "type and length of the ids": tokens.dtype == manifest.dtype and tokens.shape == (shard.tokens,),
        "type and length of the offsets": offsets.dtype == np.uint64 and offsets.shape == (shard.documents + 1,),
        "first and last offset": len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == shard.tokens,
    }
    for claim, holds in claims.items():
        if not holds:
            raise DataError(f"`{directory / shard.name}`: the manifest and the arrays differ in the {claim}\n\n{_HINT}")
    for start in range(0, shard.documents, _CHUNK_ELEMENTS):
        ends = offsets[start + 1 : start + 1 + _CHUNK_ELEMENTS]
        is_wrong = ends <= offsets[start : start + len(ends)]
        if is_wrong.any():
            _refuse(directory / shard.index_file, offsets, start + 1 + int(is_wrong.argmax()), "order of the offsets")
        is_wrong = tokens[ends - np.uint64(1)] != manifest.tokenizer.end_of_text_id
        if is_wrong.any():
            at = int(ends[is_wrong.argmax()]) - 1
            _refuse(directory / shard.tokens_file, tokens, at, "end-of-text id at the end of a document")
    for start in range(0, shard.tokens, _CHUNK_ELEMENTS):
        is_wrong = tokens[start : start + _CHUNK_ELEMENTS] >= manifest.tokenizer.vocab_size
        if is_wrong.any():
            _refuse(directory / shard.tokens_file, tokens, start + int(is_wrong.argmax()), "size of the vocabulary")


def _refuse(path: Path, array: Any, at: int, claim: str) -> None:
    first = path.stat().st_size - array.nbytes + at * array.itemsize
    raise DataError(
        f"`{path}`: the manifest and the arrays differ in the {claim}, at bytes {first} to {first + array.itemsize - 1}"
        f"\n\n{_HINT}"
    )
