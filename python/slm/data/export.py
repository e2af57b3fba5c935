"""Write shards as the token files of nanoGPT, llm.c and Megatron-LM."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from pydantic import Field, ValidationError

from slm import _core
from slm.data.copy_progress import CopyProgress, OnCopyProgress
from slm.data.manifest import Checksum, Count, Manifest, Record, ShardEntry, TokenizerEntry
from slm.data.staging import is_vacant, occupied, staged_directory
from slm.data.token_files import (
    LLMC_HEADER_BYTES,
    LLMC_MAX_TOKENS,
    MEGATRON_MAX_DOCUMENT_TOKENS,
    ExportFormat,
    Ids,
    llmc_header,
    megatron_index_header,
    read_chunks,
)
from slm.durable import write_text
from slm.errors import ConfigError, DataError

EXPORT_FILE = "export.json"
"""The record that lies beside exported files."""

_NPY_PREFIX_BYTES = 10
_FILE_SPLITS = {"train": "train", "validation": "val"}


class ExportedFile(Record):
    """One file that was written."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.(bin|idx)$")]
    """Its name in the directory."""

    split: Literal["train", "validation"]
    """The split that its tokens belong to."""

    tokens: Count
    """Ids in it; 0 for an index."""

    bytes: Count
    """Its size."""

    xxh3: Checksum
    """XXH3-64 of the whole file."""


class ExportRecord(Record):
    """`export.json`: what was exported from what."""

    format: Literal["slm.export"] = "slm.export"
    """Name of the format."""

    version: Literal[1] = 1
    """Version of the format."""

    to: ExportFormat
    """Whose files these are."""

    file_tokens: Count | None
    """Most ids in one file of llm.c; None for the others."""

    shards: str
    """Identity of the shards: a hash of their checksums and of the tokenizer."""

    tokenizer: TokenizerEntry
    """The tokenizer that made the ids."""

    files: tuple[ExportedFile, ...]
    """The files."""


@dataclass(frozen=True)
class ExportResult:
    """What an export did."""

    record: ExportRecord
    """What the directory holds."""

    was_complete: bool
    """Whether it held the same before, so that nothing was written."""


def export_shards(
    shards: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: ExportFormat,
    file_tokens: int = 100_000_000,
    progress: OnCopyProgress = None,
) -> ExportResult:
    """Write a shard directory as token files of another project.

    `nanogpt` gives `train.bin` and `val.bin`; `llmc` gives `train_000000.bin`, `train_000001.bin`, ... and
    `val_000000.bin`, ..., in u16 or, for more than 65,536 tokens, in the u32 of Llama 3, with the end-of-text id before
    each document; `megatron` gives `train.bin` with `train.idx` and `val.bin` with `val.idx`, a document a sequence.
    A split without tokens gives no file. Each shard is hashed and compared with the manifest first. Memory does not
    grow with the shards, and the directory appears when it is complete.

    Args:
        shards: The shard directory.
        out: The directory to make. One that holds the same export is left as it is, any other is refused.
        to: Whose files to write.
        file_tokens: Most ids in one file of llm.c; files are of equal length, because each must hold a whole batch.
        progress: Called after every million ids or so; an exception in it stops the work.

    Raises:
        ConfigError: The format cannot hold the vocabulary or a setting is out of range, or `out` holds something else.
        DataError: The shards are not what their manifest says, or hold nothing, or a document too long for the format.
        FileNotFoundError: The directory or a shard is missing.
    """
    export, out = _open_export(shards, to, file_tokens, progress), Path(out)
    if not is_vacant(out):
        record = _read_record(out)
        if record is None or not export.would_write(record):
            raise occupied(out, "files")
        return ExportResult(record, was_complete=True)
    with staged_directory(out, "token files") as staging:
        record = export.write(staging)
    return ExportResult(record, was_complete=False)


