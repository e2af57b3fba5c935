"""What the server refuses, and how it says so."""

import json
import socket
import time

import httpx
import pytest


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def post(http, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post("/v1/completions", content=content, headers={"content-type": "application/json", **headers})


def message_of(answer) -> str:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["message"]


@pytest.mark.parametrize(
    "field",
    [
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"max_tokens": 10**30},
        {"max_tokens": "5"},
        {"max_tokens": 5.5},
        {"max_tokens": True},
        {"max_tokens": 5000},
        {"n": 0},
        {"n": 9},
        {"n": 2**63},
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"top_p": 0},
        {"top_p": 1.01},
        {"top_k": 0},
        {"min_p": 2},
        {"seed": 2**63},
        {"stop": ["a"] * 5},
        {"stop": ""},
        {"stop": "x" * 129},
        {"stream": "yes"},
        {"stream_options": {"include_usage": True}},
        {"prompt": []},
        {"prompt": ["a"] * 17},
        {"prompt": [1, "a"]},
        {"prompt": [-1]},
        {"prompt": [280]},
        {"prompt": [[]]},
        {"prompt": None},
        {"user": 5},
    ],
    ids=str,
)
def test_values_out_of_bounds_are_refused_by_name(http, field):
    answer = post(http, {"prompt": "the", **field})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == next(iter(field))
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_unknown_fields_are_refused_and_the_known_ones_named(http):
    answer = post(http, {"promt": "the"})
    assert answer.status_code == 400
    assert "`promt` is not a field" in message_of(answer)
    assert "`prompt`" in message_of(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "the", "temperature": NaN}',
        b'{"prompt": "the", "temperature": Infinity}',
        b"[" * 200_000,
        b'{"prompt":' * 100_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_bodies_that_are_no_request_are_refused(http, body):
    answer = post(http, body)
    assert answer.status_code == 400, answer.text
    message_of(answer)


def test_a_large_body_is_refused(http):
    assert post(http, {"prompt": "x" * (1 << 20)}).status_code == 413
    # Without a length announced, it is counted as it comes.
    chunks = (b"x" * 10_000 for _ in range(200))
    answer = http.post("/v1/completions", content=chunks, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_only_json_is_read(http):
    # What a form on another site can send without asking the server first.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = http.post("/v1/completions", content=b'{"prompt": "the"}', headers={"content-type": kind})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "127.0.0.1.nip.io"]
)
def test_names_of_others_are_not_answered(http, host):
    assert http.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:99", "[::1]:99", "192.168.0.7"])
def test_own_names_are_answered(http, host):
    assert http.get("/health", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_are_not_answered(server, http):
    for origin in ("http://evil.example", "null"):
        answer = post(http, {"prompt": "the"}, origin=origin)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    assert post(http, {"prompt": "the", "max_tokens": 1}, origin=server.url).status_code == 200


def test_every_answer_has_the_security_headers(http):
    for path in ("/", "/playground.js", "/playground.css", "/health", "/v1/models", "/nothing"):
        answer = http.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_unknown_paths_and_methods_have_the_shape_of_an_error(http):
    assert message_of(http.get("/v1/nothing")) == "not found: GET /v1/nothing"
    answer = http.get("/v1/completions")
    assert answer.status_code == 405
    message_of(answer)


def test_the_page_loads_nothing_from_elsewhere(http):
    page = http.get("/").text
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_connection_that_sends_no_request_is_closed(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        started = time.monotonic()
        slow.sendall(b"GET / HTTP/1.1\r\n")
        assert slow.recv(100) == b""
        assert time.monotonic() - started < 20


@pytest.mark.parametrize("header", [b"X: " + b"y" * 20_000, b"Content-Length: x", b"Content-Length: -5"])
def test_malformed_heads_end_the_connection_and_not_the_server(server, header):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
        assert client.recv(100)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
    assert server.health()["status"] == "ok"


def test_health_names_the_state_of_the_engine(server):
    state = server.health()
    assert state["status"] == "ok"
    assert state["slots"] == 8
    assert state["failed_total"] == 0
