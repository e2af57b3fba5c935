"""Runs on several shard directories, and with documents packed by best fit."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from slm.checkpoint.load import load_checkpoint
from slm.config.run import RunConfig
from slm.data.dataset import TokenDataset
from slm.data.loader import Loader
from slm.data.mixture import Mixture
from slm.data.rows import Batch
from slm.errors import ConfigError, DataError, TokenizerError
from slm.model.transformer import Transformer
from slm.train.plan import plan_run
from slm.train.step import Learner
from slm.train.trainer import Trainer
from tests.reference.shards import random_documents, write_shards

MakeRun = Callable[..., RunConfig]

pytestmark = pytest.mark.filterwarnings("ignore:.*tokenizer. is missing")


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("more")
    return write_shards(path, {"train": random_documents(25, seed=9)}, documents_per_shard=10)


@pytest.fixture
def make_mixed(make_run: MakeRun, more: Path) -> MakeRun:
    def make(out: str = "run", weights: list[float] | None = None, **train: object) -> RunConfig:
        values = json.loads(make_run(out=out, **train).model_dump_json())
        mixed = {"more_shards": [str(more)], "shard_weights": weights or [0.75, 0.25]}
        return RunConfig.from_values(values | mixed)

    return make


def mixture_of(run: RunConfig) -> Mixture:
    return Mixture([TokenDataset(path) for path in run.all_shards], run.shard_weights)


class StopAt:
    def __init__(self, question: int) -> None:
        self.question = question

    def __call__(self) -> bool:
        self.question -= 1
        return self.question == 0


@pytest.mark.parametrize("packing", ["stream", "best_fit"])
def test_a_resumed_mixed_run_ends_with_the_same_bytes(make_mixed: MakeRun, packing: str) -> None:
    straight = Trainer(make_mixed(out="straight", packing=packing)).fit()
    run = make_mixed(out="stopped", packing=packing)
    for question in (3, 6):
        assert not Trainer(run, stop=StopAt(question)).fit().is_finished
    resumed = Trainer(RunConfig.load(run.out / "config.yaml")).fit()
    first, second = load_checkpoint(straight.checkpoint), load_checkpoint(resumed.checkpoint)
    assert first.state["loader"] == second.state["loader"]
    assert first.state["tokens"] == second.state["tokens"]
    for name, tensor in first.tensors["model"].items():
        assert torch.equal(tensor, second.tensors["model"][name]), name
    assert straight.sources == resumed.sources
    assert [source.rows for source in resumed.sources] == [36, 12]
    assert [source.share for source in resumed.sources] == [0.75, 0.25]


def test_only_targets_that_count_are_counted(make_mixed: MakeRun) -> None:
    run = make_mixed(packing="best_fit")
    result = Trainer(run).fit()
    loader = Loader(mixture_of(run), row_tokens=16, batch_rows=2, seed=run.train.seed, packing="best_fit")
    with loader:
        expected = sum(batch.num_targets for batch in islice(loader, 24))
    assert result.metrics is not None
    assert result.metrics.tokens == expected < 12 * 4 * 16


def test_padding_and_ends_of_documents_do_not_change_what_is_learned(make_run: MakeRun) -> None:
    """The update of a batch is that of its counted targets, however many positions beside them have none."""
    run = make_run()
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 257, (4, 17))
    short = Batch(ids[:, :10].copy(), ids[:, 1:11].copy(), 0)
    padded_targets = ids[:, 1:].copy()
    padded_targets[:, 10:] = -100
    padded = Batch(ids[:, :16].copy(), padded_targets, 0)
    losses = []
    weights = []
    for batch in (short, padded):
        model = Transformer(run.model, generator=torch.Generator().manual_seed(0))
        learner = Learner(run.train, model, torch.device("cpu"), "float32")
        outcome = learner.learn([batch, batch], step=1, learning_rate=1e-2)
        assert outcome.num_targets == 80
        losses.append(outcome.loss.item())
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=1e-5)


def test_a_step_without_a_target_learns_nothing_and_is_finite(make_run: MakeRun) -> None:
    run = make_run()
    model = Transformer(run.model, generator=torch.Generator().manual_seed(0))
    learner = Learner(run.train, model, torch.device("cpu"), "float32")
    batch = Batch(np.ones((2, 4), dtype=np.int64), np.full((2, 4), -100, dtype=np.int64), 0)
    outcome = learner.learn([batch], step=1, learning_rate=1e-2)
    assert (outcome.loss.item(), outcome.grad_norm.item(), outcome.num_targets) == (0, 0, 0)


def test_the_plan_tells_what_each_directory_will_give(make_mixed: MakeRun) -> None:
    run = make_mixed(packing="best_fit")
    plan = plan_run(run)
    assert 0 < plan.padding_share < 0.5
    assert plan.train_tokens == mixture_of(run).num_tokens
    assert plan.sources == Trainer(run).fit().sources


def test_without_weights_every_directory_has_what_it_has_tokens(make_run: MakeRun, more: Path) -> None:
    run = make_run().model_copy(update={"more_shards": (more,)})
    epochs = [source.epochs for source in plan_run(run).sources]
    assert epochs[0] == pytest.approx(epochs[1], rel=0.1)


def test_other_weights_are_another_run(make_mixed: MakeRun) -> None:
    Trainer(make_mixed(), stop=StopAt(3)).fit()
    with pytest.raises(ConfigError, match="shard_weights"):
        Trainer(make_mixed(weights=[0.5, 0.5])).fit()
    with pytest.raises(ConfigError, match=r"train\.packing"):
        Trainer(make_mixed(packing="best_fit")).fit()


def test_directories_may_be_moved_but_not_replaced(make_mixed: MakeRun, tmp_path: Path) -> None:
    run = make_mixed()
    Trainer(run, stop=StopAt(3)).fit()
    same = write_shards(tmp_path / "same", {"train": random_documents(25, seed=9)}, documents_per_shard=10)
    other = write_shards(tmp_path / "other", {"train": random_documents(25, seed=8)}, documents_per_shard=10)
    with pytest.raises(DataError, match="the saved data position is of shards"):
        Trainer(run.model_copy(update={"more_shards": (other,)})).fit()
    assert Trainer(run.model_copy(update={"more_shards": (same,)})).fit().is_finished


def test_directories_of_other_tokenizers_are_refused(make_mixed: MakeRun, tmp_path: Path) -> None:
    other = write_shards(tmp_path / "other", {"train": [[1, 2, 3] * 9]}, fingerprint="a" * 64)
    with pytest.raises(TokenizerError, match="was made with tokenizer"):
        plan_run(make_mixed().model_copy(update={"more_shards": (other,)}))


def test_every_directory_needs_a_weight(make_mixed: MakeRun) -> None:
    with pytest.raises(ConfigError, match=r"`shard_weights` has 1 numbers, and `shards` with `more_shards` is 2"):
        make_mixed(weights=[1])
    with pytest.raises(ConfigError, match="shard_weights"):
        make_mixed(weights=[1, 0])
