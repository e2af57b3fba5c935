from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slm.config import Config, CorpusConfig, DataConfig, ModelConfig, RunConfig, TokenizerConfig, TrainConfig
from slm.config.problems import all_paths, dotted
from slm.errors import EXIT_USAGE, ConfigError

MODEL: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
RUN: dict[str, Any] = {
    "shards": "shards",
    "out": "runs/tiny",
    "model": MODEL,
    "train": {"max_steps": 100, "row_tokens": 64},
}


def tiny_run(*overrides: str) -> RunConfig:
    return RunConfig.from_values(RUN, overrides)


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        tiny_run(*overrides)
    return str(caught.value)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(
        "shards: shards\nout: runs/tiny\nmodel:\n"
        + "".join(f"  {name}: {value}\n" for name, value in MODEL.items())
        + "train:\n  max_steps: 1e2\n  row_tokens: 64\n  optimizer:\n    learning_rate: 6e-4\n"
    )
    return path


def test_a_file_is_read_with_its_numbers(run_file: Path) -> None:
    run = RunConfig.load(run_file)
    assert run.train.max_steps == 100
    assert run.train.optimizer.learning_rate == 6e-4
    assert run.shards == Path("shards")


def test_configs_are_frozen() -> None:
    with pytest.raises(ValidationError):
        tiny_run().train.max_steps = 3  # pyright: ignore


@pytest.mark.parametrize(
    ("misspelled", "meant"),
    [
        ("train.max_step", "train.max_steps"),
        ("train.learning_rate", "train.optimizer.learning_rate"),
        ("modle.vocab_size", "model"),
        ("model.n_heads", None),
        ("trainer", "train"),
        ("model.num_attention_head", "model.num_attention_heads"),
        ("train.optimizer.lerning_rate", "train.optimizer.learning_rate"),
    ],
)
def test_an_unknown_setting_suggests_the_nearest(misspelled: str, meant: str | None) -> None:
    message = refusal(f"{misspelled}=1")
    assert f"`--set {misspelled}=1`: unknown setting `{misspelled.split('.')[0]}" in message
    assert f"did you mean `{meant}`?" in message if meant else "known here: " in message


def test_an_unknown_setting_of_a_file_names_file_and_line(run_file: Path) -> None:
    run_file.write_text(run_file.read_text().replace("row_tokens", "row_token"))
    with pytest.raises(ConfigError) as caught:
        RunConfig.load(run_file)
    assert str(caught.value) == (
        f"`{run_file}`, line 12: unknown setting `train.row_token`\n\nhint: did you mean `train.row_tokens`?"
    )


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.max_steps=0", "`train.max_steps` is `0`, must be greater than or equal to 1"),
        ("train.max_steps=off", "`train.max_steps` is `'off'`, must be a valid integer"),
        ("train.max_steps='100'", "write numbers without quotes"),
        ("train.max_steps=1.5", "must be a valid integer"),
        ("train.max_steps=true", "`train.max_steps` is `true`"),
        ("train.max_steps=null", "`train.max_steps` is `null`"),
        ("train.max_steps=[1]", "`train.max_steps` is a list"),
        ("train.optimizer.learning_rate=.nan", "must be a finite number"),
        ("train.optimizer.learning_rate=.inf", "must be a finite number"),
        ("train.optimizer.learning_rate=1e999", "must be a finite number"),
        ("train.compile=yes", "`yes` is text here; write `true` or `false`"),
        ("train.compile=1", "must be a valid boolean"),
        ("train.precision=fp16", "'float16'"),
        ("train.device=cuda0", "must match"),
        ("model=3", "`model` must be a mapping of settings, not `3`"),
        ("train.optimizer=null", "`train.optimizer` must be a mapping"),
        ("shards=3", "path"),
        ("model.vocab_size.more=1", "is a single value and has no `more`"),
        ("model.hidden_size=66", "`hidden_size` is 66, which is not divisible by `num_attention_heads` 4"),
        ("model.num_key_value_heads=3", "which is not divisible by `num_key_value_heads` 3"),
        ("model.head_dim=15", "must be even"),
        ("model.hidden_size=4", "must be even"),
        ("model.vocab_size=1e20", "`model.vocab_size`"),
        ("train.row_tokens=129", "at most `model.max_position_embeddings` 128"),
        ("eval.window_tokens=200", "at most `model.max_position_embeddings` 128"),
        ("train.schedule.warmup_steps=100", "less than `max_steps` 100"),
        ("eval={window_tokens: 8, stride_tokens: 9}", "at most `window_tokens` 8"),
    ],
)
def test_a_bad_value_is_named_with_its_override_and_what_is_allowed(override: str, told: str) -> None:
    message = refusal(override)
    assert message.startswith(f"`--set {override}`")
    assert told in message


