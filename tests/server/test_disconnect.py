"""A client that closes its socket frees its place at once: streaming or not, decoding or still in the queue."""

import json
import socket
import time

import pytest

LONG = {"prompt": "the", "max_tokens": 4000, "ignore_eos": True}


def send_request(server, body) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    content = json.dumps(body).encode()
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    client.sendall(b"POST /v1/completions HTTP/1.1\r\n" + head.encode() + b"\r\n\r\n" + content)
    return client


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_closed_socket_frees_the_slot_while_decoding(start_server, stream):
    server = start_server()
    client = send_request(server, {**LONG, "stream": stream})
    before = server.wait_until(lambda state: state["generated_tokens_total"] > 5)
    assert before["running"] == 1
    client.close()
    closed = time.monotonic()
    after = server.wait_until(lambda state: state["running"] == 0 and state["admitted"] == 0)
    assert time.monotonic() - closed < 1, "the slot was not freed within a second"
    assert after["aborted_total"] == 1
    assert after["generated_tokens_total"] < 4000, "the answer was finished before the socket was closed"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_closed_socket_leaves_the_queue(start_server, stream):
    server = start_server("--set", "max_batch=1")
    first = send_request(server, {**LONG, "stream": True})
    server.wait_until(lambda state: state["running"] == 1)
    second = send_request(server, {**LONG, "stream": stream})
    server.wait_until(lambda state: state["admitted"] == 2)
    second.close()
    closed = time.monotonic()
    after = server.wait_until(lambda state: state["admitted"] == 1 and state["aborted_total"] == 1)
    assert time.monotonic() - closed < 1
    assert after["running"] == 1, "the other answer goes on"
    first.close()
    server.wait_until(lambda state: state["running"] == 0)


def test_a_closed_socket_ends_all_answers_of_the_request(start_server):
    server = start_server("--set", "max_batch=2")
    client = send_request(server, {**LONG, "prompt": ["the", "fox"], "n": 3, "stream": True})
    server.wait_until(lambda state: state["generated_tokens_total"] > 5)
    client.close()
    server.wait_until(lambda state: state["admitted"] == 0 and state["aborted_total"] == 6)
