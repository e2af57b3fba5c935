"""Pretokens of a length that no natural word has: the same ids as Hugging Face, in windows that do not show."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tokenizers

import slm

# Beyond twice a window of 32 KiB; several of them.
LENGTH = 300_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A tokenizer with merges inside all of the texts below, and Hugging Face's of the same file."""
    directory = tmp_path_factory.mktemp("giant")
    rng = random.Random(1)
    words = ["".join(rng.choices("ab", k=rng.randint(1, 30))) for _ in range(3_000)]
    runs = [character * rng.randint(1, 40) for character in "a#7 \U0001f600語" for _ in range(200)]
    base64 = ["".join(rng.choices("ABCDabcd0189+/", k=rng.randint(4, 60))) for _ in range(2_000)]
    texts = words + runs + base64
    rng.shuffle(texts)
    slm.train_tokenizer(iter(texts), vocab_size=2_000, out=directory)
    theirs = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    theirs.encode_special_tokens = True
    return slm.Tokenizer.load(directory), theirs


def giant(kind: str) -> str:
    rng = random.Random(2)
    repeated = {"letter": "a", "spaces": " ", "digits": "7", "emoji": "\U0001f600", "han": "語", "punctuation": "#"}
    if kind in repeated:
        return repeated[kind] * LENGTH
    if kind == "two letters":
        return "".join(rng.choices("ab", k=LENGTH))
    if kind == "period":
        return "abb" * (LENGTH // 3)
    return "".join(rng.choices("ABCDabcd0189+/", k=LENGTH))


@pytest.mark.parametrize(
    "kind", ["letter", "spaces", "digits", "emoji", "han", "punctuation", "two letters", "period", "base64"]
)
def test_a_giant_pretoken_has_the_ids_of_hugging_face(pair, kind):
    ours, theirs = pair
    text = "before " + giant(kind) + " behind"
    ids = ours.encode(text)
    assert ids.tolist() == theirs.encode(text).ids
    assert ours.decode(ids) == text


def test_giants_among_documents_are_the_same_for_any_threads(pair):
    ours, _ = pair
    texts = ["a few words", giant("two letters"), "", giant("letter"), "and behind"] * 3
    alone = np.concatenate([ours.encode(text) for text in texts])
    for num_threads in [1, 2, 5]:
        ids, offsets = ours.encode_batch(texts, num_threads=num_threads)
        assert np.array_equal(ids, alone)
        assert offsets[-1] == len(ids)


def test_bytes_that_are_no_text_are_taken_in_windows_too(pair):
    ours, _ = pair
    invalid = b"\xff\xfe" * LENGTH
    assert ours.decode_bytes(ours.encode_bytes(invalid)) == invalid


def test_ctrl_c_ends_the_work_inside_a_giant(pair, tmp_path):
    ours, _ = pair
    ours.save(tmp_path / "tokenizer")
    program = (
        "import slm, sys\n"
        f"tokenizer = slm.Tokenizer.load({str(tmp_path / 'tokenizer')!r})\n"
        "text = 'ab' * 100_000_000\n"
        "print('ready', flush=True)\n"
        "tokenizer.encode(text)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    # Whole it would take half a minute; how soon is for a bench to say.
    assert time.monotonic() - started < 20