def test_a_check_across_fields_names_the_line_of_the_first(run_file: Path) -> None:
    run_file.write_text(run_file.read_text().replace("hidden_size: 64", "hidden_size: 66"))
    with pytest.raises(ConfigError, match=r"run.yaml`, line 5: in `model`: `hidden_size` is 66"):
        RunConfig.load(run_file)


def test_missing_settings_are_told_with_their_meaning() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_values({"model": MODEL, "train": {"max_steps": 1}})
    message = str(caught.value)
    assert "`shards` is required and not given (Directory that `slm data build` made)" in message
    assert "`out` is required and not given" in message


def test_many_mistakes_are_told_at_once_but_not_all() -> None:
    message = refusal(*(f"unknown_{i}=1" for i in range(20)))
    assert message.startswith("RunConfig has several mistakes:")
    assert message.count("unknown setting") == 8
    assert "and 12 more" in message


@pytest.mark.parametrize("override", ["max_steps", "=1", "train..max_steps=1", ".a=1", ""])
def test_an_override_must_be_a_name_and_a_value(override: str) -> None:
    assert "is not of the form `name=value`" in refusal(override)


def test_later_overrides_win_and_the_values_given_stay_untouched() -> None:
    assert (
        tiny_run("train.max_steps=5", "train={max_steps: 7, row_tokens: 8}", "train.max_steps=6").train.max_steps == 6
    )
    assert RUN["train"]["max_steps"] == 100


