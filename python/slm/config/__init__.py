"""Every setting of every stage as a frozen, checked model; read from strict YAML, and free of torch.

Reading order: `base` (what a config is), `yaml_reader` and `overrides` (where values come from), `problems` (how
mistakes are told), `yaml_writer` (how a resolved config is saved), then one file per stage, `run` and `memory`.
"""

from slm.config.base import Config
from slm.config.data import DataConfig
from slm.config.evals import EvalConfig
from slm.config.memory import MemoryEstimate, estimate_memory
from slm.config.model import ModelConfig
from slm.config.run import RunConfig
from slm.config.serve import ServeConfig
from slm.config.tokenizer import CorpusConfig, CountConfig, TokenizerConfig
from slm.config.train import OptimizerConfig, ScheduleConfig, TrainConfig

__all__ = [
    "Config",
    "CorpusConfig",
    "CountConfig",
    "DataConfig",
    "EvalConfig",
    "MemoryEstimate",
    "ModelConfig",
    "OptimizerConfig",
    "RunConfig",
    "ScheduleConfig",
    "ServeConfig",
    "TokenizerConfig",
    "TrainConfig",
    "estimate_memory",
]
