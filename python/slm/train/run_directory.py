"""The directory of a run: where things are, whose it is, and which settings may change when a run goes on."""

import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from slm.config.run import RunConfig
from slm.durable import write_text
from slm.errors import ConfigError, SlmWarning

CHANGEABLE = frozenset(
    {
        "out", "shards", "more_shards",
        "train.max_steps", "train.validate_every_steps", "train.validation_rows", "train.checkpoint_every_steps",
        "train.keep_checkpoints", "train.log_every_steps", "train.num_threads", "train.device", "train.compile",
        "train.tensorboard",
    }
)  # fmt: skip
"""Settings that a resumed run may change: where things are, how often they are written, which hardware works, how long.

Shards may be moved, not replaced: the checkpoint holds their fingerprint. `max_steps` stretches the cosine of the
learning rate, so a run that was extended differs from one that was as long from the start; there is a warning about it.
"""


class RunDirectory:
    """Paths in a run directory.

    Args:
        path: The directory; made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"

    def read_config(self) -> RunConfig | None:
        """Read the config that the run began or last went on with, None before its first step."""
        return RunConfig.load(self.config) if self.config.exists() else None

    def write_config(self, run: RunConfig) -> None:
        """Write the resolved config."""
        write_text(self.config, run.to_yaml())

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the directory, made if missing, so that no second process trains in it.

        The lock ends with the process, however it ends. Systems without `flock` (Windows) have none.

        Raises:
            ConfigError: Another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            import fcntl
        except ImportError:
            yield
            return
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"another process is training in `{self.path}`\n\n"
                    "hint: wait for it, or choose another directory with `--set out=…`"
                ) from None
            yield
        finally:
            os.close(descriptor)


def check_resumable(before: RunConfig, now: RunConfig) -> None:
    """Refuse to go on with settings that would make another run of it.

    Rows may be split differently into micro batches, as long as a step has as many.

    Args:
        before: The config in the run directory.
        now: The config to go on with.

    Raises:
        ConfigError: Settings outside `CHANGEABLE` differ; the message names each with both values.
    """
    old, new = _flatten(before), _flatten(now)
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if before.train.rows_per_step == now.train.rows_per_step:
        changed -= {"train.micro_batch_rows", "train.accumulation_steps"}
    refused = sorted(key for key in changed - CHANGEABLE if not key.startswith("eval."))
    if refused:
        listed = ", ".join(f"`{key}` ({old.get(key)} there, {new.get(key)} here)" for key in refused)
        raise ConfigError(
            f"the run in `{now.out}` was begun with other settings: {listed}\n\n"
            f"hint: go on with `slm train {now.out / 'config.yaml'}`, or begin another run with `--set out=…`"
        )
    if "train.max_steps" in changed:
        warnings.warn(
            f"`train.max_steps` goes from {before.train.max_steps} to {now.train.max_steps}, so the learning rate "
            "follows another cosine from here on",
            SlmWarning,
            stacklevel=2,
        )


def _flatten(config: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Name each setting by its path, such as `train.optimizer.eps`."""
    flat: dict[str, Any] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, BaseModel) else {prefix + name: value}
    return flat
