"""Build shards from a corpus."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slm import _core
from slm.data.manifest import Manifest
from slm.errors import SlmWarning
from slm.tokenizer.bounds import resolve_memory_limit
from slm.tokenizer.corpus import CorpusLike, Documents, Format, InvalidUtf8, OnError, PathLike, open_corpus
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

    peak_memory_bytes: int
    """The most memory of its own that the process was seen to have; 0 where the system does not say."""


def build_shards(
    corpus: CorpusLike,
    tokenizer: Tokenizer | PathLike,
    out: PathLike,
    *,
    validation_fraction: float = 0.0,
    shard_tokens: int = 100_000_000,
    deduplicate: bool = False,
    documents: Documents = "file",
    separator: str | None = None,
    format: Format = "auto",  # noqa: A002  the word of configs and of the core
    field: str = "text",
    invalid_utf8: InvalidUtf8 = "error",
    on_error: OnError = "error",
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
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
        validation_fraction: Share of the documents to hold out, from 0 to 1. A hash of the whole document decides, so
            equal documents are on the same side.
        shard_tokens: Ids after which a shard is closed; the document that reaches it still belongs to it.
        deduplicate: Whether to leave out documents that are equal to one before them, by a hash of 128 bits; counted.
        documents: What one document of a text file is, as in `train_tokenizer`.
        separator: Text between two documents; only with `documents="separator"`.
        format: `text`, `jsonl`, `parquet`, or `auto` to go by the name.
        field: Key of the text in each object of a JSON lines file, or its column in a Parquet file.
        invalid_utf8: What becomes of bytes that are not UTF-8: an `error` naming file or document and offset, `replace`
            them by U+FFFD as Python's `errors="replace"` does, or `skip` the document; both are counted. A lone
            surrogate in JSON or in a `str` is one such sequence.
        on_error: What becomes of a document that cannot be read, such as a malformed JSON line, or what there is where
            a compressed or Parquet file is cut off: an `error`, or `skip` it. The manifest counts them by reason and
            source, and says of the first ones where they are. Documents that are not UTF-8 are among them, unless
            `invalid_utf8` is `replace`.
        num_threads: Threads that encode; all cores of this process if None.
        memory_limit: Memory of the process in bytes or as text such as `256MiB`, besides 32 MiB for each thread; at
            least 64 MiB. What cannot be done within it is an error: archives that need more to be unpacked, and some
            MiB of text of which the pattern does not say where a pretoken ends before what follows is known, such as
            blanks after a line end with `cl100k`.
            None: a quarter of the machine's or the container's memory, at most 4 GiB. The shards do not depend on it.
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
        corpus,
        documents=documents,
        separator=separator,
        format=format,
        field=field,
        invalid_utf8=invalid_utf8,
        on_error=on_error,
    )
    return build_from(
        found,
        load_tokenizer(tokenizer),
        Path(out),
        validation_fraction=validation_fraction,
        shard_tokens=shard_tokens,
        deduplicate=deduplicate,
        num_threads=num_threads,
        memory_limit=memory_limit,
        progress=progress,
    ).manifest


def build_from(
    corpus: "_core.Corpus",
    tokenizer: Tokenizer,
    out: Path,
    *,
    validation_fraction: float,
    shard_tokens: int,
    deduplicate: bool = False,
    num_threads: int | None,
    memory_limit: int | str | None = None,
    progress: "Callable[[_core.Progress], object] | None",
) -> BuildResult:
    """Encode a corpus that is open already, and say whether there was anything to do; see `build_shards`."""
    was_complete, resumed_shards, encoded_bytes, peak_memory_bytes, started_over = _core.build_shards(
        corpus,
        tokenizer.core,
        out,
        validation_fraction=validation_fraction,
        shard_tokens=shard_tokens,
        deduplicate=deduplicate,
        num_threads=num_threads or default_num_threads(),
        memory_limit=resolve_memory_limit(memory_limit),
        progress=progress,
    )
    if started_over is not None:
        warnings.warn(f"{started_over}, so everything was encoded anew", SlmWarning, stacklevel=2)
    return BuildResult(Manifest.load(out), was_complete, resumed_shards, encoded_bytes, peak_memory_bytes)
