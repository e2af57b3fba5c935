import multiprocessing
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from slm.errors import ConfigError, DataError, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import hugging_face
from tests.reference.hostile import HOSTILE

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.text(alphabet="ab '\n\r\t1sS", max_size=40),
        st.sampled_from(
            ["def", "class ", "self.", " the", "<|endoftext|>", "<|end|>", "'ll", "\n\n    ", "日本", "🫨"]
        ),
    ),
    max_size=20,
).map("".join)


@pytest.fixture(scope="session")
def theirs(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_str(tokenizer.core.to_json().decode())


@given(text=TEXTS)
def test_ids_are_those_of_hugging_face(text: str, tokenizer: Tokenizer, theirs: tokenizers.Tokenizer) -> None:
    assert tokenizer.encode(text).tolist() == hugging_face.encode(theirs, text)
    parsed = tokenizer.encode(text, parse_special=True).tolist()
    assert parsed == hugging_face.encode(theirs, text, parse_special=True)
    assert tokenizer.decode(parsed) == text == tokenizer.decode(tokenizer.encode(text))


@pytest.mark.parametrize("text", HOSTILE)
def test_ids_of_hostile_text_are_those_of_hugging_face(
    text: str, tokenizer: Tokenizer, theirs: tokenizers.Tokenizer
) -> None:
    for variant in (text, f"x{text}y", f" {text} ", text * 3):
        assert tokenizer.encode(variant).tolist() == hugging_face.encode(theirs, variant)
        assert tokenizer.decode(tokenizer.encode(variant)) == variant


def test_ids_of_real_text_are_those_of_hugging_face(
    tokenizer: Tokenizer, theirs: tokenizers.Tokenizer, python_files: list[Path]
) -> None:
    texts = [path.read_text() for path in python_files]
    ids, offsets = tokenizer.encode_batch(texts, num_threads=2)
    for idx, text in enumerate(texts):
        assert ids[offsets[idx] : offsets[idx + 1]].tolist() == hugging_face.encode(theirs, text)


@given(content=st.one_of(st.binary(max_size=200), TEXTS.map(str.encode)))
def test_any_bytes_come_back(content: bytes, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_bytes(content)
    assert tokenizer.decode_bytes(ids) == content
    assert tokenizer.decode(ids) == content.decode(errors="replace")


@given(text=TEXTS)
def test_bytes_of_text_have_the_ids_of_the_text(text: str, tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_bytes(text.encode()).tolist() == tokenizer.encode(text).tolist()


@given(texts=st.lists(TEXTS, max_size=12))
def test_a_batch_is_its_texts_one_after_another(texts: list[str], tokenizer: Tokenizer) -> None:
    ids, offsets = tokenizer.encode_batch(texts, num_threads=3)
    assert (ids.dtype, offsets.dtype) == (np.uint32, np.uint64)
    assert [ids[offsets[i] : offsets[i + 1]].tolist() for i in range(len(texts))] == [
        tokenizer.encode(text).tolist() for text in texts
    ]
    assert len(offsets) == len(texts) + 1


def test_a_text_encoded_in_stretches_has_the_ids_of_the_whole(
    tokenizer: Tokenizer, theirs: tokenizers.Tokenizer, python_files: list[Path]
) -> None:
    # Past 1 MiB the core looks for safe cuts; runs without any are in it too.
    text = "".join(path.read_text() for path in python_files) * 3 + " " * 3000 + "日本語" * 1000 + "\n" * 3000
    assert len(text.encode()) > 2 << 20
    assert tokenizer.encode(text).tolist() == hugging_face.encode(theirs, text)


@pytest.mark.parametrize("character", ["a", " ", "7", "🫨", "=", "\n"])
def test_a_million_of_one_character_take_no_quadratic_time(character: str, tokenizer: Tokenizer) -> None:
    text = character * 1_000_000
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_are_text_by_default(tokenizer: Tokenizer) -> None:
    end = tokenizer.special_tokens["<|endoftext|>"]
    assert tokenizer.end_of_text_id == end == 0
    assert end not in tokenizer.encode("a<|endoftext|>b")
    # Of two special tokens at one place the longer one counts.
    assert tokenizer.encode("<|endoftext|>x", parse_special=True).tolist() == [2]


def test_token_lengths_are_the_bytes_that_tokens_decode_to(tokenizer: Tokenizer) -> None:
    lengths = tokenizer.token_lengths()
    assert lengths.shape == (tokenizer.vocab_size,)
    special = set(tokenizer.special_tokens.values())
    for token_id, length in enumerate(lengths.tolist()):
        assert length == (0 if token_id in special else len(tokenizer.token_bytes(token_id)))


def test_every_token_of_a_trained_vocabulary_can_be_reached(tokenizer: Tokenizer) -> None:
    assert tokenizer.unreachable_tokens().tolist() == []


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2, 3000], "token id 3000 at position 2"),
        ([-1], "token id -1 at position 0"),
        ([2**32], "token id 4294967296"),
        ([1.5], "float64"),
        ([[1]], r"shape \(1, 1\)"),
    ],
)
def test_ids_outside_the_vocabulary_are_named(ids: list[int], message: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match=message):
        tokenizer.decode(ids)


def test_ids_of_any_integer_type_decode(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("def main():")
    for like in (ids.tolist(), tuple(ids.tolist()), ids.astype(np.int64), ids.astype(np.uint16), ids[::1], iter(ids)):
        assert tokenizer.decode(like) == "def main():"
    assert tokenizer.decode(ids[::-1][::-1]) == "def main():"
    assert tokenizer.decode([]) == ""


def test_a_lone_surrogate_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="the text has a lone surrogate at index 1"):
        tokenizer.encode("a\udcffb")
    with pytest.raises(DataError, match="text 1 of the batch has a lone surrogate at index 0"):
        tokenizer.encode_batch(["a", "\ud800"])


def test_a_byte_without_a_token_is_named_each_time() -> None:
    tokenizer = train_tokenizer(iter(["abab"]), vocab_size=10, initial_alphabet=False)
    for _ in range(2):
        with pytest.raises(TokenizerError, match="no token for byte 0x63"):
            tokenizer.encode("abc")
    assert tokenizer.encode("abab").tolist() == [4]


def test_a_tokenizer_survives_pickling(tokenizer: Tokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again == tokenizer
    assert hash(again) == hash(tokenizer)
    assert again.end_of_text_id == tokenizer.end_of_text_id
    assert again.encode("def main():").tolist() == tokenizer.encode("def main():").tolist()


def _encode_in_child(tokenizer: Tokenizer, texts: list[str], queue: "multiprocessing.Queue[list[int]]") -> None:
    queue.put(tokenizer.encode_batch(texts, num_threads=2)[0].tolist())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_encodes_after_its_parent_did(method: str, tokenizer: Tokenizer) -> None:
    texts = ["def main():\n    pass\n"] * 100
    expected = tokenizer.encode_batch(texts, num_threads=2)[0].tolist()
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_encode_in_child, args=(tokenizer, texts, queue))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join(timeout=60)
    assert child.exitcode == 0


def test_many_threads_share_a_tokenizer(tokenizer: Tokenizer, python_files: list[Path]) -> None:
    texts = [path.read_text() for path in python_files]
    expected = [tokenizer.encode(text).tolist() for text in texts]
    wrong: list[int] = []

    def work(first: int) -> None:
        for step in range(len(texts)):
            idx = (first + step) % len(texts)
            if tokenizer.encode(texts[idx]).tolist() != expected[idx]:
                wrong.append(idx)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
