"""A model directory, ready to generate: the whole inference API for programs."""

import os
from collections.abc import Generator
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Self

import torch

from slm.checkpoint.model_dir import load_model, load_tokenizer
from slm.engine.engine import Engine
from slm.engine.sampling_params import SamplingParams
from slm.engine.sequence import Delta, FinishReason, Sequence
from slm.errors import ConfigError
from slm.model import Transformer
from slm.tokenizer import Tokenizer

Prompt = str | Items[int]
"""Text, or token ids."""


@dataclass(frozen=True)
class Completion:
    """A finished generation.

    Attributes:
        prompt_tokens: How many tokens the prompt had.
        text: The generated text, without the stop string that ended it.
        token_ids: The generated tokens, with the end-of-text token or the tokens of a stop string if one ended it.
        finish_reason: `stop` or `length`.
        seed: Seed of the draws; pass it in to get the same text again.
    """

    prompt_tokens: int
    text: str
    token_ids: list[int]
    finish_reason: FinishReason
    seed: int


class LLM:
    """A language model that continues text. For one thread at a time.

    Args:
        model_dir: A model directory.
        dtype: Precision of weights and computation: `float32`, `bfloat16` or `float16`. None: float32 on a CPU,
            what the directory holds elsewhere.
        device: `cpu`, `cuda`, …; None: CUDA if there is any.
        max_batch: Most sequences computed together.
        prefill_tokens: Most prompt tokens read between two tokens of the answers in progress.
        num_threads: CPU threads that compute, for all of PyTorch in this process; None leaves its setting.

    Raises:
        FileNotFoundError: There is no such directory.
        CheckpointError: It does not hold a whole model.

    Example:
        >>> llm = LLM("model/")  # doctest: +SKIP
        >>> llm.generate("def main(", SamplingParams(max_tokens=64, temperature=0.8)).text  # doctest: +SKIP
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        device: str | None = None,
        max_batch: int = 8,
        prefill_tokens: int = 256,
        num_threads: int | None = None,
    ):
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        where = _device(device)
        what = torch.float32 if dtype is None and where.type == "cpu" else _dtype(dtype)
        self._attach(
            load_model(model_dir, dtype=what, device=where), load_tokenizer(model_dir), max_batch, prefill_tokens
        )

    @classmethod
    def from_model(
        cls, model: Transformer, tokenizer: Tokenizer, *, max_batch: int = 8, prefill_tokens: int = 256
    ) -> Self:
        """Wrap a model that is in memory already, as it is."""
        llm = cls.__new__(cls)
        llm._attach(model, tokenizer, max_batch, prefill_tokens)
        return llm

    def _attach(self, model: Transformer, tokenizer: Tokenizer, max_batch: int, prefill_tokens: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.engine = Engine(model, tokenizer, max_batch=max_batch, prefill_tokens=prefill_tokens)

    def generate(
        self, prompts: Prompt | Items[Prompt], params: SamplingParams | Items[SamplingParams] | None = None
    ) -> list[Completion]:
        """Continue prompts, many at a time.

        Args:
            prompts: One prompt or several.
            params: For all prompts, or one for each. None: the defaults of `SamplingParams`.

        Returns:
            One completion for each prompt, in order.

        Raises:
            ConfigError: A prompt does not fit in the context; the message names both lengths.
            InternalError: The model gives no probabilities, for example because its weights are not finite.
        """
        many = _prompts(prompts)
        each = _each(params, len(many))
        sequences = [self._sequence(prompt, one) for prompt, one in zip(many, each, strict=True)]
        try:
            for sequence in sequences:
                self.engine.add(sequence)
            while not all(sequence.is_finished for sequence in sequences):
                self.engine.step()
        finally:
            self._abandon(sequences)
        return [_completion(sequence) for sequence in sequences]

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> Generator[Delta, None, None]:
        """Continue one prompt, piece by piece; closing the iterator ends the generation.

        The pieces hold whole characters and join to the text that `generate` gives.

        Args:
            prompt: Text or token ids.
            params: As `generate`.

        Yields:
            What each step added; the last has a `finish_reason`.

        Raises:
            ConfigError: The prompt does not fit in the context.
            InternalError: The model gives no probabilities.
        """
        # Checked here and not at the first `next`, where a caller expects no error in its arguments.
        return self._deltas(self._sequence(prompt, params or SamplingParams()))

    def _deltas(self, sequence: Sequence) -> Generator[Delta, None, None]:
        try:
            self.engine.add(sequence)
            while sequence.deltas or not sequence.is_finished:
                while sequence.deltas:
                    yield sequence.deltas.popleft()
                if not sequence.is_finished:
                    self.engine.step()
            _raise_error(sequence)
        finally:
            self._abandon([sequence])

    def _sequence(self, prompt: Prompt, params: SamplingParams) -> Sequence:
        prompt_ids = self.tokenizer.encode(prompt).tolist() if isinstance(prompt, str) else list(prompt)
        return self.engine.new_sequence(prompt_ids, params)

    def _abandon(self, sequences: list[Sequence]) -> None:
        for sequence in sequences:
            sequence.is_aborted = not sequence.is_finished
        self.engine.drop_aborted()


def _prompts(prompts: Prompt | Items[Prompt]) -> list[Prompt]:
    if isinstance(prompts, str):
        return [prompts]
    ids = [item for item in prompts if not isinstance(item, (str, Items))]
    return [ids] if ids else [item for item in prompts if isinstance(item, (str, Items))]


def _each(params: SamplingParams | Items[SamplingParams] | None, count: int) -> list[SamplingParams]:
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * count
    if len(params) != count:
        raise ConfigError(
            f"{len(params)} sampling parameters for {count} prompts\n\nhint: give one, or one for each prompt"
        )
    return list(params)


def _completion(sequence: Sequence) -> Completion:
    _raise_error(sequence)
    assert sequence.finish_reason is not None, "asked before it was finished"
    return Completion(
        prompt_tokens=sequence.num_prompt_tokens,
        text="".join(delta.text for delta in sequence.deltas),
        token_ids=sequence.generated_ids,
        finish_reason=sequence.finish_reason,
        seed=sequence.seed,
    )


def _raise_error(sequence: Sequence) -> None:
    if sequence.error is not None:
        raise sequence.error


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device `{name}` cannot be used: {str(error).splitlines()[0]}\n\nhint: try `cpu`") from error
    return device


def _dtype(name: str | None) -> torch.dtype | None:
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name is None:
        return None
    if name not in dtypes:
        raise ConfigError(f"dtype `{name}` is unknown, allowed are {', '.join(f'`{one}`' for one in dtypes)}")
    return dtypes[name]
