"""The model directory: what `transformers`, `slm.LLM` and `slm serve` load.

`config.json`, `generation_config.json` and `model.safetensors` are Hugging Face's; the tokenizer files lie beside them,
copied; `slm.json` holds what is ours: the format version and the fingerprint of the tokenizer that the model was
trained with.
"""

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from slm import durable
from slm.checkpoint.config_json import TokenIds, from_config_json, to_config_json
from slm.checkpoint.weights import read_weights
from slm.config.model import ModelConfig
from slm.errors import CheckpointError, TokenizerError
from slm.model.transformer import Transformer
from slm.tokenizer import Tokenizer

FORMAT = "slm.model"
FORMAT_VERSION = 1

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "training.json",
    "chat_template.jinja",
)
"""Files of a tokenizer directory; those that exist are copied."""

_OWN_FILES = {CONFIG_FILE, WEIGHTS_FILE, "generation_config.json", "slm.json", *TOKENIZER_FILES}


class Model(Transformer):
    """A `Transformer` with the two methods that need a disk; exported as `slm.Model`.

    Example:
        >>> model = Model.from_pretrained("model/")  # doctest: +SKIP
        >>> model.save_pretrained("copy/")  # doctest: +SKIP
    """

    @classmethod
    def from_pretrained(
        cls,
        directory: str | os.PathLike[str],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "Model":
        """Load a model directory; see `load_model`."""
        return load_model(directory, dtype=dtype, device=device)

    def save_pretrained(
        self, directory: str | os.PathLike[str], tokenizer_dir: str | os.PathLike[str] | None = None
    ) -> None:
        """Write a model directory; see `save_model`."""
        save_model(self, directory, tokenizer_dir)


def save_model(
    model: Transformer, directory: str | os.PathLike[str], tokenizer_dir: str | os.PathLike[str] | None = None
) -> None:
    """Write a model directory in one step: afterwards the old one or the new one is there, never a mixture.

    Args:
        model: Its weights are written in their own dtype.
        directory: Where to; created with its parents. A model directory there is replaced.
        tokenizer_dir: Copy the tokenizer from here, and write its end-of-text token as the model's first and last
            (`bos_token_id`, `eos_token_id`). May be `directory` itself. None: a model without a tokenizer.

    Raises:
        CheckpointError: `directory` holds something else than a model, which would be lost.
        TokenizerError: The tokenizer has more tokens than the model, or cannot be read.
        OSError: The disk refused; what was there is untouched.
    """
    fingerprint = None
    token_ids: TokenIds = {}
    if tokenizer_dir is not None:
        tokenizer = Tokenizer.load(tokenizer_dir)
        _check_vocabulary(tokenizer, model.config, str(tokenizer_dir))
        fingerprint = tokenizer.fingerprint
        token_ids = {"bos_token_id": tokenizer.end_of_text_id, "eos_token_id": tokenizer.end_of_text_id}
    write_model_dir(directory, model.config, model.state_dict(), tokenizer_dir, fingerprint, token_ids)


def load_model(
    directory: str | os.PathLike[str], *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Model:
    """Read the model of a model directory, ours or one saved by `transformers` as Llama or Qwen3.

    Config and weights are compared in full before memory is taken. Nothing but JSON and safetensors is read.

    Args:
        directory: The model directory.
        dtype: Convert the weights; None: as stored.
        device: Where to; None: the CPU.

    Returns:
        The model, in evaluation mode.

    Raises:
        FileNotFoundError: There is no such directory.
        CheckpointError: A file is missing, corrupt or of another model.
    """
    source = Path(directory)
    config = read_config(source)
    if not (source / WEIGHTS_FILE).exists():
        raise CheckpointError(f"`{source}` has no `{WEIGHTS_FILE}`\n\nhint: {_missing_weights_hint(source)}")
    weights = read_weights(config, [source / WEIGHTS_FILE], dtype=dtype, device=device)
    with torch.device("meta"):
        model = Model(config)
    model.load_state_dict(weights, assign=True)
    return model.eval()


def load_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """Read the tokenizer of a model directory and check that it is the one the model was trained with.

    Raises:
        FileNotFoundError: There is no such directory.
        CheckpointError: The directory holds no tokenizer.
        TokenizerError: The tokenizer is malformed, or is not the model's.
    """
    source = Path(directory)
    config = read_config(source)
    if not (source / "tokenizer.json").exists():
        raise CheckpointError(
            f"`{source}` has no `tokenizer.json`, so the model can read and write ids but no text\n\n"
            "hint: save the model with `tokenizer_dir`, or copy the tokenizer's files into the directory"
        )
    tokenizer = Tokenizer.load(source)
    _check_vocabulary(tokenizer, config, str(source))
    expected = tokenizer_fingerprint(source)
    if expected is not None and tokenizer.fingerprint != expected:
        raise TokenizerError(
            f"`{source}` was trained with tokenizer {expected}, `tokenizer.json` in it is {tokenizer.fingerprint}\n\n"
            "hint: copy the tokenizer back from the directory that the model was trained from"
        )
    return tokenizer


def read_config(directory: str | os.PathLike[str]) -> ModelConfig:
    """The `ModelConfig` of a model directory; errors as `load_model`."""
    source = Path(directory)
    return from_config_json(read_json(source, CONFIG_FILE), str(source / CONFIG_FILE))


def tokenizer_fingerprint(directory: str | os.PathLike[str]) -> str | None:
    """Fingerprint of the tokenizer that a model was trained with; None where it is not known.

    Raises:
        FileNotFoundError: There is no such directory.
        CheckpointError: `slm.json` is malformed or of a later version.
    """
    source = Path(directory)
    if not (source / "slm.json").exists():
        return None  # saved by another tool
    content = read_json(source, "slm.json")
    if (content.get("format"), content.get("version")) != (FORMAT, FORMAT_VERSION):
        raise CheckpointError(
            f"`{source / 'slm.json'}` has format `{content.get('format')}` version {content.get('version')}; "
            f"this slm reads `{FORMAT}` version {FORMAT_VERSION}\n\nhint: install the slm that wrote it, or a later one"
        )
    fingerprint = content.get("tokenizer_fingerprint")
    return None if fingerprint is None else str(fingerprint)


def write_model_dir(
    directory: str | os.PathLike[str],
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    tokenizer_dir: str | os.PathLike[str] | None,
    fingerprint: str | None,
    token_ids: TokenIds,
) -> None:
    """Write a model directory from its parts; `save_model` is the usual way.

    Args:
        directory: Where to; a model directory there is replaced.
        config: Goes to `config.json`.
        tensors: Goes to `model.safetensors`, in the dtypes given.
        tokenizer_dir: Tokenizer files to copy; None: none.
        fingerprint: Of that tokenizer; None: unknown.
        token_ids: Special ids, for `config.json` and `generation_config.json`.

    Raises:
        CheckpointError: `directory` holds something else than a model.
        OSError: The disk refused; what was there is untouched.
    """
    target = Path(directory)
    _refuse_other_content(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # One name for every writer, so that the next save clears what a killed one left.
    staged = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    try:
        _fill(staged, config, tensors, tokenizer_dir, fingerprint, token_ids)
        durable.replace_directory(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def read_json(directory: Path, name: str) -> dict[str, Any]:
    """One JSON object of a model directory.

    Raises:
        FileNotFoundError: There is no such directory.
        CheckpointError: The file is missing or is no JSON object.
    """
    if not directory.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
    path = directory / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        inner = directory / "model"
        remedy = (
            f"give `{inner}`"
            if (inner / name).exists()
            else "give the directory that `slm train` or `slm export` wrote"
        )
        raise CheckpointError(f"`{directory}` is not a model directory: it has no `{name}`\n\nhint: {remedy}") from err
    except (ValueError, RecursionError) as err:
        raise CheckpointError(
            f"`{path}` is not JSON: {err}\n\nhint: copy it again from where the model was saved"
        ) from err
    if not isinstance(content, dict):
        raise CheckpointError(f"`{path}` is not a JSON object\n\nhint: copy it again from where the model was saved")
    return content


def _fill(
    staged: Path,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    tokenizer_dir: str | os.PathLike[str] | None,
    fingerprint: str | None,
    token_ids: TokenIds,
) -> None:
    dtype = str(tensors["model.embed_tokens.weight"].dtype).removeprefix("torch.")
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # transformers refuses a file whose metadata does not name the framework.
    durable.write_file(staged / WEIGHTS_FILE, lambda path: save_file(stored, path, metadata={"format": "pt"}))
    if tokenizer_dir is not None:
        for name in TOKENIZER_FILES:
            source = Path(tokenizer_dir) / name
            if source.exists():
                durable.write_bytes(staged / name, source.read_bytes())
    eos = token_ids.get("eos_token_id")
    # Padding is the end token at generation only: in config.json it would freeze that row of the embedding.
    padding = eos[0] if isinstance(eos, list) else eos
    generation = {"bos_token_id": token_ids.get("bos_token_id"), "eos_token_id": eos, "pad_token_id": padding}
    durable.write_json(
        staged / "generation_config.json", {key: ids for key, ids in generation.items() if ids is not None}
    )
    durable.write_json(
        staged / "slm.json", {"format": FORMAT, "version": FORMAT_VERSION, "tokenizer_fingerprint": fingerprint}
    )
    durable.write_json(staged / CONFIG_FILE, to_config_json(config, dtype=dtype, token_ids=token_ids))


def _check_vocabulary(tokenizer: Tokenizer, config: ModelConfig, place: str) -> None:
    if tokenizer.vocab_size > config.vocab_size:
        raise TokenizerError(
            f"the tokenizer in `{place}` has {tokenizer.vocab_size} tokens, the model has room for `vocab_size` "
            f"{config.vocab_size}\n\nhint: use the tokenizer that the model was trained with"
        )


def _refuse_other_content(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise CheckpointError(f"`{target}` is a file, and a model needs a directory\n\nhint: choose another path")
    others = sorted(entry.name for entry in target.iterdir() if entry.name not in _OWN_FILES)
    if others:
        raise CheckpointError(
            f"`{target}` holds `{others[0]}`, which is no part of a model directory and would be lost\n\n"
            "hint: choose a directory that is new, empty or an earlier model"
        )


def _missing_weights_hint(source: Path) -> str:
    if (source / f"{WEIGHTS_FILE}.index.json").exists():
        return f"the weights are in several files; make one directory of them with `slm import hf {source} OUT`"
    if any(source.glob("*.bin")) or any(source.glob("*.pt")):
        return "pickled weights are never read; save the model as safetensors with the tool that made it"
    return "copy the directory again from where the model was saved"
