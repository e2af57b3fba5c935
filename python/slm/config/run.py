"""A whole training run: shards, model, trainer and evaluation in one file."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, Strict, model_validator

from slm.config.base import Config, FilePath, PathTuple
from slm.config.evals import EvalConfig
from slm.config.model import ModelConfig
from slm.config.train import TrainConfig


class RunConfig(Config):
    """Settings of `slm train`."""

    shards: FilePath
    """Directory that `slm data build` made."""

    more_shards: Annotated[PathTuple, Field(max_length=1023)] = ()
    """Further directories to train on, made with the same tokenizer. Validation is on the split of `shards`."""

    shard_weights: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Strict(False)] | None = None
    """Share of the rows that `shards` and each of `more_shards` is to have, relative to their sum. None: as many as it
    has tokens."""

    out: FilePath
    """Directory of the run: checkpoints, metrics, the finished model. Training again into it goes on where it was."""

    model: ModelConfig
    """Shape of the model."""

    train: TrainConfig
    """How it is trained."""

    eval: EvalConfig = EvalConfig()
    """How the finished model is measured on the validation documents."""

    @property
    def all_shards(self) -> tuple[Path, ...]:
        """Every directory to train on."""
        return (self.shards, *self.more_shards)

    @model_validator(mode="after")
    def _every_directory_has_a_weight(self) -> Self:
        if self.shard_weights is not None and len(self.shard_weights) != len(self.all_shards):
            raise ValueError(
                f"`shard_weights` has {len(self.shard_weights)} numbers, and `shards` with `more_shards` is "
                f"{len(self.all_shards)} directories"
            )
        return self

    @model_validator(mode="after")
    def _rows_fit_the_context(self) -> Self:
        longest = self.model.max_position_embeddings
        lengths = {"train.row_tokens": self.train.row_tokens, "eval.window_tokens": self.eval.window_tokens}
        for name, tokens in lengths.items():
            if tokens is not None and tokens > longest:
                raise ValueError(f"`{name}` is {tokens}, and must be at most `model.max_position_embeddings` {longest}")
        return self
