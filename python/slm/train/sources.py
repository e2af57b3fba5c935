"""What a run learns from: the two splits of its shards, and the tokenizer that goes with them."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from slm.config.run import RunConfig
from slm.data.dataset import TokenDataset
from slm.data.manifest import TOKENIZER_DIRECTORY
from slm.data.mixture import Mixture
from slm.errors import ConfigError, SlmWarning


@dataclass(frozen=True)
class Sources:
    """The open inputs of a run.

    Attributes:
        train: What to learn from, in its proportions.
        validation: The split to measure on, None where the shards hold none.
        tokenizer_dir: Directory of the tokenizer, None where the shards came without.
        token_bytes_V: Bytes each token decodes to, 0 for special ones; (V,), int64. None without a tokenizer.
    """

    train: Mixture
    validation: TokenDataset | None
    tokenizer_dir: Path | None
    token_bytes_V: Tensor | None


def open_sources(run: RunConfig) -> Sources:
    """Open the shards of a run and check that model, shards and tokenizer belong together.

    Args:
        run: Where the shards are and how large the model's vocabulary is.

    Raises:
        ConfigError: The model has no room for some ids.
        TokenizerError: The tokenizer in the shard directory is not the one that wrote the shards, or that of another
            shard directory.
        DataError: The shards are malformed or have no training tokens.
        FileNotFoundError: There are none.
    """
    train = Mixture([TokenDataset(directory, "train") for directory in run.all_shards], run.shard_weights)
    if train.vocab_size > run.model.vocab_size:
        raise ConfigError(
            f"`model.vocab_size` is {run.model.vocab_size}, and the tokenizer of shards `{run.shards}` has "
            f"{train.vocab_size} tokens\n\n"
            f"hint: set it with `--set model.vocab_size={train.vocab_size}`, or name the shards that were meant"
        )
    manifest = train.datasets[0].manifest
    has_validation = any(entry.split == "validation" and entry.tokens for entry in manifest.shards)
    validation = TokenDataset(run.shards, "validation") if has_validation else None
    tokenizer_dir = run.shards / TOKENIZER_DIRECTORY
    if not tokenizer_dir.is_dir():
        warnings.warn(
            f"`{tokenizer_dir}` is missing, so bits per byte cannot be told and the saved model will have no tokenizer",
            SlmWarning,
            stacklevel=2,
        )
        return Sources(train, validation, None, None)
    from slm.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(tokenizer_dir)
    manifest.require_tokenizer(tokenizer.fingerprint, owner=f"`{tokenizer_dir}`")
    return Sources(train, validation, tokenizer_dir, torch.from_numpy(tokenizer.token_lengths()))
