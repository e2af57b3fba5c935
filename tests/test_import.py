import subprocess
import sys

import pytest

import slm


def loaded_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement",
    [
        "import slm",
        "import slm.tokenizer",
        "import slm.config",
        "from slm import Tokenizer, train_tokenizer, build_shards, SlmError",
        "import slm.data.build",
        "from slm import export_shards, import_shards",
        "import slm.cli.main",
    ],
)
def test_light_parts_load_neither_torch_nor_a_server(statement: str) -> None:
    assert not loaded_after(statement) & {"torch", "fastapi", "uvicorn", "matplotlib", "transformers"}


def test_every_public_name_is_there() -> None:
    assert slm.__version__ != "0.0.0"
    for name in slm.__all__:
        assert getattr(slm, name) is not None
    assert sorted(slm.__all__) == sorted(set(slm.__all__))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = slm.nonsense  # pyright: ignore
