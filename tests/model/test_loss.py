import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from slm.config import memory
from slm.model import loss
from slm.model.loss import nll_of_hidden
from tests.reference.tiny_models import tiny_ids, tiny_model

IGNORE = -100
CHUNK_LOGITS_CPU, MIN_CHUNK_TOKENS = loss._CHUNK_LOGITS_CPU, loss._MIN_CHUNK_TOKENS  # before any test shrinks them


def make_inputs(num_tokens: int = 70, vocab_size: int = 50) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_ND = torch.randn(num_tokens, 16, generator=generator, requires_grad=True)
    weight_VD = torch.randn(vocab_size, 16, generator=generator, requires_grad=True)
    target_ids_N = torch.randint(0, vocab_size, (num_tokens,), generator=generator)
    target_ids_N[::5] = IGNORE
    return x_ND, weight_VD, target_ids_N


def plain_nll(x_ND: torch.Tensor, weight_VD: torch.Tensor, target_ids_N: torch.Tensor) -> torch.Tensor:
    return cross_entropy(linear(x_ND, weight_VD), target_ids_N, reduction="none", ignore_index=IGNORE)


def test_memory_estimate_knows_the_size_of_a_chunk() -> None:
    assert memory._LOGITS_ON_CPU == CHUNK_LOGITS_CPU
    assert memory._LOGITS_ON_GPU == loss._CHUNK_LOGITS_GPU
    assert memory._LEAST_TOKENS_OF_LOGITS == MIN_CHUNK_TOKENS


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven chunks and a rest in every test."""
    monkeypatch.setattr(loss, "_MIN_CHUNK_TOKENS", 9)
    monkeypatch.setattr(loss, "_CHUNK_LOGITS_CPU", 1)


@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted", "masked", "scaled"])
def test_loss_and_gradients_equal_plain_cross_entropy(reduction: str) -> None:
    x_ND, weight_VD, target_ids_N = make_inputs()
    reduce = {
        "sum": lambda nll: nll.sum() / 56,
        "mean": lambda nll: nll.mean(),
        "weighted": lambda nll: (nll * torch.linspace(0, 1, 70)).mean(),
        "masked": lambda nll: nll[target_ids_N != IGNORE].mean(),
        "scaled": lambda nll: nll.sum() * 1024,
    }[reduction]
    scale = 1024 if reduction == "scaled" else 1
    results = []
    for nll in (plain_nll, lambda *inputs: nll_of_hidden(*inputs, IGNORE)):
        nll_N = nll(x_ND, weight_VD, target_ids_N)
        results.append((nll_N, *torch.autograd.grad(reduce(nll_N), (x_ND, weight_VD))))
    for plain, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, plain, atol=1e-6 * scale, rtol=1e-6)


def test_loss_without_gradients_is_the_same_number() -> None:
    inputs = make_inputs()
    with torch.no_grad():
        forward_only_N = nll_of_hidden(*inputs, IGNORE)
    torch.testing.assert_close(forward_only_N, nll_of_hidden(*inputs, IGNORE).detach(), atol=1e-6, rtol=1e-6)
    assert not forward_only_N.requires_grad


def test_all_targets_ignored_cost_nothing_and_have_no_gradient() -> None:
    x_ND, weight_VD, target_ids_N = make_inputs()
    for reduce in (torch.sum, torch.mean):
        nll_N = nll_of_hidden(x_ND, weight_VD, torch.full_like(target_ids_N, IGNORE), IGNORE)
        gradients = torch.autograd.grad(reduce(nll_N), (x_ND, weight_VD))
        assert nll_N.eq(0).all()
        assert all(gradient.eq(0).all() for gradient in gradients)


@pytest.mark.parametrize("target", [-1, 50])
def test_a_target_outside_the_vocabulary_is_an_error(target: int) -> None:
    x_ND, weight_VD, target_ids_N = make_inputs()
    target_ids_N[3] = target
    with pytest.raises(RuntimeError, match="out of bounds"):
        nll_of_hidden(x_ND, weight_VD, target_ids_N, IGNORE)


def test_large_logits_do_not_overflow() -> None:
    x_ND, weight_VD, target_ids_N = make_inputs()
    with torch.no_grad():
        x_ND *= 1e4
    nll_N = nll_of_hidden(x_ND, weight_VD, target_ids_N, IGNORE)
    gradients = torch.autograd.grad(nll_N.sum(), (x_ND, weight_VD))
    assert all(tensor.isfinite().all() for tensor in (nll_N, *gradients))


def test_only_one_chunk_of_logits_exists() -> None:
    x_ND, weight_VD, target_ids_N = make_inputs(num_tokens=900, vocab_size=500)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        nll_of_hidden(x_ND, weight_VD, target_ids_N, IGNORE).sum().backward()
    largest = max(event.self_cpu_memory_usage / max(event.count, 1) for event in profile.key_averages())
    # All logits are 1,800,000 bytes; the gradients are 57,600 and 32,000, a chunk of 9 tokens is 18,000.
    assert largest < 200_000


def test_bfloat16_under_autocast_stays_near_float32() -> None:
    x_ND, weight_VD, target_ids_N = make_inputs()
    with torch.autocast("cpu", torch.bfloat16):
        nll_N = nll_of_hidden(x_ND, weight_VD, target_ids_N, IGNORE)
    gradients = torch.autograd.grad(nll_N.sum(), (x_ND, weight_VD))
    expected_N = plain_nll(x_ND, weight_VD, target_ids_N)
    expected = torch.autograd.grad(expected_N.sum(), (x_ND, weight_VD))
    assert nll_N.dtype == torch.float32
    # bfloat16 keeps 8 bits, so logits of size 10 are off by up to 0.04.
    torch.testing.assert_close(nll_N, expected_N, atol=0.1, rtol=0.02)
    for ours, plain in zip(gradients, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - plain).norm() < 0.02 * plain.norm()


@pytest.mark.parametrize("kind", ["llama", "llama-grouped-untied"])
def test_model_gradients_equal_those_of_plain_cross_entropy(kind: str) -> None:
    model, input_ids_BT, target_ids_BT = tiny_model(kind), tiny_ids(3, 20), tiny_ids(3, 20, seed=6)
    model.nll(input_ids_BT, target_ids_BT).mean().backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    cross_entropy(model(input_ids_BT).flatten(0, 1), target_ids_BT.flatten()).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-6, rtol=1e-5)
