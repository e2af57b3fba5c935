"""What a checkpoint holds besides tensors, checked when it is read."""

import base64
import json
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slm.data.loader import LoaderState
from slm.errors import CheckpointError
from slm.train.metrics import StepMetrics
from slm.train.precision import Precision

Count = Annotated[int, Field(ge=0)]


class TrainState(BaseModel):
    """The position of a run between two steps: with the tensors it decides every later step, to the bit.

    The learning rate is not in it, because it is a function of the step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Version of this description."""

    step: Count
    """Optimizer updates done."""

    tokens: Count
    """Target tokens learned from, padding left out."""

    seconds: Annotated[float, Field(ge=0)]
    """Time in `fit`, over all sessions."""

    loader: LoaderState
    """Where the data goes on."""

    random: dict[str, str]
    """State of PyTorch's generators by device, in base64."""

    scaler: dict[str, float | int] | None
    """State of the float16 gradient scaler, None where there is none."""

    precision: Precision
    """What `precision: auto` was resolved to; a resumed run does not measure again."""

    loss_sum: float
    """Sum of the losses of the steps since the last line of metrics."""

    loss_steps: Count
    """Number of these steps."""

    is_validation_pending: bool
    """Whether the validation of this step was interrupted: the resumed run validates before it goes on."""

    last_grad_norm: float | None
    """Norm of this step's gradient, for the line of metrics that waits for the validation; None where not finite."""

    last_metrics: StepMetrics | None
    """The latest line of metrics."""

    config: dict[str, Any]
    """The resolved config of the session that wrote this."""

    environment: dict[str, str]
    """Versions, machine and git revision of that session."""

    @classmethod
    def read(cls, content: dict[str, Any], where: str) -> "TrainState":
        """Check what a checkpoint's `state.json` says.

        Raises:
            CheckpointError: It is not the state of a run.
        """
        try:
            # JSON has no tuples and no dataclasses; strictness is for numbers and text.
            return cls.model_validate_json(json.dumps(content))
        except ValidationError as err:
            first = err.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise CheckpointError(f"the state in {where} is malformed: `{place}`: {first['msg'].lower()}") from err


def random_state(device: torch.device) -> dict[str, str]:
    """Read PyTorch's generators: the CPU's, and the CUDA device's where that trains."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return {name: base64.b64encode(state.numpy().tobytes()).decode() for name, state in states.items()}


def restore_random_state(states: dict[str, str], device: torch.device, where: str) -> None:
    """Set PyTorch's generators to what `random_state` read; a generator that was not in use then is left alone.

    Raises:
        CheckpointError: A state is not one of this PyTorch's generators.
    """
    try:
        tensors = {
            name: torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
            for name, text in states.items()
        }
        torch.set_rng_state(tensors["cpu"])
        if device.type == "cuda" and "cuda" in tensors:
            torch.cuda.set_rng_state(tensors["cuda"], device)
    except (RuntimeError, ValueError, KeyError, TypeError) as err:
        raise CheckpointError(
            f"the random state in {where} cannot be used with PyTorch {torch.__version__}: {err}"
        ) from err
