import doctest
import json
import re
from contextlib import suppress

import pytest

from slm.cli import progress, rates, words
from slm.cli.progress import (
    PhaseClock,
    ProgressReport,
    ProgressStyle,
    describe_progress,
    format_amount,
    format_figure,
    format_seconds,
    progress_display,
)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = PhaseClock(0.0)
    assert clock.per_second() is None
    for second in range(101):
        # Ten times as fast in the second half.
        clock.update(float(second), second if second <= 50 else 50 + 10 * (second - 50))
    assert clock.per_second() == pytest.approx(10)
    assert clock.seconds_left(550, 650) == pytest.approx(10)


def test_no_rate_and_no_time_left_without_progress() -> None:
    clock = PhaseClock(0.0)
    clock.update(1.0, 5)
    clock.update(2.0, 5)
    assert clock.per_second() == 0
    assert clock.seconds_left(5, 10) is None
    assert clock.seconds_left(11, 10) is None


def test_a_running_phase_is_told_with_what_is_left() -> None:
    clock = PhaseClock(0.0)
    clock.update(0.0, 0)
    clock.update(10.0, 850_000_000)
    report = ProgressReport(
        "count", "bytes", 850_000_000, 1_700_000_000, {"unique_pretokens": 1_204_311, "loss": 3.14159}
    )
    assert describe_progress(report, clock, 10.0) == (
        "850.0 MB of 1.7 GB (50%), 85.0 MB/s, 10s, 10s left, different pretokens 1,204,311, loss 3.142"
    )


def test_encoding_is_told_with_tokens_and_what_is_left_also_where_there_is_little_room() -> None:
    clock = PhaseClock(0.0)
    clock.update(0.0, 0)
    clock.update(10.0, 850_000_000)
    figures = {"documents": 1000, "tokens": 188_000_000, "text_bytes": 851_640_000, "memory_bytes": 99}
    report = ProgressReport("encode", "bytes", 850_000_000, 1_700_000_000, figures)
    assert describe_progress(report, clock, 10.0) == (
        "850.0 MB of 1.7 GB (50%), 85.0 MB/s, 18.8M tokens/s, 4.53 bytes a token, 10s, 10s left, documents 1,000"
    )
    narrow = describe_progress(report, clock, 10.0, is_narrow=True)
    assert narrow == "0.8/1.7 GB 85.0 MB/s 18.8M tokens/s 10s left 4.53 B/token"
    # A spinner, the phase and a bar of eight take 18 of 77 columns.
    assert len(narrow) <= 59
    ended = describe_progress(report, None, 10.0, is_narrow=True)
    assert ended == "850.0 MB 85.0 MB/s 18.8M tokens/s 10s 4.53 B/token"
    comparing = ProgressReport("compare", "bytes", 5, 10, dict.fromkeys(figures, 0))
    assert "token" not in describe_progress(comparing, clock, 10.0, is_narrow=True)


def test_a_phase_that_ended_is_told_with_its_mean_rate() -> None:
    assert (
        describe_progress(ProgressReport("merge", "merges", 1000, 1000), None, 4.0)
        == "1,000 merges, 250 merges/s, 4.0s"
    )
    assert describe_progress(ProgressReport("merge", "merges", 10, 1000), None, 4.0).startswith(
        "10 of 1,000 merges (1%)"
    )
    assert describe_progress(ProgressReport("merge", "merges", 0), None, 0.0) == "0 merges, 0.0s"


def test_amounts_are_written_for_people() -> None:
    assert format_amount(999, "bytes") == "999 B"
    assert format_amount(1_000, "bytes") == "1.0 kB"
    assert format_amount(2.5e12, "bytes") == "2.5 TB"
    assert format_amount(1204, "merges") == "1,204 merges"
    assert format_amount(2.53, "steps") == "2.5 steps"
    assert format_amount(0.034, "steps") == "0.034 steps"
    assert format_figure("bf16") == "bf16"
    assert format_seconds(59.6) == "1m 00s"
    assert format_seconds(3599.7) == "1h 00m"


