"""Causal self-attention with grouped queries, and what a key/value cache must do.

Shapes: B batch, T tokens in a row, S tokens attended to, D hidden, H query heads, K key/value heads, E head dim.
"""

from typing import Protocol

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from slm.config.model import ModelConfig
from slm.model.init import Projection
from slm.model.norm import RMSNorm
from slm.model.rope import rotate


class AttentionCache(Protocol):
    """Keeps the keys and values of earlier tokens, layer by layer."""

    def extend(
        self, layer_idx: int, k_BKTE: Tensor, v_BKTE: Tensor, positions_BT: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store the keys and values of new tokens and give back everything that they attend to.

        Args:
            layer_idx: Layer, from 0; a forward pass calls each layer once, in order.
            k_BKTE: Keys of the new tokens, rotated.
            v_BKTE: Values of the new tokens.
            positions_BT: Place of each new token in its sequence; (B, T), or (1, T) if all rows agree.

        Returns:
            Keys (B, K, S, E), values (B, K, S, E) and a mask (B, 1, T, S) that is True where token t may look at s.
            The mask may be None in two cases: T = 1 and every key is visible, or S = T and the new tokens are all there
            is, so that plain causal order holds.
        """
        ...


class Attention(nn.Module):
    """Scaled dot-product attention of each token to itself and those before it.

    With `num_key_value_heads` below `num_attention_heads`, query head h reads key/value head h // (H / K). With
    `qk_norm` every head's queries and keys are normalised before they are rotated, as in Qwen3.

    Args:
        config: Sizes.
        layer_idx: Which layer this is, for the cache.

    Source:
        Ainslie et al. 2023, GQA, arXiv:2305.13245; Qwen3 Technical Report, arXiv:2505.09388.
    """

    def __init__(self, config: ModelConfig, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.num_heads = config.num_attention_heads
        self.num_key_value_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        self.q_proj = Projection(config.hidden_size, self.num_heads * self.head_dim)
        self.k_proj = Projection(config.hidden_size, self.num_key_value_heads * self.head_dim)
        self.v_proj = Projection(config.hidden_size, self.num_key_value_heads * self.head_dim)
        self.o_proj = Projection(self.num_heads * self.head_dim, config.hidden_size)
        self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps) if config.qk_norm else None

    def forward(
        self,
        x_BTD: Tensor,
        rotary: tuple[Tensor, Tensor],
        positions_BT: Tensor,
        cache: AttentionCache | None = None,
    ) -> Tensor:
        """Mix each token with those before it.

        Args:
            x_BTD: Normalised hidden states.
            rotary: cos and sin of the tokens' positions, from `rotary_tables`.
            positions_BT: The positions themselves, for the cache.
            cache: Earlier keys and values; None attends within `x_BTD` alone.

        Returns:
            (B, T, D).
        """
        num_rows, num_tokens, _ = x_BTD.shape
        q_BHTE = self._heads(self.q_proj(x_BTD), self.q_norm)
        k_BKTE = self._heads(self.k_proj(x_BTD), self.k_norm)
        v_BKTE = self._heads(self.v_proj(x_BTD), None)
        q_BHTE = rotate(q_BHTE, *rotary)
        k_BKTE = rotate(k_BKTE, *rotary)

        mask_B1TS = None
        if cache is not None:
            k_BKTE, v_BKTE, mask_B1TS = cache.extend(self.layer_idx, k_BKTE, v_BKTE, positions_BT)
        num_visible = k_BKTE.shape[2]
        assert mask_B1TS is not None or num_tokens in (1, num_visible), "only plain causal order may go without a mask"

        y_BHTE = scaled_dot_product_attention(
            q_BHTE,
            k_BKTE,
            v_BKTE,
            attn_mask=mask_B1TS,
            # No mask tensor in training: that is what lets the flash kernels skip the upper half.
            is_causal=mask_B1TS is None and num_tokens > 1,
            enable_gqa=self.num_key_value_heads != self.num_heads,
        )
        return self.o_proj(y_BHTE.transpose(1, 2).reshape(num_rows, num_tokens, -1))

    def _heads(self, x: Tensor, norm: RMSNorm | None) -> Tensor:
        """(B, T, heads * E) to (B, heads, T, E), each head normalised if asked."""
        x = x.unflatten(-1, (-1, self.head_dim))
        if norm is not None:
            x = norm(x)
        return x.transpose(1, 2)
