"""From raw text to a small language model that answers over HTTP.

```python
tok = slm.train_tokenizer("corpus/", vocab_size=32_768, out="tok/")
slm.build_shards("corpus/", tok, out="shards/")
slm.Trainer(run_config).fit()
slm.LLM("run/model").generate(["def main("], slm.SamplingParams(max_tokens=64))
```

Importing `slm` loads neither torch nor a server; each name is loaded when it is first used.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slm.checkpoint.model_dir import Model
    from slm.data.build import build_shards
    from slm.data.export import export_shards
    from slm.data.import_tokens import import_shards
    from slm.data.torch_dataset import RowDataset
    from slm.engine.llm import LLM
    from slm.engine.sampling_params import SamplingParams
    from slm.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        InternalError,
        MissingPackageError,
        SlmError,
        SlmWarning,
        TokenizerError,
        TrainingError,
    )
    from slm.tokenizer.counts import Counts, count_pretokens, merge_counts
    from slm.tokenizer.tokenizer import Tokenizer
    from slm.tokenizer.train import train_tokenizer, train_tokenizers
    from slm.train.trainer import Trainer

__all__ = [
    "LLM",
    "CheckpointError",
    "ConfigError",
    "Counts",
    "DataError",
    "InternalError",
    "MissingPackageError",
    "Model",
    "RowDataset",
    "SamplingParams",
    "SlmError",
    "SlmWarning",
    "Tokenizer",
    "TokenizerError",
    "Trainer",
    "TrainingError",
    "__version__",
    "build_shards",
    "count_pretokens",
    "export_shards",
    "import_shards",
    "merge_counts",
    "train_tokenizer",
    "train_tokenizers",
]

try:
    __version__ = version("slm-foundry")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0.0.0"

_HOME = {
    "Counts": "slm.tokenizer.counts",
    "LLM": "slm.engine.llm",
    "Model": "slm.checkpoint.model_dir",
    "RowDataset": "slm.data.torch_dataset",
    "SamplingParams": "slm.engine.sampling_params",
    "Tokenizer": "slm.tokenizer.tokenizer",
    "Trainer": "slm.train.trainer",
    "build_shards": "slm.data.build",
    "count_pretokens": "slm.tokenizer.counts",
    "export_shards": "slm.data.export",
    "import_shards": "slm.data.import_tokens",
    "merge_counts": "slm.tokenizer.counts",
    "train_tokenizer": "slm.tokenizer.train",
    "train_tokenizers": "slm.tokenizer.train",
} | {name: "slm.errors" for name in __all__ if name.endswith(("Error", "Warning"))}
"""Where each public name lives: a module, and after a colon the name it has there if that is another."""


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'slm' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
