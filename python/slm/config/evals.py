"""Settings of measuring a model's loss on whole documents."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from slm.config.base import Config


class EvalConfig(Config):
    """A window slides over each document; a token counts once, with all the context that its window gives it."""

    window_tokens: Annotated[int, Field(ge=2, le=1 << 24)] | None = None
    """Tokens that the model sees at once. None: the longest context of the model."""

    stride_tokens: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    """Tokens between two windows, the new ones of each; small is exact and slow. None: half the window."""

    max_documents: Annotated[int, Field(ge=1)] | None = None
    """Documents that are read, from the first. None: all."""

    batch_rows: Annotated[int, Field(ge=1, le=1 << 20)] = 8
    """Windows that go through the model together."""

    @model_validator(mode="after")
    def _windows_overlap_or_touch(self) -> Self:
        window, stride = self.window_tokens, self.stride_tokens
        if window is not None and stride is not None and stride > window:
            raise ValueError(f"`stride_tokens` is {stride}, and must be at most `window_tokens` {window}")
        return self

    def resolve(self, max_position_embeddings: int) -> tuple[int, int]:
        """Give the window and the stride for a model, in tokens.

        Args:
            max_position_embeddings: Longest context of the model.
        """
        window = min(self.window_tokens or max_position_embeddings, max_position_embeddings)
        return window, min(self.stride_tokens or max(1, window // 2), window)
