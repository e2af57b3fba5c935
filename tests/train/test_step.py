import itertools

import numpy as np
import pytest
import torch

from slm.config.model import ModelConfig
from slm.config.train import OptimizerConfig, TrainConfig
from slm.data.rows import Batch
from slm.model.transformer import Transformer
from slm.train.precision import Precision
from slm.train.step import Learner

CPU = torch.device("cpu")


def learner(precision: Precision = "float32", **settings: object) -> Learner:
    config = ModelConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
    )
    return Learner(TrainConfig.from_values({"max_steps": 100, **settings}), Transformer(config), CPU, precision)


def random_batch(rows: int, seed: int) -> Batch:
    ids = np.random.default_rng(seed).integers(0, 64, (rows, 17))
    return Batch(np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:]), 0)


def split(batch: Batch, sizes: list[int]) -> list[Batch]:
    cuts = np.cumsum([0, *sizes])
    return [Batch(batch.input_ids_BT[a:b], batch.target_ids_BT[a:b], 0) for a, b in itertools.pairwise(cuts)]


@pytest.mark.parametrize("sizes", [[4, 4], [1] * 8, [5, 2, 1]])
def test_an_accumulated_step_equals_a_large_step(sizes: list[int]):
    large, accumulated = learner(), learner()
    for step in range(1, 4):
        batch = random_batch(8, step)
        one = large.learn([batch], step=step, learning_rate=1e-2)
        many = accumulated.learn(split(batch, sizes), step=step, learning_rate=1e-2)
        # Sums in another order: float32 rounding, which Adam's division makes larger.
        torch.testing.assert_close(one.loss, many.loss, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(one.grad_norm, many.grad_norm, rtol=1e-4, atol=1e-6)
    for a, b in zip(large.model.parameters(), accumulated.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_one_batch_is_learned_by_heart(precision: Precision):
    ours = learner(precision, optimizer={"learning_rate": 1e-2, "weight_decay": 0.0})
    batch = random_batch(2, 0)
    for step in range(1, 151):
        outcome = ours.learn([batch], step=step, learning_rate=1e-2)
        if outcome.loss.item() < 0.01:
            break
    assert outcome.loss.item() < 0.01


def test_the_gradient_is_clipped_to_the_norm_and_the_norm_before_is_told():
    ours = learner(optimizer={"max_grad_norm": 1e-3})
    outcome = ours.learn([random_batch(4, 0)], step=1, learning_rate=0.0)
    clipped = torch.nn.utils.get_total_norm([p.grad for p in ours.model.parameters() if p.grad is not None])
    assert outcome.grad_norm.item() > 0.1
    assert clipped.item() == pytest.approx(1e-3, rel=1e-3)


def test_the_gradient_is_left_alone_without_a_norm():
    ours = learner(optimizer={"max_grad_norm": None})
    outcome = ours.learn([random_batch(4, 0)], step=1, learning_rate=0.0)
    kept = torch.nn.utils.get_total_norm([p.grad for p in ours.model.parameters() if p.grad is not None])
    assert kept.item() == pytest.approx(outcome.grad_norm.item())


def test_float16_skips_a_step_that_overflows_and_lowers_its_scale():
    ours = learner("float16")
    ours.scaler.load_state_dict({**ours.scaler.state_dict(), "scale": 2.0**60})
    before = [p.detach().clone() for p in ours.model.parameters()]
    outcome = ours.learn([random_batch(2, 0)], step=1, learning_rate=1e-2)
    assert not torch.isfinite(outcome.grad_norm)
    assert torch.isfinite(outcome.loss)
    assert ours.scaler.get_scale() == 2.0**59
    assert all(torch.equal(a, b) for a, b in zip(before, ours.model.parameters(), strict=True))


def test_only_float16_has_a_scaler():
    assert learner("bfloat16").scaler_state() is None
    state = learner("float16").scaler_state()
    assert state is not None
    assert state["scale"] == 65536.0


def test_weights_stay_float32_in_every_precision():
    for precision in ("float32", "bfloat16", "float16"):
        ours = learner(precision)
        ours.learn([random_batch(2, 0)], step=1, learning_rate=1e-2)
        assert {tensor.dtype for group in ours.tensors().values() for tensor in group.values()} == {torch.float32}


def test_decay_leaves_vectors_alone():
    config = OptimizerConfig()
    groups = learner().optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [config.weight_decay, 0.0]
    assert {p.dim() for p in groups[1]["params"]} == {1}
