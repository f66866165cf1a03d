"""What clients send, as far as it counts here, and what they may not send.

The fields are OpenAI's. Clients send many more than a server knows, so unknown ones are ignored; but none of
them may choose an address, a key or headers, wherever in the document it stands.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from mollm.errors import RequestError
from mollm.server.admission import ClientGone

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mollm.options import RequestOptions
    from mollm.server.admission import Receive
    from mollm.types import Message

FORBIDDEN = frozenset(
    (
        *("api_base", "base_url", "api_key", "api_keys", "api_token", "authorization", "azure_endpoint"),
        *("extra_headers", "headers", "default_headers", "user_config", "litellm_params", "model_list"),
        *("custom_llm_provider", "proxy", "proxies", "azure_ad_token", "vertex_credentials", "fallbacks"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_bedrock_runtime_endpoint"),
    )
)
"""Names of fields that choose an address, a key or headers where a gateway hands them on."""
MAX_TEXT = 256
"""Characters of a name that is worth looking up."""
BODY_SECONDS = 30.0
"""Until the body of a request must be there."""
DEEPEST = 100
"""Levels of lists and objects in a body; what goes deeper could neither be counted nor sent on."""
MOST_PARTS = 100_000
"""Lists and objects in a body; more would keep everybody else waiting while they are looked through."""
MOST_QUESTIONS = 1024
"""In one request to `/predict`."""

_NESTED = frozenset((dict, list))

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Extras(_Body):
    """What goes beyond OpenAI's protocol."""

    trace: bool = Field(False, description="Return the whole answer, with how it came about, as `mollm`.")


class StreamOptions(_Body):
    """How a stream ends."""

    include_usage: bool | None = Field(None, description="Send one more chunk, with the usage and no choice.")


class ChatRequest(_Body):
    """A conversation to be continued by a mixture."""

    model: str = Field(
        min_length=1, max_length=MAX_TEXT, description="`auto` or `router`, a mixture, or an LLM of the file."
    )
    messages: list[dict[str, Any]] = Field(
        min_length=1,
        description="The conversation in OpenAI's form, the last message being what is answered.",
        json_schema_extra={
            "items": {"type": "object", "required": ["role"], "properties": {"role": {"enum": list(ROLES)}}},
            "examples": [[{"role": "user", "content": "Please tell me a joke."}]],
        },
    )
    stream: bool | None = Field(None, description="Send the answer as it is written.")
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=-1, le=10**9, description="-1 or none: the LLM's own.")
    max_completion_tokens: int | None = Field(None, ge=-1, le=10**9, description="The same under its newer name.")
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    n: int | None = Field(None, ge=1, le=128, description="More than one needs a single LLM.")
    logprobs: bool | None = Field(None, description="Needs a single LLM.")
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    mollm: Extras | None = None

    @field_validator("max_tokens", "max_completion_tokens", "seed", "n", "top_logprobs", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        # JSON does not tell 100.0 from 100, and some languages write the former. Beyond 2^53 a number is not itself.
        is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return int(value) if is_whole else value

    @property
    def conversation(self) -> list[Message]:
        """The messages; `developer` is a newer name for `system`, which chat templates do not know."""
        return [{**m, "role": "system"} if m["role"] == "developer" else m for m in self.messages]

    @property
    def wants_usage(self) -> bool:
        """A stream is to end with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def wants_trace(self) -> bool:
        """The whole answer is to come along."""
        return bool(self.mollm and self.mollm.trace)

    @property
    def options(self) -> RequestOptions:
        """What it sets, as the Python API takes it; what equals OpenAI's default is left to the LLM."""
        limit = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        options: RequestOptions = {"mixture": self.model, "extra_body": self._further()}
        if limit is not None and limit > 0:
            options["max_tokens"] = limit
        if self.response_format and self.response_format.get("type") != "text":
            options["response_format"] = self.response_format
        if self.tools:
            options |= {"tools": self.tools, "tool_choice": self.tool_choice}
        if self.logprobs:
            options |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        for name in ("temperature", "top_p", "stop", "seed", "n"):
            if (value := getattr(self, name)) is not None and value not in ([], ""):
                options[name] = value
        return options

    def _further(self) -> dict[str, Any]:
        found = {
            "presence_penalty": self.presence_penalty or None,
            "frequency_penalty": self.frequency_penalty or None,
            "logit_bias": self.logit_bias or None,
            "reasoning_effort": self.reasoning_effort,
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
        }
        return {name: value for name, value in found.items() if value is not None}


class Prediction(_Body):
    """What `/predict` is asked."""

    query: str = Field(min_length=1)


class Predictions(_Body):
    """Several questions at once."""

    query: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, max_length=MOST_QUESTIONS)


_LISTED = TypeAdapter(Annotated[list[Prediction], Field(min_length=1, max_length=MOST_QUESTIONS)])


class TooLarge(RequestError):
    """The body of a request is larger than the server takes."""


class TooSlow(RequestError):
    """The body of a request did not come in time."""


