"""What a completion request may hold and what is answered, as OpenAI's API defines them.

Every number is bounded before anything is allocated for it. A field that is unknown here is refused by name, and so is
one of OpenAI's that would change the answer and is not supported: nothing is silently ignored but `user`, which is a
label for OpenAI's own abuse reports.
"""

import json
import time
from collections.abc import Sequence as Items
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slm.engine.sampling_params import SamplingParams

MAX_CHOICES = 8
"""Largest `n`."""

MAX_PROMPTS = 16
"""Most prompts in one request."""

MAX_STOP_STRINGS = 4
"""Most stop strings, as OpenAI allows."""

DEFAULT_MAX_TOKENS = 16
"""OpenAI's default length of an answer."""

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


class CompletionRequest(_Request):
    """The body of `POST /v1/completions`."""

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]
    )
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
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    logprobs: Literal[None] = None
    presence_penalty: Literal[0] | None = None
    suffix: Literal[""] | None = None

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts one by one, whichever of the four forms they came in."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [item for item in self.prompt if isinstance(item, int)]
        return [ids] if ids else [item for item in self.prompt if not isinstance(item, int)]

    @property
    def num_choices(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    def sampling_params(self, max_tokens: int, seed: int | None) -> SamplingParams:
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
        )


def parse_request(body: bytes) -> CompletionRequest:
    """Read a request body.

    Raises:
        ApiError: It is not JSON, or a field is unknown, missing or out of range; status 400.
    """
    try:
        request = CompletionRequest.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None
    if request.stream_options is not None and not request.stream:
        raise ApiError(400, "`stream_options` is allowed only with `stream` true", param="stream_options")
    return request


def _refusal(error: ValidationError) -> ApiError:
    problems = error.errors(include_url=False, include_context=False)
    # A misspelt field is the cause of the missing one, so it is told first.
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    if problem["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {problem['msg'].removeprefix('Invalid JSON: ')}")
    if not problem["loc"]:
        return ApiError(400, "the body must be a JSON object")
    name = str(problem["loc"][0])[:64]
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        allowed = ", ".join(f"`{field}`" for field in sorted(CompletionRequest.model_fields))
        return ApiError(400, f"`{name}` is not a field of a completion request; known are {allowed}", param=name)
    if problem["type"] == "missing":
        return ApiError(400, f"`{name}` is missing", param=name)
    if name in _FORMS:
        return ApiError(400, f"`{name}` must be {_FORMS[name]}", param=name)
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    return ApiError(400, f"`{name}`: {message}, not {_shown(problem['input'])}", param=name)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def completion_body(
    completion_id: str, model: str, choices: Items[dict[str, Any]], usage: dict[str, int] | None
) -> dict[str, Any]:
    """A `text_completion` object: a whole answer, or one chunk of a streamed one."""
    return {
        "id": completion_id,
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": list(choices),
        "usage": usage,
    }


def choice_body(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    """One answer, or a piece of it; `finish_reason` is null until the last piece."""
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


def usage_body(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Token counts of a request; a prompt with several answers counts once."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
