"""Reading model weights from safetensors files, checked in full before memory is taken."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from slm.config.model import ModelConfig
from slm.errors import CheckpointError
from slm.model.transformer import Transformer

HEAD = "lm_head.weight"
EMBEDDING = "model.embed_tokens.weight"

_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_NOT_ONE_MODEL = "hint: weights and config are not of one model; copy both from where it was saved"
_COPY_AGAIN = "hint: copy the file again from where the model was saved"


def read_weights(
    config: ModelConfig,
    files: Sequence[Path],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> dict[str, Tensor]:
    """Read the state dict of a config's model from one or more safetensors files.

    Every header is compared with the config first: names, shapes and dtypes. Only then is memory taken. A file may hold
    the output head of a model with tied embeddings, if it equals the embedding.

    Args:
        config: What the files must hold.
        files: All files of the model; a tensor is in one of them.
        dtype: Convert the weights; None: keep the dtype of the embedding.
        device: Where to; None: the CPU.

    Returns:
        The tensors by name, with memory of their own and all in one dtype.

    Raises:
        FileNotFoundError: A file is gone.
        CheckpointError: A file is corrupt, or holds another model than the config says, or a weight is not finite.
    """
    place_of = _locate(files)
    found: dict[str, tuple[Path, tuple[int, ...], str]] = {}
    for path in files:
        with _open(path) as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                header = file.get_slice(name)
                found[name] = (path, tuple(header.get_shape()), header.get_dtype())
    expected = _expected_shapes(config, found, place_of)
    _compare(expected, found, place_of, tied=config.tie_word_embeddings)

    dtype = dtype or _DTYPES[found[EMBEDDING][2]]
    tensors: dict[str, Tensor] = {}
    for path in files:
        with _open(path) as file:
            for name in file.keys():  # noqa: SIM118
                tensor: Tensor = file.get_tensor(name)
                _check_finite(path, name, tensor)
                # `copy` gives the weights memory of their own: what `get_tensor` returns is a window into the file.
                tensors[name] = tensor.to(device or "cpu", dtype, copy=True)
                if dtype == torch.float16 and not _is_finite(tensors[name]):
                    raise CheckpointError(
                        f"`{path}` holds values in `{name}` that float16 cannot; its largest is 65504\n\n"
                        "hint: use bfloat16, which has the range of float32"
                    )
    if config.tie_word_embeddings and HEAD in tensors and not torch.equal(tensors.pop(HEAD), tensors[EMBEDDING]):
        raise CheckpointError(
            f"`{found[HEAD][0]}` holds `{HEAD}` unlike `{EMBEDDING}`, and `config.json` says that they are tied\n\n"
            "hint: set `tie_word_embeddings` to false in `config.json`"
        )
    return tensors


def _open(path: Path) -> safe_open:
    path.stat()  # FileNotFoundError with the path, which safetensors does not give
    try:
        return safe_open(path, framework="pt", device="cpu")
    except SafetensorError as err:
        raise CheckpointError(f"`{path}` is not a complete safetensors file: {err}\n\n{_COPY_AGAIN}") from err


def _locate(files: Sequence[Path]) -> str:
    return f"`{files[0]}`" if len(files) == 1 else f"`{files[0].parent}` ({len(files)} files)"


def _expected_shapes(
    config: ModelConfig, found: Mapping[str, tuple[Path, tuple[int, ...], str]], place: str
) -> dict[str, tuple[int, ...]]:
    """Name to shape of every tensor of the config's model."""
    # Counted before the skeleton is built: a config that says a billion layers must not cost a billion modules.
    indices = [int(match[1]) for name in found if (match := re.match(r"model\.layers\.(\d+)\.", name))]
    num_layers = max(indices, default=-1) + 1
    if num_layers != config.num_hidden_layers:
        raise CheckpointError(
            f"{place} holds {num_layers} layers, `config.json` says `num_hidden_layers` {config.num_hidden_layers}\n\n"
            f"{_NOT_ONE_MODEL}"
        )
    with torch.device("meta"):
        skeleton = Transformer(config)
    return {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}


def _compare(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[Path, tuple[int, ...], str]],
    place: str,
    *,
    tied: bool,
) -> None:
    for name, shape in expected.items():
        if name not in found:
            raise CheckpointError(
                f"{place} has no tensor `{name}`, which a model of `config.json` has\n\n{_NOT_ONE_MODEL}"
            )
        path, actual, stored = found[name]
        if actual != shape:
            raise CheckpointError(
                f"`{path}` holds `{name}` with shape {list(actual)}, `config.json` says {list(shape)}\n\n"
                f"{_NOT_ONE_MODEL}"
            )
        if stored not in _DTYPES:
            raise CheckpointError(
                f"`{path}` holds `{name}` as {stored}; weights may be {', '.join(_DTYPES)}\n\n"
                "hint: save the model again in one of these; quantised weights are not read"
            )
    unexpected = sorted(set(found) - set(expected) - ({HEAD} if tied else set[str]()))
    if unexpected:
        path = found[unexpected[0]][0]
        raise CheckpointError(
            f"`{path}` holds `{unexpected[0]}`, which a model of `config.json` does not have "
            f"({len(unexpected)} such tensors)\n\n{_NOT_ONE_MODEL}"
        )


def _check_finite(path: Path, name: str, tensor: Tensor) -> None:
    if not _is_finite(tensor):
        raise CheckpointError(
            f"`{path}` holds a value that is not finite in `{name}`\n\n"
            "hint: the training that wrote it diverged or the file is damaged; take an earlier checkpoint"
        )


def _is_finite(tensor: Tensor) -> bool:
    # One pass without a temporary; both ends are NaN if any element is.
    low, high = torch.aminmax(tensor)
    return bool(low.isfinite() and high.isfinite())
