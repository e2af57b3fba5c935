import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from slm.checkpoint.layout import find_checkpoints
from slm.checkpoint.load import load_checkpoint
from slm.checkpoint.model_dir import load_model
from slm.config.run import RunConfig
from slm.data.dataset import TokenDataset
from slm.errors import CheckpointError, ConfigError, DataError, SlmWarning, TrainingError
from slm.train.metrics import StepMetrics
from slm.train.plan import plan_run
from slm.train.run_directory import RunDirectory
from slm.train.trainer import Trainer
from slm.train.validation import Validator
from tests.reference.shards import write_shards

MakeRun = Callable[..., RunConfig]

# These shards have ids and no tokenizer.
pytestmark = pytest.mark.filterwarnings("ignore:.*tokenizer. is missing")


def metrics_rows(run: RunConfig) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_the_design_promises(make_run: MakeRun):
    run = make_run(tensorboard=True, ema_decay=0.9, keep_checkpoints=2)
    seen: list[StepMetrics] = []
    result = Trainer(run, on_step=seen.append).fit()
    assert result.is_finished
    assert [metrics.step for metrics in seen] == list(range(1, 13))
    assert RunConfig.load(run.out / "config.yaml") == run
    assert [path.name for path in find_checkpoints(run.out / "checkpoints")] == ["step-00000010", "step-00000012"]
    assert {path.name for path in result.checkpoint.iterdir()} == {
        "model.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json", "manifest.json",
    }  # fmt: skip
    rows = metrics_rows(run)
    assert [row["step"] for row in rows] == [1, 2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in rows if "validation_loss" in row] == [4, 8, 12]
    assert rows[-1]["tokens"] == 12 * 4 * 16
    assert rows[0]["loss"] == pytest.approx(5.55, abs=0.1)  # ln 257, the loss of an untrained model
    assert rows[-1]["validation_loss"] < rows[1]["loss"]
    assert list((run.out / "tensorboard").iterdir())
    state = load_checkpoint(result.checkpoint).state
    assert state["environment"]["torch"] == torch.__version__
    assert state["config"]["train"]["max_steps"] == 12


def test_the_model_directory_holds_the_average_where_there_is_one(make_run: MakeRun):
    for decay, group in [(None, "model"), (0.9, "ema")]:
        result = Trainer(make_run(out=group, ema_decay=decay)).fit()
        assert result.model_dir is not None
        saved = load_model(result.model_dir).state_dict()
        expected = load_checkpoint(result.checkpoint).tensors[group]
        assert saved.keys() == expected.keys()
        assert all(torch.equal(saved[name], expected[name]) for name in saved)


def test_logged_losses_are_means_over_the_steps_since_the_line_before(make_run: MakeRun):
    every, third = make_run(out="every", log_every_steps=1), make_run(out="third", log_every_steps=3)
    for run in (every, third):
        Trainer(run).fit()
    losses = {row["step"]: row["loss"] for row in metrics_rows(every)}
    means = {row["step"]: row["loss"] for row in metrics_rows(third)}
    assert means[3] == pytest.approx((losses[2] + losses[3]) / 2, rel=1e-6)  # step 1 has a line of its own
    assert means[6] == pytest.approx((losses[5] + losses[6]) / 2, rel=1e-6)  # step 4 validates, so it has one too


