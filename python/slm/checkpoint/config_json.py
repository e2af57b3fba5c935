"""Between `ModelConfig` and the `config.json` that `transformers` and its relatives read.

The keys are those of Hugging Face Llama and Qwen3. Both spellings of the rotary base are written, `rope_theta`
(transformers 4, vLLM, llama.cpp) and `rope_parameters` (transformers 5), because a reader that misses its own assumes
10,000 in silence. Reading is strict: a setting that would change the result and that our model does not have is refused
by name.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from slm.config.model import ModelConfig
from slm.errors import CheckpointError

MODEL_TYPES = {"LlamaForCausalLM": "llama", "Qwen3ForCausalLM": "qwen3"}
"""Architectures that can be read and written, and their `model_type`."""

TOKEN_ID_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
"""Keys of special token ids; each an id, a list of ids or null."""

TokenIds = Mapping[str, int | list[int] | None]

_SAME_NAME = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)

# ModelConfig derives these as Llama does where a file is silent.
_DERIVED = ("num_key_value_heads", "head_dim")

# What transformers assumes where a file is silent, by architecture. The sizes above have no default here: a file
# without them describes no model.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {"rms_norm_eps": 1e-6, "tie_word_embeddings": False},
    "Qwen3ForCausalLM": {
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "head_dim": 128,
        "num_key_value_heads": 32,
    },
}

# Settings that our model has one value of; the file may leave them out, say null or say this.
_FIXED: dict[str, Any] = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "use_sliding_window": False,
    "partial_rotary_factor": 1.0,
    "quantization_config": None,
}


def to_config_json(config: ModelConfig, *, dtype: str, token_ids: TokenIds) -> dict[str, Any]:
    """The content of `config.json` for a model.

    Args:
        config: The model's sizes and choices.
        dtype: What the weights are stored as: `float32`, `bfloat16` or `float16`.
        token_ids: Special ids for each of `TOKEN_ID_KEYS`; those not given are written as null.

    Returns:
        JSON-able dictionary that `AutoConfig` accepts, without anything left to a reader's default.
    """
    content: dict[str, Any] = {
        "architectures": [config.architecture],
        "model_type": MODEL_TYPES[config.architecture],
        "dtype": dtype,
        "torch_dtype": dtype,
        **{name: getattr(config, name) for name in _SAME_NAME},
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tie_word_embeddings,
        "initializer_range": 0.02,
        "use_cache": True,
        **{key: token_ids.get(key) for key in TOKEN_ID_KEYS},
    }
    if config.architecture == "LlamaForCausalLM":
        content |= {"mlp_bias": False, "pretraining_tp": 1}
    else:
        content |= {"use_sliding_window": False, "sliding_window": None}
    return content


def from_config_json(content: Mapping[str, Any], place: str) -> ModelConfig:
    """Read a model's sizes and choices from `config.json`.

    Args:
        content: The parsed file.
        place: Its path, for messages.

    Returns:
        The config of the same model.

    Raises:
        CheckpointError: The architecture is another, a size is missing or impossible, or a setting asks for something
            that our model does not do, such as scaled rotary positions or a sliding window.
    """
    architecture = _architecture(content, place)
    known = _DEFAULTS[architecture] | {key: value for key, value in content.items() if value is not None}
    for key, ours in _FIXED.items():
        if known.get(key, ours) != ours:
            raise _unsupported(place, key, known[key], ours)
    if any(kind != "full_attention" for kind in known.get("layer_types", ())):
        raise _unsupported(place, "layer_types", known["layer_types"], "full_attention in every layer")
    missing = [name for name in _SAME_NAME if name not in known]
    if missing:
        raise CheckpointError(
            f"`{place}` has no `{missing[0]}`, so the size of the model is not known\n\n"
            "hint: copy `config.json` again from where the model was saved"
        )
    try:
        return ModelConfig(
            **{name: known[name] for name in _SAME_NAME},
            **{name: known[name] for name in _DERIVED if name in known},
            rope_theta=_rope_theta(known, place),
            rms_norm_eps=known["rms_norm_eps"],
            qk_norm=architecture == "Qwen3ForCausalLM",
            tie_word_embeddings=known["tie_word_embeddings"],
        )
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"`{place}` describes no possible model: {where + ': ' if where else ''}{first['msg']}\n\n"
            "hint: copy `config.json` again from where the model was saved"
        ) from err


def _architecture(content: Mapping[str, Any], place: str) -> str:
    named = content.get("architectures") or []
    by_type = {model_type: architecture for architecture, model_type in MODEL_TYPES.items()}
    architecture = named[0] if isinstance(named, list) and named else by_type.get(str(content.get("model_type")))
    if architecture not in MODEL_TYPES:
        found = architecture if architecture is not None else content.get("model_type")
        raise CheckpointError(
            f"`{place}` is a model of architecture `{found}`; slm reads `LlamaForCausalLM` and `Qwen3ForCausalLM`\n\n"
            "hint: use a Llama or Qwen3 model, or the tool that this one was made for"
        )
    return str(architecture)


def _rope_theta(known: Mapping[str, Any], place: str) -> float:
    """One base from the two places that may give it."""
    found: dict[str, float] = {}
    if "rope_theta" in known:
        found["rope_theta"] = known["rope_theta"]
    for key in ("rope_parameters", "rope_scaling"):
        rope: Any = known.get(key) or {}
        if not isinstance(rope, Mapping):
            raise _unsupported(place, key, rope, "a mapping")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise _unsupported(place, f"{key}.rope_type", kind, "default")
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise _unsupported(place, f"{key}.partial_rotary_factor", rope["partial_rotary_factor"], 1.0)
        if rope.get("rope_theta") is not None:
            found[f"{key}.rope_theta"] = rope["rope_theta"]
    if len(set(found.values())) > 1:
        told = " and ".join(f"`{key}` {value}" for key, value in found.items())
        raise CheckpointError(
            f"`{place}` gives two rotary bases: {told}\n\nhint: keep the one that the model was trained with"
        )
    return next(iter(found.values()), 10_000.0)


def _unsupported(place: str, key: str, value: object, ours: object) -> CheckpointError:
    return CheckpointError(
        f"`{place}` sets `{key}` to {value!r}; slm models have {ours!r}\n\n"
        "hint: this model would give other results here; run it with `transformers`"
    )
