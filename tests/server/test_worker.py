"""When the engine's thread is gone, everybody is told, and nobody waits for ever."""

import asyncio

import httpx
import pytest

from slm.config import ServeConfig
from slm.engine import LLM
from slm.server.app import create_app
from slm.server.guards import ApiKeys
from slm.server.service import Service

BODY = {"prompt": "the", "max_tokens": 50, "ignore_eos": True}


def in_process(service):
    transport = httpx.ASGITransport(app=create_app(service, ApiKeys([])), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30)


@pytest.fixture
def service(tiny_model_dir):
    return Service(LLM(tiny_model_dir, device="cpu"), "tiny-model", ServeConfig())


def break_engine(service, monkeypatch, after_steps):
    step, count = service.worker.engine.step, [0]

    def failing():
        count[0] += 1
        if count[0] > after_steps:
            raise RuntimeError("secret /path of the machine")
        return step()

    monkeypatch.setattr(service.worker.engine, "step", failing)


def test_a_dead_engine_is_unhealthy_and_fails_what_waits(service, monkeypatch):
    break_engine(service, monkeypatch, after_steps=3)

    async def scenario():
        service.worker.start()
        async with in_process(service) as http:
            assert (await http.get("/health")).status_code == 200
            waiting = [http.post("/v1/completions", json=BODY) for _ in range(3)]
            answers = await asyncio.gather(*waiting)
            assert {answer.status_code for answer in answers} <= {500, 503}
            assert all("secret" not in answer.text for answer in answers)
            health = await http.get("/health")
            assert health.status_code == 503
            assert health.json()["status"] == "dead"
            assert health.json()["admitted"] == 0
            late = await http.post("/v1/completions", json=BODY)
            assert late.status_code == 503
            assert late.json()["error"]["code"] == "engine_dead"

    asyncio.run(scenario())


def test_a_stream_that_fails_says_so_in_an_event_and_is_not_done(service, monkeypatch):
    break_engine(service, monkeypatch, after_steps=3)

    async def scenario():
        service.worker.start()
        async with in_process(service) as http:
            answer = await http.post("/v1/completions", json={**BODY, "stream": True})
            assert '"error"' in answer.text
            assert "[DONE]" not in answer.text
            assert "secret" not in answer.text

    asyncio.run(scenario())


def test_an_error_in_one_step_fails_its_requests_and_not_the_engine(service, monkeypatch):
    async def scenario():
        service.worker.start()
        async with in_process(service) as http:
            runner = service.worker.engine._runner
            with monkeypatch.context() as patch:
                patch.setattr(runner, "decode", lambda *_: 1 / 0)
                answer = await http.post("/v1/completions", json=BODY)
                assert answer.status_code == 500
                assert answer.json()["error"]["message"] == "the generation failed"
            assert (await http.get("/health")).json()["failed_total"] == 1
            assert (await http.post("/v1/completions", json=BODY)).status_code == 200

    asyncio.run(scenario())
    service.worker.stop()


def test_stopping_the_worker_ends_what_is_left(service):
    async def scenario():
        service.worker.start()
        async with in_process(service) as http:
            request = asyncio.create_task(http.post("/v1/completions", json={**BODY, "max_tokens": 4000}))
            while service.worker.engine.num_tokens_generated < 3:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(service.worker.stop)
            assert (await request).status_code == 500

    asyncio.run(scenario())
