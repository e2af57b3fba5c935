import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from slm.config.model import ModelConfig
from slm.model import Transformer
from slm.model.init import INITIAL_STD
from tests.reference.tiny_models import KINDS, tiny_config, tiny_ids, tiny_model


@pytest.mark.parametrize("kind", KINDS)
def test_parameter_count_on_the_meta_device_is_the_configs(kind: str) -> None:
    config = tiny_config(kind)
    with torch.device("meta"):
        model = Transformer(config)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert model.num_parameters() == config.num_parameters
    assert len(list(model.parameters())) == config.num_parameter_tensors
    assert sum(parameter.numel() for parameter in model.state_dict().values()) == config.num_parameters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row_tokens", [8, 64])
def test_flops_of_the_config_are_those_that_the_model_does(kind: str, row_tokens: int) -> None:
    model, config = tiny_model(kind), tiny_config(kind)
    ids_BT = tiny_ids(1, row_tokens)
    with FlopCounterMode(display=False) as counter:
        model(ids_BT).sum().backward()
    by_op = counter.get_flop_counts()["Global"]
    matmuls = sum(flops for op, flops in by_op.items() if "attention" not in str(op) and "bmm" not in str(op))
    # The config adds what attention costs to what the matrices cost.
    assert matmuls == row_tokens * 6 * config.num_matmul_parameters
    attention = 6 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * row_tokens
    assert config.flops_per_token(row_tokens) == 6 * config.num_matmul_parameters + attention


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_has_the_tensors_of_hugging_face_and_no_tables(kind: str) -> None:
    config, names = tiny_config(kind), set(tiny_model(kind).state_dict())
    layer = {"input_layernorm", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}
    layer |= {f"self_attn.{letter}_proj" for letter in "qkvo"}
    layer |= {"self_attn.q_norm", "self_attn.k_norm"} if config.qk_norm else set()
    expected = {f"model.layers.{layer_idx}.{part}.weight" for layer_idx in range(2) for part in layer}
    expected |= {"model.embed_tokens.weight", "model.norm.weight"}
    expected |= set() if config.tie_word_embeddings else {"lm_head.weight"}
    assert names == expected


def test_initial_weights_are_decided_by_the_seed_and_not_by_the_global_generator() -> None:
    config = tiny_config("llama-grouped-untied")
    torch.manual_seed(1)
    first = Transformer(config, generator=torch.Generator().manual_seed(3)).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = Transformer(config)
    assert torch.equal(state, torch.get_rng_state())
    second.initialize(torch.Generator().manual_seed(3))
    assert all(torch.equal(first[name], tensor) for name, tensor in second.state_dict().items())
    other = Transformer(config, generator=torch.Generator().manual_seed(4))
    assert not torch.equal(first["lm_head.weight"], other.state_dict()["lm_head.weight"])


def test_initial_weights_have_the_stated_spread() -> None:
    config = ModelConfig(
        vocab_size=500,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=8,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    for name, tensor in Transformer(config).state_dict().items():
        if tensor.dim() == 1:
            assert tensor.eq(1).all(), name
        else:
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            assert tensor.std().item() == pytest.approx(INITIAL_STD / 4 if residual else INITIAL_STD, rel=0.05), name


def test_an_untrained_model_knows_nothing() -> None:
    model = Transformer(tiny_config("llama"))
    with torch.no_grad():
        nll = model.nll(tiny_ids(4, 32), tiny_ids(4, 32, seed=6)).mean()
    assert nll.item() == pytest.approx(torch.tensor(61.0).log().item(), abs=0.05)


@pytest.mark.parametrize("kind", ["llama", "qwen3-grouped-wide-heads-untied"])
def test_one_batch_can_be_learned_by_heart(kind: str) -> None:
    model = Transformer(tiny_config(kind))
    ids_BT = tiny_ids(2, 17)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(120):
        optimizer.zero_grad()
        nll = model.nll(ids_BT[:, :-1], ids_BT[:, 1:]).sum() / 32
        nll.backward()
        optimizer.step()
    assert nll.item() < 0.05


def test_row_of_a_batch_equals_the_row_alone() -> None:
    model, ids_BT = tiny_model("qwen3"), tiny_ids(3, 20)
    with torch.no_grad():
        torch.testing.assert_close(model(ids_BT)[1:2], model(ids_BT[1:2]), atol=1e-5, rtol=0)


def test_nll_is_the_loss_of_the_logits_and_skips_ignored_targets() -> None:
    model, ids_BT = tiny_model("llama"), tiny_ids(2, 10)
    target_ids_BT = tiny_ids(2, 10, seed=6)
    target_ids_BT[0, 4] = -1
    with torch.no_grad():
        nll_BT = model.nll(ids_BT, target_ids_BT, ignore_index=-1)
        log_probabilities_BTV = model(ids_BT).log_softmax(-1)
    assert nll_BT[0, 4] == 0
    expected = -log_probabilities_BTV[1].gather(1, target_ids_BT[1][:, None])[:, 0]
    torch.testing.assert_close(nll_BT[1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_autocast_stays_near_float32(kind: str) -> None:
    model = tiny_model(kind)
    with torch.no_grad():
        exact = model.nll(tiny_ids(2, 20), tiny_ids(2, 20, seed=6))
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.nll(tiny_ids(2, 20), tiny_ids(2, 20, seed=6))
    assert rough.dtype == torch.float32
    # bfloat16 keeps 8 bits; two layers of this model lose about 1% on the way.
    assert (rough - exact).abs().mean() < 0.03 * exact.mean()
