import torch

from slm.config.model import ModelConfig
from slm.config.train import OptimizerConfig
from slm.model.transformer import Transformer
from slm.train.optimizer import build_optimizer, optimizer_tensors, set_learning_rate


def tiny_model() -> Transformer:
    return Transformer(
        ModelConfig(
            vocab_size=33,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=8,
        )
    )


def naive_adamw_step(state: dict[str, torch.Tensor], weight: torch.Tensor, step: int, rate: float, decay: float):
    """Loshchilov and Hutter's algorithm 2, in float64."""
    gradient = state["gradient"]
    state["m"] = 0.9 * state["m"] + 0.1 * gradient
    state["v"] = 0.95 * state["v"] + 0.05 * gradient**2
    m, v = state["m"] / (1 - 0.9**step), state["v"] / (1 - 0.95**step)
    weight -= rate * decay * weight + rate * m / (v.sqrt() + 1e-8)


def test_ten_steps_equal_the_formula_and_only_matrices_decay():
    model = tiny_model()
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.1))
    weights = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    states = {name: {"m": torch.zeros_like(w), "v": torch.zeros_like(w)} for name, w in weights.items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 11):
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            states[name]["gradient"] = parameter.grad.double()
        set_learning_rate(optimizer, 0.01 * step)
        optimizer.step()
        for name, weight in weights.items():
            naive_adamw_step(states[name], weight, step, 0.01 * step, decay=0.1 if weight.dim() >= 2 else 0.0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), weights[name], rtol=1e-5, atol=1e-6, msg=name)


def test_ten_steps_equal_the_reference_implementation_of_torch():
    ours, theirs = tiny_model(), tiny_model()
    optimizer = build_optimizer(ours, OptimizerConfig(weight_decay=0.1, learning_rate=1e-2))
    matrices = [p for p in theirs.parameters() if p.dim() >= 2]
    vectors = [p for p in theirs.parameters() if p.dim() < 2]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-2,
        betas=(0.9, 0.95),
        eps=1e-8,
        foreach=False,
        fused=False,
    )
    generator = torch.Generator().manual_seed(1)
    for _ in range(10):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        optimizer.step()
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_state_has_the_names_of_the_parameters_before_the_first_step():
    model = tiny_model()
    tensors = optimizer_tensors(model, build_optimizer(model, OptimizerConfig()))
    assert len(tensors) == 3 * len(list(model.parameters()))
    assert tensors["exp_avg.model.norm.weight"].shape == (16,)
    assert tensors["step.model.norm.weight"].item() == 0
