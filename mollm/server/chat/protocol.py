"""A chat completion as clients ask for it, as far as it counts here.

The fields are OpenAI's. Clients send many more than a server knows: those that the configuration names are handed on
to the LLM that writes the answer, the others are left out, and the response says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr, ValidationError, field_validator

from mollm.config.forwarding import FORWARDED
from mollm.config.names import PANEL
from mollm.config.panels import KEYS
from mollm.errors import BadField
from mollm.messages import ROLES
from mollm.server.body import Body, bad_field, read_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mollm.options import RequestOptions
    from mollm.types import Message

MAX_TEXT = 256
"""Characters of a name that is worth looking up."""


class Extras(Body):
    """What goes beyond OpenAI's protocol."""

    trace: bool = Field(False, description="Return the whole answer, with how it came about, as `mollm`.")


class StreamOptions(Body):
    """How a stream ends."""

    include_usage: bool | None = Field(None, description="Send one more chunk, with the usage and no choice.")


class ChatRequest(Body):
    """A conversation to be continued by a mixture."""

    model: str = Field(
        min_length=1, max_length=MAX_TEXT, description="`auto` or `router`, a mixture, an LLM of the file, or `panel`."
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
    mollm: Extras | None = Field(
        None, description=f"With `model`: `{PANEL}` also the panel, with the keys of a mixture: {', '.join(KEYS)}."
    )

    _further: dict[str, Any] = PrivateAttr(default_factory=dict)
    _dropped: tuple[str, ...] = PrivateAttr(())
    _panel: dict[str, Any] = PrivateAttr(default_factory=dict)

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
    def dropped(self) -> tuple[str, ...]:
        """Names of fields that were sent and reach nobody."""
        return self._dropped

    @property
    def panel(self) -> dict[str, Any]:
        """What `mollm` holds beside the fields that it always may: the panel, where `model` says so."""
        return self._panel

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
        options: RequestOptions = {
            "mixture": self.panel if self.model == PANEL else self.model,
            "extra_body": self._extra_body(),
        }
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

    def _extra_body(self) -> dict[str, Any]:
        found = {
            "presence_penalty": self.presence_penalty or None,
            "frequency_penalty": self.frequency_penalty or None,
            "logit_bias": self.logit_bias or None,
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
            **self._further,
        }
        return {name: value for name, value in found.items() if value is not None}

    def sort_out(self, data: Mapping[str, Any], forward: Collection[str]) -> None:
        """Keep what is handed on of the fields that it does not read by itself, and the names of the others."""
        self._panel = {name: value for name, value in (data.get("mollm") or {}).items() if name not in _EXTRAS}
        further = [name for name in data.keys() - _READ if data[name] is not None]
        self._further = {name: data[name] for name in further if name in forward}
        self._dropped = tuple(sorted(name for name in further if name not in forward))


_EXTRAS = frozenset(Extras.model_fields)
_READ = frozenset(ChatRequest.model_fields.keys() - {"reasoning_effort"})


def read_chat(body: bytes, forward: Collection[str] = FORWARDED) -> ChatRequest:
    """Read and check the body of a chat completion.

    Args:
        body: JSON.
        forward: Names of further fields that are handed on to the LLM that writes the answer.

    Raises:
        BadField: It is not JSON, holds a forbidden field, or a field has no value that it may have.
    """
    data = read_json(body)
    if not isinstance(data, dict):
        raise BadField("the body is not a JSON object")
    try:
        request = ChatRequest.model_validate(data)
    except ValidationError as error:
        raise bad_field(error) from None
    request.sort_out(data, forward)
    if request.top_logprobs and not request.logprobs:
        raise BadField("top_logprobs needs logprobs to be true", "top_logprobs")
    for place, message in enumerate(request.messages):
        _check_message(message, f"messages[{place}]")
    return request


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
