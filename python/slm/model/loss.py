"""Cross-entropy of the output head without the whole matrix of logits.

Tokens are taken a chunk at a time, and the gradient of a chunk is made while its logits are there, so that nothing of
size (N, V) is ever kept. Forward and backward together, float32, two cores (Xeon with AMX, torch 2.15, best of 3, ms):

    V, D, N               plain   checkpointed chunks   recompute by hand   gradient in forward
    4096, 128, 4096         156                   142                 110                    76
    8192, 320, 2048         264                   272                 219                   174
    32768, 512, 2048       1209                  1646                 976                   726

The last is used. It knows the gradient up to the factor that the rest of the graph puts on each token's loss, so it
needs this factor to be the same for every token, as it is after `nll.sum()` and `nll.mean()`. Where it is not, the
gradient is made again from the inputs, which costs what the third column says.

Shapes: N tokens, C tokens of one chunk, D hidden, V vocab.

Source:
    Hsu et al. 2024, Liger Kernel, arXiv:2410.10989, section 3.2.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Logits of one chunk: 16 MiB of float32 on a CPU. Between a quarter and four times that the time is the same within
# 10%; a GPU wants larger matrices to be busy.
_CHUNK_LOGITS_CPU = 1 << 22
_CHUNK_LOGITS_GPU = 1 << 26
_MIN_CHUNK_TOKENS = 256


def nll_of_hidden(x: Tensor, weight_VD: Tensor, target_ids: Tensor, ignore_index: int) -> Tensor:
    """Negative log-likelihood of each target under `softmax(x @ weight_VD.T)`.

    Under autocast the matrix products run in its dtype and everything else in float32.

    Args:
        x: Hidden states; (..., D).
        weight_VD: Weight of the output head.
        target_ids: Token ids in [0, V), or `ignore_index`; the shape of `x` without its last axis, int64.
        ignore_index: Targets with this value cost 0 and have no gradient.

    Returns:
        Nats, float32, in the shape of `target_ids`.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VD.dtype
    with torch.autocast(device, enabled=False):
        arguments = (x.flatten(0, -2), weight_VD, target_ids.flatten(), ignore_index, dtype)
        if torch.is_grad_enabled() and (x.requires_grad or weight_VD.requires_grad):
            nll_N: Tensor = _ChunkedNll.apply(*arguments)  # pyright: ignore[reportAssignmentType]
        else:
            nll_N = _forward_only(*arguments)
    return nll_N.view(target_ids.shape)


class _ChunkedNll(torch.autograd.Function):
    """The gradient of the sum is made in `forward`; `backward` multiplies it."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, target_ids_N: Tensor, ignore_index: int, dtype: torch.dtype
    ) -> Tensor:
        nll_N, grad_x_ND, grad_weight_VD = _nll_and_gradients(x_ND, weight_VD, target_ids_N, ignore_index, dtype, None)
        ctx.save_for_backward(x_ND, weight_VD, target_ids_N, grad_x_ND, grad_weight_VD)
        ctx.ignore_index, ctx.dtype = ignore_index, dtype
        return nll_N

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weight_VD, target_ids_N, grad_x_ND, grad_weight_VD = ctx.saved_tensors
        (factor_N,) = factors
        # After `nll.sum()` the factors are one number seen N times, and no value needs to be looked at.
        if factor_N.stride() != (0,):
            counted = factor_N[target_ids_N != ctx.ignore_index]
            if counted.numel() and counted.min() != counted.max():
                arguments = (x_ND, weight_VD, target_ids_N, ctx.ignore_index, ctx.dtype, factor_N)
                _, grad_x_ND, grad_weight_VD = _nll_and_gradients(*arguments)
                return grad_x_ND, grad_weight_VD, None, None, None
            factor_N = counted if counted.numel() else factor_N
        return grad_x_ND * factor_N[:1].to(grad_x_ND.dtype), grad_weight_VD * factor_N[:1], None, None, None


def _forward_only(
    x_ND: Tensor, weight_VD: Tensor, target_ids_N: Tensor, ignore_index: int, dtype: torch.dtype
) -> Tensor:
    nll_N = x_ND.new_empty(x_ND.shape[0], dtype=torch.float32)
    counted_N = target_ids_N != ignore_index
    weight_DV = weight_VD.to(dtype).t()
    for rows in _chunks(x_ND, weight_VD):
        logits_CV = (x_ND[rows].to(dtype) @ weight_DV).float()
        targets_C1 = target_ids_N[rows].where(counted_N[rows], 0)[:, None]
        nll_N[rows] = (logits_CV.logsumexp(1, keepdim=True) - logits_CV.gather(1, targets_C1))[:, 0]
    return nll_N.where(counted_N, 0.0)


def _nll_and_gradients(
    x_ND: Tensor,
    weight_VD: Tensor,
    target_ids_N: Tensor,
    ignore_index: int,
    dtype: torch.dtype,
    factor_N: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of each token, and the gradient of `sum(factor_N * nll_N)` for both inputs; no factors means ones."""
    nll_N = x_ND.new_empty(x_ND.shape[0], dtype=torch.float32)
    grad_x_ND = torch.empty_like(x_ND)
    # Summed over chunks in float32: in bfloat16 the later chunks would round away.
    grad_weight_VD = torch.zeros_like(weight_VD, dtype=torch.float32)
    counted_N = target_ids_N != ignore_index
    factor_N = counted_N.float() if factor_N is None else factor_N.where(counted_N, 0.0)
    weight = weight_VD.to(dtype)
    for rows in _chunks(x_ND, weight_VD):
        x_CD = x_ND[rows].to(dtype)
        targets_C1 = target_ids_N[rows].where(counted_N[rows], 0)[:, None]
        factor_C1 = factor_N[rows, None]
        logits_CV = (x_CD @ weight.t()).float()
        target_logit_C1 = logits_CV.gather(1, targets_C1)
        # One buffer all the way: logits, then exp(logits - max), then the gradient of the logits.
        max_C1 = logits_CV.amax(1, keepdim=True)
        grad_CV = logits_CV.sub_(max_C1).exp_()
        sum_C1 = grad_CV.sum(1, keepdim=True)
        nll_N[rows] = (sum_C1.log() + max_C1 - target_logit_C1)[:, 0]
        grad_CV.mul_(factor_C1 / sum_C1).scatter_add_(1, targets_C1, -factor_C1)
        grad_CV = grad_CV.to(dtype)
        grad_x_ND[rows] = (grad_CV @ weight).to(grad_x_ND.dtype)
        if dtype == torch.float32:
            grad_weight_VD.addmm_(grad_CV.t(), x_CD)
        else:
            grad_weight_VD += grad_CV.t() @ x_CD
    return nll_N.where(counted_N, 0.0), grad_x_ND, grad_weight_VD.to(weight_VD.dtype)


def _chunks(x_ND: Tensor, weight_VD: Tensor) -> Iterator[slice]:
    budget = _CHUNK_LOGITS_CPU if x_ND.device.type == "cpu" else _CHUNK_LOGITS_GPU
    chunk_tokens = max(_MIN_CHUNK_TOKENS, budget // weight_VD.shape[0])
    for start in range(0, x_ND.shape[0], chunk_tokens):
        yield slice(start, start + chunk_tokens)
