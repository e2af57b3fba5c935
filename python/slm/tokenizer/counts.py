"""Count pretokens into a directory, and add such counts up; training goes on from there without the corpus."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from slm import _core
from slm.errors import SlmWarning
from slm.sizes import parse_size
from slm.tokenizer.bounds import resolve_memory_limit
from slm.tokenizer.corpus import CorpusLike, Documents, Format, InvalidUtf8, OnError, open_corpus
from slm.tokenizer.special_tokens import (
    DEFAULT_SPECIAL_TOKENS,
    ChatTokens,
    SpecialTokensInText,
    kept_out_of_text,
)
from slm.tokenizer.threads import default_num_threads
from slm.tokenizer.tokenizer import Normalization

if TYPE_CHECKING:
    from slm.tokenizer.corpus import PathLike


@dataclass(frozen=True)
class Counts:
    """A finished counts directory, as its manifest describes it.

    `count_pretokens` and `merge_counts` make one, `load` finds it again.
    """

    path: Path
    """The directory."""

    pattern: str
    """Name of the pattern that the text was split by, or the regex."""

    digits: int | None
    """Most digits that stand together, where that is not as the pattern has it."""

    prefix_space: bool
    """Whether a document that did not begin with a blank was given one."""

    normalization: Normalization | None
    """What was done to the text before it was split."""

    pretokens: int
    """Pretokens in all."""

    unique_pretokens: int
    """Different pretokens."""

    fingerprint: str
    """Identity of the counts, in 16 hexadecimal digits."""

    bytes: int
    """Size of the file with the counts."""

    kept_out: tuple[str, ...]
    """Special tokens at whose text in the corpus it was split, in ascending order."""

    corpora: tuple[dict[str, Any], ...]
    """What was counted: files, documents, bytes of text, what was skipped, fingerprint; more than one after a merge."""

    counted_bytes: int = 0
    """Bytes of text that the call that gives this counted: less than all where it went on from finished parts."""

    resumed_parts: int = 0
    """Parts that were finished before that call."""

    @property
    def text_bytes(self) -> int:
        """Bytes of the text that was counted, in UTF-8."""
        return sum(corpus["bytes"] for corpus in self.corpora)

    @property
    def documents(self) -> int:
        """Documents that were counted."""
        return sum(corpus["documents"] for corpus in self.corpora)

    @classmethod
    def load(cls, path: "PathLike", *, counted_bytes: int = 0, resumed_parts: int = 0) -> Self:
        """Read the manifest of a counts directory.

        Raises:
            DataError: The directory holds no finished counts, or those of another version.
            FileNotFoundError: There is no such directory.
        """
        manifest = json.loads(_core.read_counts_manifest(path))
        return cls(
            path=Path(path),
            pattern=manifest["pretokenizer"]["pattern"],
            digits=manifest["pretokenizer"].get("digits"),
            prefix_space=manifest["pretokenizer"].get("prefix_space", False),
            normalization=manifest["pretokenizer"].get("normalization"),
            pretokens=manifest["counts"]["pretokens"],
            unique_pretokens=manifest["counts"]["unique_pretokens"],
            fingerprint=manifest["counts"]["fingerprint"],
            bytes=manifest["file"]["bytes"],
            kept_out=tuple(manifest.get("kept_out", ())),
            corpora=tuple(manifest["corpora"]),
            counted_bytes=counted_bytes,
            resumed_parts=resumed_parts,
        )


def count_pretokens(
    corpus: CorpusLike,
    *,
    out: "PathLike",
    pattern: str = "gpt2",
    digits: int | None = None,
    prefix_space: bool = False,
    normalization: Normalization | None = None,
    special_tokens: Sequence[str] = DEFAULT_SPECIAL_TOKENS,
    chat_tokens: ChatTokens | None = None,
    reserved_tokens: int = 0,
    special_tokens_in_text: SpecialTokensInText = "text",
    documents: Documents = "file",
    separator: str | None = None,
    format: Format = "auto",  # noqa: A002  the word of configs and of the core
    field: str = "text",
    invalid_utf8: InvalidUtf8 = "error",
    on_error: OnError = "error",
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    part_size: int | str = "1GiB",
    progress: "Callable[[_core.Progress], object] | None" = None,
) -> Counts:
    """Count how often each pretoken occurs, into a directory.

    Killed at any instant, the same call again goes on behind the last part that was finished, and the directory ends
    with the same bytes. Files that are finished are not opened again; of the one that is not, the text up to there is
    read and compared, not counted. A corpus that can be read only once, an iterable or standard input, is counted from
    the beginning. The counts do not depend on `num_threads`, `memory_limit` or `part_size`.

    Args:
        corpus: As for `train_tokenizer`.
        out: Directory of the counts; made if missing. Where it holds the counts of the same files and settings already,
            nothing is done.
        pattern: How text is split, as for `train_tokenizer`.
        digits: As for `train_tokenizer`.
        prefix_space: As for `train_tokenizer`.
        normalization: As for `train_tokenizer`.
        special_tokens: Those that the tokenizer is to have; they matter only with `special_tokens_in_text="split"`.
        chat_tokens: As `special_tokens`.
        reserved_tokens: As `special_tokens`.
        special_tokens_in_text: As for `train_tokenizer`; counts that were split at special tokens are only for
            tokenizers that have these.
        documents: As for `train_tokenizer`.
        separator: As for `train_tokenizer`.
        format: As for `train_tokenizer`.
        field: As for `train_tokenizer`.
        invalid_utf8: As for `train_tokenizer`.
        on_error: As for `train_tokenizer`.
        num_threads: Threads that count; all cores of this process if None.
        memory_limit: Memory for counting, in bytes or as text such as `256MiB`; 64 MiB at least. None: a quarter of the
            machine's or the container's memory, at most 4 GiB.
        part_size: Text after which a part is finished, in bytes or as text; what a kill costs at most.
        progress: Called about twenty times a second from this thread; an exception in it stops the counting, and the
            finished parts stay.

    Returns:
        The counts; `counted_bytes` says how much text was counted in this call.

    Raises:
        ConfigError: `out` holds something else, or counts of other files or settings; another process writes there; a
            setting is out of range.
        DataError: The corpus has no text, or a file is not UTF-8, malformed or cut off.
        FileNotFoundError: A path does not exist.
        OSError: A file cannot be read, or the disk is full.

    Warns:
        SlmWarning: Files have changed since parts of them were counted, so that counting started over.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as directory:
        ...     counts = count_pretokens(iter(["to be or not to be"]), out=directory + "/counts")
        >>> counts.pretokens, counts.unique_pretokens
        (6, 5)
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
    counted_bytes, resumed_parts, started_over = _core.count_pretokens(
        found,
        out,
        pattern=pattern,
        digits=digits,
        prefix_space=prefix_space,
        normalization=normalization,
        kept_out=kept_out_of_text(special_tokens_in_text, special_tokens, chat_tokens, reserved_tokens),
        num_threads=num_threads or default_num_threads(),
        memory_limit=resolve_memory_limit(memory_limit),
        part_bytes=parse_size(part_size, "part_size"),
        progress=progress,
    )
    if started_over is not None:
        warnings.warn(f"{started_over}, so everything was counted anew", SlmWarning, stacklevel=2)
    return Counts.load(out, counted_bytes=counted_bytes, resumed_parts=resumed_parts)


