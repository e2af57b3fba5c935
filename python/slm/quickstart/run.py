"""The quickstart: each stage leaves an artifact, and a stage whose artifact is complete is not done again."""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slm import durable
from slm.config.run import RunConfig
from slm.errors import ConfigError
from slm.quickstart.corpus import QuickstartCorpus, choose_corpus
from slm.quickstart.plan import VOCAB_SIZE, measure_step_seconds, plan_run, with_evaluation, with_steps

if TYPE_CHECKING:
    from slm.report.page import Sample
    from slm.train.metrics import StepMetrics

_SETTINGS_FILE = "quickstart.json"
_VALIDATION_FRACTION = 0.03
_SHARE_AFTER_TRAINING = 0.08
_LONGEST_AFTER_TRAINING_SECONDS = 60.0
_EVALUATION_SHARE = 0.6
_SAMPLE_TOKENS = 160
_SAMPLES = 3
_TEMPERATURE = 0.7
_TOP_P = 0.95


class Narrator(Protocol):
    """What a quickstart tells whoever watches; the command line draws it."""

    def stage(self, title: str, *, is_done: bool) -> None:
        """A stage begins, or was found complete from an earlier start."""
        ...

    def note(self, text: str) -> None:
        """One sentence about the stage at hand."""
        ...

    def progress(self, progress: Any) -> None:
        """How far the Rust core has come, as its progress callback says it."""
        ...

    def step(self, metrics: "StepMetrics", max_steps: int) -> None:
        """A training step has been logged."""
        ...


@dataclass(frozen=True)
class QuickstartResult:
    """Where everything is, and the figures of the finished model."""

    out: Path
    tokenizer: Path
    shards: Path
    run: Path
    model: Path
    report: Path
    corpus: str
    parameters: int
    steps: int
    validation_loss: float
    """Nats per token over whole held-out documents."""
    perplexity: float
    bits_per_byte: float
    samples: "tuple[Sample, ...]"
    seconds: float
    """Wall time of this call."""


def quickstart(
    out: str | os.PathLike[str] = "quickstart",
    *,
    corpus: Sequence[str] = (),
    minutes: float = 5.0,
    num_threads: int | None = None,
    narrator: Narrator,
) -> QuickstartResult:
    """Go the whole road: tokenizer, shards, training, evaluation, samples, report, model directory.

    Called again for the same directory it goes on where it was, and does nothing again that is complete.

    Args:
        out: Directory for everything; made if missing.
        corpus: Files, directories or globs of text, a document a file; empty for this interpreter's standard library.
        minutes: About how long the whole may take; training gets what the rest leaves.
        num_threads: Threads to use; None for one a core.
        narrator: Who is told.

    Returns:
        Paths and figures.

    Raises:
        ConfigError: `minutes` is out of range, or `out` holds something else or a quickstart with other settings.
        DataError: The corpus has no text, or too little to hold documents out.
        OSError: A file cannot be read or written.
        KeyboardInterrupt: SIGINT or SIGTERM came; while training, a checkpoint of the last step was written first.
    """
    if not 0.05 <= minutes <= 100_000:
        raise ConfigError(f"`minutes` is {minutes:g}, and must be between 0.05 and 100000")
    started = time.monotonic()
    root = Path(out)
    chosen = choose_corpus(corpus)
    _claim(root, corpus, minutes)

    tokenizer_dir = _train_tokenizer(root / "tokenizer", chosen, num_threads, narrator)
    shards_dir = _build_shards(root / "shards", tokenizer_dir, chosen, num_threads, narrator)

    def seconds_for_training() -> float:
        return minutes * 60 - (time.monotonic() - started) - _after_training_seconds(minutes)

    run = _plan(root, minutes, shards_dir, tokenizer_dir, num_threads, seconds_for_training, narrator)
    _train(run, narrator)
    evaluation = _evaluate(root, run, narrator)
    samples = _draw_samples(root, run, chosen, narrator)
    report = _write_report(root, run, chosen, evaluation, samples, narrator)
    model_dir = _export(root / "model", run, narrator)
    return QuickstartResult(
        out=root,
        tokenizer=tokenizer_dir,
        shards=shards_dir,
        run=run.out,
        model=model_dir,
        report=report,
        corpus=chosen.name,
        parameters=run.model.num_parameters,
        steps=run.train.max_steps,
        validation_loss=evaluation["loss"],
        perplexity=evaluation["perplexity"],
        bits_per_byte=evaluation["bits_per_byte"],
        samples=samples,
        seconds=time.monotonic() - started,
    )


