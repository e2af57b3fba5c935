"""One optimizer update: forward, backward, clip, AdamW, average."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from slm.config.train import TrainConfig
from slm.data.rows import Batch
from slm.model.transformer import Transformer
from slm.train.ema import AveragedWeights
from slm.train.optimizer import build_optimizer, optimizer_tensors, set_learning_rate
from slm.train.precision import Precision, autocast


@dataclass(frozen=True)
class StepOutcome:
    """What a step found, on the device, so that reading it is the caller's choice of when to wait.

    Attributes:
        loss: Mean negative log-likelihood over all targets of the step, in nats; a float32 scalar.
        grad_norm: Norm of the gradient before clipping; a float32 scalar.
        num_targets: Targets that were learned from; padding and ends of documents have none.
    """

    loss: Tensor
    grad_norm: Tensor
    num_targets: int


class Learner:
    """The model with all that changes when it learns: optimizer, gradient scaler, average of the weights.

    Args:
        config: How to learn.
        model: The model, on `device`; weights float32.
        device: Where it learns.
        precision: Of matrix products. float16 has a gradient scaler, for its smallest number is too large for
            gradients.
    """

    def __init__(self, config: TrainConfig, model: Transformer, device: torch.device, precision: Precision) -> None:
        self.model = model
        self.device = device
        self.precision: Precision = precision
        self.optimizer = build_optimizer(model, config.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.average = AveragedWeights(model, config.ema_decay) if config.ema_decay is not None else None
        self._max_grad_norm = config.optimizer.max_grad_norm
        if config.compile:
            model.model.compile(dynamic=False)

    def learn(self, batches: Sequence[Batch], *, step: int, learning_rate: float) -> StepOutcome:
        """Update the weights once.

        The loss is the sum over the targets of all batches divided by their number, so the update is that of one large
        batch however the rows are split.

        Args:
            batches: The micro batches of the step.
            step: Number of this update, from 1.
            learning_rate: Its learning rate.
        """
        num_targets = sum(batch.num_targets for batch in batches)
        loss = torch.zeros((), device=self.device)
        self.optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            input_ids_BT, target_ids_BT = self._move(batch)
            with autocast(self.device, self.precision):
                nll_BT = self.model.nll(input_ids_BT, target_ids_BT)
            micro_loss = nll_BT.sum() / max(num_targets, 1)
            self.scaler.scale(micro_loss).backward()
            loss += micro_loss.detach()
        self.scaler.unscale_(self.optimizer)
        parameters = list(self.model.parameters())
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        grad_norm = torch.nn.utils.get_total_norm(gradients)
        if self._max_grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._max_grad_norm, grad_norm)
        set_learning_rate(self.optimizer, learning_rate)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(step)
        return StepOutcome(loss, grad_norm, num_targets)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Name everything that learning changes, by the groups of a checkpoint; the tensors are the live ones."""
        groups = {
            "model": dict(self.model.state_dict()),
            "optimizer": optimizer_tensors(self.model, self.optimizer),
        }
        return groups | ({"ema": self.average.tensors()} if self.average is not None else {})

    def scaler_state(self) -> dict[str, Any] | None:
        """Give the gradient scaler's state as plain numbers, None where there is no scaler."""
        return self.scaler.state_dict() if self.scaler.is_enabled() else None

    def _move(self, batch: Batch) -> tuple[Tensor, Tensor]:
        pair = torch.from_numpy(batch.input_ids_BT), torch.from_numpy(batch.target_ids_BT)
        if self.device.type != "cuda":
            return pair[0].to(self.device), pair[1].to(self.device)
        return tuple(ids.pin_memory().to(self.device, non_blocking=True) for ids in pair)  # pyright: ignore[reportReturnType]
