import pytest
import torch

from slm.config.model import ModelConfig
from slm.config.train import TrainConfig
from slm.errors import ConfigError
from slm.model.transformer import Transformer
from slm.train import precision
from slm.train.precision import autocast, choose_precision, resolve_device

CPU = torch.device("cpu")


@pytest.fixture
def model() -> Transformer:
    return Transformer(
        ModelConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
        )
    )


def test_a_setting_other_than_auto_is_taken_as_it_is(model: Transformer):
    for setting in ("float32", "bfloat16", "float16"):
        assert choose_precision(TrainConfig(max_steps=1, precision=setting), model, CPU) == setting


def test_auto_on_a_cpu_measures_and_leaves_the_model_as_it_was(model: Transformer):
    before = [parameter.detach().clone() for parameter in model.parameters()]
    random = torch.get_rng_state()
    chosen = choose_precision(TrainConfig(max_steps=1, row_tokens=16), model, CPU)
    assert chosen in ("float32", "bfloat16")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("seconds", "chosen"), [([1.0, 0.5], "bfloat16"), ([1.0, 0.95], "float32"), ([0.5, 1.0], "float32")]
)
def test_bfloat16_must_win_clearly(
    model: Transformer, monkeypatch: pytest.MonkeyPatch, seconds: list[float], chosen: str
):
    monkeypatch.setattr(precision, "_fastest", lambda *_: seconds)
    assert choose_precision(TrainConfig(max_steps=1, row_tokens=16), model, CPU) == chosen


def test_autocast_runs_products_in_the_precision(model: Transformer):
    weight = torch.ones(4, 4)
    for name, dtype in [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]:
        with autocast(CPU, name):  # type: ignore[arg-type]
            assert (weight @ weight).dtype == dtype


def test_devices():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match=r"`train.device` is `cuda:99`, and PyTorch"):
        resolve_device("cuda:99")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_on_cuda_follows_the_device(model: Transformer):
    device = torch.device("cuda")
    chosen = choose_precision(TrainConfig(max_steps=1, row_tokens=16), model.to(device), device)
    assert chosen == ("bfloat16" if torch.cuda.get_device_capability()[0] >= 8 else "float16")
