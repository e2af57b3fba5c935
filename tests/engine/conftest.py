"""A small real tokenizer for the tests of the engine."""

import pytest

from slm.tokenizer import Tokenizer, train_tokenizer

TEXT = "the quick brown fox jumps over the lazy dog; 日本語 and emoji 😀👩‍👩‍👧 too. " * 20


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """280 tokens: every byte, the end of text, and some merges."""
    return train_tokenizer(iter([TEXT]), vocab_size=280)
