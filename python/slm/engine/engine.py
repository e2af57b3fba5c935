"""The loop that every generation goes through: one synchronous `step`, the only thing that changes any state.

A step obeys aborts, adds one token to every decoding sequence, then reads prompts with what is left of its budget. It
knows no threads and no network, so a test can run it by hand; the server runs it in a thread of its own.
"""

import logging
from collections.abc import Generator
from collections.abc import Sequence as Items
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from slm.engine.detokenizer import TokenTable
from slm.engine.model_runner import ModelRunner
from slm.engine.sampler import sample
from slm.engine.sampling_params import SamplingParams
from slm.engine.scheduler import Scheduler
from slm.engine.sequence import Sequence
from slm.errors import ConfigError, InternalError
from slm.model import Transformer
from slm.tokenizer import Tokenizer

_logger = logging.getLogger(__name__)


class Engine:
    """Generates for many prompts at once.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        max_batch: Most sequences in progress, each of which has a slot of the cache; others wait.
        prefill_tokens: Most prompt tokens read in one step.

    Raises:
        ConfigError: The tokenizer has tokens that the model does not know.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer, *, max_batch: int = 8, prefill_tokens: int = 256):
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model knows {model.config.vocab_size}\n\n"
                "hint: use the tokenizer that the model was trained with"
            )
        self.context_tokens = model.config.max_position_embeddings
        self.scheduler = Scheduler(max_batch, prefill_tokens)
        self.num_tokens_generated = 0
        self.num_aborted = 0
        self.num_failed = 0
        self._runner = ModelRunner(model, max_batch)
        self._table = TokenTable(tokenizer)
        self._end_of_text_id = tokenizer.end_of_text_id

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return self.scheduler.has_work

    def new_sequence(self, prompt_ids: Items[int], params: SamplingParams) -> Sequence:
        """Check a request and make its sequence, without queueing it. Safe to call from any thread.

        Args:
            prompt_ids: Token ids of the prompt; empty stands for the start of a document.
            params: How to continue it.

        Raises:
            ConfigError: An id is not in the vocabulary, or prompt and answer do not fit in the context.
        """
        if not prompt_ids:
            if self._end_of_text_id is None:
                raise ConfigError("the prompt is empty\n\nhint: this tokenizer has no end-of-text token to start from")
            prompt_ids = [self._end_of_text_id]
        num_tokens = len(prompt_ids)
        if num_tokens >= self.context_tokens:
            raise ConfigError(
                f"the prompt has {num_tokens} tokens, the model's context has room for {self.context_tokens}, "
                f"the answer included\n\nhint: cut the prompt by {num_tokens - self.context_tokens + 1} tokens or more"
            )
        if num_tokens + params.max_tokens > self.context_tokens:
            raise ConfigError(
                f"the prompt's {num_tokens} tokens and `max_tokens` {params.max_tokens} are more than the model's "
                f"context of {self.context_tokens} tokens\n\n"
                f"hint: set `max_tokens` to at most {self.context_tokens - num_tokens}, or shorten the prompt"
            )
        for token_id in prompt_ids:
            if not 0 <= token_id < len(self._table.bytes_V):
                raise ConfigError(f"token id {token_id} is not in the vocabulary of {len(self._table.bytes_V)} tokens")
        return Sequence(prompt_ids, params, self._table, self._end_of_text_id)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence from `new_sequence`."""
        self.scheduler.add(sequence)

    def step(self) -> list[Sequence]:
        """Obey aborts and compute one more token for every sequence that can have one.

        An error while computing ends the sequences that were computed with it; the engine goes on with the others.

        Returns:
            Sequences whose `deltas` grew.
        """
        return [*self.drop_aborted(), *self._decode(), *self._prefill()]

    def drop_aborted(self) -> list[Sequence]:
        """End the sequences whose `is_aborted` is set and free their slots; return them."""
        aborted = [sequence for sequence in self.scheduler.sequences() if sequence.is_aborted]
        for sequence in aborted:
            self.num_aborted += 1
            sequence.finish("abort")
            self._remove(sequence)
        return aborted

    def _decode(self) -> list[Sequence]:
        sequences = list(self.scheduler.decoding)
        if not sequences:
            return []
        with self._failing(sequences):
            logits_BV = self._runner.decode(
                [sequence.token_ids[-1] for sequence in sequences], [sequence.num_cached for sequence in sequences]
            )
            # All counts before the first draw: a sequence that ends there moves others to new slots.
            for sequence in sequences:
                sequence.num_cached += 1
            for sequence, logits_V in zip(sequences, logits_BV, strict=True):
                self._draw(sequence, logits_V)
        return sequences

    def _prefill(self) -> list[Sequence]:
        changed: list[Sequence] = []
        budget_tokens = self.scheduler.prefill_tokens
        while (chunk := self.scheduler.next_prefill(budget_tokens)) is not None:
            budget_tokens -= chunk.num_tokens
            sequence, start = chunk.sequence, chunk.sequence.num_cached
            assert sequence.slot is not None, "a prompt is read into a slot"
            with self._failing([sequence]):
                token_ids = sequence.token_ids[start : start + chunk.num_tokens]
                logits_V = self._runner.prefill(sequence.slot, token_ids, start, wants_logits=chunk.is_last)
                sequence.num_cached += chunk.num_tokens
                if logits_V is not None:
                    self.scheduler.start_decoding(sequence)
                    self._draw(sequence, logits_V)
            if sequence.deltas:
                changed.append(sequence)
        return changed

    def _draw(self, sequence: Sequence, logits_V: NDArray[np.float32]) -> None:
        try:
            token_id = sample(logits_V, sequence.params, sequence.seed, len(sequence.token_ids))
        except InternalError as error:
            self._fail(sequence, error)
            return
        self.num_tokens_generated += 1
        sequence.append(token_id)
        if sequence.is_finished:
            self._remove(sequence)

    @contextmanager
    def _failing(self, sequences: list[Sequence]) -> Generator[None, None, None]:
        """End the sequences that are computed within if that fails; let Ctrl-C and the like through."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception):
                _logger.error("a step failed, its %d sequences end", len(sequences), exc_info=error)
            for sequence in sequences:
                if not sequence.is_finished:
                    self._fail(sequence, error)
            if not isinstance(error, Exception):
                raise

    def _fail(self, sequence: Sequence, error: BaseException) -> None:
        self.num_failed += 1
        sequence.fail(error)
        self._remove(sequence)

    def _remove(self, sequence: Sequence) -> None:
        for move in self.scheduler.remove(sequence):
            self._runner.cache.move(move.source, move.target, move.sequence.num_cached)
