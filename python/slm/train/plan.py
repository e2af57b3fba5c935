"""What a run will do, said before it does it."""

from dataclasses import dataclass

from slm.checkpoint.layout import find_checkpoints, step_of
from slm.config.memory import MemoryEstimate, estimate_memory
from slm.config.run import RunConfig
from slm.data.mixture import SourceShare
from slm.data.rows import RowSource, row_count
from slm.train.precision import resolve_device
from slm.train.run_directory import RunDirectory, check_resumable
from slm.train.sources import open_sources


@dataclass(frozen=True)
class TrainPlan:
    """A run in numbers.

    Attributes:
        parameters: Weights of the model, tied ones counted once.
        train_tokens: Tokens of the training splits.
        validation_tokens: Tokens of the validation split.
        rows: Rows of one pass over the training split.
        padding_share: Share of their positions that holds no token.
        sources: What each shard directory will have given at the end.
        tokens_per_step: Target tokens of one update.
        max_steps: Updates in all.
        resumed_step: Updates that the newest checkpoint in the run directory has done, 0 if there is none.
        epochs: Passes over the training split in the whole run.
        training_flops: Floating point operations of the whole run.
        device: Where it will train.
        precision: The setting; `auto` is measured when the run starts.
        memory: Bytes that a step takes, by use.
    """

    parameters: int
    train_tokens: int
    validation_tokens: int
    rows: int
    padding_share: float
    sources: tuple[SourceShare, ...]
    tokens_per_step: int
    max_steps: int
    resumed_step: int
    epochs: float
    training_flops: int
    device: str
    precision: str
    memory: MemoryEstimate


def plan_run(run: RunConfig) -> TrainPlan:
    """Make every check that needs no training, and count what the run will take; nothing is written.

    Raises:
        SlmError: As `Trainer.fit` would.
        FileNotFoundError: The shards are missing.
    """
    sources = open_sources(run)
    source = RowSource(sources.train, run.train.row_tokens, run.train.seed, packing=run.train.packing)
    total_rows = run.train.max_steps * run.train.rows_per_step
    if sources.validation is not None:
        row_count(sources.validation, run.train.row_tokens)
    directory = RunDirectory(run.out)
    checkpoints = find_checkpoints(directory.checkpoints)
    before = directory.read_config()
    if before is not None and checkpoints:
        check_resumable(before, run)
    return TrainPlan(
        parameters=run.model.num_parameters,
        train_tokens=sources.train.num_tokens,
        validation_tokens=sources.validation.num_tokens if sources.validation is not None else 0,
        rows=source.num_rows,
        padding_share=source.padding_share,
        sources=tuple(source.shares(total_rows)),
        tokens_per_step=run.train.tokens_per_step,
        max_steps=run.train.max_steps,
        resumed_step=(step_of(checkpoints[-1]) or 0) if checkpoints else 0,
        epochs=total_rows / source.num_rows,
        training_flops=run.train.total_tokens * run.model.flops_per_token(run.train.row_tokens),
        device=str(resolve_device(run.train.device)),
        precision=run.train.precision,
        memory=estimate_memory(run),
    )
