import json
from pathlib import Path

import pytest

from slm.train.metrics import MetricsWriter, StepMetrics, keep_steps_before


def metrics(step: int, validation_loss: float | None = None) -> StepMetrics:
    return StepMetrics(step, step * 100, 5.0 - step, 1e-3, 1.0, 2000.0, step * 0.5, validation_loss)


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_figures_that_are_none_are_left_out(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path, None, 1) as writer:
        writer.write(metrics(1))
        writer.write(metrics(2, validation_loss=3.5))
        writer.flush()
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first == {
        "step": 1, "tokens": 100, "loss": 4.0, "learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_second": 2000.0,
        "seconds": 0.5,
    }  # fmt: skip
    assert second["validation_loss"] == 3.5


def test_lines_of_steps_that_will_be_done_again_are_removed(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path, None, 1) as writer:
        for step in range(1, 6):
            writer.write(metrics(step))
    with MetricsWriter(path, None, 4) as writer:
        writer.write(metrics(4))
    assert steps(path) == [1, 2, 3, 4]


@pytest.mark.parametrize("tail", ['{"step": 3, "lo', "{}\n", "not json\n", '{"step": 3}', "\n"])
def test_torn_lines_are_removed(tmp_path: Path, tail: str):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n' + tail)
    keep_steps_before(path, 10)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_whole_file_is_not_rewritten(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n')
    before = path.stat().st_ino
    keep_steps_before(path, 3)
    assert path.stat().st_ino == before


def test_tensorboard_reads_the_figures_back(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, last in [(1, 5), (4, 6)]:  # the second session does steps 4 and 5 again
        with MetricsWriter(tmp_path / "metrics.jsonl", tmp_path / "board", first) as writer:
            for step in range(first, last + 1):
                writer.write(metrics(step))
            writer.flush()
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/train")] == [(s, 5.0 - s) for s in range(1, 7)]
