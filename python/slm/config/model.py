"""The shape of a model, under Hugging Face's names, and what follows from it without building it."""

from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, model_validator

from slm.config.base import Config


def _heads(values: dict[str, Any]) -> int:
    return values.get("num_attention_heads", 1)


def _hidden_per_head(values: dict[str, Any]) -> int:
    # At least 1, so that fewer `hidden_size` than heads is told as what it is.
    return max(1, values.get("hidden_size", 1) // values.get("num_attention_heads", 1))


class ModelConfig(Config):
    """Shape of a decoder-only transformer: RoPE, RMSNorm, SwiGLU, grouped-query attention.

    The names are those of Hugging Face's Llama and Qwen3, which the saved model loads as.
    """

    vocab_size: Annotated[int, Field(ge=2, le=1 << 24)]
    """Tokens that the model knows; at least those of the tokenizer."""

    hidden_size: Annotated[int, Field(ge=2, le=1 << 16)]
    """Width of the residual stream (D)."""

    intermediate_size: Annotated[int, Field(ge=1, le=1 << 18)]
    """Width inside the feed-forward layers (F); 8/3 of `hidden_size` costs as much as a plain layer of 4 times."""

    num_hidden_layers: Annotated[int, Field(ge=1, le=1024)]
    """Transformer layers."""

    num_attention_heads: Annotated[int, Field(ge=1, le=1024)]
    """Query heads (H)."""

    num_key_value_heads: Annotated[int, Field(ge=1, le=1024)] = Field(default_factory=_heads)
    """Key and value heads (K), a divisor of `num_attention_heads`; fewer make the KV cache smaller.

    Default (or `null`): as many as `num_attention_heads`.
    """

    head_dim: Annotated[int, Field(ge=1, le=1 << 16)] = Field(default_factory=_hidden_per_head)
    """Width of a head (E), even because RoPE turns pairs. Default (or `null`): `hidden_size / num_attention_heads`."""

    max_position_embeddings: Annotated[int, Field(ge=1, le=1 << 24)]
    """Longest context, in tokens."""

    rope_theta: Annotated[float, Field(ge=1.0, le=1e12)] = 10_000.0
    """Base of the RoPE wavelengths; raise it with the context."""

    rms_norm_eps: Annotated[float, Field(gt=0, le=0.1)] = 1e-5
    """Added to the mean square in every norm."""

    qk_norm: bool = False
    """Whether queries and keys are normalized per head before RoPE, as Qwen3 does; steadier at high learning rates."""

    tie_word_embeddings: bool = True
    """Whether the output projection is the embedding; saves `vocab_size * hidden_size` parameters."""

    @model_validator(mode="before")
    @classmethod
    def _null_means_derived(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = cast("dict[str, Any]", values)
        derived = ("num_key_value_heads", "head_dim")
        return {name: value for name, value in given.items() if value is not None or name not in derived}

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` is {self.hidden_size}, "
                f"which is not divisible by `num_attention_heads` {self.num_attention_heads}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"`num_attention_heads` is {self.num_attention_heads}, "
                f"which is not divisible by `num_key_value_heads` {self.num_key_value_heads}"
            )
        if self.head_dim % 2:
            raise ValueError(
                f"`head_dim` is {self.head_dim} (by default `hidden_size` / `num_attention_heads`), "
                "and must be even for RoPE"
            )
        return self

    @property
    def architecture(self) -> Literal["LlamaForCausalLM", "Qwen3ForCausalLM"]:
        """The class of `transformers` that loads this model."""
        return "Qwen3ForCausalLM" if self.qk_norm else "LlamaForCausalLM"

    @property
    def num_matmul_parameters(self) -> int:
        """Weights that every token is multiplied by: the layers' matrices and the output projection, tied or not."""
        attention = self.hidden_size * self.head_dim * 2 * (self.num_attention_heads + self.num_key_value_heads)
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * (attention + feed_forward) + self.vocab_size * self.hidden_size

    @property
    def num_parameters(self) -> int:
        """Parameters of the whole model, a tied embedding counted once."""
        norms_of_layer = 2 * self.hidden_size + (2 * self.head_dim if self.qk_norm else 0)
        norms = self.num_hidden_layers * norms_of_layer + self.hidden_size
        embedding = 0 if self.tie_word_embeddings else self.vocab_size * self.hidden_size
        return self.num_matmul_parameters + norms + embedding

    @property
    def num_parameter_tensors(self) -> int:
        """Parameter tensors of the whole model, as the optimizer and a checkpoint count them."""
        return self.num_hidden_layers * (11 if self.qk_norm else 9) + (2 if self.tie_word_embeddings else 3)

    def flops_per_token(self, row_tokens: int) -> int:
        """Floating point operations to train on one token: forward, and backward at twice its cost.

        Args:
            row_tokens: Tokens in a row; a token sees half of them on average, because attention is causal.

        Returns:
            6 for each weight of a matrix, and for attention 12 for each layer, query width and visible token.
            Norms, softmax and the optimizer are left out, as usual.

        Source:
            Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B; halved for causality.
        """
        attention = 6 * self.num_hidden_layers * self.num_attention_heads * self.head_dim * row_tokens
        return 6 * self.num_matmul_parameters + attention
