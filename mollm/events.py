"""What is told while a question is answered, and the interface of whoever wants to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from mollm.types import Analysis, Answer, Call, Choice, Failure, Message, OnTools, Proposal, Ranking, Role, Route


@dataclass(frozen=True, slots=True)
class Routed:
    """The mixture was picked."""

    route: Route
    on_tools: OnTools | None = None
    """As in `Answer`."""
    reused: bool = False
    """As in `Answer`."""
    choice: Choice | None = None
    """As in `Answer`."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker was asked."""

    worker: str
    llm: str
    layer: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A worker answered."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker failed, or was cancelled because its proposal was no longer needed."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class Comparing:
    """The proposals have arrived, and are compared before the answer is made of them."""

    llms: tuple[str, ...]
    """Who ranks or analyzes them, as far as that is needed; each once."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The proposals were ranked by reviewers."""

    ranking: Ranking


@dataclass(frozen=True, slots=True)
class Analyzed:
    """The proposals were compared."""

    analysis: Analysis


@dataclass(frozen=True, slots=True)
class Writing:
    """An LLM starts to write the answer: the proposals have arrived, or it answers alone."""

    role: Role
    llm: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call to an LLM starts."""

    number: int
    """Counts the calls of one question from 1; `CallEnded` and `Token` refer to it."""
    role: Role
    llm: str
    request: Any
    """The `Request`: messages and settings."""
    is_streamed: bool
    """Its reply is the answer, shown token by token."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call to an LLM ended, with a reply, a failure or a cancellation."""

    number: int
    call: Call
    """Its tokens, cost and time."""
    completion: Any = None
    """The `Completion`; None if `error` is set."""
    error: BaseException | None = None
    """The exception, also for a cancellation."""


@dataclass(frozen=True, slots=True)
class Retried:
    """A call failed and is tried again."""

    llm: str
    failure: Failure
    wait_seconds: float
    address: str = ""
    """Where it failed, as host and port; empty for an LLM without an address."""


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """An LLM, or one of its addresses, failed so often in a row that it is not called for a while."""

    llm: str
    failures: int
    seconds: float
    """Time until it is tried again."""
    address: str = ""
    """As host and port; empty for an LLM without an address."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer."""

    text: str
    delta: Message = field(default_factory=dict)
    """OpenAI's `delta`: the text, thoughts as `reasoning_content`, tool calls, and the provider's further fields."""
    index: int = 0
    """Index of the answer that it belongs to, if `n` asked for several."""
    logprobs: Any = None
    call: int = 0
    """Number of the call that wrote it; 0 for a proposal that is the answer."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete; the last event."""

    answer: Answer


Event: TypeAlias = (
    Routed
    | Started
    | Arrived
    | Failed
    | Comparing
    | Reviewed
    | Analyzed
    | Writing
    | CallStarted
    | CallEnded
    | Retried
    | BreakerOpened
    | Token
    | Done
)


STREAMED = (Routed, Started, Arrived, Failed, Comparing, Reviewed, Analyzed, Writing, Token, Done)
"""The events that a stream yields; an observer receives every event."""


@runtime_checkable
class Observer(Protocol):
    """Receives events while a question is answered."""

    def tell(self, event: Event) -> None:
        """Receive any event except a token; must not block."""

    async def show(self, token: Token) -> None:
        """Receive a token of the answer; may wait, and no more is read from the LLM meanwhile."""
