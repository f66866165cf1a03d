"""The options of one question, as a value and as keyword arguments."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - LangGraph evaluates the annotations
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from mollm.types import Settings


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """The options of one question; a graph takes them as its `context`.

    `max_tokens`, `temperature`, `top_p`, `stop`, `response_format` and `extra_body` are used by the LLM that writes
    the answer, `seed` by every LLM and the shuffle, `tools` and `tool_choice` by the LLM for tools. `n` and
    `logprobs` need a single LLM: a mixture of one worker, an LLM asked by name, or a question with tools.
    """

    id: str | None = None
    """Id of the answer; None makes a new one."""
    mixture: str | None = None
    """Name of a mixture, or of an LLM that answers alone; None, `auto` or `router`: the router picks."""
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
    plain: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the id of a LangChain message, the OpenAI message that it stands for but cannot fully hold."""

    @property
    def for_tools(self) -> Settings:
        """The settings for the LLM that uses tools."""
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

    mixture: str | None
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
