"""Settings of the whole test run: one thread a worker, and property tests that are the same every time."""

import os
import signal
from pathlib import Path
from typing import Any

# Before torch is imported: two workers of two threads each would fight for two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import HealthCheck, settings

# Timings never decide a test, so there is no deadline; the same examples each time, so a red test stays red.
settings.register_profile("slm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slm")

# A shell starts what it runs in the background with Ctrl-C ignored, and so would be all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with random weights, a real tokenizer of 280 tokens and a context of 4,096."""
    return _tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_chat_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the special tokens and the template of ChatML."""
    return _tiny_model(tmp_path_factory.mktemp("tiny-chat"), chat_tokens="chatml")


def _tiny_model(root: Path, **settings: Any) -> Path:
    from slm.checkpoint.model_dir import save_model
    from slm.config.model import ModelConfig
    from slm.model import Transformer
    from slm.tokenizer import train_tokenizer

    text = "the quick brown fox jumps over the lazy dog; 日本語 and emoji 😀👩‍👩‍👧 too. " * 20
    train_tokenizer(iter([text]), vocab_size=280, out=root / "tokenizer", **settings)
    config = ModelConfig(
        vocab_size=280,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
    )
    save_model(Transformer(config), root / "tiny-model", root / "tokenizer")
    return root / "tiny-model"