class BadField(RequestError):
    """A request whose `param` is wrong."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


async def read_body(receive: Receive, length: int | None, most: int) -> bytes:
    """Read the body of a request.

    Args:
        receive: Of ASGI.
        length: What the request says of it.
        most: Bytes it may have.

    Raises:
        TooLarge: It has more; nothing is read of one that says so.
        TooSlow: It was not there within `BODY_SECONDS`.
        ClientGone: The client went away.
    """
    too_large = TooLarge(f"a body of more than {most} bytes")
    if length is not None and length > most:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise TooSlow(f"the body did not come within {BODY_SECONDS:.0f} seconds") from None


def read_chat(body: bytes) -> ChatRequest:
    """Read and check the body of a chat completion.

    Raises:
        BadField: It is not JSON, holds a forbidden field, or a field has no value that it may have.
    """
    data = read_json(body)
    if not isinstance(data, dict):
        raise BadField("the body is not a JSON object")
    try:
        request = ChatRequest.model_validate(data)
    except ValidationError as error:
        raise _first(error) from None
    if request.top_logprobs and not request.logprobs:
        raise BadField("top_logprobs needs logprobs to be true", "top_logprobs")
    for place, message in enumerate(request.messages):
        _check_message(message, f"messages[{place}]")
    return request


def read_predict(body: bytes) -> list[str] | str:
    """Read the body of `/predict`: one question, or a list of them. Raises as `read_chat`."""
    data = read_json(body)
    try:
        if isinstance(data, list):
            return [item.query for item in _LISTED.validate_python(data)]
        if isinstance(data, dict) and isinstance(data.get("query"), list):
            return Predictions.model_validate(data).query
        return Prediction.model_validate(data).query
    except ValidationError as error:
        raise _first(error) from None


def read_json(body: bytes) -> Any:
    """Parse a body and refuse what holds a forbidden field, or is nested too deeply. Raises `BadField`."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadField(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    # The arguments of a tool and the shape of an answer are the caller's own words: they go no further than the LLM.
    own_words = [_at(data, "response_format", "json_schema", "schema")]
    for kind, *place in (("tools", "function", "parameters"), ("functions", "parameters")):
        offered = _at(data, kind)
        own_words += [_at(tool, *place) for tool in offered] if isinstance(offered, list) else []
    exempt = {id(schema): schema for schema in own_words if type(schema) in _NESTED}
    names, count = _names(data, exempt)
    for name in names:
        if name.lower().replace("-", "_") in FORBIDDEN:
            raise BadField(f"{name}: addresses, keys and headers are the configuration's, not the request's", name)
    for schema in exempt.values():
        count = _names(schema, (), count)[1]
    return data


def _names(data: Any, left_out: Collection[int], count: int = 0) -> tuple[Iterable[str], int]:
    # Every name in a document but those inside what is left out, each once, and how many lists and objects there are
    # beside the `count` before it; too deep a document is refused, and too many parts.
    names: dict[str, Any] = {}
    level = [data] if type(data) in _NESTED else []
    for _ in range(DEEPEST):
        count += len(level)
        if count > MOST_PARTS:
            raise BadField(f"the body holds more than {MOST_PARTS} lists and objects")
        inner: list[Any] = []
        for found in level:
            if id(found) in left_out:
                continue
            items = found
            if isinstance(found, dict):
                names.update(found)
                items = found.values()
            inner += [item for item in items if type(item) in _NESTED]
        if not inner:
            return names, count
        level = inner
    raise BadField(f"the body is nested more than {DEEPEST} levels deep")


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _first(error: ValidationError) -> BadField:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"] if not _is_type(part))
    name = "".join(parts).removeprefix(".") or None
    if found["type"] == "missing":
        return BadField(f"{name}: is required", name)
    is_object = found["type"] in ("model_type", "dict_type")
    text = "must be an object" if is_object else found["msg"].replace("Input should be", "must be")
    return BadField(f"{name or 'the body'}: {text[0].lower()}{text[1:]}", name)


def _is_type(part: int | str) -> bool:
    # Where a value may be of several types, pydantic names the one that it did not have.
    return isinstance(part, str) and ("[" in part or part in ("str", "int", "bool", "float"))


def _check_message(message: Message, place: str) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise BadField(f"{place}.role: must be one of {', '.join(ROLES)}", f"{place}.role")
    if role == "assistant":
        _check_tool_calls(message.get("tool_calls"), place)
    elif content is None and role != "function":
        raise BadField(f"{place}.content: is required", f"{place}.content")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise BadField(f"{place}.tool_call_id: is required", f"{place}.tool_call_id")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadField(f"{place}.content: must be a text or a list of parts", f"{place}.content")
    for number, part in enumerate(content):
        _check_part(part, f"{place}.content[{number}]")


def _check_part(part: Any, place: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise BadField(f"{place}: must be an object with a `type`", place)
    if kind == "text" and not isinstance(part.get("text"), str):
        raise BadField(f"{place}.text: must be a text", f"{place}.text")
    if kind == "image_url":
        image = part.get("image_url")
        if not isinstance(image, dict) or not isinstance(image.get("url"), str):
            raise BadField(f"{place}.image_url: must be an object with a `url`", f"{place}.image_url")


def _check_tool_calls(calls: Any, place: str) -> None:
    if calls is None:
        return
    whole = isinstance(calls, list) and all(
        isinstance(call, dict) and (call.get("type", "function") != "function" or _is_function(call.get("function")))
        for call in calls
    )
    if not whole:
        raise BadField(f"{place}.tool_calls: each needs a function with `name` and `arguments`", f"{place}.tool_calls")


def _is_function(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(found.get(name), str) for name in ("name", "arguments"))
