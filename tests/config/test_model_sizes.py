"""Whole runs of `configs/` against the model that is built from them, on the meta device."""

import re
from pathlib import Path

import pytest
import torch

from slm.config import DataConfig, RunConfig, TokenizerConfig, estimate_memory
from slm.config.memory import kept_activation_bytes
from slm.model import Transformer

CONFIGS = Path(__file__).parents[2] / "configs"
SIZES = {
    "nano": 1_000_000,
    "micro": 10_000_000,
    "small": 30_000_000,
    "base": 124_000_000,
    "medium": 350_000_000,
    "large": 1_000_000_000,
}


def run_of(size: str) -> RunConfig:
    return RunConfig.load(CONFIGS / f"{size}.yaml")


def test_there_is_a_file_for_each_size() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(SIZES)


@pytest.mark.parametrize("size", SIZES)
def test_the_parameter_count_is_that_of_the_model_and_near_its_name(size: str) -> None:
    config = run_of(size).model
    with torch.device("meta"):
        model = Transformer(config)
    parameters = list(model.parameters())
    assert config.num_parameters == sum(parameter.numel() for parameter in parameters)
    assert config.num_parameter_tensors == len(parameters)
    assert config.num_parameters == pytest.approx(SIZES[size], rel=0.03)


@pytest.mark.parametrize("size", SIZES)
def test_matmul_parameters_are_the_matrices_of_the_model(size: str) -> None:
    config = run_of(size).model
    with torch.device("meta"):
        model = Transformer(config)
    matrices = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Linear))
    assert config.num_matmul_parameters == matrices + model.head_weight.numel() * config.tie_word_embeddings


@pytest.mark.parametrize("size", SIZES)
def test_a_run_its_shards_and_its_tokenizer_fit_together(size: str) -> None:
    run = run_of(size)
    name = run.shards.name.removeprefix("shards-")
    shards = DataConfig.load(CONFIGS / "data" / f"{name}.yaml")
    tokenizer = TokenizerConfig.load(CONFIGS / "tokenizer" / f"{name}.yaml")
    assert run.shards == shards.out
    assert shards.tokenizer == tokenizer.out
    assert shards.corpus == tokenizer.corpus
    assert run.model.vocab_size == tokenizer.vocab_size
    assert run.out == Path("runs", size)
    # A run that keeps no tenth of its time for settling, or warms up for most of it, is a slip of the pen.
    assert run.train.schedule.warmup_steps <= run.train.max_steps / 10


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_files_explain_themselves_and_write_numbers_that_every_yaml_reader_knows(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert f"configs/{path.relative_to(CONFIGS)}" in text
    assert not re.search(r": *\d+e-?\d+", text), "PyYAML reads 6e-4 as text; write 6.0e-4"
    assert max(map(len, text.splitlines())) <= 125


@pytest.mark.parametrize("size", ["nano", "micro", "small"])
def test_the_memory_estimate_counts_weights_and_optimizer_exactly(size: str) -> None:
    # Small enough to be real: AdamW makes its state at the first step, so the gradients are set to zero by hand.
    run = run_of(size)
    model = Transformer(run.model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    optimizer.step()
    state = sum(tensor.nbytes for tensors in optimizer.state.values() for tensor in tensors.values())
    estimate = estimate_memory(run)
    assert estimate.parameters == sum(parameter.nbytes for parameter in model.parameters())
    assert estimate.gradients == estimate.parameters
    assert estimate.optimizer == state
    assert estimate.ema == 0


def test_a_moving_average_takes_the_room_of_the_weights() -> None:
    run = RunConfig.load(CONFIGS / "nano.yaml", ["train.ema_decay=0.999"])
    assert estimate_memory(run).ema == estimate_memory(run).parameters


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_activations_are_what_autograd_keeps(precision: str, qk_norm: bool) -> None:
    run = RunConfig.load(
        CONFIGS / "nano.yaml",
        [f"train.precision={precision}", f"model.qk_norm={str(qk_norm).lower()}", "train.micro_batch_rows=8"],
    )
    # What depends on neither width nor vocabulary, such as the scale of each norm, is left out.
    assert kept_activation_bytes(run) == pytest.approx(bytes_kept_for_backward(run), rel=0.03)


def bytes_kept_for_backward(run: RunConfig) -> int:
    model = Transformer(run.model)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}
    tensors: list[torch.Tensor] = []  # kept alive, so that no address is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
            tensors.append(tensor)
        return tensor

    ids = torch.zeros(run.train.micro_batch_rows, run.train.row_tokens, dtype=torch.int64)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=run.train.precision == "bfloat16"),
    ):
        model.nll(ids, ids).mean()
    return sum(storages.values())