def merge_counts(
    paths: "Iterable[PathLike]",
    *,
    out: "PathLike",
    memory_limit: int | str | None = None,
    progress: "Callable[[_core.Progress], object] | None" = None,
) -> Counts:
    """Add up counts, such as those that several machines made of their parts of a corpus.

    The file with the counts has the bytes that counting everything at once gives, whatever the order of `paths`.

    Args:
        paths: Counts directories, all of the same pattern.
        out: Directory of the sum; made if missing.
        memory_limit: Memory for reading them, as for `count_pretokens`.
        progress: As for `count_pretokens`; what is stopped must be done again.

    Raises:
        ConfigError: Patterns differ, or `out` holds something.
        DataError: A directory holds no finished counts, or they are damaged; the message names file and place.
        FileNotFoundError: A directory does not exist.
        OSError: The disk refused.

    Warns:
        SlmWarning: The same text is in several of them, so it counts several times.
    """
    _core.merge_counts(
        [os.fspath(path) for path in paths], out, memory_limit=resolve_memory_limit(memory_limit), progress=progress
    )
    merged = Counts.load(out)
    fingerprints = Counter(corpus["fingerprint"] for corpus in merged.corpora)
    repeated = [fingerprint for fingerprint, times in fingerprints.items() if times > 1]
    if repeated:
        warnings.warn(
            f"the text with fingerprint {repeated[0]} was in {fingerprints[repeated[0]]} of the counts and counts as "
            "often\n\nhint: give each part once",
            SlmWarning,
            stacklevel=2,
        )
    return merged