@dataclass(frozen=True)
class PlannedFile:
    """A file that an export will write."""

    name: str
    """Name in the directory."""

    split: Literal["train", "validation"]
    """The split whose ids it gets."""

    tokens: int
    """Ids in it; 0 for an index."""

    bytes: int
    """Its size."""


def plan_export(
    shards: str | os.PathLike[str], *, to: ExportFormat, file_tokens: int = 100_000_000
) -> list[PlannedFile]:
    """Tell which files `export_shards` will write, from the manifest alone.

    Args:
        shards: The shard directory.
        to: Whose files to write.
        file_tokens: Most ids in one file of llm.c.

    Raises:
        ConfigError: The format cannot hold the vocabulary or a setting is out of range.
        DataError: The shards are not what their manifest says, or hold nothing.
        FileNotFoundError: The directory or a shard is missing.
    """
    return _open_export(shards, to, file_tokens, None).plan()


def _open_export(
    shards: str | os.PathLike[str], to: ExportFormat, file_tokens: int, progress: OnCopyProgress
) -> "_Export":
    source = Path(shards)
    manifest = Manifest.load(source)
    vocab_size = manifest.tokenizer.vocab_size
    if to not in ("nanogpt", "llmc", "megatron"):
        raise ConfigError(f"`{to}` is not a format of token files: nanogpt, llmc or megatron")
    if to == "nanogpt" and manifest.dtype != "uint16":
        raise ConfigError(
            f"nanoGPT stores ids in 16 bits, the tokenizer of `{source}` has {vocab_size} tokens, at most 65536 fit\n\n"
            "hint: export with `--to llmc` or `--to megatron`"
        )
    if not 1 <= file_tokens <= LLMC_MAX_TOKENS:
        raise ConfigError(f"`file_tokens` is {file_tokens}, it must be from 1 to {LLMC_MAX_TOKENS}")
    if to == "megatron" and vocab_size > 1 << 31:
        raise ConfigError(f"Megatron-LM stores ids in 31 bits, the tokenizer of `{source}` has {vocab_size} tokens")
    export = _Export(source, manifest, to, file_tokens if to == "llmc" else None, progress)
    if not export.total:
        raise DataError(f"`{source}` holds no tokens")
    return export


def _read_record(out: Path) -> ExportRecord | None:
    """Read the record of a finished export whose files have their sizes; None if it is none."""
    try:
        record = ExportRecord.model_validate_json((out / EXPORT_FILE).read_bytes())
        whole = all((out / file.name).stat().st_size == file.bytes for file in record.files)
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return record if whole else None


