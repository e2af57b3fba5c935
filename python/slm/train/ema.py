"""An exponential moving average of the weights, which is often a better model than the last weights."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights:
    """A float32 copy of the weights that follows them slowly.

    After update t = 1, 2, … the average is `d * average + (1 - d) * weights` with `d = min(decay, t / (t + 9))`: the
    decay grows from 0.1, so the random weights of the start are forgotten and short runs have an average that means
    something.

    Args:
        model: The model whose weights are followed; the average starts as a copy of them.
        decay: The d that is reached, in (0, 1).

    Source:
        Polyak and Juditsky 1992 for the idea; the growing decay is that of TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = dict(model.named_parameters())
        self._averages = {name: weight.detach().clone() for name, weight in self._weights.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Give the average under the names of the parameters; the tensors are the live ones."""
        return self._averages

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step`, from 1."""
        decay = min(self.decay, step / (step + 9))
        weights = [weight.detach() for weight in self._weights.values()]
        get_ema_multi_avg_fn(decay)(list(self._averages.values()), weights, None)

    @contextmanager
    @torch.no_grad()
    def in_place_of_weights(self) -> Generator[None]:
        """Put the average into the model inside the `with` block, and the weights back, to the bit, after it."""
        kept = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._copy(self._averages)
        try:
            yield
        finally:
            self._copy(kept)

    @torch.no_grad()
    def _copy(self, source: dict[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(source[name])
