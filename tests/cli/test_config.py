import json
from pathlib import Path

import pytest

from slm.cli.main import run
from slm.cli.words import short_number
from slm.config import RunConfig, estimate_memory
from slm.config.reference import CONFIGS, markdown_table
from slm.config.yaml_reader import read_yaml

ROOT = Path(__file__).parents[2]
SIZES = ["nano", "micro", "small", "base", "medium", "large"]


@pytest.mark.parametrize("size", SIZES)
def test_show_prints_the_run_and_what_it_takes(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "configs" / f"{size}.yaml"
    assert run(["config", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    settings, _, figures = shown.partition("\n\n")
    config = RunConfig.load(path)
    assert RunConfig.from_values(read_yaml(settings, "shown").value) == config
    assert f"{config.model.num_parameters:,}" in figures
    assert f"{config.train.tokens_per_step:,}" in figures
    assert f"{config.train.total_tokens:,}" in figures
    estimate = estimate_memory(config)
    for name in ("parameters", "gradients", "optimizer", "activations", "peak"):
        assert any(
            line.startswith(f"memory: {name} ") and f"{getattr(estimate, name) / 2**20:,.1f} MiB" in line
            for line in figures.splitlines()
        )


def test_show_as_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "configs" / "nano.yaml"
    assert run(["config", "show", str(path), "--set", "train.max_steps=1_000", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["parameters"] == 1_016_960
    assert shown["total_tokens"] == 1_000 * shown["tokens_per_step"] == 4_096_000
    assert shown["memory_bytes"]["parameters"] == 4 * shown["parameters"]
    assert RunConfig.from_values(shown["config"]) == RunConfig.load(path)


def test_flops_follow_the_matrices_and_the_causal_attention() -> None:
    model = RunConfig.load(ROOT / "configs" / "nano.yaml").model
    # 4 layers of 4 * 128 * 128 + 3 * 128 * 320, and 2048 * 128 for the output.
    weights = 4 * (65_536 + 122_880) + 262_144
    assert model.num_matmul_parameters == weights
    # Each token sees 128 of 256 others on average, in two products of width 128, forward and twice backward.
    assert model.flops_per_token(256) == 6 * weights + 4 * (2 * 2 * 128 * 128) * 3


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*/*.yaml")), ids=lambda path: path.stem)
def test_show_knows_a_config_by_its_settings(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", str(path)]) == 0
    shown = CONFIGS[path.parent.name].from_values(read_yaml(capsys.readouterr().out, "shown").value)
    assert shown == CONFIGS[path.parent.name].load(path)


def test_a_wrong_override_is_told_with_the_nearest_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", str(ROOT / "configs" / "nano.yaml"), "--set", "train.max_step=1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "unknown setting `train.max_step`\n\nhint: did you mean `train.max_steps`?" in captured.err


@pytest.mark.parametrize("name", CONFIGS)
def test_schema_has_every_setting_with_its_meaning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema", name]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(CONFIGS[name].model_fields)
    assert all("description" in setting for setting in schema["properties"].values())


def test_an_unknown_schema_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema", "tokeniser"]) == 2
    assert "did you mean `tokenizer`?" in capsys.readouterr().err


def test_the_tables_in_the_docs_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    docs = (ROOT / "docs" / "configuration.md").read_text()
    for name in ("run", "tokenizer", "counts", "data", "serve"):
        assert run(["config", "schema", name, "--markdown"]) == 0
        table = capsys.readouterr().out
        assert table == markdown_table(CONFIGS[name]) + "\n"
        assert table in docs, f"paste the output of `slm config schema {name} --markdown`"


def test_counts_are_cut_to_three_digits() -> None:
    assert [short_number(number) for number in (999, 1_016_960, 123_500_000, 2.5e9)] == ["999", "1.02M", "124M", "2.5G"]
