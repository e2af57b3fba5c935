from collections.abc import Callable
from pathlib import Path

import pytest

from slm.config.run import RunConfig
from tests.reference.shards import random_documents, write_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = {"train": random_documents(120, seed=1), "validation": random_documents(30, seed=2)}
    return write_shards(tmp_path_factory.mktemp("shards"), documents, documents_per_shard=50)


@pytest.fixture
def make_run(shards: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """A run of a tiny model; keywords are settings of `train`, `out` is the name of its directory."""

    def make(out: str = "run", **train: object) -> RunConfig:
        settings: dict[str, object] = {
            "max_steps": 12,
            "micro_batch_rows": 2,
            "accumulation_steps": 2,
            "row_tokens": 16,
            "schedule": {"warmup_steps": 3},
            "precision": "float32",
            "validate_every_steps": 4,
            "validation_rows": 6,
            "checkpoint_every_steps": 5,
            "log_every_steps": 2,
            "num_threads": 1,
            "tensorboard": False,
        }
        return RunConfig.from_values(
            {
                "shards": str(shards),
                "out": str(tmp_path / out),
                "model": {
                    "vocab_size": 257,
                    "hidden_size": 16,
                    "intermediate_size": 32,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 2,
                    "max_position_embeddings": 16,
                },
                "train": settings | train,
            }
        )

    return make