def test_the_same_config_gives_the_same_bytes_and_another_seed_does_not(make_run: MakeRun):
    files = [
        (Trainer(make_run(out=out, seed=seed)).fit().checkpoint / "model.safetensors").read_bytes()
        for out, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    assert files[0] == files[1] != files[2]


def test_a_finished_run_is_left_as_it_is(make_run: MakeRun):
    run = make_run()
    first = Trainer(run).fit()
    metrics = (run.out / "metrics.jsonl").read_bytes()
    weights = (run.out / "model" / "model.safetensors").read_bytes()
    second = Trainer(run).fit()
    assert second == first
    assert (run.out / "metrics.jsonl").read_bytes() == metrics
    assert (run.out / "model" / "model.safetensors").read_bytes() == weights


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_step(make_run: MakeRun):
    run = make_run(
        max_steps=40, optimizer={"learning_rate": 1e-3}, schedule={"warmup_steps": 0}, checkpoint_every_steps=3
    )
    stopped = Trainer(run, stop=StopAfter(9)).fit()
    assert stopped.step == 6
    poison(stopped.checkpoint)
    with pytest.raises(TrainingError, match=r"not finite at step 7 .*the checkpoint of step 6 is kept"):
        Trainer(run).fit()
    assert find_checkpoints(run.out / "checkpoints")[-1].name == "step-00000006"
    assert [row["step"] for row in metrics_rows(run)][-1] == 6
    assert "NaN" not in (run.out / "metrics.jsonl").read_text()


class StopAfter:
    """Asks to stop when it has been asked often enough."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def poison(checkpoint: Path) -> None:
    """Rewrite a checkpoint with a weight that is not a number, its checksums right."""
    from slm.checkpoint.save import save_checkpoint

    loaded = load_checkpoint(checkpoint)
    loaded.tensors["model"]["model.norm.weight"][0] = float("nan")
    save_checkpoint(checkpoint.parent, loaded.step, loaded.tensors, loaded.state, keep=3)


def test_settings_that_make_another_run_are_refused_by_name(make_run: MakeRun):
    Trainer(make_run()).fit()
    with pytest.raises(
        ConfigError, match=r"`train\.optimizer\.learning_rate` \(0\.001 there, 0\.01 here\), `train\.seed`"
    ):
        Trainer(make_run(optimizer={"learning_rate": 0.01}, seed=3)).fit()
    with pytest.raises(ConfigError, match=r"`train\.seed`"):
        plan_run(make_run(seed=3))


def test_settings_that_change_nothing_but_the_watching_may_change(make_run: MakeRun):
    Trainer(make_run(), stop=StopAfter(4)).fit()
    changed = make_run(log_every_steps=1, checkpoint_every_steps=2, validation_rows=3, keep_checkpoints=1)
    assert Trainer(changed).fit().is_finished
    assert RunConfig.load(changed.out / "config.yaml") == changed


def test_rows_may_be_split_differently_into_micro_batches(make_run: MakeRun):
    Trainer(make_run(), stop=StopAfter(4)).fit()
    assert Trainer(make_run(micro_batch_rows=4, accumulation_steps=1)).fit().is_finished
    with pytest.raises(ConfigError, match="accumulation_steps"):
        Trainer(make_run(micro_batch_rows=4, accumulation_steps=2)).fit()


def test_a_run_can_be_extended_with_a_warning(make_run: MakeRun):
    Trainer(make_run()).fit()
    with pytest.warns(SlmWarning, match=r"`train\.max_steps` goes from 12 to 16"):
        result = Trainer(make_run(max_steps=16)).fit()
    assert result.step == 16
    with (
        pytest.raises(ConfigError, match=r"`train\.max_steps` is 12, and the run in .* has done 16"),
        pytest.warns(SlmWarning),
    ):
        Trainer(make_run()).fit()


def test_other_shards_are_refused_when_a_run_goes_on(make_run: MakeRun, tmp_path: Path):
    run = make_run()
    Trainer(run, stop=StopAfter(4)).fit()
    other = write_shards(tmp_path / "other", {"train": [[1, 2, 3] * 50], "validation": [[4, 5] * 50]})
    with pytest.raises(DataError, match="the saved data position is of shards"):
        Trainer(run.model_copy(update={"shards": other})).fit()


def test_two_processes_do_not_train_in_one_directory(make_run: MakeRun):
    run = make_run()
    with RunDirectory(run.out).locked(), pytest.raises(ConfigError, match="another process is training"):
        Trainer(run).fit()


def test_a_vocabulary_without_room_is_refused_before_anything_is_written(make_run: MakeRun, tmp_path: Path):
    run = make_run()
    shards = write_shards(tmp_path / "large", {"train": [[1, 2, 3] * 50]}, vocab_size=1000)
    with pytest.raises(ConfigError, match=r"`model\.vocab_size` is 257, .* has 1000 tokens"):
        Trainer(run.model_copy(update={"shards": shards})).fit()
    assert not run.out.exists()


def test_shards_without_validation_train_without_it(make_run: MakeRun, tmp_path: Path):
    shards = write_shards(tmp_path / "alone", {"train": [[1, 2, 3] * 50]})
    run = make_run().model_copy(update={"shards": shards})
    result = Trainer(run).fit()
    assert result.is_finished
    assert result.metrics is not None
    assert result.metrics.validation_loss is None


def test_a_checkpoint_of_another_model_is_refused(make_run: MakeRun):
    run = make_run()
    result = Trainer(run, stop=StopAfter(4)).fit()
    larger = run.model_copy(update={"model": run.model.model_copy(update={"intermediate_size": 48})})
    (run.out / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match="is of another model"):
        Trainer(larger).fit()
    assert result.checkpoint.exists()


def test_the_plan_counts_what_the_run_does(make_run: MakeRun):
    run = make_run()
    plan = plan_run(run)
    assert not run.out.exists()
    assert (plan.tokens_per_step, plan.max_steps, plan.resumed_step) == (64, 12, 0)
    assert plan.parameters == run.model.num_parameters
    result = Trainer(run).fit()
    assert result.metrics is not None
    assert result.metrics.tokens == plan.max_steps * plan.tokens_per_step
    assert plan_run(run).resumed_step == 12
    assert load_checkpoint(result.checkpoint).state["loader"]["next_row"] == pytest.approx(plan.epochs * plan.rows)


def test_validation_is_the_mean_over_its_rows_whatever_the_batch(make_run: MakeRun, shards: Path):
    result = Trainer(make_run()).fit()
    assert result.model_dir is not None
    model, dataset = load_model(result.model_dir), TokenDataset(shards, "validation")
    token_bytes_V = torch.arange(257) % 3  # every third token is not text
    nll, text_nll, text_bytes, count = 0.0, 0.0, 0, 0
    num_rows = (dataset.num_tokens - 1) // 16
    for row in [i * num_rows // 7 for i in range(7)]:
        ids = torch.tensor(dataset.tokens(row * 16, 17).astype("int64"))[None]
        with torch.no_grad():
            losses = torch.nn.functional.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:], reduction="none")
        nll, count = nll + losses.sum().item(), count + 16
        text_nll += losses[token_bytes_V[ids[0, 1:]] > 0].sum().item()
        text_bytes += int(token_bytes_V[ids[0, 1:]].sum())
    for batch_rows in (1, 3, 100):
        validator = Validator(dataset, row_tokens=16, max_rows=7, batch_rows=batch_rows, token_bytes_V=token_bytes_V)
        found = validator.run(model, torch.device("cpu"), "float32", lambda: False)
        assert found is not None
        assert found.loss == pytest.approx(nll / count, rel=1e-6)
        assert found.bits_per_byte == pytest.approx(text_nll / text_bytes / 0.6931471805599453, rel=1e-6)
