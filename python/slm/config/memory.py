"""How much memory a training step takes, from the config alone."""

from dataclasses import dataclass

from slm.config.run import RunConfig

_FLOAT32_BYTES = 4
_LOGITS_CHUNK_TOKENS = 1024


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one process at the height of a training step, Python and PyTorch themselves (about 300 MiB) left out."""

    parameters: int
    """Weights, float32 in any precision."""

    gradients: int
    """One float32 for each weight."""

    optimizer: int
    """The two moments of AdamW, float32, and a step counter for each tensor."""

    ema: int
    """The moving average of the weights, if there is one."""

    activations: int
    """What the forward pass of one micro batch keeps for the backward pass, and the largest thing made on the way."""

    @property
    def total(self) -> int:
        """All of it at once, which is the peak."""
        return self.parameters + self.gradients + self.optimizer + self.ema + self.activations


def estimate_memory(run: RunConfig) -> MemoryEstimate:
    """Estimate the memory of a training step.

    Parameters, gradients, optimizer and average are exact. Activations follow the operations of `slm.model`; a test
    holds the total within a factor of what a step is measured to take.
    """
    model = run.model
    weights = model.num_parameters * _FLOAT32_BYTES
    return MemoryEstimate(
        parameters=weights,
        gradients=weights,
        optimizer=2 * weights + model.num_parameter_tensors * _FLOAT32_BYTES,
        ema=weights if run.train.ema_decay is not None else 0,
        activations=_activation_bytes(run),
    )


def _activation_bytes(run: RunConfig) -> int:
    model = run.model
    tokens = run.train.micro_batch_rows * run.train.row_tokens
    product_bytes = 2 if run.train.precision in ("bfloat16", "float16") else _FLOAT32_BYTES
    query_width = model.num_attention_heads * model.head_dim
    key_width = model.num_key_value_heads * model.head_dim
    # Two norms keep their input and the normalized values in float32; the products keep their inputs.
    norms = 2 * 2 * model.hidden_size * _FLOAT32_BYTES
    attention = (model.hidden_size + 2 * query_width + 2 * key_width) * product_bytes
    feed_forward = (model.hidden_size + 4 * model.intermediate_size) * product_bytes
    layers = tokens * model.num_hidden_layers * (norms + attention + feed_forward)
    # The loss goes through the logits in chunks: each is made with its softmax and its gradient, then dropped.
    logits = 3 * min(tokens, _LOGITS_CHUNK_TOKENS) * model.vocab_size * _FLOAT32_BYTES
    copies = model.num_matmul_parameters * product_bytes if product_bytes < _FLOAT32_BYTES else 0
    return layers + logits + copies
