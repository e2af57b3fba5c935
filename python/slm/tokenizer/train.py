"""Train a tokenizer on a corpus."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slm import _core
from slm.errors import ConfigError
from slm.tokenizer.bounds import resolve_bounds
from slm.tokenizer.corpus import CorpusLike, Documents, Format, InvalidUtf8, OnError, PathLike, open_corpus
from slm.tokenizer.counts import Counts
from slm.tokenizer.predict import check_spill, predict_training
from slm.tokenizer.record import warn_of_giants
from slm.tokenizer.special_tokens import DEFAULT_SPECIAL_TOKENS, ChatTokens, SpecialTokensInText
from slm.tokenizer.threads import default_num_threads
from slm.tokenizer.tokenizer import Normalization, Tokenizer, load_tokenizer

# Below this training takes seconds, and whatever goes wrong does so soon.
_PREDICTED_BYTES = 1 << 30


def train_tokenizer(
    corpus: CorpusLike | None = None,
    *,
    vocab_size: int,
    counts: PathLike | None = None,
    extend: Tokenizer | PathLike | None = None,
    pattern: str | None = None,
    digits: int | None = None,
    prefix_space: bool = False,
    normalization: Normalization | None = None,
    documents: Documents = "file",
    separator: str | None = None,
    format: Format = "auto",  # noqa: A002  the word of configs and of the core
    field: str = "text",
    invalid_utf8: InvalidUtf8 = "error",
    on_error: OnError = "error",
    special_tokens: Sequence[str] | None = None,
    chat_tokens: ChatTokens | None = None,
    reserved_tokens: int = 0,
    special_tokens_in_text: SpecialTokensInText | None = None,
    min_frequency: int = 0,
    max_token_length: int | None = None,
    max_token_bytes: int | None = None,
    initial_alphabet: bool = True,
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    spill_dir: PathLike | None = None,
    max_spill: int | str | None = None,
    progress: "Callable[[_core.Progress], object] | None" = None,
    out: PathLike | None = None,
) -> Tokenizer:
    """Learn a byte-level BPE tokenizer.

    Merges and ids are those of Hugging Face's `BpeTrainer` on the same documents. The result does not depend on
    `num_threads` or `memory_limit`. What does not fit into memory goes to a directory in `spill_dir`, which is removed
    at the end, and after a kill by the next run there.

    Args:
        corpus: A path, directory or glob, a list of them, or any other iterable of documents as `str` or `bytes`. Files
            may be gzip, zstd or xz; `@list.txt` names a file that lists paths, `-` is standard input.
            None: `counts`.
        vocab_size: Tokens in all: special tokens, alphabet and merges. Fewer come out if the corpus has no more pairs.
        counts: Directory that `count_pretokens` or `merge_counts` made, in place of a corpus. The tokenizer is that of
            training on the text; its record has no paths.
        extend: Tokenizer to go on from, or its directory. Its tokens keep their ids, its merges come first; new merges,
            and `special_tokens` that it lacks, come after them. Text is cut as it cuts it, and merging goes on there.
        pattern: How text is split before merging: `gpt2`, `cl100k`, `o200k`, `llama3` (which is `cl100k` by another
            name), `qwen2`, or any other regex itself. What is made of letters, digits, `_`, `-` and `.` alone is a
            name. None: that of `counts` or `extend` with its options, or else `gpt2`.
        digits: Most digits that stand together in a pretoken: 1, 2 or 3, in place of what a named pattern has.
            Numbers then hold no blank, also for `gpt2`. None: as the pattern has it.
        prefix_space: Whether a document that does not begin with a blank is given one, so that its first word is as
            any other. Encoding does the same, so decoding gives a blank more than there was.
        normalization: `nfc` composes characters (NFC) before text is split, as Qwen's tokenizers do; what is decoded
            is the composed text. None: text stays as it is.
        documents: What one document of a text file is: the `file`, each `line` with its ending (as Hugging Face's
            `train(files)`), or the text between two `separator`s.
        separator: Text between two documents; only with `documents="separator"`.
        format: `text`, `jsonl`, `parquet`, or `auto` to go by the name.
        field: Key of the text in each object of a JSON lines file, or its column in a Parquet file.
        invalid_utf8: What becomes of bytes that are not UTF-8: an `error` naming file or document and offset, `replace`
            them by U+FFFD as Python's `errors="replace"` does, or `skip` the document; both are counted. A lone
            surrogate in JSON or in a `str` is one such sequence.
        on_error: What becomes of a document that cannot be read, such as a malformed JSON line: an `error`, or `skip`
            it; counted.
        special_tokens: Tokens with the lowest ids, in this order. `<|endoftext|>` ends documents in shards; where no
            token has such a name, the first one does. A name by which tokenizer files write other bytes, such as `§`
            for byte 0xA7, is refused. None: that one, or with `extend` none besides those there are.
        chat_tokens: Special tokens for conversations, which follow, with the template for them: `chatml` for
            `<|im_start|>` and `<|im_end|>`. None: no such tokens.
        reserved_tokens: How many special tokens for later uses follow: `<|reserved_special_token_0|>` and so on.
        special_tokens_in_text: What the text of any special token is in the corpus: `text` like any other, as for
            Hugging Face's `BpeTrainer`, or a place to `split` at, so that nothing is learned from it or across it.
            None: as in `counts`, or else `text`.
        min_frequency: Fewest occurrences of a pair that is merged; 0 and 1 mean the same.
        max_token_length: Longest token that merging makes, by Hugging Face's rule: fewer bytes than this, and pairs of
            two bytes always. None: no limit.
        max_token_bytes: Longest token that merging makes, in bytes, without exceptions: 1 makes no merges at all. None:
            no limit.
        initial_alphabet: Whether all 256 bytes are tokens, so that every text can be encoded.
        num_threads: Threads that count; all cores of this process if None.
        memory_limit: Memory for counting and merging, in bytes or as text such as `256MiB` or `1GiB`; 64 MiB at least.
            Reading takes up to 8 MiB a thread besides. None: a quarter of the machine's or the container's memory, at
            most 4 GiB.
        spill_dir: Directory to spill to. None: the one that `out` is in, or else the one for temporary files.
        max_spill: Most bytes that may be spilled at a time, as `memory_limit`. None: no limit.
        progress: Called about twenty times a second from this thread with how far the training is: `phase` (such as
            `count` and `merge`), `unit`, `done`, `total` (0: not known) and `counters`, a dict: always `spilled_bytes`
            and `memory_bytes` (of the process, without files), while counting `text_bytes` and `unique_pretokens` (an
            estimate until all are counted), while merging `merge_count`, how often the last merged pair occurred. An
            exception in it stops the training and is raised.
        out: Directory to save the tokenizer in.

    Returns:
        The tokenizer, with a record of its making in `training`.

    Raises:
        ConfigError: A setting is out of range, such as a `vocab_size` below special tokens and alphabet; a stretch of
            text that the pattern does not split is longer than 1 MiB and a 64th of `memory_limit`; `max_spill` is
            used up, or surely will be.
        DataError: The corpus has no text, or a file is not UTF-8, malformed or cut off.
        FileNotFoundError: A path does not exist.
        OSError: A file cannot be read, or the disk to spill to is full.

    Warns:
        SlmWarning: The directory to spill to lives in memory, or will hardly have the space; the pattern leaves
            stretches of text whole that are far longer than words.

    Example:
        >>> tok = train_tokenizer(iter(["to be or not to be"]), vocab_size=260)
        >>> [tok.token_bytes(id) for id in tok.encode("to be").tolist()]
        [b'to', b' be']
    """
    if (corpus is None) == (counts is None):
        raise ConfigError(
            "a tokenizer is trained on either a corpus or `counts`, "
            + ("neither is given" if corpus is None else "both are given")
        )
    found = None
    if corpus is not None:
        found = open_corpus(
            corpus,
            documents=documents,
            separator=separator,
            format=format,
            field=field,
            invalid_utf8=invalid_utf8,
            on_error=on_error,
        )
    old = None if extend is None else load_tokenizer(extend)
    if pattern is None and digits is None and not prefix_space and normalization is None:
        like = Counts.load(counts) if counts is not None else old
        if like is not None:
            pattern, digits = like.pattern, like.digits
            prefix_space, normalization = like.prefix_space, like.normalization
    pattern = pattern or "gpt2"
    if special_tokens_in_text is None:
        special_tokens_in_text = "split" if counts is not None and Counts.load(counts).kept_out else "text"
    if special_tokens is None:
        special_tokens = DEFAULT_SPECIAL_TOKENS if old is None else ()
    bounds = resolve_bounds(memory_limit, spill_dir, max_spill, out)
    num_threads = num_threads or default_num_threads()
    if found is not None and found.total_bytes >= _PREDICTED_BYTES:
        predicted = predict_training(
            found,
            vocab_size=vocab_size,
            num_threads=num_threads,
            memory_limit=bounds.memory_limit,
            pattern=pattern,
            digits=digits,
            prefix_space=prefix_space,
            normalization=normalization,
            special_tokens=special_tokens,
            chat_tokens=chat_tokens,
            reserved_tokens=reserved_tokens,
            special_tokens_in_text=special_tokens_in_text,
        )
        if predicted is not None:
            check_spill(predicted, bounds)
    core = _core.train_tokenizer(
        found,
        counts,
        vocab_size=vocab_size,
        pattern=pattern,
        digits=digits,
        prefix_space=prefix_space,
        normalization=normalization,
        special_tokens=list(special_tokens),
        chat_tokens=chat_tokens,
        reserved_tokens=reserved_tokens,
        special_tokens_in_text=special_tokens_in_text,
        min_frequency=min_frequency,
        max_token_length=max_token_length,
        max_token_bytes=max_token_bytes,
        initial_alphabet=initial_alphabet,
        num_threads=num_threads,
        memory_limit=bounds.memory_limit,
        spill_dir=bounds.spill_dir,
        max_spill=bounds.max_spill,
        extend=None if old is None else old.core,
        progress=progress,
    )
    tokenizer = Tokenizer(core)
    warn_of_giants(tokenizer.training)
    if out is not None:
        tokenizer.save(out)
    return tokenizer


def train_tokenizers(
    corpus: CorpusLike | None = None, *, vocab_sizes: Sequence[int], out: PathLike | None = None, **settings: Any
) -> dict[int, Tokenizer]:
    """Learn tokenizers of several sizes in the time of the largest.

    A smaller vocabulary is a prefix of a larger one, so each is what `train_tokenizer` gives for its size alone.

    Args:
        corpus: As for `train_tokenizer`.
        vocab_sizes: Sizes of the vocabularies.
        out: Directory to save them in, each in a directory named by its size.
        **settings: All others of `train_tokenizer`.

    Returns:
        The tokenizers by size.

    Raises:
        ConfigError: As for `train_tokenizer`; there is no size, or one is too small.

    Example:
        >>> made = train_tokenizers(iter(["to be or not to be"]), vocab_sizes=[258, 260])
        >>> {size: tok.token_bytes(tok.vocab_size - 1) for size, tok in made.items()}
        {258: b' b', 260: b'to'}
    """
    sizes = sorted(set(vocab_sizes))
    if not sizes:
        raise ConfigError("`vocab_sizes` is empty, it must have one size at least")
    if out is not None:
        settings.setdefault("spill_dir", None)
        settings["spill_dir"] = settings["spill_dir"] or Path(out).absolute().parent
    # Found out before the work, not after it.
    special_tokens = settings.get("special_tokens") or DEFAULT_SPECIAL_TOKENS
    least = len(set(special_tokens)) + settings.get("reserved_tokens", 0) + 256 * settings.get("initial_alphabet", True)
    if sizes[0] < least and settings.get("extend") is None:
        raise ConfigError(
            f"`vocab_sizes` has {sizes[0]}, special tokens and alphabet alone are {least}\n\n"
            f"hint: give sizes of {least} and more"
        )
    largest = train_tokenizer(corpus, vocab_size=sizes[-1], **settings)
    made = {size: largest.prefix(size) for size in sizes}
    if out is not None:
        for size, tokenizer in made.items():
            tokenizer.save(Path(out) / str(size))
    return made
