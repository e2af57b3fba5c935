import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import slm
from slm.checkpoint.config_json import from_config_json, to_config_json
from slm.checkpoint.model_dir import (
    Model,
    load_model,
    load_tokenizer,
    read_config,
    save_model,
    tokenizer_fingerprint,
)
from slm.errors import CheckpointError, TokenizerError
from tests.reference.tiny_models import KINDS, tiny_config, tiny_ids, tiny_model


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    save_model(tiny_model("llama"), tmp_path / "model")
    return tmp_path / "model"


def edit_json(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    content |= changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value != "absent"}))


def edit_weights(model_dir: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(model_dir / "model.safetensors") | changes
    kept = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, model_dir / "model.safetensors", metadata={"format": "pt"})


def refusal(model_dir: Path, *phrases: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_model(model_dir)
    message = str(caught.value)
    for phrase in (str(model_dir), "\n\nhint: ", *phrases):
        assert phrase in message
    assert message[0].islower() or message[0] == "`"


@pytest.mark.parametrize("kind", KINDS)
def test_saved_model_loads_as_it_was(kind: str, tmp_path: Path) -> None:
    model = tiny_model(kind)
    save_model(model, tmp_path / "deep" / "model")
    loaded = load_model(tmp_path / "deep" / "model")
    assert isinstance(loaded, slm.Model)
    assert loaded.config == model.config
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    with torch.no_grad():
        assert torch.equal(loaded(tiny_ids(2, 9)), model(tiny_ids(2, 9)))
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["model"]


def test_loaded_weights_can_be_trained_and_the_file_stays_as_it_is(model_dir: Path) -> None:
    before = (model_dir / "model.safetensors").read_bytes()
    model = Model.from_pretrained(model_dir)
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert (model_dir / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_dtype_is_kept_or_converted(dtype: torch.dtype, tmp_path: Path) -> None:
    save_model(tiny_model("llama").to(dtype), tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    assert {parameter.dtype for parameter in load_model(tmp_path / "model").parameters()} == {dtype}
    as_float32 = load_model(tmp_path / "model", dtype=torch.float32)
    assert {parameter.dtype for parameter in as_float32.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_config_json_leaves_nothing_to_the_defaults_of_readers(kind: str) -> None:
    config = tiny_config(kind)
    content = to_config_json(config, dtype="float32", token_ids={"eos_token_id": 0})
    expected = {
        "architectures": [config.architecture],
        "model_type": "qwen3" if config.qk_norm else "llama",
        "head_dim": config.head_dim,
        "num_key_value_heads": config.num_key_value_heads,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": config.tie_word_embeddings,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 64,
        "vocab_size": 61,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": None,
        "torch_dtype": "float32",
        "dtype": "float32",
    }
    expected |= {"use_sliding_window": False} if config.qk_norm else {"mlp_bias": False}
    assert content | expected == content
    assert from_config_json(json.loads(json.dumps(content)), "config.json") == config


def test_missing_directory_is_the_systems_own_error(tmp_path: Path) -> None:
    for read in (load_model, load_tokenizer, read_config):
        with pytest.raises(FileNotFoundError) as caught:
            read(tmp_path / "nowhere")
        assert caught.value.filename == str(tmp_path / "nowhere")


def test_missing_files_are_named(model_dir: Path) -> None:
    (model_dir / "model.safetensors").unlink()
    refusal(model_dir, "`model.safetensors`")
    (model_dir / "pytorch_model.bin").write_bytes(b"never read")
    refusal(model_dir, "pickled weights are never read")
    (model_dir / "config.json").unlink()
    refusal(model_dir, "`config.json`")


def test_run_directory_points_to_the_model_in_it(model_dir: Path) -> None:
    refusal(model_dir.parent, f"give `{model_dir}`")


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "[" * 100_000, "\x00"])
def test_config_that_is_no_json_object(model_dir: Path, text: str) -> None:
    (model_dir / "config.json").write_text(text)
    refusal(model_dir, "config.json")


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "`GPT2LMHeadModel`"),
        ({"architectures": "absent", "model_type": "mamba"}, "`mamba`"),
        ({"hidden_act": "gelu"}, "`hidden_act` to 'gelu'"),
        ({"attention_bias": True}, "`attention_bias` to True"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "`rope_scaling.rope_type` to 'llama3'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "`rope_parameters.rope_type` to 'yarn'"),
        ({"rope_theta": 5e5}, "two rotary bases"),
        ({"layer_types": ["sliding_attention"] * 2}, "`layer_types`"),
        ({"quantization_config": {"bits": 4}}, "`quantization_config`"),
        ({"vocab_size": "absent"}, "no `vocab_size`"),
        ({"hidden_size": "many"}, "hidden_size"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_hidden_layers": 3}, "`num_hidden_layers` 3"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"intermediate_size": 50}, "with shape [48, 32], `config.json` says [50, 32]"),
        ({"vocab_size": 62}, "`model.embed_tokens.weight` with shape [61, 32]"),
        ({"tie_word_embeddings": False}, "no tensor `lm_head.weight`"),
        ({"architectures": ["Qwen3ForCausalLM"]}, "no tensor `model.layers.0.self_attn.q_norm.weight`"),
    ],
)
def test_config_of_another_model_is_refused_by_name(model_dir: Path, changes: dict[str, object], phrase: str) -> None:
    edit_json(model_dir / "config.json", **changes)
    refusal(model_dir, phrase)


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"model.norm.weight": None}, "no tensor `model.norm.weight`"),
        ({"model.norm.bias": torch.zeros(32)}, "`model.norm.bias`"),
        ({"model.norm.weight": torch.ones(31)}, "`model.norm.weight` with shape [31]"),
        ({"model.norm.weight": torch.ones(32, dtype=torch.int8)}, "as I8"),
        ({"model.norm.weight": torch.tensor([float("nan")] * 32)}, "not finite in `model.norm.weight`"),
        ({"model.norm.weight": torch.tensor([1.0] * 31 + [float("inf")])}, "not finite in `model.norm.weight`"),
        ({"lm_head.weight": torch.zeros(61, 32)}, "`lm_head.weight` unlike `model.embed_tokens.weight`"),
    ],
)
def test_weights_of_another_model_are_refused_by_name(
    model_dir: Path, changes: dict[str, torch.Tensor | None], phrase: str
) -> None:
    edit_weights(model_dir, **changes)
    refusal(model_dir, "model.safetensors", phrase)


