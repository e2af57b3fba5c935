"""The routes: which function answers which path, and how errors look."""

import asyncio
import importlib.resources
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from slm.server.guards import ApiKeys, Guard
from slm.server.schemas import ApiError
from slm.server.service import Service

_logger = logging.getLogger(__name__)

_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/playground.css": ("playground.css", "text/css; charset=utf-8"),
    "/playground.js": ("playground.js", "text/javascript; charset=utf-8"),
}


def create_app(service: Service, api_keys: ApiKeys) -> Guard:
    """Make the ASGI application.

    Args:
        service: What answers.
        api_keys: Who may ask.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        service.worker.start()
        yield
        await asyncio.to_thread(service.worker.stop)

    # The generated documentation pages load scripts from a CDN, so there are none.
    app = FastAPI(title="slm", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_unexpected)
    routes = _Routes(service)
    app.add_api_route("/v1/completions", routes.completions, methods=["POST"])
    app.add_api_route("/v1/chat/completions", routes.chat, methods=["POST"])
    app.add_api_route("/v1/models", routes.models, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", routes.model, methods=["GET"])
    app.add_api_route("/health", routes.health, methods=["GET", "HEAD"])
    for path, (name, media_type) in _PAGE.items():
        app.add_api_route(path, _file_route(name, media_type), methods=["GET", "HEAD"])
    return Guard(
        app,
        allowed_hosts=[*service.config.allowed_hosts, service.config.host],
        api_keys=api_keys,
        max_body_bytes=service.config.max_body_bytes,
    )


class _Routes:
    def __init__(self, service: Service):
        self._service = service

    async def completions(self, request: Request) -> Response:
        return await self._service.complete(await request.body())

    async def chat(self, request: Request) -> Response:
        return await self._service.chat(await request.body())

    async def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [self._service.describe_model()]}

    async def model(self, name: str) -> dict[str, Any]:
        self._service.check_model(name)
        return self._service.describe_model()

    async def health(self) -> JSONResponse:
        state = self._service.describe_health()
        return JSONResponse(state, status_code=200 if state["status"] == "ok" else 503)


def _file_route(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    content = importlib.resources.files("slm.server").joinpath("playground", name).read_bytes()

    async def page() -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return page


async def _answer_api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, status_code=error.status, headers=error.headers)


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = f"{error.detail.lower()}: {request.method} {request.scope['path'][:200]}"
    return JSONResponse(
        ApiError(error.status_code, detail).body, status_code=error.status_code, headers=dict(error.headers or {})
    )


async def _answer_unexpected(_: Request, error: Exception) -> JSONResponse:
    # What went wrong inside is for the log, not for clients.
    _logger.error("a request failed", exc_info=error)
    return JSONResponse(ApiError(500, "the server failed at this request", kind="server_error").body, status_code=500)
