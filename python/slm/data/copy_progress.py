"""How far an export or an import is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class CopyProgress:
    """How far an export or an import is, in the shape that all long work reports in."""

    phase: str
    """What is being done."""

    done: int
    """Tokens copied."""

    total: int
    """Tokens in all."""

    unit: str = "tokens"
    """What is counted."""

    counters: Mapping[str, int] = field(default_factory=dict[str, int])
    """Further figures."""


OnCopyProgress: TypeAlias = Callable[[CopyProgress], object] | None
"""Called after every million tokens or so, from the calling thread; an exception in it stops the work."""
