"""Settings of the HTTP server."""

from typing import Annotated

from pydantic import Field

from slm.config.base import Config, TextTuple


class ServeConfig(Config):
    """Settings of `slm serve`; the limits keep one client from taking the machine."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on. The default is seen by this machine alone; `0.0.0.0` by everyone who can reach it."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """TCP port; 0 picks a free one."""

    max_queue: Annotated[int, Field(ge=1, le=1 << 20)] = 64
    """Requests that may wait; one more is answered with status 429."""

    max_batch: Annotated[int, Field(ge=1, le=4096)] = 8
    """Sequences that are generated together; each holds a slot of the KV cache."""

    max_tokens_limit: Annotated[int, Field(ge=1, le=1 << 24)] = 4096
    """Most tokens that one request may ask for."""

    allowed_hosts: TextTuple = ()
    """Names that clients may reach the server by, beside `host`, `localhost` and any IP address.

    Other names are refused, so that a web page cannot reach a local server by pointing its own name at it.
    """

    drain_seconds: Annotated[int, Field(ge=0, le=86_400)] = 30
    """How long answers in progress may take to finish when the server is told to stop."""

    max_body_bytes: Annotated[int, Field(ge=1_024, le=1 << 30)] = 1 << 20
    """Largest request body."""
