"""What a run measures: one JSON line a step in `metrics.jsonl`, and the same figures for TensorBoard."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from slm.durable import write_text

_TENSORBOARD_TAGS = {
    "loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_bits_per_byte": "bits_per_byte/validation",
    "learning_rate": "optimizer/learning_rate",
    "grad_norm": "optimizer/grad_norm",
    "tokens_per_second": "throughput/tokens_per_second",
}


@dataclass(frozen=True)
class StepMetrics:
    """The figures of one step.

    Attributes:
        step: Optimizer updates done.
        tokens: Target tokens learned from so far.
        loss: Mean cross-entropy of the targets since the figures were last logged, in nats.
        learning_rate: Learning rate of this step.
        grad_norm: Norm of the whole gradient before clipping; None where float16 overflowed and the step was skipped.
        tokens_per_second: Speed since the figures were last logged.
        seconds: Time in `fit` so far, earlier sessions of the run included.
        validation_loss: Mean cross-entropy of the validation rows, in nats, at steps that validate.
        validation_bits_per_byte: The part of it that is text, in bits per UTF-8 byte, at steps that validate.
    """

    step: int
    tokens: int
    loss: float
    learning_rate: float
    grad_norm: float | None
    tokens_per_second: float
    seconds: float
    validation_loss: float | None = None
    validation_bits_per_byte: float | None = None


class MetricsWriter:
    """Appends metrics to the files of a run, going on where a checkpoint was.

    Lines of steps after the checkpoint, which the resumed run makes again, are removed first, and so is a line that a
    kill cut short: every step is in the file once, in order.

    Args:
        metrics_path: The JSONL file.
        tensorboard_dir: Directory of event files; None: no TensorBoard.
        first_step: The first step that will be written; earlier lines stay.
    """

    def __init__(self, metrics_path: Path, tensorboard_dir: Path | None, first_step: int) -> None:
        keep_steps_before(metrics_path, first_step)
        self._file = metrics_path.open("a", encoding="utf-8")
        self._tensorboard_dir = tensorboard_dir
        self._first_step = first_step
        self._board: Any = None

    def write(self, metrics: StepMetrics) -> None:
        """Append the figures of a step; those that are None are left out."""
        row = {key: value for key, value in asdict(metrics).items() if value is not None}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._tensorboard_dir is None:
            return
        if self._board is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._board = SummaryWriter(str(self._tensorboard_dir), purge_step=self._first_step)
        for key, tag in _TENSORBOARD_TAGS.items():
            if key in row:
                self._board.add_scalar(tag, row[key], metrics.step)

    def flush(self) -> None:
        """Ask the disk to keep what was written, so that no checkpoint is ahead of its metrics."""
        os.fsync(self._file.fileno())
        if self._board is not None:
            self._board.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def keep_steps_before(metrics_path: Path, first_step: int) -> None:
    """Rewrite a metrics file without the lines of `first_step` and later and without what is not a whole line."""
    if not metrics_path.exists():
        return
    content = metrics_path.read_text(encoding="utf-8", errors="replace")
    kept = [line for line in content.splitlines(keepends=True) if _step_of(line) < first_step]
    if len(kept) != content.count("\n") or not content.endswith("\n"):
        write_text(metrics_path, "".join(kept))


def _step_of(line: str) -> float:
    """Read the step of a line; infinity where it is torn."""
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else float("inf")
    except (ValueError, TypeError, KeyError):
        return float("inf")