def _after_training_seconds(minutes: float) -> float:
    return min(_LONGEST_AFTER_TRAINING_SECONDS, minutes * 60 * _SHARE_AFTER_TRAINING)


def _claim(root: Path, corpus: Sequence[str], minutes: float) -> None:
    """Take a new directory, or check that an old one was begun with the same settings."""
    settings: dict[str, Any] = {
        "format": "slm.quickstart",
        "version": 1,
        "corpus": [str(Path(path).absolute()) for path in corpus],
        "minutes": minutes,
    }
    path = root / _SETTINGS_FILE
    if path.exists():
        try:
            found: object = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as err:
            raise ConfigError(f"`{path}` is not JSON ({err})\n\nhint: choose another directory with `--out`") from err
        if found != settings:
            raise ConfigError(
                f"`{root}` holds a quickstart with other settings ({path.name} differs in "
                f"{_differing_keys(found, settings)})\n\nhint: choose another directory with `--out DIR`, or remove it"
            )
        return
    if root.exists() and any(root.iterdir()):
        raise ConfigError(
            f"`{root}` is not empty and holds no quickstart\n\nhint: choose another directory with `--out DIR`"
        )
    root.mkdir(parents=True, exist_ok=True)
    durable.write_json(path, settings)


def _differing_keys(found: object, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict):
        return "everything"
    return ", ".join(f"`{key}`" for key, value in wanted.items() if found.get(key) != value) or "unknown keys"


def _train_tokenizer(out: Path, corpus: QuickstartCorpus, num_threads: int | None, narrator: Narrator) -> Path:
    from slm.tokenizer.train import train_tokenizer

    is_done = (out / "tokenizer.json").exists()
    narrator.stage("tokenizer", is_done=is_done)
    if not is_done:
        narrator.note(f"learning {VOCAB_SIZE:,} tokens from {corpus.name}")
        if corpus.skipped:
            narrator.note(f"left out {corpus.skipped} files that are not UTF-8")
        train_tokenizer(
            list(corpus.paths),
            vocab_size=VOCAB_SIZE,
            pattern="gpt2",
            num_threads=num_threads,
            progress=narrator.progress,
            out=out,
        )
    return out


def _build_shards(
    out: Path, tokenizer_dir: Path, corpus: QuickstartCorpus, num_threads: int | None, narrator: Narrator
) -> Path:
    from slm.data.build import build_shards
    from slm.tokenizer.tokenizer import Tokenizer

    is_done = (out / "manifest.json").exists()
    narrator.stage("shards", is_done=is_done)
    if not is_done:
        manifest = build_shards(
            list(corpus.paths),
            Tokenizer.load(tokenizer_dir),
            out,
            validation_fraction=_VALIDATION_FRACTION,
            num_threads=num_threads,
            progress=narrator.progress,
        )
        train, held_out = manifest.splits["train"], manifest.splits["validation"]
        narrator.note(
            f"{train.documents:,} documents of {train.tokens:,} tokens to learn from, {held_out.documents:,} held out"
        )
    return out


def _plan(
    root: Path,
    minutes: float,
    shards: Path,
    tokenizer_dir: Path,
    num_threads: int | None,
    seconds_left: Callable[[], float],
    narrator: Narrator,
) -> RunConfig:
    from slm.tokenizer.tokenizer import Tokenizer

    path = root / "run.yaml"
    is_done = path.exists()
    narrator.stage("plan", is_done=is_done)
    if is_done:
        return RunConfig.load(path)
    vocab_size = Tokenizer.load(tokenizer_dir).vocab_size
    draft = plan_run(minutes, shards, root / "run", vocab_size, num_threads)
    narrator.note("timing a few steps on this machine")
    step_seconds = measure_step_seconds(draft)
    run = with_steps(draft, int(seconds_left() / step_seconds))
    run = with_evaluation(run, _after_training_seconds(minutes) * _EVALUATION_SHARE / step_seconds)
    durable.write_text(path, run.to_yaml())
    narrator.note(
        f"{run.model.num_parameters:,} parameters, {run.train.max_steps:,} steps of "
        f"{run.train.tokens_per_step:,} tokens at {step_seconds:.2f} s"
    )
    return run


