from pathlib import Path

import pytest

from slm.errors import SlmWarning
from slm.tokenizer import train_tokenizer
from slm.tokenizer.record import describe_giants


def test_the_callback_hears_of_both_phases_with_their_counters(python_files: list[Path]) -> None:
    reports = []
    train_tokenizer([*python_files] * 20, vocab_size=4000, progress=reports.append)
    last = reports[-1]
    assert (last.phase, last.unit, last.done) == ("merge", "merges", 4000 - 257)
    assert set(last.counters) >= {"merge_count", "spilled_bytes", "memory_bytes"}
    assert last.counters["merge_count"] > 0
    for report in reports:
        if report.phase == "count":
            assert report.unit == "bytes"
            assert set(report.counters) >= {"text_bytes", "unique_pretokens", "spilled_bytes", "memory_bytes"}


def test_an_exception_of_the_callback_stops_the_training_and_is_raised(python_files: list[Path]) -> None:
    def refuse(_: object) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        train_tokenizer(python_files, vocab_size=4000, progress=refuse)


def test_giant_pretokens_are_warned_of_with_their_beginning_and_the_remedy() -> None:
    with pytest.warns(SlmWarning, match="the longest has 5,001 bytes and begins with ' ====="):
        made = train_tokenizer(iter(["some words " * 50_000 + "=" * 5000]), vocab_size=260)
    message = describe_giants(made.training)
    assert message is not None
    assert "hint: leave such text out" in message
    assert describe_giants(train_tokenizer(iter(["some words " * 5000]), vocab_size=260).training) is None
    assert describe_giants(None) is None


def test_the_record_and_the_counts_of_merges_do_not_depend_on_threads_or_memory(
    python_files: list[Path], tmp_path: Path
) -> None:
    for number, limits in enumerate([{"num_threads": 1}, {"num_threads": 3}, {"memory_limit": "64MiB"}]):
        train_tokenizer(python_files, vocab_size=2000, out=tmp_path / str(number), **limits)
    counts = {(tmp_path / str(number) / "merge_counts.txt").read_bytes() for number in range(3)}
    assert len(counts) == 1
