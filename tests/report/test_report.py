import json
from pathlib import Path

import pytest

from slm.errors import DataError
from slm.report import Sample, write_report
from slm.report.curves import CHARTS, draw, points, read_metrics
from slm.report.page import Figure


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    rows = [
        {
            "step": step,
            "tokens": step * 64,
            "loss": 5.0 - step / 10,
            "learning_rate": 1e-3,
            "tokens_per_second": 100.0 + step,
        }
        for step in range(1, 11)
    ]
    rows[-1] |= {"validation_loss": 4.25, "validation_bits_per_byte": 1.875}
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "config.yaml").write_text("seed: 0  # <b>not markup</b>\n", encoding="utf-8")
    return tmp_path


def test_report_names_the_source_of_every_figure(run_dir: Path) -> None:
    page = write_report(run_dir, figures=[Figure("bits per byte", "1.9", "evaluation.json")]).read_text(
        encoding="utf-8"
    )
    assert "4.250" in page
    assert "metrics.jsonl, `validation_loss`" in page
    assert "evaluation.json" in page
    assert page.count("<svg") == page.count("<figcaption") == 3


def test_text_of_samples_and_config_is_never_markup(run_dir: Path) -> None:
    sample = Sample("<script>", "alert(1)</script>", "greedy")
    page = write_report(run_dir, samples=[sample]).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;not markup" in page


def test_report_is_the_same_bytes_for_the_same_run(run_dir: Path) -> None:
    first = write_report(run_dir).read_bytes()
    assert write_report(run_dir).read_bytes() == first


def test_a_chart_without_points_is_left_out(run_dir: Path) -> None:
    rows = read_metrics(run_dir / "metrics.jsonl")
    norm = next(chart for chart in CHARTS if chart.title == "Gradient norm")
    assert draw(norm, rows) is None
    assert points(rows, "validation_loss") == ([10], [4.25])


def test_a_last_line_cut_by_a_kill_is_left_out_and_an_earlier_one_is_an_error(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 1}\n{"step": 2, "lo', encoding="utf-8")
    assert read_metrics(metrics) == [{"step": 1}]
    metrics.write_text('{"step": 1\n{"step": 2}\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 1"):
        read_metrics(metrics)
