"""Settings of training a model."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from slm.config.base import Config, NumThreads

Steps = Annotated[int, Field(ge=1, le=1 << 40)]
"""A number of optimizer updates."""


class OptimizerConfig(Config):
    """AdamW with decoupled weight decay; norms are not decayed."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    """Highest learning rate, reached at the end of the warmup."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the mean of gradients."""

    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of the mean of squared gradients."""

    eps: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Added to the root of the mean of squared gradients."""

    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Share of each weight that is taken off per step, times the learning rate."""

    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Norm that the gradient of all parameters together is clipped to. None: not clipped."""


class ScheduleConfig(Config):
    """Linear warmup, then half a cosine down to a share of the learning rate."""

    warmup_steps: Annotated[int, Field(ge=0, le=1 << 40)] = 0
    """Steps over which the learning rate rises from 0; fewer than `max_steps`."""

    min_learning_rate_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Learning rate of the last step, as a share of the highest."""


class TrainConfig(Config):
    """Settings of the trainer."""

    max_steps: Steps
    """Optimizer updates in all."""

    micro_batch_rows: Annotated[int, Field(ge=1, le=1 << 20)] = 16
    """Rows in one forward and backward pass; bounded by memory."""

    accumulation_steps: Annotated[int, Field(ge=1, le=1 << 20)] = 1
    """Micro steps whose gradients make one step; the result is that of one large batch."""

    row_tokens: Annotated[int, Field(ge=1, le=1 << 24)] = 256
    """Tokens in a row, the context that the model is trained on; at most `max_position_embeddings`."""

    packing: Literal["stream", "best_fit"] = "stream"
    """How documents become rows. `stream`: end to end, cut anywhere. `best_fit`: those that fit into a row are not cut,
    with padding that the loss leaves out."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """How gradients change weights."""

    schedule: ScheduleConfig = ScheduleConfig()
    """How the learning rate goes over the steps."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of matrix products; weights stay float32. `auto`: bfloat16 where it is measured to be faster."""

    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which then is the model that is saved. None: no average."""

    compile: bool = False
    """Whether the model goes through `torch.compile`; needs a C++ compiler and pays on long runs."""

    validate_every_steps: Steps = 250
    """Steps between two validations; the last step is always validated."""

    validation_rows: Annotated[int, Field(ge=1, le=1 << 30)] = 64
    """Rows of the validation split that each validation reads, always the same ones."""

    checkpoint_every_steps: Steps = 500
    """Steps between two checkpoints; the last step always has one."""

    keep_checkpoints: Annotated[int, Field(ge=1, le=1 << 20)] = 3
    """Newest checkpoints that are kept."""

    log_every_steps: Steps = 10
    """Steps between two lines of metrics."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Seed of the initial weights and of the order of the data."""

    num_threads: NumThreads | None = None
    """Threads of PyTorch on a CPU. None: one for each core."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$")] = "auto"
    """`cpu`, `cuda`, `cuda:1`, `mps`, or `auto` for the fastest that is there."""

    tensorboard: bool = True
    """Whether metrics also go to TensorBoard files."""

    @model_validator(mode="after")
    def _warmup_ends_before_training(self) -> Self:
        if self.schedule.warmup_steps >= self.max_steps:
            raise ValueError(
                f"`schedule.warmup_steps` is {self.schedule.warmup_steps:,}, "
                f"and must be less than `max_steps` {self.max_steps:,}"
            )
        return self

    @property
    def rows_per_step(self) -> int:
        """Rows that one step of one process learns from."""
        return self.micro_batch_rows * self.accumulation_steps

    @property
    def tokens_per_step(self) -> int:
        """Target tokens that one step of one process learns from."""
        return self.rows_per_step * self.row_tokens

    @property
    def total_tokens(self) -> int:
        """Target tokens that one process learns from in the whole run."""
        return self.max_steps * self.tokens_per_step
