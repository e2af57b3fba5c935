import pytest

from slm.errors import DataError
from slm.tokenizer import train_tokenizer
from slm.tokenizer.inspect import inspect_sample, inspect_tokenizer


def test_the_report_counts_what_is_there() -> None:
    tokenizer = train_tokenizer(iter(["the cat the cat the cat"]), vocab_size=262)
    report = inspect_tokenizer(tokenizer, num_longest=2)
    assert (report.vocab_size, report.merges, report.missing_bytes) == (262, 5, 0)
    assert report.special_tokens == {"<|endoftext|>": 0}
    assert report.longest[0].bytes == b" cat"
    assert report.tokens_by_length[1] == 256
    assert sum(report.tokens_by_length.values()) == 261
    # The thirteen bytes that UTF-8 never has.
    assert [token.bytes[0] for token in report.unreachable] == sorted(
        [0xC0, 0xC1, *range(0xF5, 0x100)], key=lambda byte: tokenizer.encode_bytes(bytes([byte])).tolist()
    )
    assert report.incomplete_utf8 == 128


def test_the_sample_is_measured() -> None:
    tokenizer = train_tokenizer(iter(["abab abab"]), vocab_size=259)
    assert [tokenizer.token_bytes(token_id) for token_id in range(257, 259)] == [b"ab", b"abab"]
    sample = inspect_sample(tokenizer, "ababé")
    assert (sample.bytes, sample.characters, sample.tokens, sample.distinct_tokens) == (6, 5, 3, 3)
    assert sample.bytes_per_token == 2.0


def test_an_empty_sample_is_an_error() -> None:
    with pytest.raises(DataError, match="sample is empty"):
        inspect_sample(train_tokenizer(iter(["ab"]), vocab_size=257), "")
