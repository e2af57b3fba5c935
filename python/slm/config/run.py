"""A whole training run: shards, model, trainer and evaluation in one file."""

from typing import Self

from pydantic import model_validator

from slm.config.base import Config, FilePath
from slm.config.evals import EvalConfig
from slm.config.model import ModelConfig
from slm.config.train import TrainConfig


class RunConfig(Config):
    """Settings of `slm train`."""

    shards: FilePath
    """Directory that `slm data build` made."""

    out: FilePath
    """Directory of the run: checkpoints, metrics, the finished model. Training again into it goes on where it was."""

    model: ModelConfig
    """Shape of the model."""

    train: TrainConfig
    """How it is trained."""

    eval: EvalConfig = EvalConfig()
    """How the finished model is measured on the validation documents."""

    @model_validator(mode="after")
    def _rows_fit_the_context(self) -> Self:
        longest = self.model.max_position_embeddings
        lengths = {"train.row_tokens": self.train.row_tokens, "eval.window_tokens": self.eval.window_tokens}
        for name, tokens in lengths.items():
            if tokens is not None and tokens > longest:
                raise ValueError(f"`{name}` is {tokens}, and must be at most `model.max_position_embeddings` {longest}")
        return self
