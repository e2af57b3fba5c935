"""What may be given as a corpus from Python, and how the core gets it."""

import os
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from slm import _core
from slm.errors import ConfigError

PathLike: TypeAlias = str | os.PathLike[str]
"""A path, as text or as an object."""

CorpusLike: TypeAlias = PathLike | list[Any] | tuple[Any, ...] | Iterable[str] | Iterable[bytes] | Iterable[str | bytes]
"""A file, a directory or a glob, `@list.txt` for a file that lists some, `-` for standard input; a list or tuple of
those; or any other iterable of documents, as `str` or as `bytes` of UTF-8."""

Format: TypeAlias = Literal["auto", "text", "jsonl", "parquet"]
"""What the bytes of a file are; `auto` goes by its name."""

Documents: TypeAlias = Literal["file", "line", "separator"]
"""What one document of a text file is."""

OnError: TypeAlias = Literal["error", "skip"]
"""What becomes of a document that cannot be read: an error, or it is left out and counted."""

InvalidUtf8: TypeAlias = Literal["error", "replace", "skip"]
"""What becomes of what is not UTF-8: an error, U+FFFD, or the document is left out."""


def open_corpus(
    corpus: CorpusLike,
    *,
    documents: Documents = "file",
    separator: str | None = None,
    format: Format = "auto",  # noqa: A002  the word of configs and of the core
    field: str = "text",
    invalid_utf8: InvalidUtf8 = "error",
    on_error: OnError = "error",
) -> "_core.Corpus":
    """Find the files of a corpus, or take documents from memory.

    A list or a tuple holds paths. Documents in a list are given as `iter(documents)`.

    Args:
        corpus: Where the documents are.
        documents: What one document of a text file is: the `file`, each `line` with its ending, or the text between two
            `separator`s.
        separator: Text between two documents, which belongs to neither; only with `documents="separator"`.
        format: `text`, `jsonl`, `parquet`, or `auto` to go by the name.
        field: Key of the text in each object of a JSON lines file, or its column in a Parquet file.
        invalid_utf8: What becomes of bytes that are not UTF-8: an `error` naming file or document and offset, `replace`
            them by U+FFFD as Python's `errors="replace"` does, or `skip` the document. A lone surrogate in JSON or in a
            `str` is one such sequence.
        on_error: What becomes of a document that cannot be read: an `error`, or `skip` it. That is a JSON line that is
            malformed, lacks the field or has something else than text in it, and what there is where a compressed or
            Parquet file is cut off or corrupt; what comes behind such a place is lost. Documents that are not UTF-8 are
            among them, unless `invalid_utf8` is `replace`.

    Raises:
        ConfigError: An argument is unknown or at odds with another.
        DataError: There is no file in any of the paths.
        FileNotFoundError: A path does not exist or a glob matches nothing.
    """
    if isinstance(corpus, bytes | bytearray):
        raise ConfigError("the corpus is bytes, it must be paths or an iterable of documents")
    if isinstance(corpus, str | os.PathLike):
        paths = [os.fspath(corpus)]
    elif isinstance(corpus, list | tuple):
        given: list[Any] = list(corpus)
        if any(isinstance(path, bytes) for path in given):
            raise ConfigError(
                "a list holds paths, and this one has bytes in it\n\nhint: give documents as `iter(documents)`"
            )
        paths = [os.fspath(path) for path in given]
    else:
        for name, value, default in (
            ("documents", documents, "file"),
            ("separator", separator, None),
            ("format", format, "auto"),
            ("field", field, "text"),
        ):
            if value != default:
                raise ConfigError(
                    f"`{name}` is `{value}`, but the corpus is an iterable, whose items are the documents\n\n"
                    f"hint: leave `{name}` out, or give paths as a list"
                )
        return _core.Corpus.from_iterable(corpus, invalid_utf8, on_error)
    try:
        return _core.Corpus.from_paths(paths, format, documents, separator, field, invalid_utf8, on_error)
    except OSError as error:
        if isinstance(corpus, list | tuple):
            error.add_note("a list holds paths; give documents as `iter(documents)`")
        raise
