import sysconfig
from pathlib import Path

import pytest

from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import hugging_face
from tests.reference.hostile import HOSTILE


@pytest.fixture(scope="session")
def python_files() -> list[Path]:
    """Real text that every machine has: some of the standard library."""
    names = ["argparse", "ast", "datetime", "difflib", "doctest", "inspect", "pydoc", "typing", "turtle", "zipfile"]
    return [Path(sysconfig.get_path("stdlib")) / f"{name}.py" for name in names]


@pytest.fixture(scope="session", params=hugging_face.PATTERNS)
def tokenizer(request: pytest.FixtureRequest, python_files: list[Path]) -> Tokenizer:
    documents = [path.read_text() for path in python_files] + HOSTILE
    special_tokens = ["<|endoftext|>", "<|end|>", "<|endoftext|>x"]
    return train_tokenizer(iter(documents), vocab_size=3000, pattern=request.param, special_tokens=special_tokens)
