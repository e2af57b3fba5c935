"""The official client gets what OpenAI's documentation promises it."""

import openai
import pytest

from slm.engine import LLM, SamplingParams


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def llm(tiny_model_dir):
    return LLM(tiny_model_dir, device="cpu")


def complete(client, **arguments):
    return client.completions.create(model="tiny-model", **arguments)


def test_completion(client, llm):
    answer = complete(client, prompt="the quick", max_tokens=12, temperature=0)
    (expected,) = llm.generate("the quick", SamplingParams(max_tokens=12, temperature=0))
    assert answer.object == "text_completion"
    assert answer.model == "tiny-model"
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason, choice.index) == (expected.text, expected.finish_reason, 0)
    assert answer.usage.prompt_tokens == expected.prompt_tokens
    assert answer.usage.completion_tokens == len(expected.token_ids)
    assert answer.usage.total_tokens == expected.prompt_tokens + len(expected.token_ids)


def test_default_length_is_that_of_openai(client):
    answer = complete(client, prompt="the", seed=1, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"seed": 3, "top_p": 0.9}, {"seed": 3, "stop": ["e", "日"]}])
def test_streamed_pieces_join_to_the_whole(client, settings):
    whole = complete(client, prompt="the", max_tokens=60, **settings)
    chunks = list(
        complete(client, prompt="the", max_tokens=60, stream=True, stream_options={"include_usage": True}, **settings)
    )
    *pieces, last = chunks
    assert "".join(chunk.choices[0].text for chunk in pieces) == whole.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.choices == []
    assert last.usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_seed_decides_the_text_also_among_others(client, llm):
    params = SamplingParams(max_tokens=20, seed=9)
    (expected,) = llm.generate("the", params)
    answers = complete(client, prompt=["a", "the", "fox"], max_tokens=20, seed=9)
    assert answers.choices[1].text == expected.text
    assert [choice.index for choice in answers.choices] == [0, 1, 2]


def test_several_answers_differ_and_the_first_is_the_single_one(client):
    one = complete(client, prompt="the", max_tokens=20, seed=9)
    three = complete(client, prompt="the", max_tokens=20, seed=9, n=3)
    assert three.choices[0].text == one.choices[0].text
    assert len({choice.text for choice in three.choices}) == 3
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    streamed = ["", "", ""]
    for chunk in complete(client, prompt="the", max_tokens=20, seed=9, n=3, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == [choice.text for choice in three.choices]


def test_token_ids_are_a_prompt_too(client, llm):
    token_ids = llm.tokenizer.encode("the quick").tolist()
    by_text = complete(client, prompt="the quick", max_tokens=8, temperature=0)
    by_ids = complete(client, prompt=token_ids, max_tokens=8, temperature=0)
    by_lists = complete(client, prompt=[token_ids, token_ids], max_tokens=8, temperature=0)
    assert by_ids.choices[0].text == by_text.choices[0].text
    assert [choice.text for choice in by_lists.choices] == [by_text.choices[0].text] * 2


def test_special_tokens_in_the_text_of_a_prompt_are_only_text(client, llm):
    answer = complete(client, prompt="<|endoftext|>", max_tokens=1)
    assert answer.usage.prompt_tokens > 1


def test_stop_string_is_left_out(client):
    whole = complete(client, prompt="the", max_tokens=40, temperature=0, extra_body={"ignore_eos": True}).choices[0]
    stop = whole.text[6:9]
    short = complete(client, prompt="the", max_tokens=40, temperature=0, stop=stop, extra_body={"ignore_eos": True})
    assert short.choices[0].finish_reason == "stop"
    assert short.choices[0].text == whole.text[: whole.text.find(stop)]


def test_models(client):
    (model,) = client.models.list().data
    assert model.id == "tiny-model"
    assert client.models.retrieve("tiny-model").max_model_len == 4096
    with pytest.raises(openai.NotFoundError, match="is not served here"):
        client.models.retrieve("gpt-4")


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.completions.create(model="gpt-4", prompt="the")
    assert refused.value.code == "model_not_found"


def test_a_prompt_longer_than_the_context_is_refused_with_both_lengths(client):
    with pytest.raises(openai.BadRequestError, match=r"has 4100 tokens, .* room for 4096") as refused:
        complete(client, prompt=[5] * 4100)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match=r"`max_tokens` 4090 are more than .* 4096 tokens"):
        complete(client, prompt=[5] * 10, max_tokens=4090)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("echo", True),
        ("logprobs", 1),
        ("best_of", 2),
        ("suffix", "x"),
        ("presence_penalty", 0.5),
        ("frequency_penalty", 0.5),
        ("logit_bias", {"5": 10}),
    ],
)
def test_what_is_not_supported_is_refused_and_not_ignored(client, field, value):
    with pytest.raises(openai.BadRequestError) as refused:
        complete(client, prompt="the", **{field: value})
    assert refused.value.param == field
