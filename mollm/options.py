"""What a caller may set for one question, spelled once: as a value, and as keyword arguments."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - LangGraph evaluates the annotations
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from mollm.types import Settings


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """What a caller may set for one request; a graph takes it as its `context`.

    `max_tokens`, `temperature`, `top_p`, `stop`, `response_format` and `extra_body` go to the LLM that writes
    the answer, `seed` to all and to the shuffle, `tools` and `tool_choice` to the LLM for tools. `n` and
    `logprobs` need a single LLM: a mixture of one worker, an LLM asked by its name, or a request with tools.
    """

    id: str | None = None
    """Of the answer; None makes a new one."""
    mixture: str | None = None
    """Name of a mixture, or of an LLM that is to answer alone; None, `auto` or `router` let the router pick."""
    n: int | None = None
    """How many answers; each is a call of its own."""
    logprobs: bool | None = None
    top_logprobs: int | None = None
    """Alternatives a token, 0 to 20, beside the one that was taken."""
    stream: bool = False
    """Let the answer be written token by token, for an observer or `stream_mode="custom"`."""
    observer: Any = None
    """An `Observer`. (`Any`, since LangGraph makes a JSON Schema of this class.)"""
    plain: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the id of a LangChain message, the OpenAI message it stands for, where the one cannot hold the other."""

    @property
    def for_tools(self) -> Settings:
        """What the LLM for tools gets: all of it."""
        return replace(self.writing, tools=self.tools, tool_choice=self.tool_choice)

    @property
    def writing(self) -> Settings:
        """What the LLM that writes the answer gets."""
        limit = self.max_tokens if self.max_tokens and self.max_tokens > 0 else None
        extra = self.extra_body
        if self.logprobs:
            extra = {**extra, "logprobs": True, "top_logprobs": self.top_logprobs or 0}
        return Settings(
            limit, self.temperature, self.top_p, self.stop, self.seed, self.response_format, extra_body=extra
        )

    @property
    def needs_one_llm(self) -> bool:
        """It asks for what several LLMs together cannot give."""
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
