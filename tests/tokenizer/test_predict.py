import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm.errors import ConfigError, SlmWarning
from slm.tokenizer import count_pretokens, train_tokenizer
from slm.tokenizer.bounds import Bounds, resolve_bounds
from slm.tokenizer.corpus import open_corpus
from slm.tokenizer.predict import Prediction, check_disk, check_spill, predict_counting, predict_training

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


@pytest.mark.parametrize(
    ("settings", "documents"),
    [
        ({"digits": 1}, "file"),
        ({"prefix_space": True}, "line"),
        ({"prefix_space": True}, "file"),
        ({"normalization": "nfc"}, "file"),
        ({"pattern": r"\d|\D+"}, "file"),
        ({"special_tokens_in_text": "split", "special_tokens": ["<sep>"]}, "file"),
        ({"special_tokens_in_text": "split", "chat_tokens": "chatml", "reserved_tokens": 1}, "line"),
    ],
)
def test_a_whole_corpus_is_split_for_a_prediction_as_it_is_for_training(
    settings: dict[str, Any], documents: Any, tmp_path: Path
) -> None:
    text = "a1234 e\u0301 \u00e9 12<sep>34 <sep>a\nb a\nb<|im_start|>c <|reserved_special_token_0|>\na"
    (tmp_path / "corpus.txt").write_text(text)
    corpus = open_corpus(tmp_path / "corpus.txt", documents=documents)
    plain = {"vocab_size": 1000, "num_threads": 1}
    predicted = predict_training(corpus, memory_limit=64 * MIB, **plain, **settings)
    record = train_tokenizer(tmp_path / "corpus.txt", documents=documents, **plain, **settings).training
    assert predicted is not None
    assert record is not None
    assert predicted.unique_pretokens == record["counts"]["unique_pretokens"]
    by_default = predict_training(open_corpus(tmp_path / "corpus.txt"), memory_limit=64 * MIB, **plain)
    assert by_default is not None
    found = (predicted.unique_pretokens, predicted.text_bytes)
    assert found != (by_default.unique_pretokens, by_default.text_bytes)


@pytest.mark.parametrize("text", [unique_words, zipf_words])
def test_what_counting_writes_is_right_to_a_factor_of_one_and_a_half(
    text: Callable[[int], str], tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(text(16 * MIB))
    for limit, part_size in ((64 * MIB, 1 << 30), (512 * MIB, 4 * MIB)):
        settings = {"num_threads": 2, "memory_limit": limit, "part_size": part_size}
        predicted = predict_counting(open_corpus(corpus), max_sample_bytes=MIB, **settings)
        assert predicted is not None
        out = tmp_path / f"{limit}"
        most = 0

        def look(progress: Any, out: Path = out) -> None:
            nonlocal most
            most = max(most, sum(path.stat().st_size for path in out.glob("*.run")))

        counts = count_pretokens(corpus, out=out, progress=look, **settings)
        assert counts.bytes / 1.5 <= predicted.counts_bytes <= 1.5 * counts.bytes
        # The callback sees the directory now and then, so what was there at most is this at least.
        assert predicted.counts_bytes + predicted.spill_bytes >= most / 1.5
        assert (predicted.merge_seconds, predicted.memory_bytes <= limit) == (0.0, True)


def test_counting_that_no_disk_holds_is_an_error_before_it_starts(tmp_path: Path) -> None:
    huge = Prediction(10**19, 10**18, 64 * MIB, 10**18, 10**18, 1.0, 0.0, MIB, 0.1, is_whole=False)
    with pytest.raises(ConfigError, match=r"free, counting will write about .* there"):
        check_disk(huge, tmp_path / "counts")


def test_a_sample_of_a_second_is_taken_of_a_corpus_that_could_be_read_whole(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(zipf_words(20 * MIB))
    predicted = predict(corpus, 64 * MIB, sample=64 * MIB)
    assert predicted.text_bytes == pytest.approx(corpus.stat().st_size, rel=0.05)
    assert predicted.sample_bytes <= corpus.stat().st_size * 1.01


def test_nothing_is_said_of_what_can_be_read_only_once() -> None:
    corpus = open_corpus(iter(["text"]))
    limits = {"num_threads": 1, "memory_limit": 64 * MIB}
    assert predict_training(corpus, vocab_size=1000, **limits) is None
    assert predict_counting(corpus, **limits) is None


def test_what_surely_exceeds_a_limit_is_an_error_before_training_and_what_may_is_a_warning(tmp_path: Path) -> None:
    predicted = Prediction(10**10, 10**8, 64 * MIB, 10 * MIB, 0, 1.0, 1.0, MIB, 0.1, is_whole=False)

    def bounds(max_spill: int | None) -> Bounds:
        return resolve_bounds(64 * MIB, tmp_path, max_spill, None)

    check_spill(predicted, bounds(None))
    check_spill(predicted, bounds(10 * MIB))
    with pytest.warns(SlmWarning, match="`max_spill` is 8.4 MB, training will spill about 10.5 MB"):
        check_spill(predicted, bounds(8 * MIB))
    with pytest.raises(ConfigError, match="hint: raise `max_spill`"):
        check_spill(predicted, bounds(4 * MIB))
    huge = Prediction(10**19, 10**18, 64 * MIB, 10**18, 0, 1.0, 1.0, MIB, 0.1, is_whole=False)
    with pytest.raises(ConfigError, match=r"free, training will spill about .* there"):
        check_spill(huge, bounds(None))
