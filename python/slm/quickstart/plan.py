"""How large a model fits into the minutes, and how many steps of it, measured on this machine before training.

The plan is written down before training starts, so that an interrupted quickstart goes on with the same plan.
"""

import itertools
import tempfile
import time
from pathlib import Path

from slm.config.evals import EvalConfig
from slm.config.model import ModelConfig
from slm.config.run import RunConfig
from slm.config.train import OptimizerConfig, ScheduleConfig, TrainConfig

VOCAB_SIZE = 4096
"""Small on purpose: at these widths the output head is what costs, and no token is too rare to be learned."""

ROW_TOKENS = 256
"""Context of the model, about 25 lines of code."""

_SHAPES = (
    # minutes up to, hidden size, layers, rows a step
    (2.0, 128, 4, 8),
    (15.0, 192, 4, 8),
    (60.0, 320, 6, 8),
    (float("inf"), 512, 8, 16),
)
"""The model grows with the time there is: with few tokens a parameter a smaller one learns more. A step has few rows,
because in minutes it is steps that are scarce."""

_MEASURED_STEPS = 6
_WARMUP_SHARE = 0.05
_FEWEST_STEPS = 20


def plan_run(minutes: float, shards: Path, out: Path, vocab_size: int, num_threads: int | None) -> RunConfig:
    """Choose the model and the batch by the minutes of the whole quickstart; the steps are a guess until measured.

    Args:
        minutes: Length of the whole quickstart.
        shards: Shard directory to train on.
        out: Run directory.
        vocab_size: Of the tokenizer.
        num_threads: Threads for torch; None for one a core.

    Returns:
        A run of `_MEASURED_STEPS` steps, to be timed and then given its steps by `with_steps`.
    """
    hidden_size, num_layers, rows = next(shape[1:] for shape in _SHAPES if minutes <= shape[0])
    return RunConfig(
        shards=shards,
        out=out,
        model=ModelConfig(
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            # SwiGLU has three matrices where a plain layer has two: 8/3 keeps the parameters of the usual factor 4.
            intermediate_size=-(-hidden_size * 8 // 3 // 64) * 64,
            num_hidden_layers=num_layers,
            num_attention_heads=hidden_size // 64,
            max_position_embeddings=ROW_TOKENS,
            qk_norm=True,
            tie_word_embeddings=True,
        ),
        train=TrainConfig(
            max_steps=_MEASURED_STEPS,
            micro_batch_rows=rows,
            row_tokens=ROW_TOKENS,
            optimizer=OptimizerConfig(learning_rate=4e-3 * (128 / hidden_size) ** 0.5),
            schedule=ScheduleConfig(warmup_steps=1, min_learning_rate_ratio=0.05),
            validation_rows=32,
            validate_every_steps=_MEASURED_STEPS,
            checkpoint_every_steps=_MEASURED_STEPS,
            log_every_steps=1,
            num_threads=num_threads,
            tensorboard=False,
        ),
        eval=EvalConfig(),
    )


def measure_step_seconds(run: RunConfig) -> float:
    """Train a few steps into a scratch directory and time one.

    Args:
        run: What `plan_run` gave.

    Returns:
        Seconds of one step, the median of those after the second, since the first ones pay for starting up.
    """
    from slm.train.trainer import Trainer

    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="slm-measure-") as scratch:
        trial = RunConfig.model_validate(run.model_dump() | {"out": f"{scratch}/run"})
        Trainer(trial, on_step=lambda _: times.append(time.perf_counter())).fit()
    lengths = sorted(later - earlier for earlier, later in itertools.pairwise(times[1:]))
    return lengths[len(lengths) // 2]


def with_evaluation(run: RunConfig, step_lengths: float) -> RunConfig:
    """Limit the evaluation to the held-out documents that fit into its time.

    A forward pass takes about a third of a training step, and windows that overlap by half read every token twice.

    Args:
        run: What `with_steps` gave.
        step_lengths: Time for the evaluation, in training steps.

    Returns:
        The run, with all held-out documents or the first of them, at least one.
    """
    from slm.data.dataset import TokenDataset

    affordable = step_lengths * run.train.tokens_per_step * 3 / 2
    tokens = 0
    for count, document in enumerate(TokenDataset(run.shards, "validation").documents()):
        tokens += len(document)
        if count and tokens > affordable:
            return RunConfig.model_validate(run.model_dump() | {"eval": EvalConfig(max_documents=count)})
    return run


def with_steps(run: RunConfig, max_steps: int) -> RunConfig:
    """Give a plan its number of steps, and what depends on it.

    Args:
        run: What `plan_run` gave.
        max_steps: Steps that fit into the time; at least `_FEWEST_STEPS` are taken.

    Returns:
        The run as it will be trained.
    """
    steps = max(_FEWEST_STEPS, max_steps)
    values = run.model_dump()
    values["train"] |= {
        "max_steps": steps,
        "schedule": values["train"]["schedule"] | {"warmup_steps": max(1, round(steps * _WARMUP_SHARE))},
        "validate_every_steps": max(1, -(-steps // 8)),
        "checkpoint_every_steps": max(1, -(-steps // 10)),
        "log_every_steps": max(1, steps // 200),
        "tensorboard": True,
    }
    return RunConfig.model_validate(values)
