"""What import-linter cannot see: the compiled core is not Python source."""

import ast
from pathlib import Path

import slm

PACKAGE = Path(slm.__file__).parent


def imports_core(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (
            (node.module or "").startswith("slm._core") or any(alias.name == "_core" for alias in node.names)
        ):
            return True
        if isinstance(node, ast.Import) and any(alias.name.startswith("slm._core") for alias in node.names):
            return True
    return False


def test_only_tokenizer_and_data_call_the_rust_core() -> None:
    callers = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py") if imports_core(path)}
    assert callers == {"tokenizer", "data"}
