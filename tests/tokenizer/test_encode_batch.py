"""Batches of any mix of texts have the ids that each text has alone."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.errors import DataError, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer

# About a chunk of work for one thread, and a text that makes the core cut it in stretches.
CHUNK_CHARACTERS, LONG_CHARACTERS = 300_000, 1_500_000


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    # A row of blanks is a sixteenth as many tokens, letters that were never seen together one each.
    return train_tokenizer(iter([" " * 64, "the cat", "zz 中文字 héllo “yes” 🫨🫨"]), vocab_size=300)


def assert_batch_is_its_texts(tokenizer: Tokenizer, texts: list[str], num_threads: int) -> None:
    ids, offsets = tokenizer.encode_batch(texts, num_threads=num_threads)
    alone = {text: tokenizer.encode(text) for text in set(texts)}
    assert offsets.tolist() == np.cumsum([0, *(len(alone[text]) for text in texts)]).tolist()
    for idx, text in enumerate(texts):
        assert np.array_equal(ids[offsets[idx] : offsets[idx + 1]], alone[text])


@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("begins", ["sparse", "dense", "empty"])
def test_a_batch_that_goes_on_otherwise_than_it_began(small: Tokenizer, begins: str, num_threads: int) -> None:
    sparse, dense = " " * CHUNK_CHARACTERS, "qxjkvb" * (CHUNK_CHARACTERS // 6)
    texts = {
        "sparse": [sparse] * 10 + [dense] * 10,
        "dense": [dense] * 5 + ["", sparse] * 20 + [dense],
        "empty": [""] * 5000 + [dense * 8, "", dense * 3],
    }[begins]
    assert_batch_is_its_texts(small, texts, num_threads)


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_texts_of_every_width_stand_side_by_side(small: Tokenizer, num_threads: int) -> None:
    texts = [
        "the cat",
        "é" * 7,
        "中文字" * 5000,
        "",
        "🫨",
        "“the cat” " * 40_000,
        "x\x00y",
        "中" * LONG_CHARACTERS,
        "a🫨é中" * 3,
    ]
    assert_batch_is_its_texts(small, texts * 3, num_threads)


WIDTHS = ["ab ", "aé÷ÿ\x80\x7f", "a中\u07ff\u0800\uffff\ue000\ud7ff", "a🫨\U00010000\U0010ffff中é"]


@given(
    texts=st.lists(st.sampled_from(WIDTHS).flatmap(lambda alphabet: st.text(alphabet, max_size=70)), max_size=20),
    num_threads=st.integers(1, 3),
)
def test_ids_of_a_batch_decode_to_its_texts(small: Tokenizer, texts: list[str], num_threads: int) -> None:
    assert_batch_is_its_texts(small, texts, num_threads)
    ids, offsets = small.encode_batch(texts, num_threads=num_threads)
    assert [small.decode(ids[offsets[i] : offsets[i + 1]]) for i in range(len(texts))] == texts


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("\ud800", 0),
        ("ab\udfff", 2),
        ("中文" * 9000 + "\udc80" + "字", 18_000),
        ("🫨🫨\ud83e", 2),
        ("\ud83e\udee8", 0),
        ("x" * CHUNK_CHARACTERS + "\udbff\u4e00\udbff", CHUNK_CHARACTERS),
    ],
)
def test_a_lone_surrogate_in_the_middle_of_a_batch_is_named(
    small: Tokenizer, text: str, index: int, num_threads: int
) -> None:
    texts = ["the cat sat", "中文" * 50] * 5000
    texts[7777] = text
    with pytest.raises(DataError, match=f"text 7777 of the batch has a lone surrogate at index {index},"):
        small.encode_batch(texts, num_threads=num_threads)
    # Nothing of the failed call is left behind.
    texts[7777] = "the cat"
    assert_batch_is_its_texts(small, texts[7770:7785], num_threads)


def test_what_is_no_str_is_refused(small: Tokenizer) -> None:
    for wrong in (b"bytes", None, 7):
        with pytest.raises(TypeError):
            small.encode_batch(["a", wrong])  # type: ignore[list-item]


def test_a_batch_leaves_no_copy_of_its_texts_behind(small: Tokenizer) -> None:
    texts = ["中文" * 5000, "é" * 5000, "a" * 4999 + "🫨", "the cat" * 1000]
    sizes = [sys.getsizeof(text) for text in texts]
    small.encode_batch(texts * 100, num_threads=2)
    assert [sys.getsizeof(text) for text in texts] == sizes


@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 200, 399])
def test_an_error_of_the_work_ends_a_batch_that_is_still_being_given(place: int, num_threads: int) -> None:
    tokenizer = train_tokenizer(iter(["中文"]), vocab_size=20, initial_alphabet=False)
    texts = ["中文" * 30_000] * 400
    texts[place] = "文字" * 30_000
    with pytest.raises(TokenizerError, match=f"text {place} of the batch: the vocabulary has no token"):
        tokenizer.encode_batch(texts, num_threads=num_threads)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_an_exception_of_progress_stops_a_batch_that_is_still_being_given(small: Tokenizer, num_threads: int) -> None:
    reports = []

    def progress(report: object) -> None:
        reports.append(report)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        small.encode_batch(["qx中jkvb文" * 10_000] * 2000, num_threads=num_threads, progress=progress)
    assert len(reports) == 1
    assert reports[0].total == 0 < reports[0].done
