"""The decoder-only transformer, with the module names and layout of Hugging Face Llama and Qwen3.

Shapes: B batch, T tokens in a row, D hidden, V vocab.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from slm.config.model import ModelConfig
from slm.model.attention import Attention, AttentionCache
from slm.model.feed_forward import FeedForward
from slm.model.init import Projection, TokenEmbedding, initialize
from slm.model.loss import nll_of_hidden
from slm.model.norm import RMSNorm
from slm.model.rope import rotary_tables


class Layer(nn.Module):
    """One layer: attention and feed-forward, each normalised before and added to the residual stream after.

    Args:
        config: Sizes.
        layer_idx: Which layer this is, from 0.
    """

    def __init__(self, config: ModelConfig, layer_idx: int):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer_idx)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config.hidden_size, config.intermediate_size)

    def forward(
        self,
        x_BTD: Tensor,
        rotary: tuple[Tensor, Tensor],
        positions_BT: Tensor,
        cache: AttentionCache | None = None,
    ) -> Tensor:
        """Arguments as `Attention.forward`, with `x_BTD` the residual stream; returns the stream after this layer."""
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), rotary, positions_BT, cache)
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


class Backbone(nn.Module):
    """Everything but the output head: embedding, layers and the last norm.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = TokenEmbedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, layer_idx) for layer_idx in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, input_ids_BT: Tensor, *, positions_BT: Tensor | None = None, cache: AttentionCache | None = None
    ) -> Tensor:
        """Arguments and result as `Transformer.hidden_states`."""
        if positions_BT is None:
            positions_BT = torch.arange(input_ids_BT.shape[1], device=input_ids_BT.device)[None]
        rotary = rotary_tables(positions_BT, self.config.head_dim, self.config.rope_theta)
        x_BTD: Tensor = self.embed_tokens(input_ids_BT)
        for layer in self.layers:
            x_BTD = layer(x_BTD, rotary, positions_BT, cache)
        return self.norm(x_BTD)


class Transformer(nn.Module):
    """A causal language model over token ids.

    The state dict has exactly the tensors of `LlamaForCausalLM`, or of `Qwen3ForCausalLM` if `config.qk_norm`; with
    tied embeddings there is no `lm_head.weight`. Nothing else is in it: positions need no table of their own.

    `model.model.compile()` compiles all but the head, for `forward`, `hidden_states` and `nll` alike.

    Args:
        config: Sizes and choices.
        generator: Draws the initial weights; None: one seeded with 0. On the meta device nothing is drawn.

    Example:
        >>> from slm.config.model import ModelConfig
        >>> config = ModelConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        ...                      num_attention_heads=4, max_position_embeddings=128)
        >>> Transformer(config)(torch.zeros(1, 5, dtype=torch.int64)).shape
        torch.Size([1, 5, 64])
    """

    def __init__(self, config: ModelConfig, *, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        self.lm_head = None if config.tie_word_embeddings else Projection(config.hidden_size, config.vocab_size)
        self.initialize(generator or torch.Generator().manual_seed(0))

    def forward(
        self, input_ids_BT: Tensor, *, positions_BT: Tensor | None = None, cache: AttentionCache | None = None
    ) -> Tensor:
        """Scores of every next token, before softmax.

        Args:
            input_ids_BT: Token ids in [0, V); (B, T), int64 or int32.
            positions_BT: Place of each token in its sequence; (B, T) or (1, T), int64. None: 0 to T - 1.
            cache: Keys and values of earlier tokens; it is extended by these. None: the rows stand alone.

        Returns:
            (B, T, V), in the dtype of the weights or of autocast.
        """
        return self.logits(self.hidden_states(input_ids_BT, positions_BT=positions_BT, cache=cache))

    def hidden_states(
        self, input_ids_BT: Tensor, *, positions_BT: Tensor | None = None, cache: AttentionCache | None = None
    ) -> Tensor:
        """What the output head reads: (B, T, D) after the last norm. Arguments as `forward`."""
        return self.model(input_ids_BT, positions_BT=positions_BT, cache=cache)

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Apply the output head to hidden states of any leading shape: (..., D) to (..., V)."""
        return linear(x_BTD, self.head_weight)

    def nll(self, input_ids_BT: Tensor, target_ids_BT: Tensor, *, ignore_index: int = -100) -> Tensor:
        """Negative log-likelihood of each target, without ever holding all logits.

        Args:
            input_ids_BT: Token ids in [0, V); (B, T), int64 or int32.
            target_ids_BT: The token that follows each, or `ignore_index`; (B, T), int64.
            ignore_index: Targets with this value cost 0 and have no gradient.

        Returns:
            Nats, (B, T) float32. Sum it and divide by a number for the cheapest backward pass (see `slm.model.loss`).
        """
        return nll_of_hidden(self.hidden_states(input_ids_BT), self.head_weight, target_ids_BT, ignore_index)

    @property
    def head_weight(self) -> Tensor:
        """Weight of the output head, (V, D): the embedding table itself if they are tied."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def initialize(self, generator: torch.Generator) -> None:
        """Draw every weight anew; see `slm.model.init.initialize`."""
        initialize(self, self.config.num_hidden_layers, generator)

    def num_parameters(self) -> int:
        """Weights of the model, tied ones counted once; equals `config.num_parameters`."""
        return sum(parameter.numel() for parameter in self.parameters())
