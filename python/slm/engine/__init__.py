"""Text generation: `LLM` for programs, `Engine` for servers.

Names are resolved when they are used, so that checking sampling parameters loads no torch.

Read in this order: `llm` (the interface), `engine` (the loop), `scheduler`, `sequence`, `model_runner`, `kv_cache`,
`sampler`, `detokenizer`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slm.engine.engine import Engine
    from slm.engine.llm import LLM, Completion
    from slm.engine.sampling_params import SamplingParams
    from slm.engine.sequence import Delta, Sequence

_MODULES = {
    "LLM": "llm",
    "Completion": "llm",
    "Delta": "sequence",
    "Engine": "engine",
    "SamplingParams": "sampling_params",
    "Sequence": "sequence",
}

__all__ = ["LLM", "Completion", "Delta", "Engine", "SamplingParams", "Sequence"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"slm.engine.{_MODULES[name]}"), name)
