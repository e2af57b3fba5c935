"""Text generation: `LLM` for programs, `Engine` for servers."""

from slm.engine.engine import Engine
from slm.engine.llm import LLM, Completion
from slm.engine.sampling_params import SamplingParams
from slm.engine.sequence import Delta, Sequence

__all__ = ["LLM", "Completion", "Delta", "Engine", "SamplingParams", "Sequence"]
