"""Small random corpora that trainers get wrong: tiny alphabets, runs, ties, special tokens in the text."""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm.tokenizer import train_tokenizer
from tests.reference import hugging_face, naive_bpe

_ALPHABETS = [
    *("a", "ab", "abc", "abcd", "ab ", "ab\n ", "aé1 ", "日本 a", "a'sT ", "x1 \n\r\t.=/", "🫨ab", "aA語\u0301'"),
    *("0123 ", "don't'll ", " \u3000\u00a0\u2028a", "Ġa ", "<|>end", "\x00\x1f\x7fa", "aǅßİſ'S", "春眠不觉晓，。\n"),
]
_SPECIAL_TOKENS = [
    *(["<|endoftext|>"], [], ["a"], ["ab", "<s>"], ["<s>", "aa", "<pad>"], ["Ġ", "Ġa"], ["abab", "ab", "b"]),
    *(["語", "é"], ["<s>", "<s>"]),
]


@dataclass(frozen=True)
class Case:
    """A corpus, what to train on it, and what must make no difference."""

    seed: int
    documents: list[str]
    num_files: int
    """How many files hold the documents, a line each; 0 for documents from memory."""
    settings: dict[str, Any]
    variation: dict[str, Any]
    """Settings that change how the work is done and not what comes out."""


def case(seed: int) -> Case:
    """The case of a seed."""
    generator = random.Random(seed)
    alphabet, special_tokens = generator.choice(_ALPHABETS), generator.choice(_SPECIAL_TOKENS)
    longest_run, most_runs = generator.choice([1, 3, 7, 40]), generator.choice([3, 12, 12, 150])
    documents = [
        _document(generator, alphabet, special_tokens, longest_run, most_runs) for _ in range(generator.randint(1, 8))
    ]
    if generator.random() < 0.3:
        documents += [generator.choice(documents)] * generator.choice([1, 10, 300])
    num_files = generator.choice([0, 0, 1, 3])
    if num_files:
        documents = [line for document in documents for line in re.findall("[^\n]*\n", document + "\n")]
    if not any(documents):
        documents = ["a"]
    initial_alphabet = generator.random() < 0.7
    num_merges = generator.choice([0, 1, 5, 20, 200])
    return Case(
        seed,
        documents,
        num_files,
        settings={
            # Without the whole alphabet there are more merges than that, as at most 60 different bytes are in a corpus.
            "vocab_size": len(special_tokens) + (256 if initial_alphabet else 60) + num_merges,
            "pattern": generator.choice([*hugging_face.PATTERNS, "llama3"]),
            "special_tokens": special_tokens,
            "min_frequency": generator.choice([0, 0, 1, 2, 3, 10]),
            "max_token_length": generator.choice([None, None, 0, 1, 2, 3, 4, 6, 16]),
            "initial_alphabet": initial_alphabet,
        },
        variation={
            "num_threads": generator.choice([1, 2, 3, 8]),
            "memory_limit": generator.choice(["64MiB", "1GiB"]),
        },
    )


def _document(
    generator: random.Random, alphabet: str, special_tokens: list[str], longest_run: int, most_runs: int
) -> str:
    pieces: list[str] = []
    for _ in range(generator.randint(0, most_runs)):
        run = generator.choice(alphabet) * generator.randint(1, longest_run)
        pieces.append(generator.choice([run, run, run, *special_tokens, " "]))
    return "".join(pieces)


def differences(case: Case, scratch: Path) -> list[str]:
    """What the trainer finds otherwise than Hugging Face, than the naive twin or than itself; nothing if all is well.

    Args:
        case: What to train.
        scratch: A directory for the files of the case.
    """
    ours = _ours(case, scratch, case.documents)
    files = _files(case, scratch, case.documents)
    theirs = hugging_face.train(None if files else case.documents, files=files, **case.settings)
    vocab, merges = naive_bpe.train(case.documents, **case.settings)
    shuffled = random.Random(case.seed).sample(case.documents, len(case.documents))
    found: list[str] = []
    if hugging_face.model_of(ours) != hugging_face.model_of(theirs.to_str()):
        found.append("from Hugging Face")
    model = hugging_face.model_of(ours)
    if (model["vocab"], model["merges"]) != (vocab, [list(merge) for merge in merges]):
        found.append("from the naive twin")
    if _ours(case, scratch, shuffled, **case.variation) != ours:
        found.append(f"from itself on documents in another order with {case.variation}")
    return found


def _ours(case: Case, scratch: Path, documents: list[str], **variation: Any) -> str:
    files = _files(case, scratch, documents)
    corpus: Any = files or iter(documents)
    kind = {"documents": "line"} if files else {}
    return train_tokenizer(corpus, **kind, **case.settings, **variation).core.to_json()


def _files(case: Case, scratch: Path, documents: list[str]) -> list[Path]:
    files = [scratch / f"{number}.txt" for number in range(case.num_files)]
    for number, file in enumerate(files):
        file.write_bytes("".join(documents[number :: len(files)]).encode())
    return files