def test_the_examples_of_the_docstrings_hold() -> None:
    attempted = 0
    for module in (progress, rates, words):
        results = doctest.testmod(module, extraglobs={"print": print})
        assert results.failed == 0
        attempted += results.attempted
    assert attempted >= 3


def test_a_pipe_gets_one_plain_line_for_each_phase(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display("reading") as on_progress:
        for done in range(0, 101, 10):
            on_progress(ProgressReport("count", "bytes", done, 100, {"unique": done}))
        for done in range(4):
            on_progress(ProgressReport("merge", "merges", done, 3))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"count: 100 B, .*, unique 100", lines[0])
    assert lines[1].startswith("merge: 3 merges")


def test_a_long_phase_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds)
    with progress_display("reading") as on_progress:
        for done in range(101):
            seconds = done / 10
            on_progress(ProgressReport("count", "rows", done, 100))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "count: 50 of 100 rows (50%), 10 rows/s, 5.0s, 5.0s left"
    assert lines[1].startswith("count: 100 of 100 rows (100%)")
    assert len(lines) == 2


def test_work_that_reports_only_at_its_end_is_told_with_the_time_it_took(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds)
    with suppress(ValueError), progress_display("verify") as on_progress:
        seconds = 102.0
        on_progress(ProgressReport("verify", "bytes", 50, 100))
        seconds = 103.0
        on_progress(ProgressReport("sum", "bytes", 80, 80))
        raise ValueError
    assert capsys.readouterr().err.splitlines() == [
        "verify: 100 B, 50 B/s, 2.0s",
        "sum: 80 B, 80 B/s, 1.0s",
    ]


def test_a_terminal_gets_a_live_line_and_what_broke_off_shows_how_far_it_came(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with suppress(KeyboardInterrupt), progress_display("reading") as on_progress:
        on_progress(ProgressReport("count", "rows", 100, 100))
        on_progress(ProgressReport("merge", "merges", 3, 8))
        raise KeyboardInterrupt
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.split("reading")[-1]
    assert "100 rows" in last
    assert "3 of 8 merges (37%)" in last


def test_nothing_reported_is_nothing_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display("reading"):
        pass
    assert capsys.readouterr().err == ""


def test_merging_gets_faster_so_the_time_left_follows_its_curve() -> None:
    clock = PhaseClock(0.0)
    assert clock.seconds_left(0, 10_000, "merges") is None
    # A second for the first 100 merges, and the square root of their number from there on.
    for merges in range(1, 2_501):
        clock.update(5.0 + (merges / 100) ** 0.5, merges)
    # 2,500 merges took 5 seconds, 10,000 take 10; the rate of the last seconds would say more.
    assert clock.seconds_left(2_500, 10_000, "merges") == pytest.approx(5, rel=0.1)


def test_every_line_for_programs_is_json_with_the_same_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(KeyboardInterrupt), progress_display("reading", ProgressStyle.JSON) as on_progress:
        on_progress(ProgressReport("count", "bytes", 50, 100, {"unique_pretokens": 7}))
        on_progress(ProgressReport("count", "bytes", 90, 100, {"unique_pretokens": 9}))
        on_progress(ProgressReport("merge", "merges", 3, 8))
        raise KeyboardInterrupt
    captured = capsys.readouterr()
    assert captured.out == ""
    events = [json.loads(line) for line in captured.err.splitlines()]
    assert [event["event"] for event in events] == ["progress", "phase_end", "progress", "stopped"]
    assert all(
        set(event) == {"event", "phase", "unit", "done", "total", "per_second", "seconds", "seconds_left", "counters"}
        for event in events
    )
    # A phase that another one follows was done whole.
    assert (events[1]["phase"], events[1]["done"], events[1]["counters"]) == ("count", 100, {"unique_pretokens": 9})
    assert (events[3]["phase"], events[3]["done"], events[3]["total"]) == ("merge", 3, 8)


def test_no_progress_is_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display("reading", ProgressStyle.NONE) as on_progress:
        on_progress(ProgressReport("count", "bytes", 100, 100))
    assert capsys.readouterr() == ("", "")
