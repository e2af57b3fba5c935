"""Special tokens kept out of the text they appear in, ids kept for later, and tokens for conversations."""

import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from slm.errors import ConfigError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import hugging_face


def split_naively(document: str, special_tokens: list[str]) -> list[str]:
    """The text between special tokens: at each place the longest one, and else a character of text."""
    parts = [""]
    while document:
        longest = max((token for token in special_tokens if document.startswith(token)), key=len, default="")
        if longest:
            parts.append("")
        else:
            parts[-1] += document[0]
        document = document[len(longest) or 1 :]
    return parts


@pytest.mark.parametrize("seed", range(200))
def test_splitting_learns_what_hugging_face_learns_from_the_text_between(seed: int) -> None:
    generator = random.Random(seed)
    special_tokens = generator.choice([["<s>"], ["ab", "abb", "<s>"], ["a", "ba"], ["<s>", "<s>…", "s"], [" a", " "]])
    pieces = [*special_tokens, "a", "b", "ab", "abab ", " ", "<", "…", "s>\n", "語"]
    documents = ["".join(generator.choices(pieces, k=generator.randint(0, 20))) for _ in range(6)] + ["xyz"]
    settings: dict[str, Any] = {
        "vocab_size": 256 + len(special_tokens) + generator.choice([3, 40]),
        "pattern": generator.choice(hugging_face.PATTERNS),
        "special_tokens": special_tokens,
    }
    ours = train_tokenizer(iter(documents), special_tokens_in_text="split", **settings)
    between = [part for document in documents for part in split_naively(document, special_tokens)]
    theirs = hugging_face.train(between, **settings)
    assert hugging_face.model_of(ours.core.to_json()) == hugging_face.model_of(theirs.to_str())


def test_splitting_is_that_of_encoding_and_the_record_says_what_was_read() -> None:
    special_tokens = ["<|a|>", "<|a|><|b|>"]
    documents = ["one<|a|><|b|>two <|a|>three", "<|a|>", "plain", "x<|a"]
    records: list[dict[str, Any]] = []
    for choice in ("text", "split"):
        tokenizer = train_tokenizer(
            iter(documents), vocab_size=300, special_tokens=special_tokens, special_tokens_in_text=choice
        )
        assert tokenizer.training is not None
        assert tokenizer.training["config"]["special_tokens_in_text"] == choice
        records.append(tokenizer.training)
    # What was read is the same, only what was learned from it is not.
    assert records[0]["corpus"] == records[1]["corpus"]
    assert records[0]["counts"]["pretokens"] > records[1]["counts"]["pretokens"]
    ids = tokenizer.encode(documents[0], parse_special=True).tolist()
    assert [token_id for token_id in ids if token_id < 2] == [1, 0]


def test_reserved_and_chat_tokens_are_special_tokens_at_the_front(python_files: list[Path]) -> None:
    paths = list(python_files[:3])
    ours = train_tokenizer(paths, vocab_size=700, chat_tokens="chatml", reserved_tokens=3)
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|reserved_special_token_{n}|>" for n in range(3))]
    assert ours.special_tokens == {name: token_id for token_id, name in enumerate(names)}
    assert ours.vocab_size == 700
    theirs = hugging_face.train([path.read_text() for path in paths], vocab_size=700, special_tokens=names)
    assert hugging_face.model_of(ours.core.to_json()) == hugging_face.model_of(theirs.to_str())
    assert ours.end_of_text_id == 0


def test_each_special_token_is_there_once_and_as_many_are_reserved_as_asked_for() -> None:
    special_tokens = ["<|im_end|>", "<|reserved_special_token_1|>"]
    tokenizer = train_tokenizer(
        iter(["text"]), vocab_size=300, special_tokens=special_tokens, chat_tokens="chatml", reserved_tokens=2
    )
    reserved = ["<|reserved_special_token_0|>", "<|reserved_special_token_2|>"]
    assert list(tokenizer.special_tokens) == [*special_tokens, "<|im_start|>", *reserved]


def test_the_chat_template_is_what_transformers_applies(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = train_tokenizer(
        iter(["user and assistant"]), vocab_size=300, chat_tokens="chatml", reserved_tokens=2, out=tmp_path / "tok"
    )
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "tok")
    messages = [{"role": "user", "content": "  How?\n"}, {"role": "assistant", "content": "So."}]
    text = "<|im_start|>user\n  How?\n<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n"
    assert theirs.apply_chat_template(messages, tokenize=False) == text
    prompt = theirs.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|im_start|>user\n  How?\n<|im_end|>\n<|im_start|>assistant\n"
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text, parse_special=True).tolist()
    assert len(theirs) == tokenizer.vocab_size
    for copy in (Tokenizer.load(tmp_path / "tok"), pickle.loads(pickle.dumps(tokenizer))):
        assert copy.chat_template == tokenizer.chat_template != None  # noqa: E711  the chain says both
    assert train_tokenizer(iter(["text"]), vocab_size=300).chat_template is None


@pytest.mark.parametrize(
    "setting",
    [
        {"chat_tokens": "llama"},
        {"special_tokens_in_text": "learn"},
        {"reserved_tokens": 50},
        {"reserved_tokens": 1 << 40},
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, Any]) -> None:
    name = "vocab_size" if "reserved_tokens" in setting else next(iter(setting))
    with pytest.raises(ConfigError, match=name):
        train_tokenizer(iter(["text"]), vocab_size=300, **setting)