def _train(run: RunConfig, narrator: Narrator) -> None:
    from slm.train.interrupt import StopOnSignal
    from slm.train.trainer import Trainer

    is_done = (run.out / "model" / "config.json").exists()
    narrator.stage("train", is_done=is_done)
    if is_done:
        return
    with StopOnSignal(lambda name: narrator.note(f"{name}: finishing the step; once more ends at once")) as stop:
        result = Trainer(run, on_step=lambda metrics: narrator.step(metrics, run.train.max_steps), stop=stop).fit()
    if not result.is_finished:
        narrator.note(
            f"stopped after step {result.step:,} of {result.max_steps:,}; the same command goes on from there"
        )
        raise KeyboardInterrupt


def _evaluate(root: Path, run: RunConfig, narrator: Narrator) -> dict[str, Any]:
    path = root / "evaluation.json"
    is_done = path.exists()
    narrator.stage("evaluate", is_done=is_done)
    if not is_done:
        from slm.checkpoint.model_dir import load_model
        from slm.data.dataset import TokenDataset
        from slm.evals.loss import evaluate
        from slm.tokenizer.tokenizer import Tokenizer

        model_dir = run.out / "model"
        report = evaluate(
            load_model(model_dir), TokenDataset(run.shards, "validation"), Tokenizer.load(model_dir), run.eval
        )
        durable.write_json(path, dataclasses.asdict(report))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _draw_samples(root: Path, run: RunConfig, corpus: QuickstartCorpus, narrator: Narrator) -> "tuple[Sample, ...]":
    from slm.report.page import Sample

    path = root / "samples.json"
    is_done = path.exists()
    narrator.stage("samples", is_done=is_done)
    if not is_done:
        from slm.engine.llm import LLM
        from slm.engine.sampling_params import SamplingParams

        # One token at a time is too little work to share; two threads that wait for each other are slower.
        llm = LLM(run.out / "model", num_threads=1)
        prompts = corpus.prompts or _openings(run)
        drawn: list[Sample] = []
        for seed, prompt in enumerate(prompts):
            params = SamplingParams(max_tokens=_SAMPLE_TOKENS, temperature=_TEMPERATURE, top_p=_TOP_P, seed=seed)
            settings = f"temperature {_TEMPERATURE}, top-p {_TOP_P}, seed {seed}, {_SAMPLE_TOKENS} tokens"
            drawn.append(Sample(prompt, llm.generate([prompt], params)[0].text, settings))
        durable.write_json(path, {"samples": [dataclasses.asdict(sample) for sample in drawn]})
    stored = json.loads(path.read_text(encoding="utf-8"))["samples"]
    return tuple(Sample(**sample) for sample in stored)


def _openings(run: RunConfig) -> tuple[str, ...]:
    """The first words of a few held-out documents."""
    from itertools import islice

    from slm.data.dataset import TokenDataset
    from slm.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(run.out / "model")
    documents = islice(TokenDataset(run.shards, "validation").documents(), _SAMPLES)
    return tuple(tokenizer.decode(document[:8]) for document in documents)


def _write_report(
    root: Path,
    run: RunConfig,
    corpus: QuickstartCorpus,
    evaluation: dict[str, Any],
    samples: "tuple[Sample, ...]",
    narrator: Narrator,
) -> Path:
    from slm.report.page import Figure, write_report

    narrator.stage("report", is_done=False)
    source = "evaluation.json, whole held-out documents"
    figures = [
        Figure("parameters", f"{run.model.num_parameters:,}", "run.yaml, `model`"),
        Figure("held-out loss, nats per token", f"{evaluation['loss']:.3f}", source),
        Figure("held-out perplexity", f"{evaluation['perplexity']:.1f}", source),
        Figure("held-out bits per byte", f"{evaluation['bits_per_byte']:.3f}", source),
    ]
    title = f"A language model of {corpus.name}"
    return write_report(run.out, title=title, figures=figures, samples=samples, out=root / "report.html")


def _export(out: Path, run: RunConfig, narrator: Narrator) -> Path:
    is_done = (out / "config.json").exists()
    narrator.stage("export", is_done=is_done)
    if not is_done:
        from slm.checkpoint.model_dir import load_model, save_model

        model_dir = run.out / "model"
        save_model(load_model(model_dir), out, tokenizer_dir=model_dir)
    return out
