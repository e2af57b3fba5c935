"""The training loop: steps, metrics, validation and checkpoints, going on from wherever the run directory is."""

import contextlib
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from slm.checkpoint.layout import checkpoint_path
from slm.checkpoint.load import Checkpoint, copy_tensors, load_latest_checkpoint
from slm.checkpoint.model_dir import save_model
from slm.checkpoint.save import recover_checkpoints, save_checkpoint
from slm.config.run import RunConfig
from slm.data.loader import Loader
from slm.data.mixture import SourceShare
from slm.errors import CheckpointError, ConfigError, TrainingError
from slm.model.transformer import Transformer
from slm.train.environment import describe_environment
from slm.train.metrics import MetricsWriter, StepMetrics
from slm.train.precision import choose_precision, resolve_device
from slm.train.run_directory import RunDirectory, check_resumable
from slm.train.schedule import learning_rate
from slm.train.sources import Sources, open_sources
from slm.train.state import TrainState, random_state, restore_random_state
from slm.train.step import Learner, StepOutcome
from slm.train.validation import Validation, Validator

_LEAST_SCALE = 2.0**-14


@dataclass(frozen=True)
class TrainResult:
    """Where a run is when `fit` returns.

    Attributes:
        out: The run directory.
        step: Optimizer updates done.
        max_steps: Updates in all.
        metrics: The latest line of metrics; of a finished run it has the validation. None before the first line.
        sources: What each shard directory has given.
        checkpoint: The newest checkpoint.
        model_dir: The model directory, None while the run is not finished.
    """

    out: Path
    step: int
    max_steps: int
    metrics: StepMetrics | None
    sources: tuple[SourceShare, ...]
    checkpoint: Path
    model_dir: Path | None

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done and the model is saved; otherwise `stop` ended it, and another `fit` goes on."""
        return self.model_dir is not None


class Trainer:
    """Trains a model from shards, in a run directory that holds all of its state.

    `fit` goes on from the newest good checkpoint in `run.out` and begins anew where there is none. On a CPU with the
    same number of threads, a run that was stopped or killed and resumed ends with the bytes of one that was not.

    Args:
        run: What to train on what, how, and where to.
        on_step: Called with the figures of each step; on an accelerator only of logged ones, for reading makes it wait.
        stop: Asked after each step and between batches of a validation; True ends the run with a checkpoint.
            `StopOnSignal` is one that Ctrl-C sets.

    Example:
        >>> result = Trainer(RunConfig.load("configs/run/nano.yaml")).fit()  # doctest: +SKIP
        >>> result.metrics.validation_loss  # doctest: +SKIP
        2.31
    """

    def __init__(
        self,
        run: RunConfig,
        *,
        on_step: Callable[[StepMetrics], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.run = run
        self._on_step = on_step
        self._stop = stop

    def fit(self) -> TrainResult:
        """Train until `max_steps` or until asked to stop.

        Returns:
            Where the run is; ask `is_finished`.

        Raises:
            ConfigError: A setting does not fit the shards, the device or the run that was begun in `run.out`.
            DataError: The shards are malformed, too small, or not those that the run began with.
            CheckpointError: There are checkpoints and none can be read.
            TrainingError: The loss is no longer finite; the checkpoints before are untouched.
            OSError: The disk refused.
        """
        sources = open_sources(self.run)
        directory = RunDirectory(self.run.out)
        with directory.locked(), _num_threads(self.run.train.num_threads):
            session = _Session(self.run, directory, sources, self._on_step, self._stop or _never)
            with session.loader, session.writer:
                return session.train()


class _Session:
    """One call of `fit`: the live objects, and the counters that a checkpoint keeps."""

    def __init__(
        self,
        run: RunConfig,
        directory: RunDirectory,
        sources: Sources,
        on_step: Callable[[StepMetrics], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        config = run.train
        self.run, self.config, self.directory, self.sources = run, config, directory, sources
        self.on_step, self.stop, self.has_stopped = on_step, stop, False
        self.device = resolve_device(config.device)
        self.validator = None
        if sources.validation is not None:
            self.validator = Validator(
                sources.validation,
                row_tokens=config.row_tokens,
                max_rows=config.validation_rows,
                batch_rows=config.micro_batch_rows,
                token_bytes_V=sources.token_bytes_V,
            )
        self.loader = Loader(
            sources.train,
            row_tokens=config.row_tokens,
            batch_rows=config.micro_batch_rows,
            seed=config.seed,
            packing=config.packing,
        )
        recover_checkpoints(directory.checkpoints)
        checkpoint = load_latest_checkpoint(directory.checkpoints)
        state = self._check(checkpoint)
        directory.write_config(run)

        torch.manual_seed(config.seed)
        model = Transformer(run.model, generator=torch.Generator().manual_seed(config.seed)).to(self.device)
        precision = state.precision if state is not None else choose_precision(config, model, self.device)
        self.learner = Learner(config, model, self.device, precision)
        self.environment = describe_environment(self.device)
        self.step = self.tokens = self.loss_steps = 0
        self.earlier_seconds, loss_sum = 0.0, 0.0
        self.is_validation_pending = False
        self.grad_norm: float | None = None
        self.last_metrics: StepMetrics | None = None
        if checkpoint is not None and state is not None:
            self._restore_tensors(checkpoint)
            self.loader.load_state(state.loader)
            restore_random_state(state.random, self.device, f"`{checkpoint.path}`")
            if state.scaler is not None:
                self.learner.scaler.load_state_dict(dict(state.scaler))
            self.step, self.tokens, self.earlier_seconds = state.step, state.tokens, state.seconds
            loss_sum, self.loss_steps = state.loss_sum, state.loss_steps
            self.is_validation_pending, self.grad_norm = state.is_validation_pending, state.last_grad_norm
            self.last_metrics = state.last_metrics
        self.saved_step, self.is_saved = self.step, checkpoint is not None
        self.loss_sum = torch.tensor(loss_sum, dtype=torch.float32, device=self.device)
        self.first_bad_step = torch.zeros((), dtype=torch.int64, device=self.device)
        first_line = self.step if self.is_validation_pending else self.step + 1
        self.writer = MetricsWriter(
            directory.metrics, directory.tensorboard if config.tensorboard else None, first_line
        )
        self.started = self.window_started = time.perf_counter()
        self.window_tokens = 0

    def train(self) -> TrainResult:
        """Do the steps that are left."""
        if self.is_validation_pending:
            self._report(is_logged=True, is_validated=True)
            self.is_saved = self.is_validation_pending
        while self.step < self.config.max_steps and not self.is_stopping():
            outcome = self._learn()
            self._account(outcome)
            is_last = self.step == self.config.max_steps
            is_logged = is_last or self.step == 1 or self.step % self.config.log_every_steps == 0
            is_validated = self.validator is not None and (is_last or self.step % self.config.validate_every_steps == 0)
            is_saved = is_last or self.step % self.config.checkpoint_every_steps == 0
            if is_logged or is_validated or is_saved or self.device.type == "cpu":
                self.grad_norm = _finite(outcome.grad_norm.item())
                self._check_finite()
                self._report(is_logged=is_logged, is_validated=is_validated)
            if is_saved:
                self._save()
        if not self.is_saved:
            self._check_finite()
            self._save()
        model_dir = None
        if self.step >= self.config.max_steps and not self.is_validation_pending:
            model_dir = self.directory.model
            average = self.learner.average
            with average.in_place_of_weights() if average is not None else contextlib.nullcontext():
                save_model(self.learner.model, model_dir, self.sources.tokenizer_dir)
        checkpoint = checkpoint_path(self.directory.checkpoints, self.step)
        sources = tuple(self.loader.shares())
        return TrainResult(
            self.run.out, self.step, self.config.max_steps, self.last_metrics, sources, checkpoint, model_dir
        )

    def is_stopping(self) -> bool:
        """Ask `stop`; once it has said yes, that holds."""
        self.has_stopped = self.has_stopped or self.stop()
        return self.has_stopped

    def _learn(self) -> StepOutcome:
        batches = [next(self.loader) for _ in range(self.config.accumulation_steps)]
        self.step += 1
        self.is_saved = False
        return self.learner.learn(batches, step=self.step, learning_rate=learning_rate(self.config, self.step))

    def _account(self, outcome: StepOutcome) -> None:
        """Add a step to the counters without waiting for the device."""
        self.tokens += outcome.num_targets
        self.window_tokens += outcome.num_targets
        self.loss_sum += outcome.loss
        self.loss_steps += 1
        is_good = torch.isfinite(outcome.loss)
        if not self.learner.scaler.is_enabled():  # the scaler skips steps whose gradient overflows
            is_good = is_good & torch.isfinite(outcome.grad_norm)
        is_first = (self.first_bad_step == 0) & ~is_good
        self.first_bad_step = torch.where(is_first, self.step, self.first_bad_step)

    def _check_finite(self) -> None:
        """End the run before a number that is not finite gets into metrics or a checkpoint.

        Raises:
            TrainingError: A step since the last check had a loss or a gradient that is not finite.
        """
        bad_step = int(self.first_bad_step.item())
        scaler = self.learner.scaler
        is_lost = scaler.is_enabled() and scaler.get_scale() < _LEAST_SCALE
        if bad_step == 0 and not is_lost:
            return
        step = bad_step or self.step
        kept = f"the checkpoint of step {self.saved_step} is kept" if self.saved_step else "there is no checkpoint yet"
        raise TrainingError(
            f"the loss or its gradient is not finite at step {step} (learning rate "
            f"{learning_rate(self.config, step):.3g}, {self.learner.precision}); {kept} in `{self.directory.path}`\n\n"
            "hint: begin another run with `--set out=…` and a lower `train.optimizer.learning_rate`, a longer "
            "`train.schedule.warmup_steps` or `train.precision=float32`"
        )

    def _report(self, *, is_logged: bool, is_validated: bool) -> None:
        """Tell the figures of this step, after validating where it is due; an interrupted validation tells nothing."""
        loss = self.loss_sum.item() / self.loss_steps
        now = time.perf_counter()
        speed = self.window_tokens / max(now - self.window_started, 1e-9)
        validation = self._validate() if is_validated else None
        self.is_validation_pending = is_validated and validation is None
        if self.is_validation_pending:
            return
        metrics = StepMetrics(
            step=self.step,
            tokens=self.tokens,
            loss=loss,
            learning_rate=learning_rate(self.config, self.step),
            grad_norm=self.grad_norm,
            tokens_per_second=speed,
            seconds=self._seconds(),
            validation_loss=validation.loss if validation is not None else None,
            validation_bits_per_byte=validation.bits_per_byte if validation is not None else None,
        )
        if is_logged or is_validated:
            self.writer.write(metrics)
            self.last_metrics = metrics
            self.loss_sum.zero_()
            self.loss_steps = self.window_tokens = 0
            self.window_started = time.perf_counter()
        if self.on_step is not None:
            self.on_step(metrics)

    def _validate(self) -> Validation | None:
        assert self.validator is not None, "validation is due only where there is a split for it"
        average = self.learner.average
        with average.in_place_of_weights() if average is not None else contextlib.nullcontext():
            return self.validator.run(self.learner.model, self.device, self.learner.precision, self.is_stopping)

    def _save(self) -> None:
        started = time.perf_counter()
        self.writer.flush()
        state = TrainState(
            step=self.step,
            tokens=self.tokens,
            seconds=self._seconds(),
            loader=self.loader.state(),
            random=random_state(self.device),
            scaler=self.learner.scaler_state(),
            precision=self.learner.precision,
            loss_sum=self.loss_sum.item(),
            loss_steps=self.loss_steps,
            is_validation_pending=self.is_validation_pending,
            last_grad_norm=self.grad_norm,
            last_metrics=self.last_metrics,
            config=self.run.model_dump(mode="json"),
            environment=self.environment,
        )
        save_checkpoint(
            self.directory.checkpoints,
            self.step,
            self.learner.tensors(),
            state.model_dump(mode="json"),
            keep=self.config.keep_checkpoints,
        )
        self.saved_step, self.is_saved = self.step, True
        self.window_started += time.perf_counter() - started

    def _check(self, checkpoint: Checkpoint | None) -> TrainState | None:
        """Check that a checkpoint is one of the run that the config describes."""
        if checkpoint is None:
            return None
        before = self.directory.read_config()
        if before is not None:
            check_resumable(before, self.run)
        if checkpoint.step > self.config.max_steps:
            raise ConfigError(
                f"`train.max_steps` is {self.config.max_steps}, and the run in `{self.directory.path}` has done "
                f"{checkpoint.step}\n\nhint: begin another run with `--set out=…`"
            )
        return TrainState.read(checkpoint.state, f"`{checkpoint.path}`")

    def _restore_tensors(self, checkpoint: Checkpoint) -> None:
        live = self.learner.tensors()
        if live.keys() != checkpoint.tensors.keys():
            raise CheckpointError(
                f"`{checkpoint.path}` holds {sorted(checkpoint.tensors)}, this run needs {sorted(live)}"
            )
        for group, tensors in live.items():
            copy_tensors(checkpoint.tensors[group], tensors, f"`{checkpoint.path / group}.safetensors`")

    def _seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.started


@contextmanager
def _num_threads(num_threads: int | None) -> Generator[None]:
    """Let PyTorch use this many threads inside the block; None: as many as it does."""
    before = torch.get_num_threads()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _never() -> bool:
    return False
