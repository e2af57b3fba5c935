"""The engine against the plain model: whatever is batched, cached, chunked or aborted, the tokens are the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.config.model import ModelConfig
from slm.engine import LLM, Engine, SamplingParams
from slm.engine.model_runner import ModelRunner
from slm.engine.sampler import sample
from slm.errors import ConfigError, InternalError
from slm.model import Transformer

CONTEXT_TOKENS = 64


@pytest.fixture(scope="module")
def model(tokenizer):
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size + 3,  # padded, as models are
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
    )
    model = Transformer(config, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # sharp scores, far from ties
        model.head_weight[tokenizer.vocab_size :] = 0
    return model.eval()


def naive_generate(model, tokenizer, prompt_ids, params, seed):
    """One full forward pass for each token; no cache, no batch."""
    token_ids = list(prompt_ids)
    while len(token_ids) < len(prompt_ids) + params.max_tokens:
        with torch.inference_mode():
            logits_V = model(torch.tensor([token_ids]))[0, -1].numpy()
        token_ids.append(sample(logits_V, params, seed, len(token_ids)))
        if token_ids[-1] == tokenizer.end_of_text_id and not params.ignore_eos:
            break
    return token_ids[len(prompt_ids) :]


def prompt_of(num_tokens, salt=0):
    return [(7 * position + salt) % 200 + 1 for position in range(num_tokens)]


PARAMS = [
    SamplingParams(max_tokens=20, temperature=0, ignore_eos=True),
    SamplingParams(max_tokens=20, temperature=0.9, top_p=0.9, seed=3, ignore_eos=True),
]


@pytest.mark.parametrize("prefill_tokens", [1, 2, 3, 7, 16, 64])
@pytest.mark.parametrize("params", PARAMS, ids=["greedy", "sampled"])
def test_tokens_with_cache_equal_those_of_the_full_forward(model, tokenizer, params, prefill_tokens):
    llm = LLM.from_model(model, tokenizer, max_batch=1, prefill_tokens=prefill_tokens)
    prompt_ids = prompt_of(17)
    (completion,) = llm.generate([prompt_ids], params)
    assert completion.token_ids == naive_generate(model, tokenizer, prompt_ids, params, 3)


@pytest.mark.parametrize("chunk_tokens", [1, 2, 5, 13, 40])
def test_logits_with_cache_equal_those_of_the_full_forward(model, chunk_tokens):
    token_ids = prompt_of(40)
    runner = ModelRunner(model, 2)
    with torch.inference_mode():
        full_TV = model(torch.tensor([token_ids]))[0].numpy()
    for start in range(0, 40, chunk_tokens):
        chunk = token_ids[start : start + chunk_tokens]
        logits_V = runner.prefill(1, chunk, start, wants_logits=True)
        # float32 rounding of another order of sums.
        np.testing.assert_allclose(logits_V, full_TV[start + len(chunk) - 1], atol=1e-5, rtol=1e-5)


def test_logits_of_rows_with_different_lengths_equal_those_of_the_full_forward(model):
    runner = ModelRunner(model, 3)
    prompts = [prompt_of(5), prompt_of(11, salt=3), prompt_of(2, salt=9)]
    for slot, prompt_ids in enumerate(prompts):
        runner.prefill(slot, prompt_ids, 0, wants_logits=False)
    logits_BV = runner.decode([9, 8, 7], [5, 11, 2])
    for logits_V, prompt_ids, token_id in zip(logits_BV, prompts, [9, 8, 7], strict=True):
        with torch.inference_mode():
            expected = model(torch.tensor([[*prompt_ids, token_id]]))[0, -1].numpy()
        np.testing.assert_allclose(logits_V, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("params", PARAMS, ids=["greedy", "sampled"])
def test_batch_equals_single(model, tokenizer, params):
    prompts = [prompt_of(1 + 3 * idx % 19, salt=idx) for idx in range(9)]
    alone = LLM.from_model(model, tokenizer, max_batch=1)
    together = LLM.from_model(model, tokenizer, max_batch=4, prefill_tokens=10)
    expected = [alone.generate([prompt_ids], params)[0].token_ids for prompt_ids in prompts]
    assert [completion.token_ids for completion in together.generate(prompts, params)] == expected


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 12), st.integers(0, 12)), min_size=2, max_size=7),
    st.integers(1, 3),
    st.integers(1, 40),
)
def test_comings_and_goings_of_others_change_no_token(model, tokenizer, requests, max_batch, prefill_tokens):
    """Each request is (prompt length, max_tokens, the step at which it is aborted, or 0 for never)."""
    engine = Engine(model, tokenizer, max_batch=max_batch, prefill_tokens=prefill_tokens)
    params = [SamplingParams(max_tokens=count, temperature=0.8, seed=4, ignore_eos=True) for _, count, _ in requests]
    prompts = [prompt_of(length, salt=idx) for idx, (length, _, _) in enumerate(requests)]
    sequences = [engine.new_sequence(prompt_ids, one) for prompt_ids, one in zip(prompts, params, strict=True)]
    for sequence in sequences:
        engine.add(sequence)
    step = 0
    while engine.has_work:
        step += 1
        for sequence, (_, _, abort_step) in zip(sequences, requests, strict=True):
            if abort_step == step:
                sequence.is_aborted = True
        engine.step()
        assert engine.scheduler.num_running <= max_batch
        assert step < 1000, "the engine makes no progress"
    for sequence, prompt_ids, one in zip(sequences, prompts, params, strict=True):
        assert sequence.finish_reason in ("length", "abort")
        expected = naive_generate(model, tokenizer, prompt_ids, one, 4)
        assert sequence.generated_ids == expected[: sequence.num_generated]
        if sequence.finish_reason == "length":
            assert sequence.num_generated == one.max_tokens


def test_streamed_pieces_join_to_the_whole_text(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    for seed in range(5):
        params = SamplingParams(max_tokens=40, temperature=1.5, seed=seed, stop=["e", "日本"])
        (completion,) = llm.generate("the", params)
        deltas = list(llm.stream("the", params))
        assert "".join(delta.text for delta in deltas) == completion.text
        assert [delta.finish_reason for delta in deltas][-1] == completion.finish_reason
        assert all(delta.finish_reason is None for delta in deltas[:-1])
        assert "e" not in completion.text


def test_a_stop_string_ends_the_text_before_it(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    (whole,) = llm.generate("the", SamplingParams(max_tokens=40, temperature=0, ignore_eos=True))
    stop = whole.text[5:8]
    (stopped,) = llm.generate("the", SamplingParams(max_tokens=40, temperature=0, stop=stop, ignore_eos=True))
    assert stopped.finish_reason == "stop"
    assert stopped.text == whole.text[: whole.text.find(stop)]


def test_the_end_of_text_token_ends_the_generation(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    prompt_ids = prompt_of(4)
    for seed in range(200):
        params = SamplingParams(max_tokens=30, temperature=5.0, seed=seed)
        (completion,) = llm.generate([prompt_ids], params)
        if completion.finish_reason == "stop":
            break
    assert completion.token_ids[-1] == tokenizer.end_of_text_id
    assert completion.text == tokenizer.decode(completion.token_ids[:-1])
    (longer,) = llm.generate([prompt_ids], SamplingParams(max_tokens=30, temperature=5.0, seed=seed, ignore_eos=True))
    assert len(longer.token_ids) == 30
    assert longer.token_ids[: len(completion.token_ids)] == completion.token_ids


def test_the_seed_that_was_drawn_gives_the_text_again(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    (first,) = llm.generate("the", SamplingParams(max_tokens=20))
    (again,) = llm.generate("the", SamplingParams(max_tokens=20, seed=first.seed))
    assert again == first
    (other,) = llm.generate("the", SamplingParams(max_tokens=20))
    assert other.seed != first.seed


def test_an_empty_prompt_starts_a_document(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    params = SamplingParams(max_tokens=8, temperature=0, ignore_eos=True)
    assert llm.generate("", params)[0].token_ids == llm.generate([[tokenizer.end_of_text_id]], params)[0].token_ids


def test_a_full_context_is_used_to_the_last_token(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    (completion,) = llm.generate([prompt_of(60)], SamplingParams(max_tokens=4, ignore_eos=True))
    assert len(completion.token_ids) == 4


def test_a_prompt_longer_than_the_context_is_refused_with_both_lengths(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    with pytest.raises(ConfigError, match=r"prompt has 70 tokens.*room for 64(.|\n)*hint: cut the prompt by 7 tokens"):
        llm.generate([prompt_of(70)], SamplingParams(max_tokens=1))
    with pytest.raises(ConfigError, match=r"60 tokens and `max_tokens` 5 .*64 tokens(.|\n)*hint: set `max_tokens` to"):
        llm.stream(prompt_of(60), SamplingParams(max_tokens=5))


def test_token_ids_outside_the_vocabulary_are_refused(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    for token_id in (-1, tokenizer.vocab_size):
        with pytest.raises(ConfigError, match=f"token id {token_id} is not in the vocabulary"):
            llm.generate([[token_id]])


def test_a_closed_stream_frees_its_slot(model, tokenizer):
    llm = LLM.from_model(model, tokenizer, max_batch=1)
    stream = llm.stream("the", SamplingParams(max_tokens=40, ignore_eos=True))
    next(stream)
    assert llm.engine.scheduler.num_running == 1
    stream.close()
    assert not llm.engine.has_work


def test_two_streams_share_the_engine(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    params = SamplingParams(max_tokens=20, temperature=0, ignore_eos=True)
    (expected,) = llm.generate("the", params)
    first, second = llm.stream("the", params), llm.stream("the", params)
    texts = ["", ""]
    for one, other in zip(first, second, strict=True):
        texts[0] += one.text
        texts[1] += other.text
    assert texts == [expected.text, expected.text]


def test_weights_that_are_not_finite_fail_the_request_and_not_the_engine(model, tokenizer):
    broken = Transformer(model.config)
    broken.load_state_dict(model.state_dict())
    llm = LLM.from_model(broken, tokenizer)
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    with pytest.raises(InternalError, match="the model scored token"):
        llm.generate("the")
    broken.load_state_dict(model.state_dict())
    assert llm.generate("the", SamplingParams(temperature=0))[0].text == (
        LLM.from_model(model, tokenizer).generate("the", SamplingParams(temperature=0))[0].text
    )


def test_an_error_in_a_step_ends_its_sequences_and_the_next_ones_go_on(model, tokenizer, monkeypatch):
    engine = Engine(model, tokenizer)
    first = engine.new_sequence([1, 2, 3], SamplingParams(max_tokens=10))
    engine.add(first)
    engine.step()
    with monkeypatch.context() as patch:
        patch.setattr(ModelRunner, "decode", lambda *_: 1 / 0)
        engine.step()
    assert first.finish_reason == "error"
    assert isinstance(first.error, ZeroDivisionError)
    second = engine.new_sequence([1, 2, 3], SamplingParams(max_tokens=10, ignore_eos=True))
    engine.add(second)
    while engine.has_work:
        engine.step()
    assert second.finish_reason == "length"


def test_sampling_parameters_for_each_prompt(model, tokenizer):
    llm = LLM.from_model(model, tokenizer)
    each = [SamplingParams(max_tokens=3, ignore_eos=True), SamplingParams(max_tokens=5, ignore_eos=True)]
    assert [len(completion.token_ids) for completion in llm.generate(["a", "b"], each)] == [3, 5]
    with pytest.raises(ConfigError, match="2 sampling parameters for 3 prompts"):
        llm.generate(["a", "b", "c"], each)
