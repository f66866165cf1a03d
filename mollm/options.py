"""The options of one question, as a value and as keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # LangGraph evaluates the annotations
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a call. None leaves the choice to the next level: worker, LLM, provider."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | Sequence[str] | None = None
    seed: int | None = None
    response_format: dict[str, Any] | None = None
    tools: Sequence[dict[str, Any]] | None = None
    tool_choice: Any = None
    extra_body: dict[str, Any] = field(default_factory=dict, repr=False)
    """Further request fields, sent unchanged. They may hold a key."""

    def over(self, defaults: Settings) -> Settings:
        """Take what is not set from `defaults`; `extra_body` is merged key by key."""
        # Written out: this runs for every call, and reflection over the fields costs ten times as much.
        return Settings(
            defaults.max_tokens if self.max_tokens is None else self.max_tokens,
            defaults.temperature if self.temperature is None else self.temperature,
            defaults.top_p if self.top_p is None else self.top_p,
            defaults.stop if self.stop is None else self.stop,
            defaults.seed if self.seed is None else self.seed,
            defaults.response_format if self.response_format is None else self.response_format,
            defaults.tools if self.tools is None else self.tools,
            defaults.tool_choice if self.tool_choice is None else self.tool_choice,
            {**defaults.extra_body, **self.extra_body} if defaults.extra_body else self.extra_body,
        )

    def payload(self) -> dict[str, Any]:
        """The fields that are set, with OpenAI's names."""
        body: dict[str, Any] = {}
        for name in _SENT:
            value = getattr(self, name)
            if value is not None:
                body[name] = list(value) if isinstance(value, tuple) else value
        body.update(self.extra_body)
        return body


_SENT = tuple(f.name for f in fields(Settings) if f.name != "extra_body")


COUNTED = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "n", "best_of"),
        *("max_tokens", "max_completion_tokens", "tools", "functions"),
    )
)
"""Request fields that limits and the configuration count; `extra_body` cannot set them."""


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """The options of one question; a graph takes them as its `context`.

    `max_tokens`, `temperature`, `top_p`, `stop`, `response_format` and `extra_body` are used by the LLM that writes
    the answer; where a proposal is the answer, `max_tokens`, `stop` and `response_format` hold for it. `seed` is used
    by every LLM and the shuffle, `tools` and `tool_choice` by the LLM for tools. `n` and `logprobs` need a single LLM:
    a mixture of one worker, an LLM asked by name, or a question with tools.
    """

    id: str | None = None
    """Id of the answer; None makes a new one."""
    mixture: str | Mapping[str, Any] | None = field(default=None, repr=False)
    """Name of a mixture, or of an LLM that answers alone; None, `auto` or `router`: the router picks. A mapping is a
    panel for this request: `workers` and whatever else a mixture of the file may say of how it answers."""
    n: int | None = None
    """Number of answers; each is a call of its own."""
    logprobs: bool | None = None
    """Return the log probabilities of the answer's tokens."""
    top_logprobs: int | None = None
    """Number of alternatives for each token, 0 to 20."""
    stream: bool = False
    """Write the answer token by token, for an observer or `stream_mode="custom"`."""
    observer: Any = None
    """An `Observer`. (`Any`, since LangGraph makes a JSON Schema of this class.)"""
    owner: str = field(default="", repr=False)
    """Who asks; what is kept for the next request is kept apart for each."""
    key: str = field(default="", repr=False)
    """Name of the server's key with which it is asked; what is kept for feedback is kept under it."""
    budget: Any = field(default=None, repr=False)
    """A `mollm.limits.Budget`: the question takes its worst case from it before an LLM is called. (As `observer`.)"""
    plain: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the id of a LangChain message, the OpenAI message that it stands for but cannot fully hold."""

    @property
    def forces_a_call(self) -> bool:
        """Whether `tool_choice` leaves the LLM no choice but to call a tool."""
        return bool(self.tools) and self._choice not in ("auto", "none", "allowed_tools", "")

    @property
    def forbids_calls(self) -> bool:
        """Whether `tool_choice` says that no tool may be called."""
        return self._choice == "none"

    @property
    def _choice(self) -> str:
        """What `tool_choice` says, in whichever of the forms that providers know."""
        choice = self.tool_choice
        if isinstance(choice, Mapping) and choice:
            allowed = choice.get("allowed_tools")
            found = allowed if isinstance(allowed, Mapping) else choice
            choice = found.get("mode") or found.get("type") or "function"
        return choice.lower() if isinstance(choice, str) else ""

    @property
    def for_tools(self) -> Settings:
        """The settings for the LLM that uses tools; providers refuse an empty list of them, and a choice of none."""
        if not self.tools:
            return self.writing
        return replace(self.writing, tools=self.tools, tool_choice=self.tool_choice)

    @property
    def writing(self) -> Settings:
        """The settings for the LLM that writes the answer."""
        limit = self.max_tokens if self.max_tokens and self.max_tokens > 0 else None
        extra = self.extra_body
        if self.logprobs:
            extra = {**extra, "logprobs": True, "top_logprobs": self.top_logprobs or 0}
        return Settings(
            limit, self.temperature, self.top_p, self.stop, self.seed, self.response_format, extra_body=extra
        )

    @property
    def needs_one_llm(self) -> bool:
        """Whether it needs a single LLM, because of `n` or `logprobs`."""
        return (self.n or 1) > 1 or bool(self.logprobs)


class RequestOptions(TypedDict, total=False):
    """The fields of `Options` as keyword arguments."""

    mixture: str | Mapping[str, Any] | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    response_format: dict[str, Any] | None
    tools: Sequence[dict[str, Any]] | None
    tool_choice: Any
    n: int | None
    logprobs: bool | None
    top_logprobs: int | None
    extra_body: dict[str, Any]
