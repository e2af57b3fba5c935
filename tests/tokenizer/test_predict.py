import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm.errors import ConfigError, SlmWarning
from slm.tokenizer import train_tokenizer
from slm.tokenizer.bounds import Bounds, resolve_bounds
from slm.tokenizer.corpus import open_corpus
from slm.tokenizer.predict import Prediction, check_spill, predict_training

MIB = 1 << 20


def unique_words(size: int) -> str:
    """Text in which hardly a word occurs twice."""
    numbers = random.Random(1)
    return "".join(f" {numbers.getrandbits(44)}" for _ in range(size // 14))


def zipf_words(size: int) -> str:
    """Text in which the words of a language of 200,000 occur as often as in one of people."""
    numbers = random.Random(2)
    words = [f" w{numbers.getrandbits(40):x}" for _ in range(200_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    return "".join(numbers.choices(words, weights, k=size // 11))


def predict(corpus: Path, memory_limit: int, sample: int, threads: int = 2) -> Prediction:
    found = predict_training(
        open_corpus(corpus),
        vocab_size=1000,
        pattern="gpt2",
        num_threads=threads,
        memory_limit=memory_limit,
        max_sample_bytes=sample,
    )
    assert found is not None
    return found


@pytest.mark.parametrize("text", [unique_words, zipf_words])
def test_memory_and_spill_are_right_to_a_factor_of_two(text: Callable[[int], str], tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(text(16 * MIB))
    limit = 64 * MIB
    predicted = predict(corpus, limit, sample=MIB)
    assert (predicted.spill_bytes > 0) == (text is unique_words)

    def train(max_spill: int) -> dict[str, Any]:
        bounds = {"memory_limit": limit, "spill_dir": tmp_path, "max_spill": max_spill}
        record = train_tokenizer(corpus, vocab_size=300, num_threads=2, **bounds).training
        assert record is not None
        return record

    record = train(2 * predicted.spill_bytes)
    unique = record["counts"]["unique_pretokens"]
    assert not predicted.is_whole
    assert predicted.text_bytes == pytest.approx(record["corpus"]["bytes"], rel=0.05)
    assert unique / 2 <= predicted.unique_pretokens <= 2 * unique
    assert 0 < predicted.memory_bytes <= limit
    if predicted.spill_bytes:
        with pytest.raises(ConfigError, match="`max_spill` is"):
            train(predicted.spill_bytes // 2)


def test_a_prediction_of_the_whole_corpus_knows_its_words(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("to be or not to be")
    predicted = predict(tmp_path / "corpus.txt", 64 * MIB, sample=MIB)
    assert (predicted.is_whole, predicted.unique_pretokens, predicted.text_bytes) == (True, 5, 18)
    assert predicted.spill_bytes == 0


def test_nothing_is_said_of_what_can_be_read_only_once() -> None:
    corpus = open_corpus(iter(["text"]))
    limits = {"vocab_size": 1000, "pattern": "gpt2", "num_threads": 1, "memory_limit": 64 * MIB}
    assert predict_training(corpus, **limits) is None


def test_what_surely_exceeds_a_limit_is_an_error_before_training_and_what_may_is_a_warning(tmp_path: Path) -> None:
    predicted = Prediction(10**10, 10**8, 64 * MIB, 10 * MIB, 1.0, 1.0, MIB, 0.1, is_whole=False)

    def bounds(max_spill: int | None) -> Bounds:
        return resolve_bounds(64 * MIB, tmp_path, max_spill, None)

    check_spill(predicted, bounds(None))
    check_spill(predicted, bounds(10 * MIB))
    with pytest.warns(SlmWarning, match="`max_spill` is 8.4 MB, training will spill about 10.5 MB"):
        check_spill(predicted, bounds(8 * MIB))
    with pytest.raises(ConfigError, match="hint: raise `max_spill`"):
        check_spill(predicted, bounds(4 * MIB))
    huge = Prediction(10**19, 10**18, 64 * MIB, 10**18, 1.0, 1.0, MIB, 0.1, is_whole=False)
    with pytest.raises(ConfigError, match=r"free, training will spill about .* there"):
        check_spill(huge, bounds(None))
