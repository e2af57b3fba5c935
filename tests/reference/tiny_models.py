"""Tiny models of every kind, with weights large enough that a mistake shows."""

import torch

from slm.config.model import ModelConfig
from slm.model import Transformer

KINDS: dict[str, dict[str, object]] = {
    "llama": {},
    "llama-grouped-untied": {"num_key_value_heads": 2, "tie_word_embeddings": False},
    "llama-wide-heads": {"head_dim": 16, "num_key_value_heads": 1, "rope_theta": 500_000.0},
    "qwen3": {"qk_norm": True},
    "qwen3-grouped-wide-heads-untied": {
        "qk_norm": True,
        "head_dim": 24,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
    },
}


def tiny_config(kind: str) -> ModelConfig:
    sizes = {
        "vocab_size": 61,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    }
    return ModelConfig(**sizes, **KINDS[kind])


def tiny_model(kind: str, seed: int = 0) -> Transformer:
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(tiny_config(kind), generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def tiny_ids(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))
