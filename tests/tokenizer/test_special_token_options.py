"""Special tokens kept out of the text they appear in, ids kept for later, and tokens for conversations."""

import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from slm.errors import ConfigError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import hugging_face
from tests.reference.special_tokens import text_between


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
    between = [part for document in documents for part in text_between(document, special_tokens)]
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


def test_special_tokens_of_the_tokenizer_to_extend_are_places_to_split_at() -> None:
    old = train_tokenizer(iter(["ab"]), vocab_size=257, special_tokens=["<|sep|>"])
    documents = ["ab<|sep|>ab<|sep|>cd"] * 3
    settings: dict[str, Any] = {"vocab_size": 300, "special_tokens_in_text": "split"}
    expected = train_tokenizer(iter(documents), special_tokens=["<|sep|>"], **settings)
    assert train_tokenizer(iter(documents), extend=old, **settings) == expected
    assert [expected.token_bytes(token_id) for token_id in range(257, expected.vocab_size)] == [b"ab", b"cd"]


@pytest.mark.parametrize("split", ["text", "split"])
@pytest.mark.parametrize(("name", "written"), [("§", "byte 0xA7"), ("Ġ", "byte 0x20"), ("Ġa", r"bytes \[20, 61\]")])
def test_a_name_by_which_files_write_other_bytes_is_refused(name: str, written: str, split: Any) -> None:
    # Byte 0xA7 is in the text, and there would be one entry for it and for the special token.
    with pytest.raises(ConfigError, match=f"`{name}` is also how tokenizer files write {written}"):
        train_tokenizer(iter(["façade"]), vocab_size=300, special_tokens=[name], special_tokens_in_text=split)


@pytest.mark.parametrize("name", ["<|début|>", "naïve", "句号", "a§"])
def test_other_names_beyond_ascii_are_saved_and_loaded(name: str, tmp_path: Path) -> None:
    text = "façade ab §"
    tokenizer = train_tokenizer(iter([text] * 3), vocab_size=300, special_tokens=[name], out=tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again == tokenizer
    assert again.decode(again.encode(text + name)) == text + name


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
