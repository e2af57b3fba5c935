"""`manifest.json` of a shard directory: read, checked, and compared with what lies beside it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from slm.errors import DataError, TokenizerError

MANIFEST_FILE = "manifest.json"
"""The file that makes a directory a finished shard directory; it is written last."""

TOKENIZER_DIRECTORY = "tokenizer"
"""Where a shard directory keeps the tokenizer that made it."""

_MARKER_FILE = ".unfinished"
_MAX_MANIFEST_BYTES = 64 << 20
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
# Those that this package and `np.save` write.
_HEADER_SIZES = (4096, 128, 64)

Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Checksums = Annotated[str, Field(pattern=r"^([0-9a-f]{16})*$")]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{8,128}$")]


class Record(BaseModel):
    """What is written to disk as JSON: never changed, with no key that is not known and no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class TokenizerEntry(Record):
    """The tokenizer that made the ids."""

    fingerprint: Fingerprint
    """Identity of vocabulary, merges, pattern and special tokens."""

    vocab_size: Annotated[int, Field(ge=1, le=1 << 32)]
    """Number of tokens; every id is below it."""

    end_of_text_id: Count
    """The id after each document."""

    pattern: str
    """Name of the split pattern."""


class Totals(Record):
    """Sums over the shards of a split."""

    tokens: Count
    """Ids, those that end documents included."""

    documents: Count
    """Documents."""

    bytes: Count
    """Bytes of the documents' text in UTF-8."""


class ShardEntry(Record):
    """One shard: `<name>.npy` with ids, `<name>.index.npy` with the offsets of its documents."""

    name: Annotated[str, Field(pattern=r"^shard-[0-9]{5,9}$")]
    """Name of its files without their ending; never a path."""

    split: Literal["train", "validation"]
    """The split that its documents belong to."""

    tokens: Count
    """Ids, those that end documents included."""

    documents: Count
    """Documents."""

    bytes: Count
    """Bytes of the documents' text in UTF-8."""

    tokens_xxh3: Checksum
    """XXH3-64 of the whole file of ids."""

    index_xxh3: Checksum
    """XXH3-64 of the whole index file."""

    tokens_blocks_xxh3: Checksums = ""
    """XXH3-64 of each 4 MiB of the file of ids, 16 digits each; the last block may be shorter. Empty if not written."""

    index_blocks_xxh3: Checksums = ""
    """The same of the index file."""

    @property
    def tokens_file(self) -> str:
        """Name of the file of ids."""
        return f"{self.name}.npy"

    @property
    def index_file(self) -> str:
        """Name of the file of document offsets."""
        return f"{self.name}.index.npy"

    @property
    def files(self) -> tuple[str, str]:
        """Names of both."""
        return self.tokens_file, self.index_file


class CorpusEntry(Record):
    """What was read."""

    files: Count
    """Files."""

    bytes: Count
    """Bytes of the text in the shards, in UTF-8."""

    documents: Count
    """Documents in the shards."""

    skipped: Mapping[str, Count]
    """Documents that are in no shard, by reason."""

    first_skipped: tuple[str, ...] = ()
    """Of the first documents that something was wrong with: where they are, and what it is."""

    replaced_sequences: Count = 0
    """Sequences of bytes that were not UTF-8 and became U+FFFD."""

    fingerprint: Fingerprint
    """Identity of the text, its documents and their order."""


class SourceEntry(Record):
    """What is from one of the paths that make up a corpus."""

    path: str | None
    """The path, directory, glob or list as it was given; None for documents in memory."""

    files: Count
    """Files."""

    documents: Count
    """Documents in the shards."""

    tokens: Count
    """Their ids, those that end documents included."""

    bytes: Count
    """Bytes of their text in UTF-8."""

    skipped: Mapping[str, Count]
    """Documents that are in no shard, by reason."""


