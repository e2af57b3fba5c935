"""What every request passes before any route sees it. Plain ASGI, so that disconnects reach the routes undisturbed.

In this order: the `Host` must be ours (a page elsewhere cannot reach us through DNS rebinding), a browser's `Origin`
must be us (a page elsewhere cannot make a visitor's browser work for it), the API key must be right everywhere but on
the page itself and `/health`, and the body must be small, JSON and quick to arrive.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import uuid
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slm.server.schemas import ApiError

BODY_SECONDS = 30.0
"""How long a request body may take to arrive."""

MAX_HEAD_BYTES = 16 << 10
"""Largest head of a request."""

PUBLIC_PATHS = frozenset({"/", "/health", "/playground.css", "/playground.js"})
"""Open without an API key. Compared with the path as the server parsed it, never with a URL made from headers."""

_SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class ApiKeys:
    """Keys that open the server, kept as hashes and compared in constant time.

    Args:
        keys: The keys; none at all leaves the server open.
    """

    def __init__(self, keys: Iterable[str]):
        self._hashes = [hashlib.sha256(key.encode()).digest() for key in keys]

    @property
    def are_required(self) -> bool:
        """Whether requests need a key."""
        return bool(self._hashes)

    def accept(self, authorization: str) -> bool:
        """Whether the header is `Bearer` with one of the keys."""
        scheme, _, key = authorization.partition(" ")
        given = hashlib.sha256(key.strip().encode("latin-1", "replace")).digest()
        matches = [hmac.compare_digest(given, one) for one in self._hashes]
        return scheme.lower() == "bearer" and any(matches)


class Guard:
    """ASGI middleware with all checks.

    Args:
        app: What comes after them.
        allowed_hosts: Names that clients may reach us by, beside IP addresses and `localhost`.
        api_keys: Who may ask.
        max_body_bytes: Largest request body.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str], api_keys: ApiKeys, max_body_bytes: int):
        self._app = app
        self._allowed_hosts = {"localhost", *(host.lower() for host in allowed_hosts)}
        self._api_keys = api_keys
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request and pass it on, or answer why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # uvicorn answers a WebSocket handshake that nobody accepts with 403
        request_id = uuid.uuid4().hex
        answer = _with_headers(send, request_id)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            # uvicorn limits a head only while it is incomplete, and one read may complete a large one.
            if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
                raise ApiError(431, f"the head of the request is larger than {MAX_HEAD_BYTES:,} bytes")
            self._check_host(headers)
            self._check_origin(headers)
            self._check_key(scope["path"], headers)
            if scope["method"] == "POST":
                receive = await self._receive_body(headers, receive)
        except ApiError as error:
            await _refuse(error, answer)
            return
        await self._app(scope, receive, answer)

    def _check_host(self, headers: dict[str, str]) -> None:
        host = host_name(headers.get("host", ""))
        if host in self._allowed_hosts or _is_address(host):
            return
        raise ApiError(421, f"this server does not answer to the name `{host[:80]}`; see `allowed_hosts`")

    def _check_origin(self, headers: dict[str, str]) -> None:
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
            raise ApiError(403, "requests from pages of other sites are not answered")

    def _check_key(self, path: str, headers: dict[str, str]) -> None:
        if not self._api_keys.are_required or path in PUBLIC_PATHS:
            return
        if not self._api_keys.accept(headers.get("authorization", "")):
            raise ApiError(
                401,
                "the API key is missing or wrong; send it as `Authorization: Bearer KEY`",
                kind="authentication_error",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _receive_body(self, headers: dict[str, str], receive: Receive) -> Receive:
        """Read the whole body within its limits; return a `receive` that gives it again."""
        # Anything but JSON is what a form on another site could send without asking first.
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "the body must be JSON, with `Content-Type: application/json`")
        body = bytearray()
        num_bytes = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return _replay([message], receive)
                    num_bytes += len(message.get("body", b""))
                    # What is too much is thrown away but read for a while: a client that is still sending would not
                    # see the answer, only a broken connection.
                    if num_bytes <= self._max_body_bytes:
                        body += message.get("body", b"")
                    if not message.get("more_body", False) or num_bytes > 16 * self._max_body_bytes:
                        break
        except TimeoutError:
            raise ApiError(408, f"the body took longer than {BODY_SECONDS:g} s to arrive") from None
        if num_bytes > self._max_body_bytes:
            raise ApiError(
                413, f"the body is larger than {self._max_body_bytes:,} bytes", headers={"Connection": "close"}
            )
        return _replay([{"type": "http.request", "body": bytes(body), "more_body": False}], receive)


def host_name(host: str) -> str:
    """The name in a `Host` header, without its port and brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _is_address(host: str) -> bool:
    # DNS rebinding needs a name; an address in `Host` was typed by the person or configured by the program.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


def _with_headers(send: Send, request_id: str) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            headers += [(name.encode(), value.encode()) for name, value in _SECURITY_HEADERS.items()]
            headers.append((b"x-request-id", request_id.encode()))
            message = {**message, "headers": headers}
        await send(message)

    return answer


async def _refuse(error: ApiError, send: Send) -> None:
    body = json.dumps(error.body, ensure_ascii=False).encode()
    headers: dict[str, Any] = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    raw = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
