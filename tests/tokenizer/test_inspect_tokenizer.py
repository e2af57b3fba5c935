import json
from pathlib import Path

import pytest

from slm.errors import ConfigError, DataError, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer
from slm.tokenizer.compare import compare_compression
from slm.tokenizer.inspect import inspect_tokenizer
from slm.tokenizer.measure import inspect_sample
from slm.tokenizer.scripts import scripts_of_text
from tests.reference import hugging_face
from tests.reference.hostile import HOSTILE


def test_the_report_counts_what_is_there() -> None:
    tokenizer = train_tokenizer(iter(["the cat the cat the cat"]), vocab_size=262)
    report = inspect_tokenizer(tokenizer, num_longest=2)
    assert (report.vocab_size, report.merges, report.missing_bytes) == (262, 5, 0)
    assert report.special_tokens == {"<|endoftext|>": 0}
    assert report.longest[0].bytes == b" cat"
    assert report.tokens_by_length[1] == 256
    assert sum(report.tokens_by_length.values()) == sum(report.tokens_by_script.values()) == 261
    # The thirteen bytes that UTF-8 never has.
    assert [token.bytes[0] for token in report.unreachable] == sorted(
        [0xC0, 0xC1, *range(0xF5, 0x100)], key=lambda byte: tokenizer.encode_bytes(bytes([byte])).tolist()
    )
    assert report.tokens_by_script["parts of characters"] == 128
    assert report.tokens_by_script["Latin"] == 52 + 5
    assert report.tokens_by_script["digits"] == 10
    # ` cat` is made of `at` 3 times; `the` follows from ties.
    assert report.merge_curve == {rank: int(tokenizer.merge_counts()[rank - 1]) for rank in (1, 2, 5)}
    assert report.merge_curve[1] == 3


def test_the_sample_is_measured() -> None:
    tokenizer = train_tokenizer(iter(["abab abab"]), vocab_size=259)
    assert [tokenizer.token_bytes(token_id) for token_id in range(257, 259)] == [b"ab", b"abab"]
    sample = inspect_sample(tokenizer, "ababé")
    assert (sample.bytes, sample.characters, sample.tokens, sample.distinct_tokens) == (6, 5, 3, 3)
    assert sample.bytes_per_token == 2.0
    # One pretoken, which is three tokens.
    assert (sample.pretokens, sample.whole_pretokens, sample.whole_bytes) == (1, 0.0, 0.0)
    sample = inspect_sample(tokenizer, ["abab", "ab!"])
    assert (sample.pretokens, sample.whole_pretokens, sample.whole_bytes) == (3, 1.0, 1.0)


def test_tokens_are_shared_out_to_scripts_by_their_bytes() -> None:
    tokenizer = train_tokenizer(iter(["the the the the"]), vocab_size=260)
    scripts = {script.script: script for script in inspect_sample(tokenizer, "the the 漢字 1").scripts}
    assert {name: (script.characters, script.tokens) for name, script in scripts.items()} == {
        # `the` and ` the`.
        "Latin": (7, 2.0),
        # A space and six bytes.
        "Han": (3, 7.0),
        "digits": (2, 2.0),
    }
    assert scripts["Latin"].tokens_per_character == pytest.approx(2 / 7)


def test_coverage_is_what_encoding_each_pretoken_gives(tokenizer: Tokenizer) -> None:
    theirs = tokenizer.to_tokenizers()
    for text in [*HOSTILE, "def main(argv):\n    return 'don''t'\n"]:
        if not text:
            continue
        expected = [
            len(tokenizer.encode(text[start:end])) for _, (start, end) in theirs.pre_tokenizer.pre_tokenize_str(text)
        ]
        sample = inspect_sample(tokenizer, text)
        assert sample.pretokens == len(expected)
        assert sample.whole_pretokens * sample.pretokens == pytest.approx(expected.count(1))
        assert sum(script.tokens for script in sample.scripts) == pytest.approx(sample.tokens, abs=0.1)
        assert sum(script.characters for script in sample.scripts) == len(text)


def test_lengths_of_characters_are_those_of_utf8() -> None:
    text = "".join(HOSTILE) + "aé漢\U0001f468"
    _, lengths = scripts_of_text(text)
    assert lengths.tolist() == [len(character.encode()) for character in text]


def test_an_empty_sample_is_an_error() -> None:
    with pytest.raises(DataError, match="sample is empty"):
        inspect_sample(train_tokenizer(iter(["ab"]), vocab_size=257), "")


def test_compression_is_compared_with_ours_and_with_any_other(tmp_path: Path) -> None:
    text = "to be or not to be, that is the question\n" * 50
    ours = train_tokenizer(iter([text]), vocab_size=300, out=tmp_path / "ours")
    theirs = hugging_face.train([text], vocab_size=280)
    # A normalizer that we have no name for.
    parsed = json.loads(theirs.to_str()) | {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}}
    (tmp_path / "theirs.json").write_text(json.dumps(parsed))
    found = compare_compression([text], [str(tmp_path / "ours"), str(tmp_path / "theirs.json")])
    assert [(other.vocab_size, other.tokens) for other in found] == [
        (ours.vocab_size, len(ours.encode(text))),
        (280, len(theirs.encode(text.strip(), add_special_tokens=False).ids)),
    ]
    assert found[0].bytes_per_token == len(text) / found[0].tokens
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"none.json"):
        compare_compression([text], [str(tmp_path / "none.json")])
    with pytest.raises(ConfigError, match="neither a tokenizer on this machine nor an encoding"):
        compare_compression([text], ["no/such"])


def test_an_encoding_that_is_not_on_this_machine_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match=r"the files of `cl100k_base` are not on this machine: .* is missing"):
        compare_compression(["text"], ["cl100k_base"])
