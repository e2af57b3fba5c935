"""Start, keys and the end: answers in progress are finished, and the exit code says how it ended."""

import contextlib
import signal
import threading
import time

import httpx
import openai
import pytest

KEY = "0123456789abcdef-key"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_answers_in_progress_are_finished_before_the_end(start_server, number, code):
    server = start_server()
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=60)
    stream = client.completions.create(
        model="tiny-model", prompt="the", max_tokens=600, stream=True, extra_body={"ignore_eos": True}
    )
    chunks = iter(stream)
    next(chunks)
    server.process.send_signal(number)
    assert list(chunks)[-1].choices[0].finish_reason == "length"
    _, errors = server.process.communicate(timeout=30)
    assert server.process.returncode == code
    assert "Traceback" not in errors


def test_a_second_signal_ends_at_once(start_server):
    server = start_server()
    body = {"prompt": "the", "max_tokens": 4000, "n": 8, "ignore_eos": True}
    thread = threading.Thread(target=lambda: _ignore_errors(server.url, body))
    thread.start()
    server.wait_until(lambda state: state["running"] == 8)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    thread.join()


def _ignore_errors(url, body):
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(f"{url}/v1/completions", json=body, timeout=60)


def test_answers_that_take_too_long_are_cut_off_at_the_end(start_server):
    server = start_server("--set", "drain_seconds=1")
    body = {"prompt": "the", "max_tokens": 4000, "n": 8, "ignore_eos": True}
    thread = threading.Thread(target=lambda: _ignore_errors(server.url, body))
    thread.start()
    server.wait_until(lambda state: state["running"] == 8)
    started = time.monotonic()
    code, _ = server.stop()
    assert code == 0
    assert time.monotonic() - started < 8
    thread.join()


def test_with_a_key_everything_but_page_and_health_needs_it(start_server):
    server = start_server(env={"SLM_API_KEY": KEY})
    with httpx.Client(base_url=server.url, timeout=30) as http:
        for path in ("/", "/playground.js", "/playground.css", "/health"):
            assert http.get(path).status_code == 200
        for path in ("/v1/models", "/v1/models/tiny-model", "/v1/completions", "/nothing", "/health/x"):
            answer = http.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
        assert http.get("/v1/models", headers={"host": "localhost/health?"}).status_code in (400, 401, 421)
        for wrong in ("Bearer x", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY.upper()}"):
            assert http.get("/v1/models", headers={"authorization": wrong}).status_code == 401
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, timeout=30)
    assert client.models.list().data[0].id == "tiny-model"
    with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong"):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", timeout=30).models.list()


def test_with_a_key_other_machines_may_be_let_in(start_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\nanother-key-0123456789\n")
    server = start_server("--host", "0.0.0.0", "--api-key-file", str(keys))
    answer = httpx.get(f"{server.url}/v1/models", headers={"authorization": "Bearer another-key-0123456789"})
    assert answer.status_code == 200
