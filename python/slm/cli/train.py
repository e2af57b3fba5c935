"""`slm train`: train a model, or go on where a run was stopped."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from slm.cli.nouns import noun_as_command
from slm.cli.options import (
    ConfigArgument,
    DryRunOption,
    JsonOption,
    ProgressOption,
    SetOption,
    load_config,
    takes_config,
)
from slm.cli.progress import ProgressStyle
from slm.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from slm.config.run import RunConfig
    from slm.data.mixture import SourceShare
    from slm.train.plan import TrainPlan
    from slm.train.trainer import TrainResult

app = noun_as_command()


@app.command()
@takes_config
def train(
    config: ConfigArgument,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    progress: ProgressOption = ProgressStyle.AUTO,
    json_: JsonOption = False,
) -> None:
    """Train a model from shards; started again with the same config it goes on from the newest checkpoint.

    Ctrl-C or SIGTERM ends it after the step with a checkpoint and exit code 130; a second one ends it at once.
    """
    import json
    import warnings

    from slm.cli.errors import report_warning, tell, tell_json
    from slm.config.run import RunConfig
    from slm.errors import SlmWarning
    from slm.report import write_report
    from slm.train.plan import plan_run

    with warnings.catch_warnings():
        warnings.simplefilter("always", SlmWarning)
        run = load_config(RunConfig, config, set_)
        plan = plan_run(run)
        if dry_run:
            typer.echo(
                json.dumps(asdict(plan) | {"memory_bytes": plan.memory.total}) if json_ else _describe(run, plan)
            )
            return
        if progress is ProgressStyle.JSON:
            tell_json({"event": "plan", "steps": run.train.max_steps, "memory_bytes": plan.memory.total})
        else:
            tell(_describe(run, plan))
        # What concerns the plan alone has been said; `fit` opens the shards again.
        warnings.filterwarnings("ignore", message=".*tokenizer` is missing", category=SlmWarning)
        result = _fit(run, plan, progress)
        if result.is_finished:
            write_report(result.out)
    if json_:
        typer.echo(json.dumps(_as_json(result)))
    else:
        typer.echo(_summary(run, result))
    if not result.is_finished:
        go_on = (
            f"stopped after step {result.step:,} of {result.max_steps:,}; go on with `{_same_command(config, set_)}`"
        )
        if progress is ProgressStyle.JSON:
            report_warning(go_on, as_json=True)
        else:
            tell(f"\n{go_on}")
        raise typer.Exit(EXIT_INTERRUPTED)


def _fit(run: "RunConfig", plan: "TrainPlan", progress: ProgressStyle) -> "TrainResult":
    """Train with a live line."""
    from slm.cli.errors import report_warning
    from slm.cli.progress import ProgressReport, progress_display
    from slm.cli.rates import Figure
    from slm.train.interrupt import StopOnSignal
    from slm.train.metrics import StepMetrics
    from slm.train.trainer import Trainer

    def on_signal(name: str) -> None:
        message = f"{name}: finishing the step and writing a checkpoint; once more ends at once"
        report_warning(message, as_json=progress is ProgressStyle.JSON)

    latest: dict[str, Figure] = {}

    with progress_display("starting", progress) as on_progress, StopOnSignal(on_signal) as stop:

        def on_step(metrics: StepMetrics) -> None:
            latest["loss"] = metrics.loss
            latest["tokens/s"] = round(metrics.tokens_per_second)
            if metrics.validation_loss is not None:
                latest["validation"] = metrics.validation_loss
            on_progress(ProgressReport("train", "steps", metrics.step, run.train.max_steps, latest))

        if plan.resumed_step:
            on_progress(ProgressReport("train", "steps", plan.resumed_step, run.train.max_steps, latest))
        return Trainer(run, on_step=on_step, stop=stop).fit()


def _describe(run: "RunConfig", plan: "TrainPlan") -> str:
    """Put the plan into lines."""
    mebibytes = 1 << 20
    memory = plan.memory
    uses = ", ".join(
        f"{name} {size / mebibytes:,.0f}"
        for name in ("parameters", "gradients", "optimizer", "ema", "activations")
        if (size := getattr(memory, name))
    )
    lines = {
        "model": f"{plan.parameters:,} parameters, {run.model.architecture}",
        "shards": f"{plan.train_tokens:,} tokens in {', '.join(f'`{path}`' for path in run.all_shards)}, "
        f"{plan.validation_tokens:,} for validation",
        "steps": f"{plan.max_steps:,} of {plan.tokens_per_step:,} tokens, "
        f"{plan.max_steps * plan.tokens_per_step:,} in all: {plan.epochs:.2f} epochs, {plan.training_flops:.1e} flop",
        "memory": f"about {memory.total / mebibytes:,.0f} MiB ({uses})",
        "device": f"{plan.device}, precision {plan.precision}",
        "out": f"`{run.out}`" + (f", going on after step {plan.resumed_step:,}" if plan.resumed_step else ""),
    }
    if run.train.packing == "best_fit":
        lines["packing"] = f"best fit into {plan.rows:,} rows, {plan.padding_share:.2%} of them padding"
    described = [f"{name:<8}{line}" for name, line in lines.items()]
    return "\n".join([*described, *_describe_sources(plan.sources)])


def _describe_sources(sources: "tuple[SourceShare, ...]") -> list[str]:
    """Say what each of several shard directories gives."""
    if len(sources) == 1:
        return []
    return [
        f"source  `{source.shards_dir}`: {source.share:.2%} of the rows, {source.rows:,} with {source.tokens:,} "
        f"tokens, {source.epochs:.2f} epochs"
        for source in sources
    ]


def _summary(run: "RunConfig", result: "TrainResult") -> str:
    """Name what was written, and what one can do with it."""
    lines = [f"checkpoint  {result.checkpoint}", f"metrics     {result.out / 'metrics.jsonl'}"]
    if result.metrics is not None:
        figures = [f"loss {result.metrics.loss:.4f}"]
        if result.metrics.validation_loss is not None:
            figures.append(f"validation loss {result.metrics.validation_loss:.4f}")
        if result.metrics.validation_bits_per_byte is not None:
            figures.append(f"{result.metrics.validation_bits_per_byte:.4f} bits per byte")
        lines.insert(0, f"step {result.metrics.step:,}  {', '.join(figures)}")
    lines += _describe_sources(result.sources)
    if result.model_dir is not None:
        lines += [
            f"model       {result.model_dir}",
            f"report      {result.out / 'report.html'}",
            "",
            f"slm eval {result.model_dir} --shards {run.shards}",
            f"slm chat {result.model_dir}",
            f"slm serve {result.model_dir}",
        ]
        if run.train.tensorboard:
            lines.append(f"tensorboard --logdir {result.out / 'tensorboard'}")
    return "\n".join(lines)


def _as_json(result: "TrainResult") -> dict[str, Any]:
    values = asdict(result) | {"is_finished": result.is_finished}
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def _same_command(config: Path, set_: list[str] | None) -> str:
    import shlex

    return shlex.join(["slm", "train", str(config), *(part for override in set_ or () for part in ("--set", override))])
