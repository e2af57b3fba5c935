"""How much memory a training step takes, from the config alone."""

from dataclasses import dataclass

from slm.config.run import RunConfig

_FLOAT32 = 4
_BFLOAT16 = 2

# Logits that the loss makes at once (`slm.model.loss`): fewer on a CPU, where they should stay near the caches.
_LOGITS_ON_CPU = 1 << 22
_LOGITS_ON_GPU = 1 << 26
_LEAST_TOKENS_OF_LOGITS = 256


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that the tensors of one process take; Python and PyTorch themselves, about 300 MiB, are left out."""

    parameters: int
    """Weights; float32 whatever the precision."""

    gradients: int
    """One float32 for each weight."""

    optimizer: int
    """The two moments of AdamW, float32, and a step counter for each tensor."""

    ema: int
    """The moving average of the weights, if there is one."""

    activations: int
    """What the forward pass of one micro batch keeps for the backward pass, and the largest thing made on the way."""

    peak: int
    """The most that is there at once. Less than the sum: activations go as gradients come."""

    @property
    def total(self) -> int:
        """The peak, under the name that a sum would have."""
        return self.peak


def estimate_memory(run: RunConfig) -> MemoryEstimate:
    """Estimate the memory of a training step.

    Parameters, gradients, optimizer and average are exact. Activations follow the operations of `slm.model` without
    `compile`. The peak is within a fifth of what the tensors of a step were measured to take; the process can be
    larger, by half on a CPU with glibc, whose allocator keeps what was freed.
    """
    weights = run.model.num_parameters * _FLOAT32
    optimizer = 2 * weights + run.model.num_parameter_tensors * _FLOAT32
    ema = weights if run.train.ema_decay is not None else 0
    activations = kept_activation_bytes(run) + _passing_bytes(run)
    # With accumulation the gradients of the first micro steps are there while the later ones go forward.
    moving = weights + activations if run.train.accumulation_steps > 1 else max(activations, weights)
    return MemoryEstimate(
        parameters=weights,
        gradients=weights,
        optimizer=optimizer,
        ema=ema,
        activations=activations,
        peak=weights + optimizer + ema + moving,
    )


def kept_activation_bytes(run: RunConfig) -> int:
    """Bytes that autograd keeps of one micro batch between its forward and its backward pass."""
    model = run.model
    hidden, inner = model.hidden_size, model.intermediate_size
    queries = model.num_attention_heads * model.head_dim
    keys = model.num_key_value_heads * model.head_dim
    is_half = run.train.precision in ("bfloat16", "float16")
    product = _BFLOAT16 if is_half else _FLOAT32
    # The stream before each half of a layer, and the normalized stream before its weight, stay float32.
    layer = 4 * hidden * _FLOAT32
    # What the halves read; q, k, v; what attention gives, by heads and by tokens; gate, silu(gate), up, their product.
    layer += (2 * hidden + 3 * queries + 2 * keys + 4 * inner) * product
    if model.qk_norm:
        layer += (queries + keys) * (_FLOAT32 + product)
    copies_of_weights = (model.num_matmul_parameters - model.vocab_size * hidden) * _BFLOAT16 if is_half else 0
    per_token = model.num_hidden_layers * layer
    # The last norm, its result, and the gradient of it that the loss makes ahead of time.
    per_token += 4 * hidden * _FLOAT32
    head_gradient = model.vocab_size * hidden * _FLOAT32
    return _tokens(run) * per_token + head_gradient + copies_of_weights


def _passing_bytes(run: RunConfig) -> int:
    """The larger of what the loss makes of one chunk of logits, and what backward makes inside one layer."""
    model = run.model
    logits = _LOGITS_ON_GPU if run.train.device.startswith("cuda") else _LOGITS_ON_CPU
    chunk_tokens = min(max(_LEAST_TOKENS_OF_LOGITS, logits // model.vocab_size), _tokens(run))
    loss = 2 * chunk_tokens * model.vocab_size * _FLOAT32
    layer = _tokens(run) * (3 * model.intermediate_size + 2 * model.hidden_size) * _FLOAT32
    return max(loss, layer)


def _tokens(run: RunConfig) -> int:
    return run.train.micro_batch_rows * run.train.row_tokens
