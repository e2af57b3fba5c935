"""Regexes without a name, against the engine of `tokenizers`."""

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

GPT4 = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++\z|\s*[\r\n]|\s+(?!\S)|\s"
)
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
REGEXES = [
    GPT4,
    QWEN35,
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"\d|[\p{P}\p{S}]| ?\p{L}+",
    r"[\p{Han}\p{Hiragana}\p{Katakana}]+|[\p{L}&&[^\p{Han}]]+|\s+",
    r"\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|\s+(?=\S)|.",
    r"\w+|[^\w\s]+",
    r"\W+|\d",
    r"[^\n]+\n?",
    r"a+b|a|(?i:k[i-l]+)|(?>x+)y",
    r"[a-f\]\-^]+|[-\\]+|\x41|\u00e9|\x{1F600}|\v|\f|\a|\e",
    r"\P{L}+|\p{^Lu}",
    r"a{2,4}|b{2,}?c|(?:ab){2}|[ab]|.+?\n",
]


def trained_with(regex: str) -> Tokenizer:
    return train_tokenizer(iter(["any text"]), vocab_size=260, pattern=regex)


@pytest.fixture(scope="module", params=REGEXES)
def pair(request: pytest.FixtureRequest) -> tuple[Tokenizer, pre_tokenizers.Split]:
    split = pre_tokenizers.Split(tokenizers.Regex(request.param), behavior="isolated")
    return trained_with(request.param), split


Pair = tuple[Tokenizer, pre_tokenizers.Split]


def assert_same_pretokens(pair: Pair, text: str) -> None:
    ours, theirs = pair
    assert ours.pretokens(text) == [piece for piece, _ in theirs.pre_tokenize_str(text)]


def test_code_points_are_split_as_hugging_face_does(pair: Pair) -> None:
    # Every eighth piece of the planes where there is little but ideographs and nothing.
    for start in range(0, 0x110000, 512):
        if start < 0x20000 or start % 4096 == 0:
            chunk = [chr(code) for code in range(start, start + 512) if not 0xD800 <= code < 0xE000]
            assert_same_pretokens(pair, "".join(f"a{character}1 {character}" for character in chunk))


@given(
    text=st.text(alphabet="aabbcxykKslSTſ\u212aé01 \n\r\t'.,!-\\]^語のÀǅ\u0301\u200d\u3000😀\v\f\a\x1b", max_size=80)
)
def test_random_text_is_split_as_hugging_face_does(text: str, pair: Pair) -> None:
    assert_same_pretokens(pair, text)


@pytest.mark.parametrize("regex", [GPT4, r"\w+|[^\w\s]+", r"\d|[\p{P}\p{S}]| ?\p{L}+"])
def test_merges_ids_and_file_are_those_of_hugging_face(regex: str, python_files: list[Path], tmp_path: Path) -> None:
    documents = [path.read_text() for path in python_files[:4]]
    ours = train_tokenizer(iter(documents), vocab_size=1500, pattern=regex, out=tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.to_str(pretty=True).encode() == ours.core.to_json()
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = theirs.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(documents, trainer)
    assert json.loads(trained.to_str())["model"]["merges"] == json.loads(ours.core.to_json())["model"]["merges"]
    text = "".join(documents) * 4
    assert len(text) > 1 << 20
    assert ours.encode(text).tolist() == hugging_face.encode(theirs, text)
    again = Tokenizer.load(tmp_path)
    assert (again, again.pattern, again.digits) == (ours, regex, None)


def test_the_regex_of_a_name_is_that_name() -> None:
    named = train_tokenizer(iter(["any text"]), vocab_size=260, pattern="llama3")
    split = json.loads(named.core.to_json())["pre_tokenizer"]["pretokenizers"][0]
    assert trained_with(split["pattern"]["Regex"]) == named


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": r"\w+\b"}, r"at character 3, `\\b` looks at the text before"),
        ({"pattern": r"\s*"}, "matches empty text"),
        ({"pattern": r"\w+|.", "digits": 3}, "`digits` is given, and `pattern` is a regex"),
    ],
)
def test_what_cannot_be_used_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_tokenizer(iter(["text"]), vocab_size=300, **settings)


def test_a_foreign_file_with_a_regex_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    file = json.loads(trained_with(r"\w+|.").core.to_json())
    file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"(?<=a)b|."
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(TokenizerError, match="at character 0, a look-behind looks at the text before"):
        Tokenizer.load(tmp_path)
