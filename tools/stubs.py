"""Write `python/slm/_core.pyi` from the signatures in the Rust sources, or check that it is up to date.

PyO3 puts the signatures into the built library and maturin turns them into a stub. Types that PyO3 has no names for,
such as NumPy arrays, are written as text in the Rust sources; here that text loses its quotes and gets its imports.

Usage: python tools/stubs.py [--check]
"""

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
STUB = ROOT / "python" / "slm" / "_core.pyi"
IMPORTS = "import collections.abc\n\nimport numpy\nimport numpy.typing\n"
HEADER = '"""Signatures of the Rust core. Written by `tools/stubs.py`; do not edit."""\n\n'


def generate() -> str:
    """Build the extension with its signatures and give the formatted stub."""
    with tempfile.TemporaryDirectory() as out:
        maturin = [
            BIN / "maturin",
            "generate-stubs",
            "--quiet",
            "--profile",
            "dev",
            "--features",
            "inspect",
            "--out",
            out,
        ]
        subprocess.run([*maturin, "--interpreter", sys.executable], cwd=ROOT, check=True)
        (stub,) = Path(out).rglob("_core.pyi")
        text = stub.read_text()
    text = re.sub(r'"((?:numpy|tuple|list|collections)[^"\n]*)"', r"\1", text)
    ruff = [BIN / "ruff", "format", "--stdin-filename", str(STUB), "--line-length", "120", "-"]
    formatted = subprocess.run(ruff, input=HEADER + IMPORTS + text, capture_output=True, text=True, check=True)
    return formatted.stdout


def main() -> int:
    """Write the stub, or with `--check` exit with 1 where it differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    generated = generate()
    if not parser.parse_args().check:
        STUB.write_text(generated)
        return 0
    difference = difflib.unified_diff(STUB.read_text().splitlines(1), generated.splitlines(1), "committed", "generated")
    sys.stdout.writelines(difference)
    return int(STUB.read_text() != generated)


if __name__ == "__main__":
    sys.exit(main())
