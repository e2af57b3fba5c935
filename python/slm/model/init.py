"""Initial weights, and the bare layers that wait for them."""

import math

import torch
from torch import Tensor, nn

INITIAL_STD = 0.02
"""Standard deviation of initial weights; that of GPT-2 and of Llama's `initializer_range`."""

_RESIDUAL_WRITERS = ("o_proj.weight", "down_proj.weight")


class Projection(nn.Linear):
    """A linear map without bias whose weight is not drawn on construction.

    `initialize` or a file gives the weight, so the draw from the global generator that `nn.Linear` makes is left out.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features, bias=False)

    def reset_parameters(self) -> None:
        """Draw nothing."""


class TokenEmbedding(nn.Embedding):
    """An embedding table that is not drawn on construction, as `Projection` is not."""

    def reset_parameters(self) -> None:
        """Draw nothing."""


@torch.no_grad()
def initialize(model: nn.Module, num_layers: int, generator: torch.Generator) -> None:
    """Draw every weight of a model in place.

    Matrices are normal with standard deviation 0.02. The two that write into the residual stream of each layer,
    `o_proj` and `down_proj`, are smaller by sqrt(2 * num_layers), so that the stream's variance does not grow with
    depth. Vectors, which are all weights of norms, become 1. Values depend on the generator's seed and on the shapes
    alone: they are drawn on the generator's device, in float32, in the order of `named_parameters`, and then copied.

    Args:
        model: Its parameters are overwritten; those on the meta device are passed over.
        num_layers: Layers that write into the residual stream.
        generator: Source of the draws; it is advanced.

    Source:
        Radford et al. 2019, Language Models are Unsupervised Multitask Learners (GPT-2), section 2.3.
    """
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            continue
        if parameter.dim() == 1:
            parameter.fill_(1.0)
            continue
        std = INITIAL_STD / math.sqrt(2 * num_layers) if name.endswith(_RESIDUAL_WRITERS) else INITIAL_STD
        drawn: Tensor = torch.empty(parameter.shape, device=generator.device)
        parameter.copy_(drawn.normal_(0.0, std, generator=generator))
