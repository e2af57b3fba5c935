"""What a caller asks of one generation: how long, how random, and where to stop."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slm.errors import ConfigError

MAX_STOP_STRINGS = 16
"""Most stop strings of one generation."""

MAX_STOP_LENGTH = 1024
"""Most characters of one stop string."""


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    r"""How to choose each next token, and when to stop.

    The next token is drawn after temperature, then `top_k`, then `top_p`, then `min_p`, each on what the one before it
    left. Generation ends at the end-of-text token, at a stop token or string, or after `max_tokens`.

    Args:
        max_tokens: Most tokens to generate, at least 1.
        temperature: Logits are divided by it. 0 is greedy: always the likeliest token, ties to the smaller id.
        top_k: Keep the k likeliest tokens, ties to the smaller id; None keeps all.
        top_p: Keep the fewest likeliest tokens whose probabilities sum to at least this; in (0, 1], 1 keeps all.
        min_p: Keep tokens at least this fraction as likely as the likeliest; in [0, 1], 0 keeps all.
        seed: The same seed, prompt and model give the same text, whatever else runs beside it. None: a fresh one.
        stop: Text at which to stop, itself left out of the result; one string or several.
        ignore_eos: Go on past the end-of-text token.
        stop_token_ids: Tokens at which to stop as at the end-of-text token, such as the end of a chat message.

    Raises:
        ConfigError: A value is out of range.

    Example:
        >>> SamplingParams(max_tokens=32, temperature=0.8, top_p=0.95, stop=["\n\n"]).stop
        ('\n\n',)
    """

    max_tokens: int = 16
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    stop: Sequence[str] = ()
    ignore_eos: bool = False
    stop_token_ids: Sequence[int] = ()

    def __post_init__(self):
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        _require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1")
        _require(0 <= self.temperature < math.inf, "temperature", self.temperature, "0 or a positive number")
        _require(self.top_k is None or self.top_k >= 1, "top_k", self.top_k, "at least 1, or left out to keep all")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _require(0 <= self.min_p <= 1, "min_p", self.min_p, "between 0 and 1")
        _require(self.seed is None or -(2**63) <= self.seed < 2**64, "seed", self.seed, "a 64-bit integer")
        _require(len(stop) <= MAX_STOP_STRINGS, "stop", f"{len(stop)} strings", f"at most {MAX_STOP_STRINGS} strings")
        for text in stop:
            _require(0 < len(text) <= MAX_STOP_LENGTH, "stop", repr(text), f"1 to {MAX_STOP_LENGTH} characters each")

    @property
    def is_greedy(self) -> bool:
        """Whether no draw is made: the likeliest token is always taken."""
        return self.temperature == 0 or self.top_k == 1


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"`{name}` is {value}, allowed is {allowed}")
