"""Make shards of the token files of nanoGPT and llm.c."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slm import __version__
from slm.data.copy_progress import CopyProgress, OnCopyProgress
from slm.data.manifest import MANIFEST_FILE, TOKENIZER_DIRECTORY, CorpusEntry, Manifest, TokenizerEntry, Totals
from slm.data.shard_writer import SplitWriter
from slm.data.staging import is_vacant, occupied, staged_directory
from slm.data.token_files import ImportFormat, TokenFile, open_token_file
from slm.durable import flush, write_text
from slm.errors import ConfigError, DataError, SlmWarning, TokenizerError
from slm.tokenizer.corpus import PathLike
from slm.tokenizer.tokenizer import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class ImportResult:
    """What an import did."""

    manifest: Manifest
    """What the directory holds."""

    was_complete: bool
    """Whether it held the same shards before, so that nothing was written."""


def import_shards(
    files: PathLike | Sequence[PathLike],
    tokenizer: Tokenizer | PathLike,
    out: PathLike,
    *,
    format: ImportFormat,  # noqa: A002  the word of configs and of the core
    validation_files: PathLike | Sequence[PathLike] = (),
    shard_tokens: int = 100_000_000,
    progress: OnCopyProgress = None,
) -> ImportResult:
    """Make a shard directory of token files that nanoGPT or llm.c read.

    Documents are what lies between end-of-text ids, so it does not matter that nanoGPT writes the id after each and
    llm.c before each: in shards it is after each. Documents without any other id are left out and counted as `empty`.
    A file of nanoGPT ends its last document; files of llm.c are one sequence that was cut anywhere, so a document may
    go on in the next. Memory does not grow with the files, and the directory appears when it is complete.

    Args:
        files: Files to learn from, in their order.
        tokenizer: The tokenizer that made the ids, or its path; copied to `tokenizer/` in the directory.
        out: The directory to make. One that holds the same shards is left as it is, any other is refused.
        format: Whose files these are.
        validation_files: Files to hold out.
        shard_tokens: Ids after which a shard is closed; the document that reaches it still belongs to it.
        progress: Called after every million ids or so; an exception in it stops the work.

    Raises:
        ConfigError: A setting is out of range, or `out` holds something else, or another process writes there.
        DataError: A file is empty, cut off or of another format, or has an id outside the vocabulary.
        TokenizerError: The tokenizer has no end-of-text token.
        FileNotFoundError: A file does not exist.

    Warns:
        SlmWarning: The files of a split have no end-of-text id, so they become one document each or all together.
    """
    if shard_tokens < 1:
        raise ConfigError(f"`shard_tokens` is {shard_tokens}, it must be at least 1")
    sources = open_sources(files, format=format, validation_files=validation_files)
    loaded, out = load_tokenizer(tokenizer), Path(out)
    job = _Import(sources, loaded, format, shard_tokens, progress)
    if not is_vacant(out):
        if not (out / MANIFEST_FILE).exists():
            raise occupied(out, "shards")
        manifest = Manifest.load(out)
        if not job.would_write(manifest):
            raise occupied(out, "shards")
        return ImportResult(manifest, was_complete=True)
    with staged_directory(out, "shards") as staging:
        manifest = job.write(staging)
    return ImportResult(manifest, was_complete=False)


def open_sources(
    files: PathLike | Sequence[PathLike],
    *,
    format: ImportFormat,  # noqa: A002  the word of configs and of the core
    validation_files: PathLike | Sequence[PathLike] = (),
) -> dict[str, list[TokenFile]]:
    """Open the files of an import and find out how many ids are in them; none is read.

    Args:
        files: Files to learn from, in the order to read them.
        format: Whose files these are.
        validation_files: Files to hold out.

    Returns:
        The files of the splits `train` and `validation`.

    Raises:
        ConfigError: There is no file, or no such format.
        DataError: A file is empty, cut off or of another format.
        FileNotFoundError: A file does not exist.
    """
    if format not in ("nanogpt", "llmc"):
        raise ConfigError(f"`{format}` is not a format to import: nanogpt or llmc")
    sources = {
        "train": [open_token_file(path, format) for path in _listed(files)],
        "validation": [open_token_file(path, format) for path in _listed(validation_files)],
    }
    if not any(sources.values()):
        raise ConfigError("there is no file to import")
    return sources


def _listed(files: PathLike | Sequence[PathLike]) -> Sequence[PathLike]:
    return [files] if isinstance(files, str | os.PathLike) else files


class _Import:
    """The files, the tokenizer that reads them, and how far the work is."""

    def __init__(
        self,
        sources: dict[str, list[TokenFile]],
        tokenizer: Tokenizer,
        file_format: ImportFormat,
        shard_tokens: int,
        progress: OnCopyProgress,
    ) -> None:
        end_of_text_id = tokenizer.end_of_text_id
        if end_of_text_id is None:
            raise TokenizerError(
                "the tokenizer has no end-of-text token, and each document of a shard ends with one\n\n"
                "hint: import with the tokenizer that made the ids"
            )
        self.sources = sources
        self.tokenizer = tokenizer
        self.end_of_text_id = end_of_text_id
        self.file_format: ImportFormat = file_format
        self.shard_tokens = shard_tokens
        self.progress = progress
        self.total = sum(file.num_tokens for files in sources.values() for file in files)
        self.done = 0
        self.num_empty = 0
        self.hash = sha256()
        self.token_bytes = tokenizer.token_lengths()

    def would_write(self, manifest: Manifest) -> bool:
        """Whether a directory holds what this import makes; reads the files."""
        here = (self.tokenizer.fingerprint, self.shard_tokens, self._created_by)
        if here != (manifest.tokenizer_fingerprint, manifest.shard_tokens, manifest.created_by):
            return False
        for split, files in self.sources.items():
            self._hash_split(split)
            for file in files:
                self._hash_file(file)
                for chunk in file.chunks():
                    self._pass("compare", chunk)
        return self._fingerprint == manifest.corpus.fingerprint

    def write(self, directory: Path) -> Manifest:
        """Write shards, tokenizer and manifest."""
        dtype = np.dtype("<u2" if self.tokenizer.vocab_size <= 1 << 16 else "<u4")
        splits: dict[Literal["train", "validation"], Totals] = {}
        writers: list[SplitWriter] = []
        for split in ("train", "validation"):
            num_before = sum(len(writer.entries) for writer in writers)
            writer = SplitWriter(directory, split, first_number=num_before, dtype=dtype, shard_tokens=self.shard_tokens)
            try:
                self._copy(split, writer)
                splits[split] = writer.finish()
            finally:
                writer.abandon()
            writers.append(writer)
        self.tokenizer.save(directory / TOKENIZER_DIRECTORY)
        flush(directory / TOKENIZER_DIRECTORY)
        manifest = self._manifest(splits, writers, dtype)
        write_text(directory / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
        return manifest

    def _copy(self, split: str, writer: SplitWriter) -> None:
        """Bring the files of a split into its shards."""
        self._hash_split(split)
        num_ends, is_at_start = 0, True
        for file in self.sources[split]:
            self._hash_file(file)
            position = 0
            for chunk in file.chunks():
                self._check(file, chunk, position)
                position += len(chunk)
                is_end = chunk == self.end_of_text_id
                num_ends += int(is_end.sum())
                # `E E a E`: an end right behind an end, or at the very start, ends a document without text.
                is_empty = is_end & np.concatenate([[is_at_start], is_end[:-1]])
                is_at_start = bool(is_end[-1])
                self.num_empty += int(is_empty.sum())
                self._append(writer, chunk[~is_empty], is_end[~is_empty])
                self._pass("import", chunk)
            if not is_at_start and (self.file_format == "nanogpt" or file is self.sources[split][-1]):
                self._append(writer, np.array([self.end_of_text_id]), np.array([True]))
                is_at_start = True
        if self.sources[split] and not num_ends:
            warnings.warn(
                f"`{self.sources[split][0].path}` has no end-of-text id {self.end_of_text_id}, so it is one document; "
                "if it should have more, it was made with another tokenizer",
                SlmWarning,
                stacklevel=5,
            )

    def _append(self, writer: SplitWriter, ids: NDArray[Any], is_end: NDArray[np.bool_]) -> None:
        writer.append(ids, is_end, self.token_bytes[ids])

    def _check(self, file: TokenFile, chunk: NDArray[Any], position: int) -> None:
        outside = chunk >= self.tokenizer.vocab_size
        if outside.any():
            at = int(outside.argmax())
            raise DataError(
                f"`{file.path}` has id {chunk[at]} at token {position + at}, the vocabulary has "
                f"{self.tokenizer.vocab_size} tokens\n\nhint: import with the tokenizer that made the ids"
            )

    def _pass(self, phase: str, chunk: NDArray[Any]) -> None:
        self.hash.update(chunk.data)
        self.done += len(chunk)
        if self.progress is not None:
            self.progress(CopyProgress(phase, self.done, self.total))

    def _hash_split(self, split: str) -> None:
        self.hash.update(f"{split}\n".encode())

    def _hash_file(self, file: TokenFile) -> None:
        self.hash.update(f"{file.dtype.str} {file.num_tokens}\n".encode())

    @property
    def _fingerprint(self) -> str:
        return self.hash.hexdigest()[:32]

    @property
    def _created_by(self) -> str:
        return f"slm {__version__}, imported from {self.file_format}"

    def _manifest(
        self,
        splits: dict[Literal["train", "validation"], Totals],
        writers: Iterable[SplitWriter],
        dtype: np.dtype[Any],
    ) -> Manifest:
        num_documents = sum(totals.documents for totals in splits.values())
        if not num_documents:
            raise DataError("the files hold no id but end-of-text")
        return Manifest(
            format="slm.shards",
            version=1,
            dtype="uint16" if dtype.itemsize == 2 else "uint32",
            tokenizer=TokenizerEntry(
                fingerprint=self.tokenizer.fingerprint,
                vocab_size=self.tokenizer.vocab_size,
                end_of_text_id=self.end_of_text_id,
                pattern=self.tokenizer.pattern,
            ),
            splits=splits,
            shards=tuple(_by_number(writers)),
            corpus=CorpusEntry(
                files=sum(len(files) for files in self.sources.values()),
                bytes=sum(totals.bytes for totals in splits.values()),
                documents=num_documents,
                skipped={"empty": self.num_empty},
                fingerprint=self._fingerprint,
            ),
            validation_fraction=splits["validation"].documents / num_documents,
            shard_tokens=self.shard_tokens,
            created_by=self._created_by,
        )


def _by_number(writers: Iterable[SplitWriter]) -> Iterator[Any]:
    for writer in writers:
        yield from writer.entries