class Manifest(Record):
    """What a shard directory holds, from what, and how to tell that it still does."""

    format: Literal["slm.shards"]
    """Name of the format."""

    version: Literal[1]
    """Version of the format."""

    dtype: Literal["uint16", "uint32"]
    """What an id is stored as, little-endian."""

    tokenizer: TokenizerEntry
    """The tokenizer that made the ids."""

    splits: Mapping[Literal["train", "validation"], Totals]
    """Totals of each split."""

    shards: tuple[ShardEntry, ...]
    """The shards by number."""

    corpus: CorpusEntry
    """What was read."""

    sources: tuple[SourceEntry, ...] = ()
    """Where it is from, one entry for each path that was given; empty if the writer did not say."""

    validation_fraction: Annotated[float, Field(ge=0, le=1)]
    """Share of the documents that was to be held out."""

    shard_tokens: Count | None = None
    """Ids after which a shard was closed; None if the writer did not say."""

    deduplicate: bool = False
    """Whether documents that are equal to one before them were left out."""

    created_by: str
    """Program that wrote the shards, and its version."""

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Self:
        """Read the manifest of a shard directory and compare the sizes of its files; the files' content is not read.

        Raises:
            DataError: The manifest is malformed, of another version or names a file outside the directory; a file has
                another size than it says; or the build of the directory has not ended.
            FileNotFoundError: The directory, the manifest or a shard is missing.
        """
        directory = Path(directory)
        path = directory / MANIFEST_FILE
        if not path.exists() and (directory / _MARKER_FILE).exists():
            raise DataError(
                f"`{directory}` holds shards whose build has not ended\n\n"
                "hint: run the same `slm data build` again; it finishes with the same shards"
            )
        with path.open("rb") as file:
            # A read takes the memory that it is asked for, whatever there is to read.
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(size, _MAX_MANIFEST_BYTES) + 1)
        if len(content) > _MAX_MANIFEST_BYTES:
            raise DataError(f"`{path}` is larger than the {_MAX_MANIFEST_BYTES >> 20} MiB that a manifest may have")
        try:
            manifest = cls.model_validate_json(content)
        except ValidationError as error:
            raise DataError(_describe(path, error)) from None
        for shard in manifest.shards:
            for name in shard.files:
                _check_place(directory, name)
            manifest._check_size(directory / shard.tokens_file, shard.tokens, np.dtype(manifest.dtype).itemsize)
            manifest._check_size(directory / shard.index_file, shard.documents + 1, 8)
        return manifest

    @property
    def tokenizer_fingerprint(self) -> str:
        """Identity of the tokenizer that made the ids."""
        return self.tokenizer.fingerprint

    def require_tokenizer(self, fingerprint: str, *, owner: str = "this run") -> None:
        """Refuse to go on with another tokenizer than the one that made the shards.

        Args:
            fingerprint: `Tokenizer.fingerprint` of the tokenizer at hand.
            owner: Who uses it, for the message.

        Raises:
            TokenizerError: It is another tokenizer.
        """
        if fingerprint != self.tokenizer.fingerprint:
            raise TokenizerError(
                f"the shards were made with tokenizer {self.tokenizer.fingerprint}, {owner} uses {fingerprint}\n\n"
                "hint: rebuild the shards with `slm data build`, or use the tokenizer in their `tokenizer` directory"
            )

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        names = [shard.name for shard in self.shards]
        if len(set(names)) != len(names):
            raise ValueError("a shard is listed twice")
        for split, totals in self.splits.items():
            for key in ("tokens", "documents", "bytes"):
                total = sum(getattr(shard, key) for shard in self.shards if shard.split == split)
                if total != getattr(totals, key):
                    raise ValueError(f"the shards of split `{split}` have {total} {key}, its total says otherwise")
        if missing := {shard.split for shard in self.shards} - set(self.splits):
            raise ValueError(f"there are shards of split `{missing.pop()}`, which has no total")
        if self.tokenizer.end_of_text_id >= self.tokenizer.vocab_size:
            raise ValueError("the end-of-text id is not in the vocabulary")
        if self.dtype == "uint16" and self.tokenizer.vocab_size > 1 << 16:
            raise ValueError(f"ids of {self.tokenizer.vocab_size} tokens do not fit in uint16")
        return self

    @staticmethod
    def _check_size(path: Path, num_elements: int, element_bytes: int) -> None:
        with path.open("rb") as file:
            beginning = file.read(10)
            size = os.fstat(file.fileno()).st_size
        # A `.npy` file says in two bytes how much of its header is still to come.
        is_cut = _NPY_MAGIC.startswith(beginning[:8]) and len(beginning) < 10
        header_bytes = _HEADER_SIZES[0] if is_cut else 10 + int.from_bytes(beginning[8:], "little")
        expected = header_bytes + num_elements * element_bytes
        if beginning.startswith(_NPY_MAGIC) and size == expected:
            return
        if not (is_cut or beginning.startswith(_NPY_MAGIC)) or size - num_elements * element_bytes in _HEADER_SIZES:
            problem = "does not begin as a `.npy` file of so many elements does: bytes 0 to 9 are wrong"
        elif size < expected:
            problem = f"has {size} bytes, its manifest says {expected}: bytes {size} to {expected - 1} are missing"
        else:
            problem = f"has {size} bytes, its manifest says {expected}: bytes {expected} to {size - 1} are too many"
        raise DataError(
            f"`{path}` {problem}\n\n"
            "hint: copy it again from where it came, or remove the directory and run `slm data build`"
        )


def _check_place(directory: Path, name: str) -> None:
    """Refuse a link that leads out of the directory, to a file that whoever made the shards did not hash."""
    path = directory / name
    if path.is_symlink() and not path.resolve().is_relative_to(directory.resolve()):
        raise DataError(
            f"`{path}` is a link to `{path.resolve()}`, which is outside of the directory\n\n"
            "hint: put the file itself there; the directory as a whole may be a link"
        )


def _describe(path: Path, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return (
        f"`{path}` is not a manifest that this version reads: {f'`{place}`: ' if place else ''}"
        f"{message[:1].lower() + message[1:]}\n\nhint: build the shards again with `slm data build`"
    )
