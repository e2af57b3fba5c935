"""Which device trains, and in which precision its matrix products run."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from slm.config.train import TrainConfig
from slm.errors import ConfigError
from slm.model.transformer import Transformer

Precision = Literal["float32", "bfloat16", "float16"]
"""Type of matrix products. The weights, their gradients and the optimizer are float32 in each."""

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_LEAST_GAIN = 1.1
_PROBE_SIZE = 256
_PROBE_FLOPS = 1.5e10
_PROBE_MIN_TOKENS = 64
_PROBE_ROUNDS = 3
_PROBE_SECONDS = 2.0


def resolve_device(name: str) -> torch.device:
    """Turn the setting into a device: `auto` is the first CUDA device, the CPU where there is none.

    Raises:
        ConfigError: The device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.type == "cuda" and (device.index or 0) >= count) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    ):
        raise ConfigError(
            f"`train.device` is `{name}`, and PyTorch {torch.__version__} sees no such device here\n\n"
            "hint: use `auto` or `cpu`, or install the PyTorch that fits the driver"
        )
    return device


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Make the context in which matrix products run in `precision`; nothing for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def choose_precision(config: TrainConfig, model: Transformer, device: torch.device) -> Precision:
    """Decide what `auto` means for this model here.

    On CUDA that is bfloat16 where the device has it and float16 elsewhere. On a CPU bfloat16 is many times faster or
    many times slower depending on the processor, and no flag tells which for these shapes, so the model's own forward
    and backward pass is timed in both; bfloat16 must win by a tenth, because it costs accuracy. The weights are not
    changed.

    Args:
        config: The setting, and the rows that the model trains on.
        model: On `device`; its gradients are dropped.
        device: Where it trains.

    Returns:
        The setting itself unless it is `auto`.
    """
    if config.precision != "auto":
        return config.precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device.type != "cpu" or _is_bfloat16_hopeless():
        return "float32"
    row_tokens = config.row_tokens
    affordable = int(_PROBE_FLOPS / model.config.flops_per_token(row_tokens))
    tokens = max(min(config.micro_batch_rows * row_tokens, affordable), min(row_tokens, _PROBE_MIN_TOKENS))
    rows, row_tokens = max(tokens // row_tokens, 1), min(row_tokens, tokens)
    ids_BT = torch.arange(rows * row_tokens).remainder(model.config.vocab_size).view(rows, row_tokens)

    def run(precision: Precision) -> None:
        with autocast(device, precision):
            nll_BT = model.nll(ids_BT, ids_BT)
        nll_BT.sum().backward()

    seconds = _fastest(lambda: run("float32"), lambda: run("bfloat16"))
    model.zero_grad(set_to_none=True)
    return "bfloat16" if seconds[0] > _LEAST_GAIN * seconds[1] else "float32"


def _is_bfloat16_hopeless() -> bool:
    """Tell whether bfloat16 is slower for a bare product; without the instructions it is hundreds of times slower."""
    float32, bfloat16 = (torch.ones(_PROBE_SIZE, _PROBE_SIZE, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    seconds = _fastest(lambda: torch.mm(float32, float32), lambda: torch.mm(bfloat16, bfloat16))
    return seconds[1] > seconds[0]


def _fastest(*runs: Callable[[], object]) -> list[float]:
    """Time functions by turns, so that other load meets them all; the fastest of each after a warmup."""
    fastest = [float("inf")] * len(runs)
    began = time.perf_counter()
    for round_idx in range(1 + _PROBE_ROUNDS):
        if round_idx > 1 and time.perf_counter() - began > _PROBE_SECONDS:
            break
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            elapsed = time.perf_counter() - start
            if round_idx > 0:
                fastest[i] = min(fastest[i], elapsed)
    return fastest
