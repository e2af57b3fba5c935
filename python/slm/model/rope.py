"""Rotary position embedding in the layout of Hugging Face: coordinate i is rotated with coordinate i + E/2.

Shapes: B batch, T tokens in a row, H heads, E head dim.
"""

import torch
from torch import Tensor


def rotary_tables(positions_BT: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every rotation angle, float32.

    They are made once per forward pass and shared by all layers. Nothing is kept between calls: at (T, E) angles a
    pass costs less than one layer's normalisation, and a model on the meta device or moved to another device has no
    stale table.

    Args:
        positions_BT: Place of each token in its sequence, from 0; (B, T), or (1, T) if all rows agree, int64.
        head_dim: E, even.
        theta: Base of the wavelengths; coordinate pair i turns by theta**(-2i/E) radians a token.

    Returns:
        cos and sin, each (B, 1, T, E/2) float32, ready to broadcast over heads.

    Source:
        Su et al. 2021, RoFormer, arXiv:2104.09864; the half-split layout is that of GPT-NeoX and Hugging Face Llama.
    """
    # Autocast would turn the angles into bfloat16, which cannot tell position 256 from 257.
    with torch.autocast(positions_BT.device.type, enabled=False):
        exponents = torch.arange(0, head_dim, 2, dtype=torch.int64, device=positions_BT.device).float() / head_dim
        frequencies = 1.0 / (theta**exponents)
        angles = positions_BT[:, None, :, None].float() * frequencies
        return angles.cos(), angles.sin()


def rotate(x_BHTE: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of coordinates (i, i + E/2) of queries or keys by its angle.

    The same numbers as `x * cos + rotate_half(x) * sin` with doubled tables, in fewer passes over memory.

    Args:
        x_BHTE: Queries or keys.
        cos: From `rotary_tables`.
        sin: From `rotary_tables`.

    Returns:
        The shape and dtype of `x_BHTE`.
    """
    cos, sin = cos.to(x_BHTE.dtype), sin.to(x_BHTE.dtype)
    first, second = x_BHTE.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
