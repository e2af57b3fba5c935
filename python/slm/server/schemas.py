"""What requests for completions and chat answers may hold and what is answered, as OpenAI's API defines them.

Every number is bounded before anything is allocated for it. A field that is unknown here is refused by name, and so is
one of OpenAI's that would change the answer and is not supported: nothing is silently ignored but `user`, which is a
label for OpenAI's own abuse reports.
"""

import json
import time
from collections.abc import Sequence as Items
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slm.engine.sampling_params import SamplingParams

MAX_CHOICES = 8
"""Largest `n`."""

MAX_PROMPTS = 16
"""Most prompts in one request."""

MAX_MESSAGES = 1024
"""Most messages of one conversation."""

MAX_STOP_STRINGS = 4
"""Most stop strings, as OpenAI allows."""

DEFAULT_MAX_TOKENS = 16
"""OpenAI's default length of a completion; an answer in a chat may be as long as there is room."""

_FORMS = {
    "prompt": f"a string, 1 to {MAX_PROMPTS} strings, token ids, or 1 to {MAX_PROMPTS} lists of token ids",
    "stop": f"a string of 1 to 128 characters, or at most {MAX_STOP_STRINGS} of them",
}
"""Fields that come in several forms; naming them says more than the reasons why each form did not fit."""

Text = Annotated[str, Field(max_length=1 << 20)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=1 << 32)]], Field(min_length=1, max_length=1 << 18)]
StopText = Annotated[str, Field(min_length=1, max_length=128)]


class ApiError(Exception):
    """A request that cannot be answered, with the status and the words for it.

    Args:
        status: HTTP status.
        message: What is wrong, and what is allowed.
        kind: OpenAI's `type`, such as `invalid_request_error`.
        param: The field at fault, if it is one.
        code: OpenAI's `code`, for programs.
        headers: Further response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(_Request):
    """Options of a streamed answer."""

    include_usage: bool = False
    """Send the token counts in a last chunk."""


class AnswerRequest(_Request):
    """What both kinds of requests have."""

    called: ClassVar[str] = "a request"
    """The kind of request, for messages."""

    model: Annotated[str, Field(max_length=256)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOP_STRINGS)] | None = None
    ignore_eos: bool = False
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=512)] | None = None

    # OpenAI's, at the only value that is supported.
    frequency_penalty: Literal[0] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    presence_penalty: Literal[0] | None = None

    @property
    def num_choices(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    def sampling_params(self, max_tokens: int, seed: int | None, stop_token_ids: Items[int] = ()) -> SamplingParams:
        """What the engine is asked for one answer."""
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k,
            top_p=1.0 if self.top_p is None else self.top_p,
            min_p=0.0 if self.min_p is None else self.min_p,
            seed=seed,
            stop=self.stop or (),
            ignore_eos=self.ignore_eos,
            stop_token_ids=stop_token_ids,
        )


class CompletionRequest(AnswerRequest):
    """The body of `POST /v1/completions`."""

    called: ClassVar[str] = "a completion request"

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]
    )

    # OpenAI's, at the only value that is supported.
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    logprobs: Literal[None] = None
    suffix: Literal[""] | None = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts one by one, whichever of the four forms they came in."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [item for item in self.prompt if isinstance(item, int)]
        return [ids] if ids else [item for item in self.prompt if not isinstance(item, int)]


class ChatMessage(_Request):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class ChatRequest(AnswerRequest):
    """The body of `POST /v1/chat/completions`."""

    called: ClassVar[str] = "a chat request"

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    """OpenAI's newer name of `max_tokens`."""

    # OpenAI's, at the only value that is supported.
    logprobs: Literal[False] | None = None
    response_format: Literal[None] = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    @property
    def length(self) -> int | None:
        """The longest answer, by whichever name it was given."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


RequestT = TypeVar("RequestT", bound=AnswerRequest)


def parse_request(body: bytes, request_class: type[RequestT]) -> RequestT:
    """Read a request body.

    Args:
        body: The JSON.
        request_class: Which kind of request it is.

    Raises:
        ApiError: It is not JSON, or a field is unknown, missing or out of range; status 400.
    """
    try:
        request = request_class.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error, request_class) from None
    if request.stream_options is not None and not request.stream:
        raise ApiError(400, "`stream_options` is allowed only with `stream` true", param="stream_options")
    return request


def _refusal(error: ValidationError, request_class: type[AnswerRequest]) -> ApiError:
    problems = error.errors(include_url=False, include_context=False)
    # A misspelt field is the cause of the missing one, so it is told first.
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    if problem["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {problem['msg'].removeprefix('Invalid JSON: ')}")
    if not problem["loc"]:
        return ApiError(400, "the body must be a JSON object")
    # Of the many messages of a conversation the one at fault is named, and its field.
    parts = problem["loc"] if problem["loc"][0] == "messages" else problem["loc"][:1]
    name = ".".join(map(str, parts))[:64]
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        allowed = ", ".join(f"`{field}`" for field in sorted(request_class.model_fields))
        return ApiError(400, f"`{name}` is not a field of {request_class.called}; known are {allowed}", param=name)
    if problem["type"] == "missing":
        return ApiError(400, f"`{name}` is missing", param=name)
    if name in _FORMS:
        return ApiError(400, f"`{name}` must be {_FORMS[name]}", param=name)
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    return ApiError(400, f"`{name}`: {message}, not {_shown(problem['input'])}", param=name)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


class AnswerForm:
    """How answers to a completion request look, whole or in the chunks of a stream."""

    id_prefix = "cmpl-"
    whole = "text_completion"
    chunk = "text_completion"

    def body(
        self,
        answer_id: str,
        model: str,
        choices: Items[dict[str, Any]],
        usage: dict[str, int] | None,
        *,
        is_chunk: bool,
    ) -> dict[str, Any]:
        """A whole answer, or one chunk of a streamed one."""
        return {
            "id": answer_id,
            "object": self.chunk if is_chunk else self.whole,
            "created": int(time.time()),
            "model": model,
            "choices": list(choices),
            "usage": usage,
        }

    def choice(self, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        """One whole answer."""
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}

    def piece(self, index: int, text: str, finish_reason: str | None, *, is_first: bool) -> dict[str, Any]:
        """A piece of an answer; `finish_reason` is null until the last piece."""
        del is_first
        return self.choice(index, text, finish_reason)


class ChatForm(AnswerForm):
    """How answers to a chat request look."""

    id_prefix = "chatcmpl-"
    whole = "chat.completion"
    chunk = "chat.completion.chunk"

    def choice(self, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        """One whole answer."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": finish_reason}

    def piece(self, index: int, text: str, finish_reason: str | None, *, is_first: bool) -> dict[str, Any]:
        """A piece of an answer; the first one says whose it is."""
        delta = {"role": "assistant", "content": text} if is_first else {"content": text}
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def usage_body(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Token counts of a request; a prompt with several answers counts once."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
