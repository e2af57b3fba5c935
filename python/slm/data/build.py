"""Build shards from a corpus."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slm import _core
from slm.data.manifest import Manifest
from slm.errors import SlmWarning
from slm.tokenizer.corpus import CorpusLike, Documents, Format, InvalidUtf8, PathLike, open_corpus
from slm.tokenizer.threads import default_num_threads
from slm.tokenizer.tokenizer import Tokenizer, load_tokenizer


@dataclass(frozen=True)
class BuildResult:
    """What a build did."""

    manifest: Manifest
    """What the directory holds."""

    was_complete: bool
    """Whether it held the same shards before, so that nothing was written."""

    resumed_shards: int
    """Shards that an interrupted build had finished, and that were not made again."""

    encoded_bytes: int
    """Bytes of text that this call encoded, in UTF-8."""


def build_shards(
    corpus: CorpusLike,
    tokenizer: Tokenizer | PathLike,
    out: PathLike,
    *,
    validation_fraction: float = 0.0,
    shard_tokens: int = 100_000_000,
    documents: Documents = "file",
    separator: str | None = None,
    format: Format = "auto",  # noqa: A002  the word of configs and of the core
    field: str = "text",
    invalid_utf8: InvalidUtf8 = "error",
    num_threads: int | None = None,
    progress: "Callable[[_core.Progress], object] | None" = None,
) -> Manifest:
    """Encode a corpus into a shard directory.

    Documents keep their order, each ends with the end-of-text token, and special tokens in the text are ordinary text.
    The bytes of the shards do not depend on `num_threads`, nor on interruptions: the same call again goes on behind the
    last finished shard, whatever ended the one before, if the corpus is of files. Where all shards are there already,
    it compares the corpus and writes nothing.

    Args:
        corpus: A path, directory or glob, a list of them, or any other iterable of documents as `str`.
        tokenizer: A tokenizer or its path; copied to `tokenizer/` in the directory.
        out: The directory to make. One that holds anything else is refused.
        validation_fraction: Share of the documents to hold out, from 0 to 1. A hash of the first 64 KiB of a document
            decides, so equal documents are on the same side.
        shard_tokens: Ids after which a shard is closed; the document that reaches it still belongs to it.
        documents: What one document of a text file is, as in `train_tokenizer`.
        separator: Text between two documents; only with `documents="separator"`.
        format: `text`, `jsonl`, `parquet`, or `auto` to go by the name.
        field: Key of the text in each object of a JSON lines file, or its column in a Parquet file.
        invalid_utf8: What becomes of bytes that are not UTF-8: an `error` naming file or document and offset, `replace`
            them by U+FFFD as Python's `errors="replace"` does, or `skip` the document; both are counted. A lone
            surrogate in JSON or in a `str` is one such sequence.
        num_threads: Threads that encode; all cores of this process if None.
        progress: Called about twenty times a second from this thread; an exception in it stops the build.

    Returns:
        The manifest: totals of both splits, shards and checksums.

    Raises:
        ConfigError: A setting is out of range, or `out` holds something else than these shards, or another process
            builds there.
        DataError: The corpus has no text, or a file is not UTF-8, malformed or cut off.
        TokenizerError: The tokenizer has no end-of-text token.
        FileNotFoundError: A path does not exist.

    Warns:
        SlmWarning: What an interrupted build left was of other settings or other text, and everything is encoded anew.
    """
    found = open_corpus(
        corpus, documents=documents, separator=separator, format=format, field=field, invalid_utf8=invalid_utf8
    )
    return build_from(
        found,
        load_tokenizer(tokenizer),
        Path(out),
        validation_fraction=validation_fraction,
        shard_tokens=shard_tokens,
        num_threads=num_threads,
        progress=progress,
    ).manifest


def build_from(
    corpus: "_core.Corpus",
    tokenizer: Tokenizer,
    out: Path,
    *,
    validation_fraction: float,
    shard_tokens: int,
    num_threads: int | None,
    progress: "Callable[[_core.Progress], object] | None",
) -> BuildResult:
    """Encode a corpus that is open already, and say whether there was anything to do; see `build_shards`."""
    was_complete, resumed_shards, encoded_bytes, started_over = _core.build_shards(
        corpus,
        tokenizer.core,
        out,
        validation_fraction=validation_fraction,
        shard_tokens=shard_tokens,
        num_threads=num_threads or default_num_threads(),
        progress=progress,
    )
    if started_over is not None:
        warnings.warn(f"{started_over}, so everything was encoded anew", SlmWarning, stacklevel=2)
    return BuildResult(Manifest.load(out), was_complete, resumed_shards, encoded_bytes)
