"""One generation in progress: its tokens, its text so far, and how it ended."""

import secrets
from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Literal

from slm.engine.detokenizer import Detokenizer, StopMatcher, TokenTable
from slm.engine.sampling_params import SamplingParams

FinishReason = Literal["stop", "length", "abort", "error"]
"""`stop`: end-of-text token or stop string. `length`: `max_tokens`. `abort`: cancelled. `error`: in `error`."""


@dataclass(frozen=True)
class Delta:
    """What one step added to a sequence.

    Attributes:
        text: New text, whole characters; empty while a character or a possible stop string is incomplete.
        token_id: The token that was drawn, or None if the sequence ended without one.
        finish_reason: Set on the last delta of a sequence.
    """

    text: str
    token_id: int | None
    finish_reason: FinishReason | None


class Sequence:
    """A prompt and what was generated from it.

    Only the engine changes a sequence, and only inside `Engine.step`, with one exception: `is_aborted` may be set from
    any thread at any time and is obeyed at the next step border.

    Args:
        prompt_ids: Token ids of the prompt, at least one.
        params: How to continue it.
        table: Bytes of each token.
        end_of_text_id: Token that ends the generation; None if the tokenizer has none.
    """

    def __init__(self, prompt_ids: Items[int], params: SamplingParams, table: TokenTable, end_of_text_id: int | None):
        self.params = params
        self.seed = secrets.randbits(63) if params.seed is None else params.seed
        self.num_prompt_tokens = len(prompt_ids)
        self.token_ids = list(prompt_ids)
        """Prompt and generated tokens."""
        self.num_cached = 0
        """How many of `token_ids` have their keys and values in the cache."""
        self.slot: int | None = None
        """Row of the cache; None while waiting and when finished."""
        self.is_aborted = False
        self.finish_reason: FinishReason | None = None
        self.error: BaseException | None = None
        """What went wrong, if `finish_reason` is `error`."""
        self.deltas: deque[Delta] = deque()
        """What was added and not yet taken by whoever asked for the sequence."""
        self._end_ids = {*params.stop_token_ids, *(() if params.ignore_eos else (end_of_text_id,))}
        self._detokenizer = Detokenizer(table)
        self._stop = StopMatcher(params.stop)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None

    @property
    def generated_ids(self) -> list[int]:
        """The generated tokens, with the end-of-text token or the tokens of a stop string if one ended it."""
        return self.token_ids[self.num_prompt_tokens :]

    @property
    def num_generated(self) -> int:
        """How many tokens were generated."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def max_length(self) -> int:
        """Tokens of the prompt and of the longest answer; the cache is reserved for them before the first step."""
        return self.num_prompt_tokens + self.params.max_tokens

    def append(self, token_id: int) -> None:
        """Take a drawn token, add its text to `deltas`, and finish if it is the last."""
        assert not self.is_finished, "a finished sequence takes no token"
        self.token_ids.append(token_id)
        text = self._stop.push(self._detokenizer.push(token_id))
        if self._stop.is_matched or token_id in self._end_ids:
            self.finish("stop", text, token_id)
        elif self.num_generated == self.params.max_tokens:
            self.finish("length", text, token_id)
        else:
            self.deltas.append(Delta(text, token_id, None))

    def finish(self, reason: FinishReason, text: str = "", token_id: int | None = None) -> None:
        """End the sequence with a last delta, which brings what was held back unless a stop string ate it."""
        if not self._stop.is_matched:
            text += self._stop.push(self._detokenizer.flush())
            # The flush may itself complete a stop string that holds U+FFFD.
            text += self._stop.flush()
        self.finish_reason = reason
        self.deltas.append(Delta(text, token_id, reason))

    def fail(self, error: BaseException) -> None:
        """End the sequence because of `error`."""
        self.error = error
        self.finish("error")
