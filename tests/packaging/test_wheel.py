"""The built wheel, in a fresh venv, on a machine without Rust."""

import json
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `make test` built; built here if there is none."""
    built = sorted((ROOT / "dist").glob("slm_foundry-*.whl"))
    if built and (ROOT / "dist" / ".built").exists():
        return built[-1]
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT], check=True, cwd=ROOT
    )
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel; it borrows the dependencies, which need no building, from the environment of the tests."""
    root = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(root, with_pip=True, symlinks=True)
    python = root / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    # After the venv's own packages on the path, so the `slm` that is imported is that of the wheel.
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return root


def run(fresh: Path, *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the venv with nothing of Rust on the path."""
    environment = {"PATH": f"{fresh / 'bin'}:/usr/bin:/bin", "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    assert shutil.which("cargo", path=environment["PATH"]) is None
    done = subprocess.run(
        [fresh / "bin" / command[0], *command[1:]],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_wheel_is_abi3_and_holds_what_it_needs(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("slm/py.typed", "slm/_core.pyi", "slm/report/template.html", "slm/server/playground/index.html"):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests/", "benches/")) or name.endswith(".pyc")]


def test_the_wheel_works_where_there_is_no_rust(fresh: Path, tmp_path: Path) -> None:
    where = run(fresh, "python", "-c", "import slm; print(slm.__file__)", cwd=tmp_path).stdout
    assert str(fresh) in where
    (tmp_path / "corpus").mkdir()
    for number in range(40):
        text = f"def function_{number}(a, b):\n    return a + b * {number}\n\n" * 60
        (tmp_path / "corpus" / f"{number}.py").write_text(text)
    run(fresh, "slm", "quickstart", "--minutes", "0.1", "--corpus", "corpus", "--out", "out", cwd=tmp_path)
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert 0 < evaluation["bits_per_byte"] < 8
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()


def test_tokenizer_and_data_commands_need_no_torch(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat on the mat, and the dog sat on the log\n" * 200)
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import slm\n"
        "tokenizer = slm.train_tokenizer('text.txt', vocab_size=300, documents='line', out='tok')\n"
        "assert tokenizer.decode(tokenizer.encode('the cat')) == 'the cat'\n"
        "manifest = slm.build_shards('text.txt', tokenizer, 'shards', documents='line')\n"
        "assert manifest.splits['train'].documents == 200\n"
        "from slm.cli.main import main\n"
        "sys.argv = ['slm', 'data', 'verify', 'shards']\n"
        "main()\n"
    )
    run(fresh, "python", "-c", program, cwd=tmp_path)


def test_the_version_is_the_same_everywhere(fresh: Path, tmp_path: Path) -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert cargo in run(fresh, "slm", "--version", cwd=tmp_path).stdout
