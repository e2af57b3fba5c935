"""Small random corpora that trainers get wrong: tiny alphabets, runs, ties, special tokens in the text, marks."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_ALPHABETS = [
    *("a", "ab", "abc", "abcd", "ab ", "ab\n ", "aé1 ", "日本 a", "a'sT ", "x1 \n\r\t.=/", "🫨ab", "aA語\u0301'"),
    *("0123 ", "don't'll ", " \u3000\u00a0\u2028a", "Ġa ", "<|>end", "\x00\x1f\x7fa", "aǅßİſ'S", "春眠不觉晓，。\n"),
    *("x12 ٣Ⅷ½.", "n0\u0301 Ab'1", "abcdefgh  ", "aeiouéñ ,12", "天地玄黄宇宙洪荒ab ", "пиксель "),
]
# Marks that are put in order and composed with what is before them, letters of Hangul, and characters that are always
# written as others.
_TO_COMPOSE = [
    *(
        "e\u0301",
        "e\u0301\u0316a ",
        "q\u0316\u0301\u0315x ",
        "éu\u0308\u0301 ",
        "\u212b\u2126A\u030a ",
        "\u1fef\u2000 a",
    ),
    *(
        "\u1100\u1161\u11a8\u11a7 ",
        "가각\u11a8\u1161 a",
        "\u0915\u093c\u0958\u0f73\u0f71",
        " \u0301\u0344a",
        "1\u0301\n\u0323.",
    ),
]
_SPECIAL_TOKENS = [
    *(["<|endoftext|>"], [], ["a"], ["ab", "<s>"], ["<s>", "aa", "<pad>"], ["aaa", "aa "], ["abab", "ab", "b"]),
    *(["語", "<é>"], ["<s>", "<s>"], [" a", " "], ["e\u0301", "\u1161"], ["<|reserved_special_token_1|>", "1"]),
]
_NAMES = ["gpt2", "cl100k", "o200k", "llama3", "qwen2"]
_REGEXES = [
    # That of GPT-4 as `tiktoken` has it, but for its `\z`; then one that leaves text between its matches, and toys.
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s*[\r\n]|\s+(?!\S)|\s",
    r"\p{N}{1,2}| ?[\p{L}\p{M}]+",
    r"\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|\s+(?=\S)|.",
    r"[^\n]+\n?",
    r"a+b|a|(?>x+)1",
    r"a{2,4}|b{2,}?c|(?:ab){2}|[ab]|.+?\n",
]


@dataclass(frozen=True)
class Case:
    """A corpus, what to train on it, and what must make no difference."""

    seed: int
    documents: list[str]
    num_files: int
    """How many files hold the documents, a line each; 0 for documents from memory."""
    num_counts: int
    """How many counts of parts of the documents are added up and trained on too."""
    first_vocab_size: int | None
    """Size of a tokenizer that is extended to the one asked for; None for no such detour."""
    first_documents: list[str]
    """What that one is trained on; `documents` if it is to come out as if there had been none."""
    settings: dict[str, Any]
    variation: dict[str, Any]
    """Settings that change how the work is done and not what comes out."""


def case(seed: int) -> Case:
    """The case of a seed."""
    generator = random.Random(seed)
    settings = _settings(generator)
    corpus = _corpus(generator, settings["special_tokens"], composes=settings["normalization"] is not None)
    documents, others = corpus(), corpus()
    if generator.random() < 0.3:
        documents += [generator.choice(documents)] * generator.choice([1, 10, 300])
    num_files = generator.choice([0, 0, 0, 1, 3])
    if num_files:
        documents = [line for document in documents for line in re.findall("[^\n]*\n", document + "\n")]
    if not any(documents):
        documents = ["a"]
    num_special = len(settings["special_tokens"]) + 2 * bool(settings["chat_tokens"]) + settings["reserved_tokens"]
    # Without the whole alphabet there are more merges than asked for, as at most 80 different bytes are in a corpus.
    least = num_special + (256 if settings["initial_alphabet"] else 80)
    settings["vocab_size"] = least + generator.choice([0, 1, 5, 20, 100, 200])
    return Case(
        seed,
        documents,
        num_files,
        num_counts=generator.choice([0] * 7 + [1, 2, 3]),
        first_vocab_size=generator.randint(least, settings["vocab_size"]) if generator.random() < 0.3 else None,
        first_documents=generator.choice([documents, [*others, "a"]]),
        settings=settings,
        variation={
            "num_threads": generator.choice([1, 2, 3, 8]),
            "memory_limit": generator.choice(["64MiB", "1GiB"]),
        },
    )


def _settings(generator: random.Random) -> dict[str, Any]:
    """All settings of a training but for the size of the vocabulary."""
    is_named = generator.random() < 0.8
    # Each of these leaves little to merge, and two of them nothing.
    limits: dict[str, Any] = {"min_frequency": 0, "max_token_length": None, "max_token_bytes": None}
    limit = generator.choice([None, None, *limits])
    if limit == "min_frequency":
        limits[limit] = generator.choice([1, 2, 2, 3, 10])
    elif limit is not None:
        limits[limit] = generator.choice([1, 2, 3, 4, 5, 16])
    if generator.random() < 0.1:
        limits |= {"min_frequency": 2, "max_token_length": generator.choice([0, 3, 6])}
    return {
        "pattern": generator.choice(_NAMES if is_named else _REGEXES),
        "digits": generator.choice([None, None, None, 1, 2, 3]) if is_named else None,
        "prefix_space": generator.random() < 0.25,
        "normalization": "nfc" if generator.random() < 0.3 else None,
        "special_tokens": generator.choice(_SPECIAL_TOKENS),
        "chat_tokens": "chatml" if generator.random() < 0.1 else None,
        "reserved_tokens": generator.choice([0, 0, 0, 0, 1, 3]),
        "special_tokens_in_text": generator.choice(["text", "text", "text", "split"]),
        "initial_alphabet": generator.random() < 0.7,
        **limits,
    }


def _corpus(generator: random.Random, special_tokens: list[str], *, composes: bool) -> Callable[[], list[str]]:
    """What makes documents of one kind."""
    alphabet = generator.choice(_TO_COMPOSE if composes and generator.random() < 0.7 else _ALPHABETS)
    longest_run, most_runs = generator.choice([1, 3, 7, 40]), generator.choice([3, 12, 12, 150])

    def document() -> str:
        pieces: list[str] = []
        for _ in range(generator.randint(0, most_runs)):
            run = generator.choice(alphabet) * generator.randint(1, longest_run)
            pieces.append(generator.choice([run, run, run, *special_tokens, " "]))
        return "".join(pieces)

    return lambda: [document() for _ in range(generator.randint(1, 8))]
