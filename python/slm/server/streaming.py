"""Answers that end when the client goes away: whole ones, and streams of server-sent events.

Both race the generation against the connection. Whichever way they end, the generation is aborted, so a client that
closes its socket frees the slot at the next step.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from slm.server.schemas import AnswerForm, ApiError, usage_body
from slm.server.worker import Generation

_logger = logging.getLogger(__name__)

PING_SECONDS = 15.0
"""A comment is sent this often while nothing else is, so that proxies keep the connection."""


class AnswerResponse(Response):
    """The answer to one request, computed while it is sent.

    Args:
        generation: The sequences; already submitted.
        form: How it looks.
        answer_id: Id of the answer.
        model: Name of the model.
        num_choices: Answers to each prompt.
        stream: Send each piece as it comes.
        include_usage: End the stream with a chunk of token counts.
        admission: Closed when the answer has ended.
    """

    def __init__(
        self,
        generation: Generation,
        *,
        form: AnswerForm,
        answer_id: str,
        model: str,
        num_choices: int,
        stream: bool,
        include_usage: bool,
        admission: ExitStack,
    ):
        super().__init__()
        self._generation = generation
        self._form = form
        self._id = answer_id
        self._is_begun = [False] * len(generation.sequences)
        self._model = model
        self._num_choices = num_choices
        self._stream = stream
        self._include_usage = include_usage
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves first."""
        answer = self._send_stream(send) if self._stream else self._send_whole(scope, receive, send)
        try:
            await until_disconnect(receive, answer)
        finally:
            self._generation.abort()
            self._admission.close()

    async def _send_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        generation = self._generation
        while not generation.is_finished:
            await generation.has_news.wait()
            generation.has_news.clear()
        if generation.error is not None:
            raise engine_error(generation.error)
        choices = [
            self._form.choice(idx, "".join(delta.text for delta in sequence.deltas), sequence.finish_reason)
            for idx, sequence in enumerate(generation.sequences)
        ]
        body = self._form.body(self._id, self._model, choices, self._usage(), is_chunk=False)
        await JSONResponse(body)(scope, receive, send)

    async def _send_stream(self, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for events in self._events():
            await send({"type": "http.response.body", "body": events, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        """Everything new since the last time as one piece, so a slow client gets fewer and larger ones."""
        generation = self._generation
        while True:
            is_last = generation.is_finished  # asked before looking, so that nothing can come in between
            pieces = self._new_pieces()
            if generation.error is not None:
                yield b"".join(pieces) + event(engine_error(generation.error).body)
                return
            if is_last:
                if self._include_usage:
                    pieces.append(event(self._form.body(self._id, self._model, [], self._usage(), is_chunk=True)))
                yield b"".join(pieces) + b"data: [DONE]\n\n"
                return
            if pieces:
                yield b"".join(pieces)
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await generation.has_news.wait()
                generation.has_news.clear()
            except TimeoutError:
                yield b": still working\n\n"

    def _new_pieces(self) -> list[bytes]:
        pieces: list[bytes] = []
        for idx, sequence in enumerate(self._generation.sequences):
            text, finish_reason = "", None
            while sequence.deltas:
                delta = sequence.deltas.popleft()
                text += delta.text
                finish_reason = delta.finish_reason
            if (text or finish_reason) and finish_reason != "error":
                choice = self._form.piece(idx, text, finish_reason, is_first=not self._is_begun[idx])
                self._is_begun[idx] = True
                pieces.append(event(self._form.body(self._id, self._model, [choice], None, is_chunk=True)))
        return pieces

    def _usage(self) -> dict[str, int]:
        prompts = self._generation.sequences[:: self._num_choices]
        return usage_body(sum(one.num_prompt_tokens for one in prompts), self._generation.completion_tokens)


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event. JSON has no raw line breaks, so one `data:` line holds it."""
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def engine_error(error: BaseException) -> ApiError:
    """What a client is told of an error in the engine; the log has the rest."""
    _logger.error("a generation failed", exc_info=error)
    message = str(error).partition("\n")[0] if type(error).__module__.startswith("slm.") else "the generation failed"
    return ApiError(500, message, kind="server_error", code="generation_failed")


async def until_disconnect(receive: Receive, answer: Coroutine[Any, Any, None]) -> None:
    """Run `answer`, and cancel it if the client closes the connection first."""
    answering = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_disconnected(receive))
    tasks: tuple[asyncio.Future[None], ...] = (answering, watching)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not answering.cancelled() and (error := answering.exception()) is not None:
        raise error


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
