from pathlib import Path

import pytest

from slm import durable


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    durable.write_json(target, {"step": 1})

    def fail(staged: Path) -> None:
        staged.write_bytes(b"half")
        raise OSError(28, "no space left on device", str(staged))

    with pytest.raises(OSError, match="no space"):
        durable.write_file(target, fail)
    assert target.read_text() == '{\n  "step": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_not_a_number_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        durable.write_json(tmp_path / "loss.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_directory_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    for generation in ("old", "new"):
        staged = tmp_path / "staged"
        staged.mkdir()
        (staged / "file").write_text(generation)
        durable.replace_directory(staged, tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
