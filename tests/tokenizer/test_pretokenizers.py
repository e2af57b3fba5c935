"""Options of a pattern, against what `tokenizers` does with the `tokenizer.json` that we write."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from slm.errors import ConfigError, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import hugging_face
from tests.reference.hostile import HOSTILE

# Numbers of several scripts and lengths; characters with and without a composed form, in and out of order; Hangul by
# the syllable and by the letter; blanks of several kinds at every beginning.
ODD = [
    "",
    " ",
    "  12345 1,234,567.89 ٠١٢٣٤ Ⅷ½x12",
    "\n12\n 3456",
    "e\u0301te\u0301 deja\u0300 vu\u0308",
    "q\u0301\u0316x a\u0315\u0300\u05ae\u0300b",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 한글",
    "\u0301 alone",
    "\u212b\u2126\u0958\u0f73\u2000x\u1fef",
    "\u00a0x",
    "กำลังใจ ที่นี่ 123",
    "I'm 99 and they'll be 1000",
]

OPTIONS: list[dict[str, Any]] = [
    {"pattern": "gpt2", "prefix_space": True},
    {"pattern": "gpt2", "digits": 1},
    {"pattern": "gpt2", "digits": 3, "prefix_space": True, "normalization": "nfc"},
    {"pattern": "cl100k", "digits": 2, "prefix_space": True},
    {"pattern": "o200k", "digits": 1, "normalization": "nfc"},
    {"pattern": "o200k", "prefix_space": True, "normalization": "nfc"},
    {"pattern": "qwen2", "normalization": "nfc"},
]


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture(scope="module")
def documents(python_files: list[Path]) -> list[str]:
    return [path.read_text() for path in python_files[:3]] + ODD + HOSTILE


@pytest.fixture(scope="module")
def ours(settings: dict[str, Any], documents: list[str]) -> Tokenizer:
    return train_tokenizer(iter(documents), vocab_size=1500, **settings)


@pytest.fixture(scope="module")
def theirs(ours: Tokenizer) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(ours.core.to_json().decode())


def test_merges_are_those_of_hugging_face_with_the_same_steps(
    ours: Tokenizer, theirs: tokenizers.Tokenizer, documents: list[str]
) -> None:
    trained = tokenizers.Tokenizer(models.BPE())
    if theirs.normalizer is not None:
        trained.normalizer = theirs.normalizer
    trained.pre_tokenizer = theirs.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(documents, trainer)
    expected = json.loads(trained.to_str())["model"]
    found = json.loads(ours.core.to_json())["model"]
    assert (found["vocab"], found["merges"]) == (expected["vocab"], expected["merges"])


def test_the_file_is_byte_for_byte_what_hugging_face_writes(ours: Tokenizer, theirs: tokenizers.Tokenizer) -> None:
    assert theirs.to_str(pretty=True).encode() == ours.core.to_json()


def test_the_options_come_back(ours: Tokenizer, settings: dict[str, Any], tmp_path: Path) -> None:
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again == ours
    for name, value in settings.items():
        assert getattr(again, name) == value
    assert again.training is not None
    assert {name: again.training["config"][name] for name in settings} == settings


def test_ids_are_those_of_hugging_face(ours: Tokenizer, theirs: tokenizers.Tokenizer, documents: list[str]) -> None:
    expected = [hugging_face.encode(theirs, document) for document in documents]
    assert [ours.encode(document).tolist() for document in documents] == expected
    ids, offsets = ours.encode_batch(documents, num_threads=2)
    assert [ids[offsets[idx] : offsets[idx + 1]].tolist() for idx in range(len(documents))] == expected
    marked = "<|endoftext|>".join(documents)
    assert ours.encode(marked, parse_special=True).tolist() == hugging_face.encode(theirs, marked, parse_special=True)


@given(text=st.text(alphabet="ab 01é\u0301\u0316\u030a\u1100\u1161\u11a8가'\n٣\u212b", max_size=60))
def test_ids_of_random_text_are_those_of_hugging_face(text: str, ours: Tokenizer, theirs: tokenizers.Tokenizer) -> None:
    assert ours.encode(text).tolist() == hugging_face.encode(theirs, text)


def test_text_of_many_stretches_has_the_ids_of_the_whole(ours: Tokenizer, theirs: tokenizers.Tokenizer) -> None:
    text = "".join(ODD) * 6000 + "e\u0301" * 1000 + "1" * 5000
    assert len(text.encode()) > 1 << 20
    assert ours.encode(text).tolist() == hugging_face.encode(theirs, text)


def test_transformers_gives_the_same_ids(ours: Tokenizer, documents: list[str], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for document in documents:
        expected = ours.encode(document, parse_special=True).tolist()
        assert theirs(document, add_special_tokens=False)["input_ids"] == expected


def test_what_is_decoded_is_the_prepared_text() -> None:
    tokenizer = train_tokenizer(iter(["a cafe\u0301"]), vocab_size=300, prefix_space=True, normalization="nfc")
    assert tokenizer.decode(tokenizer.encode("cafe\u0301")) == " café"
    assert tokenizer.decode(tokenizer.encode(" cafe\u0301")) == " café"


def test_names_of_the_same_rule_are_the_same_pretokenizer() -> None:
    def trained(**settings: Any) -> Tokenizer:
        return train_tokenizer(iter(["ab 12"]), vocab_size=258, **settings)

    assert trained(pattern="cl100k", digits=1) == trained(pattern="qwen2")
    assert trained(pattern="llama3", digits=3) == trained(pattern="cl100k")
    assert trained(pattern="cl100k", digits=1).pattern == "qwen2"
    assert trained(pattern="gpt2") != trained(pattern="gpt2", prefix_space=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"digits": 0}, "`digits` is 0, it must be 1, 2 or 3"),
        ({"digits": 4}, "`digits` is 4, it must be 1, 2 or 3"),
        ({"normalization": "nfkc"}, "`normalization` is `nfkc`, it must be `nfc` or None"),
        ({"pattern": "gpt5"}, "no pattern is called `gpt5`"),
    ],
)
def test_options_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_tokenizer(iter(["text"]), vocab_size=300, **settings)


@pytest.mark.parametrize(
    ("normalizer", "message"),
    [
        ({"type": "NFKC"}, "normalizer `NFKC` is not supported"),
        ({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}, "normalizer `Lowercase`"),
        ({"type": "Prepend", "prepend": " "}, "normalizer `Prepend`"),
        ({"type": "Replace", "pattern": {"String": "a"}, "content": " "}, "normalizer `Replace`"),
        ({"type": "Replace", "pattern": {"Regex": "a"}, "content": " "}, "normalizer `Replace`"),
    ],
)
def test_normalizers_of_foreign_files_are_taken_or_named(
    normalizer: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = json.loads(train_tokenizer(iter(["to be"]), vocab_size=260).core.to_json())
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file | {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}}))
    assert Tokenizer.load(path).normalization == "nfc"
    path.write_text(json.dumps(file | {"normalizer": normalizer}))
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(path)
