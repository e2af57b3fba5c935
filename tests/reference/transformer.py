"""Attention, rotary positions and a cache, written as the formulas are: one token and one head at a time."""

import cmath
import math

import torch
from torch import Tensor


def naive_rotate(x_TE: Tensor, positions: list[int], theta: float) -> Tensor:
    """Turn coordinate pairs (i, i + E/2) as complex numbers by position * theta**(-2i/E)."""
    half = x_TE.shape[1] // 2
    turned = torch.empty_like(x_TE)
    for token_idx, position in enumerate(positions):
        for i in range(half):
            pair = complex(float(x_TE[token_idx, i]), float(x_TE[token_idx, i + half]))
            pair *= cmath.exp(1j * position * theta ** (-i / half))
            turned[token_idx, i], turned[token_idx, i + half] = pair.real, pair.imag
    return turned


def naive_causal_attention(q_HTE: Tensor, k_KTE: Tensor, v_KTE: Tensor) -> Tensor:
    """Each token looks at itself and those before it; query head h reads key head h // (H / K)."""
    num_heads, num_tokens, head_dim = q_HTE.shape
    y_HTE = torch.zeros_like(q_HTE)
    for head in range(num_heads):
        shared = head // (num_heads // k_KTE.shape[0])
        for token_idx in range(num_tokens):
            scores = [
                float(q_HTE[head, token_idx] @ k_KTE[shared, seen]) / math.sqrt(head_dim)
                for seen in range(token_idx + 1)
            ]
            largest = max(scores)
            weights = [math.exp(score - largest) for score in scores]
            for seen, weight in enumerate(weights):
                y_HTE[head, token_idx] += weight / sum(weights) * v_KTE[shared, seen]
    return y_HTE


class DictCache:
    """Keeps all keys and values in a dictionary by layer; every row has the same length."""

    def __init__(self) -> None:
        self.by_layer: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(
        self, layer_idx: int, k_BKTE: Tensor, v_BKTE: Tensor, positions_BT: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        if layer_idx in self.by_layer:
            k_BKSE, v_BKSE = self.by_layer[layer_idx]
            k_BKTE, v_BKTE = torch.cat((k_BKSE, k_BKTE), dim=2), torch.cat((v_BKSE, v_BKTE), dim=2)
        self.by_layer[layer_idx] = (k_BKTE, v_BKTE)
        seen_S = torch.arange(k_BKTE.shape[2])
        return k_BKTE, v_BKTE, (seen_S <= positions_BT[:, :, None])[:, None]
