"""Counts beyond 32 bits, where Hugging Face's `BpeTrainer` loses pairs."""

import itertools

import pytest
from tokenizers import Tokenizer, models, trainers

from slm.tokenizer import train_tokenizer

# That a document is one giant pretoken is what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:the pattern left stretches:slm.errors.SlmWarning")

RUN = "a" * 10_000
"""A document that is one pretoken by any pattern: `aa` occurs 9,999 times in it."""


def tokens_of_hugging_face(num_documents: int) -> list[str]:
    # No pattern, as there is nothing to split, and splitting would take a minute.
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=4, show_progress=False)
    tokenizer.train_from_iterator(itertools.repeat(RUN, num_documents), trainer)
    return sorted(tokenizer.get_vocab(), key=len)


def tokens_of_ours(num_documents: int) -> list[str]:
    tokenizer = train_tokenizer(
        itertools.repeat(RUN, num_documents), vocab_size=4, special_tokens=[], initial_alphabet=False
    )
    return [tokenizer.token_bytes(token_id).decode() for token_id in range(tokenizer.vocab_size)]


def test_runs_give_the_tokens_of_hugging_face_below_32_bits() -> None:
    assert tokens_of_ours(100) == tokens_of_hugging_face(100) == ["a", "aa", "aaaa", "aaaaaaaa"]


@pytest.mark.slow
def test_a_pair_that_occurs_two_billion_times_is_merged_where_hugging_face_loses_it() -> None:
    num_documents = 2**31 // (len(RUN) - 1) + 1
    assert tokens_of_ours(num_documents) == ["a", "aa", "aaaa", "aaaaaaaa"]
    assert tokens_of_hugging_face(num_documents) == ["a"], "it counts in more than 32 bits: say so in the docs"
