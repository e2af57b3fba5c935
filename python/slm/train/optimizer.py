"""AdamW for the model: which weights decay, and its state under the names of the parameters."""

import torch
from torch import Tensor, nn

from slm.config.train import OptimizerConfig

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """Make a fused AdamW, with its state allocated at once so that memory does not grow at the first step.

    Matrices decay, the embedding among them; vectors, which are the weights of norms, do not.

    Args:
        model: Its parameters, already on the device that they train on.
        config: Betas, epsilon and decay; the learning rate is set anew by each step.

    Source:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, arXiv:1711.05101.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )
    for parameter in parameters:
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name the live tensors of the optimizer's state after the parameters, such as `exp_avg.model.norm.weight`."""
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in model.named_parameters()
        for moment in _MOMENTS
    }


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give all parameters the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
