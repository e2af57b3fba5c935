"""Hugging Face model directories: reading what `transformers` saved, and writing what it loads.

A model directory of ours is such a directory already, so both ways are a checked copy: every tensor is compared with
the config, what our model would compute differently is refused by name, and the bytes of the tensors stay the same
unless a dtype is asked for.
"""

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slm.checkpoint.config_json import TOKEN_ID_KEYS, TokenIds
from slm.checkpoint.model_dir import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_tokenizer,
    read_config,
    read_json,
    write_model_dir,
)
from slm.checkpoint.weights import read_weights
from slm.errors import CheckpointError, SlmWarning, TokenizerError

INDEX_FILE = f"{WEIGHTS_FILE}.index.json"


@dataclass(frozen=True)
class Transfer:
    """What `import_hf` or `export_hf` wrote."""

    directory: str
    """The new model directory."""

    architecture: str
    """Class of `transformers` that loads it."""

    num_parameters: int
    """Weights, tied ones counted once."""

    dtype: str
    """What they are stored as."""

    tokenizer_fingerprint: str | None
    """Of the tokenizer that was copied; None where there was none or slm cannot read it."""


def import_hf(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> Transfer:
    """Make a model directory of one that `transformers` saved, in one weight file or several.

    A tokenizer beside the weights is copied; where slm cannot read it, the model is imported all the same and a warning
    says why it can take no text.

    Args:
        source: Directory with `config.json` and safetensors weights of Llama or Qwen3.
        out: The model directory to write.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: There is no such directory.
        CheckpointError: The model is another kind, incomplete or corrupt.
    """
    return _transfer(Path(source), out, None)


def export_hf(
    model_dir: str | os.PathLike[str], out: str | os.PathLike[str], *, dtype: torch.dtype | None = None
) -> Transfer:
    """Write a model for `transformers`, vLLM and what else reads Hugging Face directories.

    Args:
        model_dir: A model directory.
        out: Where to.
        dtype: Convert the weights, for example to bfloat16 for half the size; None: as they are.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: There is no such directory.
        CheckpointError: The model is incomplete or corrupt, or a weight does not fit `dtype`.
    """
    return _transfer(Path(model_dir), out, dtype)


def _transfer(source: Path, out: str | os.PathLike[str], dtype: torch.dtype | None) -> Transfer:
    config = read_config(source)
    weights = read_weights(config, _weight_files(source), dtype=dtype)
    has_tokenizer = (source / "tokenizer.json").exists()
    fingerprint = _fingerprint(source) if has_tokenizer else None
    write_model_dir(out, config, weights, source if has_tokenizer else None, fingerprint, _token_ids(source))
    stored = str(weights["model.embed_tokens.weight"].dtype).removeprefix("torch.")
    return Transfer(str(out), config.architecture, config.num_parameters, stored, fingerprint)


def _weight_files(source: Path) -> list[Path]:
    """The weight files of a directory; an index may name several."""
    if (source / WEIGHTS_FILE).exists():
        return [source / WEIGHTS_FILE]
    if not (source / INDEX_FILE).exists():
        pickled = any(source.glob("*.bin")) or any(source.glob("*.pt*"))
        remedy = (
            "pickled weights are never read; load the model with `transformers` and `save_pretrained` it"
            if pickled
            else "copy the whole directory from where the model was saved"
        )
        raise CheckpointError(f"`{source}` has neither `{WEIGHTS_FILE}` nor `{INDEX_FILE}`\n\nhint: {remedy}")
    weight_map: Any = read_json(source, INDEX_FILE).get("weight_map")
    names = sorted({str(name) for name in weight_map.values()}) if isinstance(weight_map, dict) else []
    strange = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
    if not names or strange:
        found = f"names `{strange[0]}` as a weight file" if strange else "names no weight files"
        raise CheckpointError(f"`{source / INDEX_FILE}` {found}\n\nhint: copy it again from where it was saved")
    missing = [name for name in names if not (source / name).exists()]
    if missing:
        raise CheckpointError(
            f"`{source}` has no `{missing[0]}`, one of {len(names)} weight files in `{INDEX_FILE}`\n\n"
            "hint: copy the missing file from where the model was saved"
        )
    return [source / name for name in names]


def _fingerprint(source: Path) -> str | None:
    try:
        return load_tokenizer(source).fingerprint
    except TokenizerError as err:
        reason = json.dumps(str(err).partition("\n")[0])
        warnings.warn(f"the model was copied, but slm cannot use its tokenizer: {reason}", SlmWarning, stacklevel=4)
        return None


def _token_ids(source: Path) -> TokenIds:
    content = read_json(source, CONFIG_FILE)
    token_ids: dict[str, int | list[int] | None] = {key: content.get(key) for key in TOKEN_ID_KEYS}
    for key, ids in token_ids.items():
        listed = ids if isinstance(ids, list) else [ids]
        if ids is not None and not all(isinstance(one, int) and not isinstance(one, bool) for one in listed):
            raise CheckpointError(
                f"`{source / CONFIG_FILE}` sets `{key}` to {ids!r}, which is no token id\n\n"
                "hint: write a number, a list of numbers or null"
            )
    return token_ids
