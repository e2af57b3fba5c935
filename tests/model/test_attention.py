import pytest
import torch

from slm.config.model import ModelConfig
from slm.model.attention import Attention
from slm.model.rope import rotary_tables
from tests.reference.tiny_models import KINDS, tiny_config, tiny_ids, tiny_model
from tests.reference.transformer import DictCache, naive_causal_attention, naive_rotate


@pytest.mark.parametrize("kind", KINDS)
def test_attention_equals_its_naive_twin(kind: str) -> None:
    config: ModelConfig = tiny_config(kind)
    attention: Attention = tiny_model(kind).model.layers[0].self_attn
    x_BTD = torch.randn(1, 6, config.hidden_size, generator=torch.Generator().manual_seed(2))
    positions_BT = torch.arange(6)[None]
    with torch.no_grad():
        y_BTD = attention(x_BTD, rotary_tables(positions_BT, config.head_dim, config.rope_theta), positions_BT)

        def heads(projection: torch.nn.Module, norm: torch.nn.Module | None, *, turn: bool) -> torch.Tensor:
            x_HTE = projection(x_BTD[0]).view(6, -1, config.head_dim).transpose(0, 1)
            if norm is not None:
                x_HTE = x_HTE * torch.rsqrt(x_HTE.square().mean(-1, keepdim=True) + config.rms_norm_eps) * norm.weight
            return (
                torch.stack([naive_rotate(x_TE, list(range(6)), config.rope_theta) for x_TE in x_HTE])
                if turn
                else x_HTE
            )

        q_HTE = heads(attention.q_proj, attention.q_norm, turn=True)
        k_KTE = heads(attention.k_proj, attention.k_norm, turn=True)
        v_KTE = heads(attention.v_proj, None, turn=False)
        expected_TD = attention.o_proj(naive_causal_attention(q_HTE, k_KTE, v_KTE).transpose(0, 1).flatten(1))
    torch.testing.assert_close(y_BTD[0], expected_TD, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_takes_the_flash_kernel_on_a_cpu(kind: str, dtype: torch.dtype) -> None:
    model = tiny_model(kind).to(dtype)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        model.nll(tiny_ids(2, 16), tiny_ids(2, 16)).sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in names
    assert "aten::_scaled_dot_product_flash_attention_for_cpu_backward" in names
    assert "aten::_scaled_dot_product_attention_math" not in names


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [(20,), (1,) * 20, (7, 1, 1, 8, 3)])
def test_decoding_with_a_cache_equals_the_full_forward(kind: str, steps: tuple[int, ...]) -> None:
    model, ids_BT, cache = tiny_model(kind), tiny_ids(3, 20), DictCache()
    with torch.no_grad():
        full_BTV = model(ids_BT)
        pieces, start = [], 0
        for num_tokens in steps:
            positions_BT = torch.arange(start, start + num_tokens).expand(3, -1)
            pieces.append(model(ids_BT[:, start : start + num_tokens], positions_BT=positions_BT, cache=cache))
            start += num_tokens
    cached_BTV = torch.cat(pieces, dim=1)
    torch.testing.assert_close(cached_BTV, full_BTV, atol=1e-5, rtol=0)
    assert torch.equal(cached_BTV.argmax(-1), full_BTV.argmax(-1))


def test_a_token_never_sees_a_later_one() -> None:
    model, ids_BT = tiny_model("llama"), tiny_ids(1, 20)
    changed_BT = ids_BT.clone()
    changed_BT[0, 12:] = (changed_BT[0, 12:] + 1) % 61
    with torch.no_grad():
        before, after = model(ids_BT), model(changed_BT)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12:], after[:, 12:])


def test_attention_depends_on_distances_and_not_on_places() -> None:
    model, ids_BT = tiny_model("qwen3"), tiny_ids(2, 10)
    with torch.no_grad():
        moved_BTV = model(ids_BT, positions_BT=torch.arange(30, 40)[None])
        torch.testing.assert_close(moved_BTV, model(ids_BT), atol=1e-4, rtol=0)
