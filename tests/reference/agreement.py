"""Whether trainers agree on a small corpus: ours in several ways, Hugging Face's and the naive twin."""

import random
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slm.errors import SlmWarning
from slm.tokenizer import Tokenizer, count_pretokens, merge_counts, train_tokenizer
from tests.reference import hugging_face, naive_bpe, special_tokens
from tests.reference.random_corpora import Case

_MOST_TEXTS = 3
_ADDED_SPECIAL_TOKEN = "<t>"
_OF_SPLITTING = ("pattern", "digits", "prefix_space", "normalization")


@dataclass(frozen=True)
class Outcome:
    """What came of a case."""

    differences: list[str]
    """What our trainer finds otherwise than another, or than itself by another way; nothing if all is well."""
    merges: list[tuple[str, str]]
    """The merges of the naive twin."""


def compare(case: Case, scratch: Path) -> Outcome:
    """Train on a case in every way.

    Args:
        case: What to train.
        scratch: A directory for the files of the case.
    """
    with warnings.catch_warnings():
        # Of giant pretokens, and of counts that are equal: what is repeated here is so on purpose.
        warnings.simplefilter("ignore", SlmWarning)
        return _compare(case, scratch)


def _compare(case: Case, scratch: Path) -> Outcome:
    ours = _ours(case, scratch, case.documents)
    theirs = _theirs(case, scratch)
    vocab, merges = naive_bpe.train(case.documents, **case.settings)
    shuffled = random.Random(case.seed).sample(case.documents, len(case.documents))
    differences: list[str] = []
    if _model(ours) != hugging_face.model_of(theirs.to_str()):
        differences.append("from Hugging Face")
    if not _is(ours, (vocab, merges)):
        differences.append("from the naive twin")
    if _ours(case, scratch, shuffled, **case.variation) != ours:
        differences.append(f"from itself on documents in another order with {case.variation}")
    if case.num_counts and _of_counts(case) != ours:
        differences.append("from itself on counts")
    if case.first_vocab_size is not None:
        differences += _of_extending(case, case.first_vocab_size, ours)
    if case.settings["initial_alphabet"]:
        differences += _of_encoding(case, ours, theirs)
    return Outcome(differences, merges)


def _model(tokenizer: Tokenizer) -> dict[str, Any]:
    return hugging_face.model_of(tokenizer.core.to_json())


def _is(ours: Tokenizer, model: naive_bpe.Model) -> bool:
    found = _model(ours)
    return (found["vocab"], found["merges"]) == (model[0], [list(merge) for merge in model[1]])


def _ours(case: Case, scratch: Path, documents: list[str], **variation: Any) -> Tokenizer:
    files = _files(case, scratch, documents)
    corpus: Any = files or iter(documents)
    kind = {"documents": "line"} if files else {}
    return train_tokenizer(corpus, **kind, **case.settings | variation)


def _theirs(case: Case, scratch: Path) -> "hugging_face.Tokenizer":
    settings = dict(case.settings)
    documents = case.documents
    if settings.pop("special_tokens_in_text") == "split":
        specials = _special_tokens(case)
        documents = [text for document in documents for text in special_tokens.text_between(document, specials)]
        return hugging_face.train(documents, **settings)
    files = _files(case, scratch, documents)
    return hugging_face.train(None if files else documents, files=files, **settings)


def _special_tokens(case: Case) -> list[str]:
    return special_tokens.every(*(case.settings[key] for key in ("special_tokens", "chat_tokens", "reserved_tokens")))


def _files(case: Case, scratch: Path, documents: list[str]) -> list[Path]:
    files = [scratch / f"{number}.txt" for number in range(case.num_files)]
    for number, file in enumerate(files):
        file.write_bytes("".join(documents[number :: len(files)]).encode())
    return files


def _of_counts(case: Case) -> Tokenizer:
    """Train on the sum of counts, each of some documents."""
    of_text: tuple[str, ...] = _OF_SPLITTING
    if case.settings["special_tokens_in_text"] == "split":
        of_text += ("special_tokens", "chat_tokens", "reserved_tokens", "special_tokens_in_text")
    settings: dict[str, Any] = {key: case.settings[key] for key in of_text}
    with TemporaryDirectory() as folder:
        paths: list[Path] = []
        for number in range(case.num_counts):
            documents = case.documents[number :: case.num_counts]
            if any(documents):
                paths.append(Path(folder) / f"part{number}")
                count_pretokens(iter(documents), out=paths[-1], **settings)
        merge_counts(paths[::-1], out=Path(folder) / "sum")
        # How text was split, the counts know.
        others = {key: value for key, value in case.settings.items() if key not in _OF_SPLITTING}
        return train_tokenizer(counts=Path(folder) / "sum", **others)


def _of_extending(case: Case, first_vocab_size: int, ours: Tokenizer) -> list[str]:
    """Train in two steps: with the same text that is one training; with other text the naive twin says what it is."""
    settings = case.settings | {"vocab_size": first_vocab_size}
    first = train_tokenizer(iter(case.first_documents), **settings)
    if case.first_documents is case.documents:
        extended = train_tokenizer(iter(case.documents), **case.settings, extend=first)
        differences = [] if extended == ours else ["from itself in two steps"]
        return differences if ours.prefix(first_vocab_size) == first else [*differences, "from its prefix"]
    # Both texts may have bytes that the other has not.
    added = {"special_tokens": [_ADDED_SPECIAL_TOKEN], "vocab_size": case.settings["vocab_size"] + 80}
    settings = case.settings | added | {"chat_tokens": None, "reserved_tokens": 0}
    extended = train_tokenizer(iter(case.documents), **settings, extend=first)
    settings["special_tokens"] = [*_special_tokens(case), _ADDED_SPECIAL_TOKEN]
    model = naive_bpe.train(case.first_documents, **case.settings | {"vocab_size": first_vocab_size})
    expected = naive_bpe.train(case.documents, **settings, extend=model)
    return [] if _is(extended, expected) else ["from the naive twin that extends"]


def _of_encoding(case: Case, ours: Tokenizer, theirs: "hugging_face.Tokenizer") -> list[str]:
    """Encode some of the text, which also shows that merges are applied as they were learned."""
    prepares = {key: case.settings[key] for key in ("prefix_space", "normalization")}
    for text in case.documents[:_MOST_TEXTS]:
        ids = ours.encode(text).tolist()
        if ids != hugging_face.encode(theirs, text):
            return [f"from Hugging Face in the ids of {text!r}"]
        if ours.decode(ids) != naive_bpe.prepared(text, **prepares):
            return [f"from the text that it decodes {text!r} to"]
    return []
