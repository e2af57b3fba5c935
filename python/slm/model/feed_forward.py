"""The gated feed-forward block of a layer.

Shapes: B batch, T tokens in a row, D hidden, F intermediate.
"""

from torch import Tensor, nn
from torch.nn.functional import silu

from slm.model.init import Projection


class FeedForward(nn.Module):
    """SwiGLU: `down(silu(gate(x)) * up(x))`, without biases.

    Args:
        hidden_size: D.
        intermediate_size: F; a third of 8 D gives the parameters of an ungated block of 4 D.

    Source:
        Shazeer 2020, GLU Variants Improve Transformer, arXiv:2002.05202.
    """

    def __init__(self, hidden_size: int, intermediate_size: int):
        super().__init__()
        self.gate_proj = Projection(hidden_size, intermediate_size)
        self.up_proj = Projection(hidden_size, intermediate_size)
        self.down_proj = Projection(intermediate_size, hidden_size)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each token by itself; (B, T, D) in and out."""
        return self.down_proj(silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
