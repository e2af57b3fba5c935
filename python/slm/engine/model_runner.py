"""Runs the model over the cache: reads a piece of a prompt, or adds one token to several sequences.

Shapes: B rows, T tokens, V vocab.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slm.engine.kv_cache import SlotCache
from slm.model import Transformer


class ModelRunner:
    """Forward passes for the engine. Tokens in, float32 logits on the CPU out.

    Args:
        model: Put into evaluation mode; its device and dtype are used.
        num_slots: Most sequences at a time.
    """

    def __init__(self, model: Transformer, num_slots: int):
        weight = model.head_weight
        self.model = model.eval()
        self.device = weight.device
        self.cache = SlotCache(
            model.config, num_slots, model.config.max_position_embeddings, dtype=weight.dtype, device=weight.device
        )

    @torch.inference_mode()
    def prefill(self, slot: int, token_ids: list[int], start: int, *, wants_logits: bool) -> NDArray[np.float32] | None:
        """Read part of a prompt.

        Args:
            slot: Slot of the sequence.
            token_ids: The new tokens.
            start: How many tokens came before them.
            wants_logits: Whether this is the end of the prompt; otherwise the output head is not run.

        Returns:
            Scores of the token after the last one, (V,); None if not wanted.
        """
        self.cache.select(slot, [start], len(token_ids))
        input_ids_BT = torch.tensor([token_ids], device=self.device)
        positions_BT = torch.arange(start, start + len(token_ids), device=self.device)[None]
        x_BTD = self.model.hidden_states(input_ids_BT, positions_BT=positions_BT, cache=self.cache)
        return _to_numpy(self.model.logits(x_BTD[0, -1])) if wants_logits else None

    @torch.inference_mode()
    def decode(self, token_ids_B: list[int], starts_B: list[int]) -> NDArray[np.float32]:
        """Add one token to the sequences in slots 0 to B - 1.

        Args:
            token_ids_B: The token of each.
            starts_B: How many tokens came before it.

        Returns:
            Scores of the token after it, (B, V).
        """
        self.cache.select(0, starts_B, 1)
        input_ids_BT = torch.tensor(token_ids_B, device=self.device)[:, None]
        positions_BT = torch.tensor(starts_B, device=self.device)[:, None]
        x_BTD = self.model.hidden_states(input_ids_BT, positions_BT=positions_BT, cache=self.cache)
        return _to_numpy(self.model.logits(x_BTD[:, 0]))


def _to_numpy(logits: Tensor) -> NDArray[np.float32]:
    return logits.float().cpu().numpy()
