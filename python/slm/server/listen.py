"""Opens the port and runs the server until it is told to stop, finishing what it has begun."""

import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from slm.errors import EXIT_INTERRUPTED, ConfigError
from slm.server.guards import MAX_HEAD_BYTES

HEAD_SECONDS = 5.0
"""How long the head of a request may take to arrive."""

MAX_CONNECTIONS = 1000
"""Connections beyond this are answered with 503 at once."""

_MIN_KEY_LENGTH = 16
_KEY_VARIABLE = "SLM_API_KEY"


def read_api_keys(path: Path | None) -> list[str]:
    """API keys from a file, one a line, or from the environment variable `SLM_API_KEY`.

    Args:
        path: The file; None looks into the environment.

    Returns:
        The keys; empty if there is neither.

    Raises:
        ConfigError: The file has no key, or a key is too short or not plain text.
        OSError: The file cannot be read.
    """
    if path is not None:
        source, text = f"`{path}`", path.read_text(encoding="utf-8", errors="replace")
        if not text.strip():
            raise ConfigError(
                f"{source} holds no API key\n\nhint: write one key a line, for example from `openssl rand -hex 32`"
            )
    else:
        source, text = f"`{_KEY_VARIABLE}`", os.environ.get(_KEY_VARIABLE, "")
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    for number, key in enumerate(keys, start=1):
        if len(key) < _MIN_KEY_LENGTH or not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigError(
                f"key {number} in {source} has {len(key)} characters, allowed are {_MIN_KEY_LENGTH} or more printable "
                "ASCII characters without spaces\n\nhint: make one with `openssl rand -hex 32`"
            )
    return keys


def open_port(host: str, port: int, *, has_api_key: bool) -> socket.socket:
    """Bind and listen, before the model is loaded: a port in use is found out at once.

    Args:
        host: Name or address to listen on.
        port: TCP port; 0 picks a free one.
        has_api_key: Whether clients must show a key; without, only this machine is let in.

    Raises:
        ConfigError: The address is unknown, taken, forbidden, or open to others without an API key.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"`{host}` is not an address of this machine\n\nhint: try `127.0.0.1`") from error
    if not has_api_key and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise ConfigError(
            f"`{host}` can be reached from other machines, and there is no API key\n\n"
            f"hint: give `--api-key-file FILE` or set `{_KEY_VARIABLE}`, or listen on `127.0.0.1`"
        )
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"cannot listen on `{host}` port {port}: {reason}\n\n"
            "hint: choose another port with `--port`; 0 picks a free one"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of the page, as one types it into a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "127.0.0.1" if listener.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: ASGIApp, listener: socket.socket, *, drain_seconds: int, on_ready: Callable[[], None]) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish the answers in progress; a second signal ends them.

    Args:
        app: The application.
        listener: From `open_port`.
        drain_seconds: How long answers in progress may take to finish.
        on_ready: Called once, when requests are answered.

    Returns:
        Exit code: 0 after SIGTERM, 130 after Ctrl-C.
    """
    config = uvicorn.Config(
        app,
        http=DeadlineProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=drain_seconds,
    )
    server = _Server(config, on_ready)
    server.run(sockets=[listener])
    return EXIT_INTERRUPTED if server.first_signal == signal.SIGINT else 0


class DeadlineProtocol(H11Protocol):
    """HTTP/1.1 with a limit on how long the head of a request may take.

    uvicorn limits only the time between requests, and any byte ends that: a client that sends its head one byte a
    minute would hold a connection for ever. Bodies have their limit in `slm.server.guards`.
    """

    _deadline: Any = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Stop the clock when a head is complete; start it with the first byte of another."""
        super().data_received(data)
        is_waiting = self.conn.their_state is h11.IDLE
        if not is_waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif is_waiting and self._deadline is None and self.conn.trailing_data[0]:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """uvicorn with our exit codes: it would raise the signal again, and die of it, after a clean shutdown."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]):
        super().__init__(config)
        self.first_signal: int | None = None
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.first_signal is None:
            self.first_signal = sig
            self.should_exit = True
        else:
            self.force_exit = True
