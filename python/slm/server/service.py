"""One model and what is asked of it: from a request body to an answer in the making."""

import asyncio
import time
import uuid
from collections.abc import Callable
from collections.abc import Sequence as Items
from contextlib import ExitStack
from typing import Any

from slm.config.serve import ServeConfig
from slm.engine import LLM, Sequence
from slm.engine.sampler import derive_seed
from slm.errors import ConfigError, InternalError
from slm.server.admission import Admission
from slm.server.schemas import (
    DEFAULT_MAX_TOKENS,
    AnswerForm,
    AnswerRequest,
    ApiError,
    ChatForm,
    ChatRequest,
    CompletionRequest,
    parse_request,
)
from slm.server.streaming import AnswerResponse
from slm.server.worker import EngineWorker, Generation

_THREAD_BYTES = 4096
"""Bodies above this are tokenized in a thread, so that the event loop stays free for the others."""


class Service:
    """One model, ready to be asked over HTTP.

    Args:
        llm: The model; its engine belongs to the service from now on.
        model_name: What clients call it.
        config: Limits.
    """

    def __init__(self, llm: LLM, model_name: str, config: ServeConfig):
        self.model_name = model_name
        self.config = config
        self.tokenizer = llm.tokenizer
        self.worker = EngineWorker(llm.engine)
        self.admission = Admission(config.max_batch, config.max_queue)
        self.started = int(time.time())

    @property
    def context_tokens(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.worker.engine.context_tokens

    async def complete(self, body: bytes) -> AnswerResponse:
        """Start to answer a completion request.

        Raises:
            ApiError: The request is malformed (400), for another model (404), or comes at a bad time (429, 503).
        """
        request = parse_request(body, CompletionRequest)

        def sequences() -> list[Sequence]:
            found: list[Sequence] = []
            for prompt in request.prompts:
                prompt_ids = self.tokenizer.encode(prompt).tolist() if isinstance(prompt, str) else prompt
                room = max(1, self.context_tokens - max(1, len(prompt_ids)))
                max_tokens = min(DEFAULT_MAX_TOKENS, room) if request.max_tokens is None else request.max_tokens
                found += self._choices(request, prompt_ids, max_tokens, ())
            return found

        self._check_length(request.max_tokens)
        return await self._answer(request, AnswerForm(), len(request.prompts), sequences, len(body))

    async def chat(self, body: bytes) -> AnswerResponse:
        """Start to answer the last message of a conversation, by the tokenizer's chat template.

        Raises:
            ApiError: As `complete`; the tokenizer has no chat template (400).
        """
        end_of_message_id = self.tokenizer.end_of_message_id
        if end_of_message_id is None:
            message = (
                f"`{self.model_name}` has no chat template that is known; ask `/v1/completions` to continue a text"
            )
            raise ApiError(400, message, code="no_chat_template")
        request = parse_request(body, ChatRequest)

        def sequences() -> list[Sequence]:
            messages = [(message.role, message.content) for message in request.messages]
            prompt_ids: list[int] = self.tokenizer.encode_chat(messages).tolist()
            room = max(1, min(self.context_tokens - len(prompt_ids), self.config.max_tokens_limit))
            max_tokens = room if request.length is None else request.length
            return self._choices(request, prompt_ids, max_tokens, (end_of_message_id,))

        self._check_length(request.length)
        return await self._answer(request, ChatForm(), 1, sequences, len(body))

    async def _answer(
        self,
        request: AnswerRequest,
        form: AnswerForm,
        num_prompts: int,
        sequences: Callable[[], list[Sequence]],
        body_bytes: int,
    ) -> AnswerResponse:
        if request.model is not None:
            self.check_model(request.model)
        if self.worker.health == "dead":
            raise engine_is_dead()
        with ExitStack() as stack:
            stack.enter_context(self.admission.admit(num_prompts * request.num_choices))
            made = await asyncio.to_thread(sequences) if body_bytes > _THREAD_BYTES else sequences()
            generation = Generation(made)
            try:
                self.worker.submit(generation)
            except InternalError as error:
                raise engine_is_dead() from error
            return AnswerResponse(
                generation,
                form=form,
                answer_id=f"{form.id_prefix}{uuid.uuid4().hex}",
                model=self.model_name,
                num_choices=request.num_choices,
                stream=request.stream or False,
                include_usage=request.stream_options is not None and request.stream_options.include_usage,
                admission=stack.pop_all(),
            )
        raise AssertionError("the block above returns or raises")

    def _check_length(self, max_tokens: int | None) -> None:
        limit = self.config.max_tokens_limit
        if max_tokens is not None and max_tokens > limit:
            raise ApiError(400, f"`max_tokens` is {max_tokens}, at most {limit} is allowed", param="max_tokens")

    def _choices(
        self, request: AnswerRequest, prompt_ids: list[int], max_tokens: int, stop_token_ids: Items[int]
    ) -> list[Sequence]:
        """As many answers to one prompt as were asked for."""
        sequences: list[Sequence] = []
        for choice_idx in range(request.num_choices):
            seed = None if request.seed is None else derive_seed(request.seed, choice_idx)
            params = request.sampling_params(max_tokens, seed, stop_token_ids)
            try:
                sequences.append(self.worker.engine.new_sequence(prompt_ids, params))
            except ConfigError as error:
                message = str(error).replace("\n\nhint: ", "; ")
                param = "messages" if isinstance(request, ChatRequest) else "prompt"
                raise ApiError(400, message, param=param, code="context_length_exceeded") from error
        return sequences

    def check_model(self, name: str) -> None:
        """Refuse a request for another model.

        Raises:
            ApiError: `name` is not what is served; status 404.
        """
        if name != self.model_name:
            message = f"the model `{name[:80]}` is not served here; this is `{self.model_name}`"
            raise ApiError(404, message, param="model", code="model_not_found")

    def describe_model(self) -> dict[str, Any]:
        """The model as `/v1/models` lists it; the last two fields are ours."""
        return {
            "id": self.model_name,
            "object": "model",
            "created": self.started,
            "owned_by": "slm",
            "max_model_len": self.context_tokens,
            "max_tokens_limit": min(self.config.max_tokens_limit, self.context_tokens - 1),
        }

    def describe_health(self) -> dict[str, Any]:
        """State of the engine and its counters."""
        engine = self.worker.engine
        return {
            "status": self.worker.health,
            "model": self.model_name,
            "slots": engine.scheduler.num_slots,
            "running": engine.scheduler.num_running,
            "admitted": self.admission.num_admitted,
            "capacity": self.admission.capacity,
            "generated_tokens_total": engine.num_tokens_generated,
            "aborted_total": engine.num_aborted,
            "failed_total": engine.num_failed,
            "refused_total": self.admission.num_refused,
        }


def engine_is_dead() -> ApiError:
    """What clients are told when the engine's thread has ended."""
    return ApiError(
        503, "the engine has stopped; the server must be restarted", kind="server_error", code="engine_dead"
    )