def _equal_lengths(total: int, most: int) -> list[int]:
    """Lengths of at most `most` that add up to `total`: of 10 ids in 3 files the files end at 3, 6 and 10."""
    count = -(-total // most)
    return [total * (i + 1) // count - total * i // count for i in range(count)]


class _Export:
    """Where the shards are, what they become, and how far that is."""

    def __init__(
        self, source: Path, manifest: Manifest, to: ExportFormat, file_tokens: int | None, progress: OnCopyProgress
    ) -> None:
        self.source = source
        self.manifest = manifest
        self.to: ExportFormat = to
        self.file_tokens = file_tokens
        self.progress = progress
        self.total = sum(entry.tokens for entry in manifest.shards)
        self.done = 0
        self.stored = np.dtype(manifest.dtype).newbyteorder("<")
        self.dtype = np.dtype("<i4") if to == "megatron" and self.stored.itemsize == 4 else self.stored

    @property
    def fingerprint(self) -> str:
        parts = [f"{shard.split}:{shard.tokens_xxh3}:{shard.index_xxh3}" for shard in self.manifest.shards]
        return sha256("\n".join([self.manifest.tokenizer_fingerprint, *parts]).encode()).hexdigest()[:32]

    def would_write(self, record: ExportRecord) -> bool:
        here = (self.to, self.file_tokens, self.fingerprint, self.manifest.tokenizer)
        return here == (record.to, record.file_tokens, record.shards, record.tokenizer)

    def plan(self) -> list[PlannedFile]:
        files: list[PlannedFile] = []
        for split in ("train", "validation"):
            name, size = _FILE_SPLITS[split], self.dtype.itemsize
            tokens = sum(entry.tokens for entry in self.manifest.shards if entry.split == split)
            documents = sum(entry.documents for entry in self.manifest.shards if entry.split == split)
            if not tokens:
                continue
            if self.file_tokens is not None:
                files += [
                    PlannedFile(f"{name}_{number:06d}.bin", split, length, LLMC_HEADER_BYTES + length * size)
                    for number, length in enumerate(_equal_lengths(tokens, self.file_tokens))
                ]
                continue
            files.append(PlannedFile(f"{name}.bin", split, tokens, tokens * size))
            if self.to == "megatron":
                header = len(megatron_index_header(documents, self.dtype))
                files.append(PlannedFile(f"{name}.idx", split, 0, header + 12 * documents + 8 * (documents + 1)))
        return files

    def write(self, staging: Path) -> ExportRecord:
        write_split = {"nanogpt": self._write_plain, "llmc": self._write_llmc, "megatron": self._write_megatron}[
            self.to
        ]
        files: list[ExportedFile] = []
        for split in ("train", "validation"):
            entries = [entry for entry in self.manifest.shards if entry.split == split and entry.tokens]
            if entries:
                files += write_split(staging, split, entries)
        record = ExportRecord(
            to=self.to,
            file_tokens=self.file_tokens,
            shards=self.fingerprint,
            tokenizer=self.manifest.tokenizer,
            files=tuple(files),
        )
        write_text(staging / EXPORT_FILE, record.model_dump_json(indent=2) + "\n")
        return record

    def _write_plain(
        self, staging: Path, split: Literal["train", "validation"], entries: list[ShardEntry]
    ) -> list[ExportedFile]:
        path = staging / f"{_FILE_SPLITS[split]}.bin"
        with _flushed(path) as file:
            for chunk in self._ids(entries):
                file.write(chunk.astype(self.dtype, copy=False).data)
        return [_described(path, split, sum(entry.tokens for entry in entries))]

    def _write_llmc(
        self, staging: Path, split: Literal["train", "validation"], entries: list[ShardEntry]
    ) -> list[ExportedFile]:
        assert self.file_tokens is not None
        lengths = _equal_lengths(sum(entry.tokens for entry in entries), self.file_tokens)
        chunks = _end_of_text_first(self._ids(entries), self.manifest.tokenizer.end_of_text_id, self.dtype)
        left = np.empty(0, self.dtype)
        files: list[ExportedFile] = []
        for number, length in enumerate(lengths):
            path = staging / f"{_FILE_SPLITS[split]}_{number:06d}.bin"
            with _flushed(path) as file:
                file.write(llmc_header(length, self.dtype))
                missing = length
                while missing:
                    if not len(left):
                        left = next(chunks)
                    file.write(left[:missing].data)
                    written = min(missing, len(left))
                    missing, left = missing - written, left[written:]
            files.append(_described(path, split, length))
        assert next(chunks, None) is None, "the lengths of the files add up to the ids of the split"
        return files

    def _write_megatron(
        self, staging: Path, split: Literal["train", "validation"], entries: list[ShardEntry]
    ) -> list[ExportedFile]:
        num_documents = sum(entry.documents for entry in entries)
        index = staging / f"{_FILE_SPLITS[split]}.idx"
        with _flushed(index) as file:
            file.write(megatron_index_header(num_documents, self.dtype))
            for lengths in self._lengths(entries):
                file.write(lengths.astype("<i4").data)
            offset = 0
            for lengths in self._lengths(entries):
                ends = offset + np.cumsum(lengths)
                file.write(((ends - lengths) * self.dtype.itemsize).astype("<i8").data)
                offset = int(ends[-1])
            for first in range(0, num_documents + 1, 1 << 20):
                file.write(np.arange(first, min(first + (1 << 20), num_documents + 1), dtype="<i8").data)
        return [*self._write_plain(staging, split, entries), _described(index, split, 0)]

    def _ids(self, entries: list[ShardEntry]) -> Iterator[Ids]:
        """Give the ids of shards, each checked before it is read."""
        for entry in entries:
            self._check(entry.tokens_file, entry.tokens_xxh3)
            offset, last = 0, None
            for chunk in self._read(entry.tokens_file, self.stored, entry.tokens):
                if chunk.max() >= self.manifest.tokenizer.vocab_size:
                    at = int(np.argmax(chunk >= self.manifest.tokenizer.vocab_size))
                    raise DataError(
                        f"`{self.source / entry.tokens_file}` has id {chunk[at]} at token {offset + at}, "
                        f"the vocabulary has {self.manifest.tokenizer.vocab_size}"
                    )
                offset, last = offset + len(chunk), int(chunk[-1])
                yield chunk
                self.done += len(chunk)
                if self.progress is not None:
                    self.progress(CopyProgress("export", self.done, self.total))
            if last != self.manifest.tokenizer.end_of_text_id:
                raise DataError(
                    f"`{self.source / entry.tokens_file}` ends with id {last}, not with the end-of-text id "
                    f"{self.manifest.tokenizer.end_of_text_id}"
                )

    def _lengths(self, entries: list[ShardEntry]) -> Iterator[Any]:
        """Give the lengths of the documents of shards, int64, a bounded number at a time."""
        for entry in entries:
            self._check(entry.index_file, entry.index_xxh3)
            before = np.empty(0, np.int64)
            for chunk in self._read(entry.index_file, np.dtype("<u8"), entry.documents + 1):
                offsets = np.concatenate([before, chunk.astype(np.int64)])
                lengths, before = np.diff(offsets), offsets[-1:]
                if len(lengths) and (lengths.min() < 1 or lengths.max() > MEGATRON_MAX_DOCUMENT_TOKENS):
                    raise DataError(
                        f"`{self.source / entry.index_file}` has a document of {lengths.max()} tokens and one of "
                        f"{lengths.min()}, in Megatron-LM one has 1 to {MEGATRON_MAX_DOCUMENT_TOKENS}"
                    )
                if len(lengths):
                    yield lengths
            if int(before[0]) != entry.tokens:
                raise DataError(f"`{self.source / entry.index_file}` ends at {before[0]}, the shard at {entry.tokens}")

    def _read(self, name: str, dtype: np.dtype[Any], count: int) -> Iterator[Any]:
        path = self.source / name
        with path.open("rb") as file:
            prefix = file.read(_NPY_PREFIX_BYTES)
            file.seek(_NPY_PREFIX_BYTES + int.from_bytes(prefix[8:], "little"))
            yield from read_chunks(file, path, dtype, count)

    def _check(self, name: str, expected: str) -> None:
        found = _core.file_checksum(self.source / name)
        if found != expected:
            raise DataError(
                f"`{self.source / name}` has checksum {found}, its manifest says {expected}: its bytes have changed"
                f"\n\nhint: copy it again from where it came; `slm data verify {self.source}` checks the rest"
            )


def _end_of_text_first(chunks: Iterator[Ids], end_of_text_id: int, dtype: np.dtype[Any]) -> Iterator[Any]:
    """Move the end-of-text id from behind each document to before it: `a b E c E` becomes `E a b E c`."""
    held = np.array([end_of_text_id], dtype)
    for chunk in chunks:
        yield np.concatenate([held, chunk[:-1]])
        held = chunk[-1:]


@contextmanager
def _flushed(path: Path) -> Generator[BinaryIO]:
    """Open a new file, and bring it to the disk when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _described(path: Path, split: Literal["train", "validation"], tokens: int) -> ExportedFile:
    return ExportedFile(
        name=path.name, split=split, tokens=tokens, bytes=path.stat().st_size, xxh3=_core.file_checksum(path)
    )