def test_an_override_can_set_what_the_file_leaves_out() -> None:
    assert tiny_run("train.schedule.warmup_steps=3").train.schedule.warmup_steps == 3
    config = TokenizerConfig.from_values({}, ["corpus.paths=[a.txt, b/]", "vocab_size=300", "out=t"])
    assert config.corpus.paths == ("a.txt", "b/")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is required"),
        (b"- 1\n", "must be a mapping of settings, not a list"),
        (b"shards: \xff\n", "line 1: byte 8 of the file is not UTF-8"),
        (b"a: 1\n" * 300_000, "larger than 1,048,576 bytes"),
        (b"\xff" * (1 << 20) + b"\xff", "larger than 1,048,576 bytes"),
    ],
)
def test_files_that_hold_no_config_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        RunConfig.load(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE


def test_a_byte_order_mark_is_no_part_of_the_config(tmp_path: Path, run_file: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + run_file.read_bytes().replace(b"\n", b"\r\n"))
    assert RunConfig.load(path) == RunConfig.load(run_file)


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        RunConfig.load(tmp_path / "none.yaml")
    assert caught.value.filename == str(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("corpus", "told"),
    [
        ({"paths": []}, "at least 1 item"),
        ({"paths": "a.txt"}, "must be a valid tuple"),
        ({"paths": ["a"], "documents": "separator"}, "`separator` must be given"),
        ({"paths": ["a"], "separator": "---"}, "`documents` must be `separator`, not `file`"),
        ({"paths": ["a"], "documents": "separator", "separator": ""}, "at least 1 character"),
        ({"paths": [1]}, '"1"'),
    ],
)
def test_a_corpus_says_what_a_document_is(corpus: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CorpusConfig.from_values(corpus)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["vocab_size=256"], "fewer than the 1 `special_tokens` and 256 bytes"),
        (["special_tokens=[a, a]", "vocab_size=400"], "`a` more than once"),
        (["special_tokens=['']", "vocab_size=400"], "empty token"),
        (["vocab_size=0"], "greater than or equal to 1"),
        (["reserved_tokens=50", "vocab_size=300"], "the 1 `special_tokens`, 50 `reserved_tokens` and 256 bytes"),
        (["chat_tokens=chat", "vocab_size=300"], "chatml"),
        (["special_tokens_in_text=skip", "vocab_size=300"], "split"),
    ],
)
def test_a_vocabulary_holds_its_alphabet_and_special_tokens(overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenizerConfig.from_values({"corpus": {"paths": ["a"]}, "out": "t"}, overrides)
    assert told in str(caught.value)


def test_derived_sizes_of_a_model_are_resolved_and_null_asks_for_them() -> None:
    model = ModelConfig.from_values({**MODEL, "num_key_value_heads": None, "head_dim": None})
    assert (model.num_key_value_heads, model.head_dim) == (4, 16)
    assert model == ModelConfig.from_values(MODEL)
    assert ModelConfig(**MODEL, head_dim=32).head_dim == 32


def test_windows_are_derived_from_the_model() -> None:
    run = tiny_run()
    assert run.eval.resolve(128) == (128, 64)
    assert tiny_run("eval.window_tokens=32", "eval.stride_tokens=5").eval.resolve(128) == (32, 5)
    # A stride meant for a longer model is cut to the window, so that no token is skipped.
    assert tiny_run("eval.stride_tokens=100").eval.resolve(64) == (64, 64)


def test_every_setting_is_documented() -> None:
    for config_class in (RunConfig, TokenizerConfig, DataConfig):
        for path in all_paths(config_class):
            owner: Any = config_class
            for key in path[:-1]:
                owner = owner.model_fields[key].annotation
                # A section that may be left out.
                owner = next((kind for kind in get_args(owner) if kind is not type(None)), owner)
            assert owner.model_fields[path[-1]].description, dotted(path)


def test_yaml_carries_the_documentation_as_comments() -> None:
    text = tiny_run().to_yaml()
    assert "  # Optimizer updates in all.\n  max_steps: 100\n" in text
    assert max(map(len, text.splitlines())) <= 120
    assert "#" not in tiny_run().to_yaml(comments=False)


names = st.text(min_size=1).filter(lambda text: "\0" not in text)
counts = st.integers(1, 2**30)


@st.composite
def runs(draw: st.DrawFn) -> RunConfig:
    heads, groups = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    longest = draw(st.integers(2, 4096))
    max_steps = draw(st.integers(1, 10**7))
    values: dict[str, Any] = {
        "shards": draw(names),
        "out": draw(names),
        "model": {
            "vocab_size": draw(st.integers(2, 2**24)),
            "hidden_size": heads * groups * 2 * draw(st.integers(1, 64)),
            "intermediate_size": draw(st.integers(1, 10_000)),
            "num_hidden_layers": draw(st.integers(1, 99)),
            "num_attention_heads": heads * groups,
            "num_key_value_heads": draw(st.sampled_from([None, heads])),
            "max_position_embeddings": longest,
            "rope_theta": draw(st.floats(1, 1e12)),
            "rms_norm_eps": draw(st.floats(0, 0.1, exclude_min=True)),
            "qk_norm": draw(st.booleans()),
        },
        "train": {
            "max_steps": max_steps,
            "row_tokens": draw(st.integers(1, longest)),
            "optimizer": {
                "learning_rate": draw(st.floats(0, 10, exclude_min=True)),
                "max_grad_norm": draw(st.none() | st.floats(0, exclude_min=True, allow_infinity=False)),
            },
            "schedule": {"warmup_steps": draw(st.integers(0, max_steps - 1))},
            "ema_decay": draw(st.none() | st.floats(0, 1, exclude_min=True, exclude_max=True)),
            "seed": draw(st.integers(0, 2**63 - 1)),
            "device": draw(st.sampled_from(["auto", "cuda:1"])),
        },
    }
    return RunConfig.from_values(values)


@given(runs(), st.booleans())
def test_what_is_written_is_read_back_equal(run: RunConfig, comments: bool) -> None:
    from slm.config.yaml_reader import read_yaml

    assert RunConfig.from_values(read_yaml(run.to_yaml(comments=comments), "x").value) == run


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True), st.text(min_size=1, max_size=20))
def test_any_text_survives_yaml(texts: list[str], separator: str) -> None:
    from slm.config.yaml_reader import read_yaml

    corpus = CorpusConfig(paths=tuple(texts), documents="separator", separator=separator)
    assert CorpusConfig.from_values(read_yaml(corpus.to_yaml(), "x").value) == corpus


@given(runs(), st.data())
def test_any_value_of_any_run_can_be_set_as_an_override(run: RunConfig, data: st.DataObject) -> None:
    from slm.config.yaml_writer import format_value

    paths = [path for path in all_paths(RunConfig) if not isinstance(value_at(run, path), Config)]
    path = data.draw(st.sampled_from(paths))
    value = value_at(run, path)
    again = RunConfig.from_values(run.model_dump(mode="json"), [f"{dotted(path)}={format_value(value)}"])
    assert again == run


def value_at(run: RunConfig, path: tuple[str | int, ...]) -> Any:
    value: Any = run
    for key in path:
        value = getattr(value, str(key))
    return value


def test_derived_counts_of_training() -> None:
    train = TrainConfig(max_steps=10, micro_batch_rows=3, accumulation_steps=4, row_tokens=5)
    assert (train.rows_per_step, train.tokens_per_step, train.total_tokens) == (12, 60, 600)