def test_head_stored_beside_tied_embeddings_is_accepted_if_equal(model_dir: Path) -> None:
    embedding = load_file(model_dir / "model.safetensors")["model.embed_tokens.weight"]
    edit_weights(model_dir, **{"lm_head.weight": embedding.clone()})
    assert "lm_head.weight" not in load_model(model_dir).state_dict()


@pytest.mark.parametrize("kept_bytes", [0, 5, 8, 100, 5000, -1])
def test_truncated_weights_are_refused(model_dir: Path, kept_bytes: int) -> None:
    path = model_dir / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    refusal(model_dir, "not a complete safetensors file")


def test_weights_with_a_header_that_lies_are_refused(model_dir: Path) -> None:
    path = model_dir / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[:8] = (2**62).to_bytes(8, "little")
    path.write_bytes(content)
    refusal(model_dir, "not a complete safetensors file")


def test_later_format_is_refused(model_dir: Path) -> None:
    edit_json(model_dir / "slm.json", version=2)
    with pytest.raises(CheckpointError, match="version 2"):
        tokenizer_fingerprint(model_dir)


def test_model_is_replaced_and_other_content_is_not(model_dir: Path) -> None:
    save_model(tiny_model("qwen3"), model_dir)
    assert load_model(model_dir).config.qk_norm
    (model_dir / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.txt"):
        save_model(tiny_model("llama"), model_dir)
    assert (model_dir / "thesis.txt").exists()
    assert load_model(model_dir).config.qk_norm
    with pytest.raises(CheckpointError, match="is a file"):
        save_model(tiny_model("llama"), model_dir / "thesis.txt")


def test_failed_save_leaves_the_old_model_and_nothing_else(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in model_dir.iterdir()}

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slm.durable.write_json", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_model(tiny_model("qwen3"), model_dir)
    assert {path.name: path.read_bytes() for path in model_dir.iterdir()} == before
    assert [path.name for path in model_dir.parent.iterdir()] == ["model"]


def test_what_a_killed_save_left_is_cleared_by_the_next(model_dir: Path) -> None:
    remnant = model_dir.with_name(".model.partial")
    remnant.mkdir()
    (remnant / "model.safetensors").write_bytes(b"half")
    save_model(tiny_model("llama"), model_dir)
    assert [path.name for path in model_dir.parent.iterdir()] == ["model"]


class TestTokenizer:
    """The tokenizer of a model travels with it."""

    @pytest.fixture
    def tokenizer_dir(self, tmp_path: Path) -> Path:
        return self.train(tmp_path / "tokenizer", "the cat sat on the mat and the dog sat on the log")

    def train(self, out: Path, text: str) -> Path:
        slm.train_tokenizer(iter([text] * 3), vocab_size=262, out=out)
        return out

    def model(self, vocab_size: int = 270) -> Model:
        return Model(tiny_config("llama").model_copy(update={"vocab_size": vocab_size}))

    def test_it_is_copied_and_loads(self, tokenizer_dir: Path, tmp_path: Path) -> None:
        self.model().save_pretrained(tmp_path / "model", tokenizer_dir)
        tokenizer = load_tokenizer(tmp_path / "model")
        assert tokenizer.fingerprint == tokenizer_fingerprint(tmp_path / "model")
        end = tokenizer.end_of_text_id
        config = json.loads((tmp_path / "model" / "config.json").read_text())
        generation = json.loads((tmp_path / "model" / "generation_config.json").read_text())
        assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (end, end, None)
        assert generation == {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}

    def test_saving_over_itself_keeps_it(self, tokenizer_dir: Path, tmp_path: Path) -> None:
        save_model(self.model(), tmp_path / "model", tokenizer_dir)
        save_model(load_model(tmp_path / "model"), tmp_path / "model", tmp_path / "model")
        assert load_tokenizer(tmp_path / "model").fingerprint == tokenizer_fingerprint(tmp_path / "model")

    def test_another_one_is_refused(self, tokenizer_dir: Path, tmp_path: Path) -> None:
        save_model(self.model(), tmp_path / "model", tokenizer_dir)
        other = self.train(tmp_path / "other", "zzz yyy xxx www zzz yyy xxx www")
        (tmp_path / "model" / "tokenizer.json").write_bytes((other / "tokenizer.json").read_bytes())
        with pytest.raises(TokenizerError, match="was trained with tokenizer"):
            load_tokenizer(tmp_path / "model")

    def test_one_with_more_tokens_than_the_model_is_refused(self, tokenizer_dir: Path, tmp_path: Path) -> None:
        with pytest.raises(TokenizerError, match="has room for `vocab_size` 200"):
            save_model(self.model(vocab_size=200), tmp_path / "model", tokenizer_dir)
        assert not (tmp_path / "model").exists()

    def test_model_without_one_says_so(self, model_dir: Path) -> None:
        assert tokenizer_fingerprint(model_dir) is None
        with pytest.raises(CheckpointError, match=r"no `tokenizer\.json`"):
            load_tokenizer(model_dir)
