"""Cross-entropy of the output head without the whole matrix of logits."""

import torch
import torch.nn.functional as F
from torch import Tensor


def nll_of_hidden(x_BTD: Tensor, weight_VD: Tensor, target_ids_BT: Tensor, ignore_index: int) -> Tensor:
    """Plain stand-in."""
    logits = F.linear(x_BTD, weight_VD).float()
    return F.cross_entropy(
        logits.flatten(0, -2), target_ids_BT.flatten(), ignore_index=ignore_index, reduction="none"
    ).view(target_ids_BT.shape)
