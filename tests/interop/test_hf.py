import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from typer.testing import CliRunner

from slm.checkpoint.model_dir import load_model, save_model
from slm.cli.export import app, import_app
from slm.errors import CheckpointError
from slm.interop.hf import export_hf, import_hf
from tests.reference.tiny_models import KINDS, tiny_ids, tiny_model

transformers = pytest.importorskip("transformers")

THEIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {"tie_word_embeddings": False}),
    "llama-tied-grouped": ("Llama", {"tie_word_embeddings": True, "num_key_value_heads": 2}),
    "llama-wide-heads": ("Llama", {"head_dim": 12, "num_key_value_heads": 1}),
    "qwen3": ("Qwen3", {"head_dim": 8, "num_key_value_heads": 4, "tie_word_embeddings": False}),
    "qwen3-tied-grouped-wide-heads": (
        "Qwen3",
        {"head_dim": 24, "num_key_value_heads": 2, "tie_word_embeddings": True},
    ),
}
SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
}


def their_model(kind: str) -> Any:
    name, choices = THEIRS[kind]
    config = getattr(transformers, f"{name}Config")(
        **SIZES, **choices, rope_parameters={"rope_type": "default", "rope_theta": 50_000.0}
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model


def gradients(model: torch.nn.Module, logits_BTV: torch.Tensor) -> dict[str, torch.Tensor]:
    target_ids_BT = tiny_ids(2, 40, seed=6)
    cross_entropy(logits_BTV.flatten(0, 1), target_ids_BT.flatten()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_our_model_gives_the_same_logits_and_gradients_in_transformers(kind: str, tmp_path: Path) -> None:
    ours = tiny_model(kind)
    save_model(ours, tmp_path / "model")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert type(theirs).__name__ == ours.config.architecture
    our_logits, their_logits = ours(tiny_ids(2, 40)), theirs(tiny_ids(2, 40)).logits
    torch.testing.assert_close(our_logits, their_logits, atol=1e-5, rtol=0)
    our_gradients, their_gradients = gradients(ours, our_logits), gradients(theirs, their_logits)
    assert our_gradients.keys() == their_gradients.keys()
    for name, gradient in our_gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", THEIRS)
def test_their_model_gives_the_same_logits_here(kind: str, tmp_path: Path) -> None:
    theirs = their_model(kind)
    theirs.save_pretrained(tmp_path / "theirs")
    import_hf(tmp_path / "theirs", tmp_path / "ours")
    for directory in ("theirs", "ours"):
        with torch.no_grad():
            logits_BTV = load_model(tmp_path / directory)(tiny_ids(2, 40))
            torch.testing.assert_close(logits_BTV, theirs(tiny_ids(2, 40)).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", THEIRS)
def test_import_and_export_keep_every_byte_of_the_tensors(kind: str, tmp_path: Path) -> None:
    theirs = their_model(kind).to(torch.bfloat16)
    theirs.save_pretrained(tmp_path / "theirs")
    transfer = import_hf(tmp_path / "theirs", tmp_path / "ours")
    export_hf(tmp_path / "ours", tmp_path / "back")
    before = load_file(tmp_path / "theirs" / "model.safetensors")
    after = load_file(tmp_path / "back" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].view(torch.int16), after[name].view(torch.int16)) for name in before)
    assert transfer.dtype == "bfloat16"
    assert transfer.num_parameters == sum(tensor.numel() for tensor in before.values())
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, [2, 3])
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 50_000.0
    first = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    with torch.no_grad():
        assert torch.equal(again(tiny_ids(1, 9)).logits, first(tiny_ids(1, 9)).logits)


def test_weights_in_several_files_are_joined(tmp_path: Path) -> None:
    theirs = their_model("llama")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    files = sorted((tmp_path / "theirs").glob("*.safetensors"))
    assert len(files) > 2
    with pytest.raises(CheckpointError, match="slm import hf"):
        load_model(tmp_path / "theirs")
    import_hf(tmp_path / "theirs", tmp_path / "ours")
    with torch.no_grad():
        logits_BTV = load_model(tmp_path / "ours")(tiny_ids(2, 40))
    torch.testing.assert_close(logits_BTV, theirs(tiny_ids(2, 40)).logits, atol=1e-5, rtol=0)
    files[1].unlink()
    with pytest.raises(CheckpointError, match=files[1].name):
        import_hf(tmp_path / "theirs", tmp_path / "ours")
    assert load_model(tmp_path / "ours")


def test_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    their_model("llama").save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    index = {"weight_map": {"model.norm.weight": "../secret.safetensors"}}
    (tmp_path / "theirs" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="secret"):
        import_hf(tmp_path / "theirs", tmp_path / "ours")


def test_export_converts_the_dtype(tmp_path: Path) -> None:
    save_model(tiny_model("qwen3"), tmp_path / "model")
    export_hf(tmp_path / "model", tmp_path / "half", dtype=torch.bfloat16)
    exported = load_model(tmp_path / "half").state_dict()
    for name, tensor in load_model(tmp_path / "model").state_dict().items():
        assert torch.equal(exported[name], tensor.to(torch.bfloat16))


def test_export_refuses_a_dtype_that_cannot_hold_a_weight(tmp_path: Path) -> None:
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.norm.weight[0] = 70_000.0
    save_model(model, tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"`model\.norm\.weight` that float16 cannot"):
        export_hf(tmp_path / "model", tmp_path / "half", dtype=torch.float16)
    assert not (tmp_path / "half").exists()


def test_commands_export_and_import(tmp_path: Path) -> None:
    save_model(tiny_model("llama"), tmp_path / "model")
    runner = CliRunner()
    exported = runner.invoke(app, ["hf", str(tmp_path / "model"), str(tmp_path / "hf"), "--dtype", "float16", "--json"])
    assert exported.exit_code == 0, exported.output
    assert json.loads(exported.stdout)["dtype"] == "float16"
    imported = runner.invoke(import_app, ["hf", str(tmp_path / "hf"), str(tmp_path / "again")])
    assert imported.exit_code == 0, imported.output
    assert "LlamaForCausalLM" in imported.stdout
    assert load_model(tmp_path / "again").config == load_model(tmp_path / "model").config
