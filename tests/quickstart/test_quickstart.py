"""The whole road, for real, on a few hundred kilobytes and a few seconds."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm.errors import ConfigError
from slm.quickstart.corpus import choose_corpus
from slm.quickstart.plan import measure_step_seconds, plan_run, with_steps

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("quickstart")]


def corpus_in(folder: Path) -> Path:
    folder.mkdir()
    for number in range(60):
        lines = [f"def task_{number}_{line}(value):\n    return value * {line} + {number}\n" for line in range(40)]
        (folder / f"module_{number}.py").write_text("\n".join(lines))
    return folder


def command(corpus: Path, out: Path, *more: str) -> list[str]:
    paths = ["--corpus", str(corpus), "--out", str(out)]
    return [sys.executable, "-m", "slm", "quickstart", "--minutes", "0.15", *paths, *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    root = tmp_path_factory.mktemp("quickstart")
    corpus = corpus_in(root / "corpus")
    done = subprocess.run(command(corpus, root / "out"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return corpus, root / "out", done


def test_every_artifact_is_there_and_the_model_has_learned(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    _, out, done = finished
    for name in (
        "quickstart.json", "tokenizer/tokenizer.json", "shards/manifest.json", "run.yaml", "run/metrics.jsonl",
        "run/model/config.json", "evaluation.json", "samples.json", "report.html", "model/model.safetensors",
    ):  # fmt: skip
        assert (out / name).exists(), name
    # A text of one pattern: a model that has learned anything is far below the 8 bits of a uniform one.
    assert json.loads((out / "evaluation.json").read_text())["bits_per_byte"] < 4
    for hint in (f"slm chat {out}/model", f"slm serve {out}/model", f"slm tokenizer inspect {out}/tokenizer"):
        assert hint in done.stdout
    assert "bits per byte" in done.stdout


def test_the_same_command_again_does_nothing_again(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    corpus, out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "report.html"}
    again = subprocess.run(command(corpus, out, "--json"), capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert before == {
        path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "report.html"
    }
    assert json.loads(again.stdout)["bits_per_byte"] < 4
    assert again.stderr.count("already done") >= 5


def test_other_settings_are_refused_and_harm_nothing(
    finished: tuple[Path, Path, subprocess.CompletedProcess[str]],
) -> None:
    corpus, out, _ = finished
    settings = (out / "quickstart.json").read_bytes()
    refused = subprocess.run([*command(corpus, out), "--minutes", "9"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert "`minutes`" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (out / "quickstart.json").read_bytes() == settings


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    refused = subprocess.run(command(tmp_path, tmp_path), capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert "is not empty" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_killed_while_training_it_goes_on_where_it_was(tmp_path: Path) -> None:
    corpus, out = corpus_in(tmp_path / "corpus"), tmp_path / "out"
    process = subprocess.Popen(command(corpus, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("run/checkpoints/step-*/manifest.json")):
            assert process.poll() is None, "it ended before there was a checkpoint"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    tokenizer = (out / "tokenizer" / "tokenizer.json").stat().st_mtime_ns
    plan = (out / "run.yaml").read_bytes()
    done = subprocess.run(command(corpus, out), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (out / "tokenizer" / "tokenizer.json").stat().st_mtime_ns == tokenizer
    assert (out / "run.yaml").read_bytes() == plan
    steps = [json.loads(line)["step"] for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_the_default_corpus_is_text_of_the_standard_library() -> None:
    corpus = choose_corpus([])
    assert len(corpus.paths) > 300
    assert all(path.endswith(".py") and "/site-packages/" not in path for path in corpus.paths)
    assert corpus.prompts
    assert not any(prompt.endswith(" ") for prompt in corpus.prompts)


def test_a_plan_grows_with_the_minutes(tmp_path: Path) -> None:
    plans = [plan_run(minutes, tmp_path, tmp_path, 4096, None) for minutes in (1, 5, 30, 600)]
    sizes = [plan.model.num_parameters for plan in plans]
    assert sizes == sorted(set(sizes))
    longer = with_steps(plans[0], 1000)
    assert longer.train.max_steps == 1000
    assert longer.train.schedule.warmup_steps == 50
    assert longer.model == plans[0].model


def test_a_step_is_timed_on_the_real_trainer(finished: tuple[Path, Path, subprocess.CompletedProcess[str]]) -> None:
    _, out, _ = finished
    vocab_size = json.loads((out / "shards" / "manifest.json").read_text())["tokenizer"]["vocab_size"]
    draft = plan_run(0.1, out / "shards", out / "run", vocab_size, 1)
    assert 0 < measure_step_seconds(draft) < 60


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), 1e9])
def test_minutes_out_of_range_are_refused(minutes: float, tmp_path: Path) -> None:
    from slm.quickstart.run import quickstart

    with pytest.raises(ConfigError, match="`minutes`"):
        quickstart(tmp_path / "out", minutes=minutes, narrator=None)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
