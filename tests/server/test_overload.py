"""More clients than places: some wait, the rest is told when to come again, and nothing breaks."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest


def test_a_full_queue_is_answered_with_429_and_the_rest_is_served(start_server):
    server = start_server("--set", "max_batch=2", "--set", "max_queue=3")
    body = {"prompt": "the", "max_tokens": 150, "ignore_eos": True}

    def ask(seed):
        return httpx.post(f"{server.url}/v1/completions", json={**body, "seed": seed}, timeout=60)

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(40)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 5
    for answer in answers:
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.json()["error"]["code"] == "queue_full"
        else:
            assert answer.json()["usage"]["completion_tokens"] == 150
    state = server.wait_until(lambda state: state["admitted"] == 0)
    assert state["refused_total"] == statuses.count(429)
    assert state["running"] == 0


def test_each_answer_counts_and_a_request_larger_than_the_queue_says_so(start_server):
    server = start_server("--set", "max_batch=2", "--set", "max_queue=3")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=60)
    with pytest.raises(openai.BadRequestError, match="asks for 6 answers, at most 5 fit"):
        client.completions.create(model="tiny-model", prompt="the", n=6)
    stream = client.completions.create(
        model="tiny-model", prompt="the", n=5, max_tokens=4000, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    with pytest.raises(openai.RateLimitError, match="busy with 5 answers of at most 5"):
        client.completions.create(model="tiny-model", prompt="the")
    stream.close()
    server.wait_until(lambda state: state["admitted"] == 0)
    assert client.completions.create(model="tiny-model", prompt="the").choices
