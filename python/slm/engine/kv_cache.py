"""Keys and values of every sequence in progress, in slots that are allocated once.

Shapes: L layers, N slots, B rows of this pass, T new tokens in a row, S tokens attended to, K key/value heads,
E head dim.

A slot holds one sequence of up to the whole context, so nothing is ever moved to make room, preempted or recomputed.
The rows of a pass are always neighbouring slots: attention then reads views of the cache, never copies.
"""

import torch
from torch import Tensor

from slm.config.model import ModelConfig


class SlotCache:
    """An `AttentionCache` over static slots.

    Call `select` before each forward pass; it says which slots the rows are and where their new tokens go.

    Args:
        config: Sizes of the model.
        num_slots: Most sequences at a time.
        num_positions: Most tokens of a sequence.
        dtype: Of keys and values.
        device: Where they live.
    """

    def __init__(
        self, config: ModelConfig, num_slots: int, num_positions: int, *, dtype: torch.dtype, device: torch.device
    ):
        num_heads = config.num_key_value_heads or config.num_attention_heads
        head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
        shape = (config.num_hidden_layers, num_slots, num_heads, num_positions, head_dim)
        # Zeros, not whatever the memory held: a masked key weighs 0, but 0 times NaN is NaN.
        self._k_LNKSE = torch.zeros(shape, dtype=dtype, device=device)
        self._v_LNKSE = torch.zeros(shape, dtype=dtype, device=device)
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._places: list[tuple[Tensor, Tensor]] = []
        self._write: tuple[Tensor, Tensor] | None = None
        self._mask_B1TS: Tensor | None = None
        self.num_slots = num_slots
        self.num_positions = num_positions

    @property
    def num_bytes(self) -> int:
        """Memory that the slots take."""
        return 2 * self._k_LNKSE.numel() * self._k_LNKSE.element_size()

    def select(self, first_slot: int, starts_B: list[int], num_tokens: int) -> None:
        """Say what the next forward pass is about.

        Example: slots 0 and 1 hold 5 and 3 tokens and each gets one more: `select(0, [5, 3], 1)`. Both rows then read
        positions 0 to 5; a mask hides positions 4 and 5 from the second.

        Args:
            first_slot: Slot of the first row; the others follow it.
            starts_B: For each row, how many tokens its slot holds already.
            num_tokens: New tokens in each row, T. More than one only for a single row.
        """
        num_rows, longest = len(starts_B), max(starts_B)
        num_visible = longest + num_tokens
        assert first_slot + num_rows <= self.num_slots, "a row without a slot"
        assert num_visible <= self.num_positions, "a sequence longer than its slot"
        assert num_tokens == 1 or num_rows == 1, "several rows get one token each"
        slots = slice(first_slot, first_slot + num_rows)
        k_LBKSE = self._k_LNKSE[:, slots, :, :num_visible]
        v_LBKSE = self._v_LNKSE[:, slots, :, :num_visible]
        # One unbind for all layers: slicing layer by layer costs more than the copies into the slices.
        self._layers = list(zip(k_LBKSE.unbind(0), v_LBKSE.unbind(0), strict=True))
        self._places = list(zip(k_LBKSE[..., longest:, :].unbind(0), v_LBKSE[..., longest:, :].unbind(0), strict=True))
        self._write, self._mask_B1TS = None, None
        if min(starts_B) != longest:
            starts = torch.tensor(starts_B, device=self._k_LNKSE.device)
            self._write = (torch.arange(num_rows, device=starts.device), starts)
            visible = torch.arange(num_visible, device=starts.device) <= starts[:, None]
            self._mask_B1TS = visible[:, None, None]
        elif num_tokens > 1 and longest > 0:
            positions = torch.arange(num_visible, device=self._k_LNKSE.device)
            self._mask_B1TS = (positions <= positions[longest:, None])[None, None]

    def extend(
        self, layer_idx: int, k_BKTE: Tensor, v_BKTE: Tensor, positions_BT: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store one layer's new keys and values; return all that the rows attend to, as `AttentionCache` says."""
        k_BKSE, v_BKSE = self._layers[layer_idx]
        if self._write is None:
            k_place_BKTE, v_place_BKTE = self._places[layer_idx]
            k_place_BKTE.copy_(k_BKTE)
            v_place_BKTE.copy_(v_BKTE)
        else:
            rows, starts = self._write
            k_BKSE[rows, :, starts] = k_BKTE[:, :, 0]
            v_BKSE[rows, :, starts] = v_BKTE[:, :, 0]
        return k_BKSE, v_BKSE, self._mask_B1TS

    def move(self, source: int, target: int, num_tokens: int) -> None:
        """Copy the first `num_tokens` of slot `source` over those of `target`, so that the used slots stay together."""
        self._k_LNKSE[:, target, :, :num_tokens] = self._k_LNKSE[:, source, :, :num_tokens]
        self._v_LNKSE[:, target, :, :num_tokens] = self._v_LNKSE[:, source, :, :num_tokens]
