"""The values that flow through mollm: frozen, plain, without dependencies.

`to_plain` turns any of them into dictionaries, lists, strings and numbers, the form in which they are
printed as JSON and kept in a graph's state.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence  # noqa: TC003 - LangGraph evaluates the annotations of `Options`
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Message: TypeAlias = dict[str, Any]
"""One chat message in OpenAI's form: `role`, `content`, and whatever else came with it, untouched."""


Role: TypeAlias = Literal["router", "worker", "aggregator", "fallback", "bypass", "tools"]
"""On whose behalf an LLM is called."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, or summed over several."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    estimated: bool = False
    """True where a provider said nothing and the count was estimated from the text."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call brought no answer."""

    kind: str
    """The `kind` of an `LLMError` (`rate_limited`, `timed_out`, `unreachable`, ...), or `cancelled`."""
    status: int | None
    """HTTP status of the provider, where there was one."""
    message: str
    """In our own words; never a provider's response body."""
    retry_after_seconds: float | None = None
    """When to try again, where the provider said so."""


@dataclass(frozen=True, slots=True)
class Route:
    """The router's decision."""

    mixture: str
    probabilities: dict[str, float]
    """Mixture name to probability, each 0 to 1; empty where the router has no opinion."""
    router: str
    """Kind of the router that decided, or `caller` where the mixture was named in the request."""
    reason: str
    seconds: float = 0.0
    second: str | None = None
    """A second mixture joined to the first, where the router may name two."""
    is_sure: bool = True
    """False where the mixture is the fallback only because the router did not know."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One call to a worker that was started: its answer, or how it failed."""

    worker: str
    llm: str
    layer: int
    """First layer is 1."""
    text: str
    """Empty where `error` is set."""
    final: str | None = None
    """The final answer found in the text in canonical form, where there is one."""
    error: Failure | None = None
    truncated: bool = False
    """Cut off by a token limit."""
    usage: Usage = Usage()
    cost_usd: float | None = None
    """None where the LLM has no price."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """What one call to an LLM took, whoever made it: the breakdown behind an answer's usage and cost."""

    role: Role
    llm: str
    usage: Usage
    cost_usd: float | None
    seconds: float
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that may be made: counted before anything is called, and refused afterwards if it was not counted."""

    role: Role
    llm: str
    max_tokens: int
    """The most it may write."""
    prompt_tokens: int
    """The most it may read, images aside."""
    times: int = 1
    """How often it may be made."""
    images: int = 0
    """Images it reads; what one takes is known to the LLM."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what a router, a scorer or a plan has to know of it. `messages.question_of` makes one."""

    messages: tuple[Message, ...]
    """The conversation in OpenAI's form."""
    last: str = ""
    """Text of the last message of the user."""
    before: str = ""
    """Text of the user's message before it; empty where there is none."""
    has_images: bool = False
    has_tools: bool = False
    """It offers tools, or brings the result of one."""
    tokens: int = 0
    """The most that all of it takes in a prompt: texts, tool calls, schemas of tools and answer; images aside."""
    images: int = 0
    """How many images it holds."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of several answers to one question, where `n` asked for them."""

    message: Message
    finish_reason: str = "stop"
    logprobs: Any = None


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as it was written or picked, without its provenance."""

    message: Message
    finish_reason: str = "stop"
    degraded: tuple[str, ...] = ()
    logprobs: Any = None
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user gets, and where it came from."""

    id: str
    text: str
    message: Message
    """The assistant message as the writing LLM gave it (tool calls and further fields included)."""
    mixture: str
    route: Route
    proposals: tuple[Proposal, ...]
    agreement: float | None
    """Largest group of proposals with the same final answer, divided by the proposals that arrived (0 to 1)."""
    confidence: float | None
    """Calibrated probability that the answer is right; None until a calibration is set."""
    degraded: tuple[str, ...]
    """Why this is not the answer that was planned; empty when it is."""
    calls: int
    usage: Usage
    cost_usd: float | None
    """Summed over every call; None where no LLM that was called has a price."""
    seconds: float
    breakdown: tuple[Call, ...] = ()
    """One entry per call, in the order in which they ended; `usage` and `cost_usd` are its sums."""
    finish_reason: str = "stop"
    """`stop`, `length` or `tool_calls`, as OpenAI names them."""
    logprobs: Any = None
    """As the writing LLM gave them, where they were asked for."""
    alternatives: tuple[Alternative, ...] = ()
    """The second answer and those after it, where `n` asked for several."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an LLM is asked to write. None means: whoever comes next decides, in the end the provider."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | Sequence[str] | None = None
    seed: int | None = None
    response_format: dict[str, Any] | None = None
    tools: Sequence[dict[str, Any]] | None = None
    tool_choice: Any = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Further request fields, sent as they are."""

    def over(self, defaults: Settings) -> Settings:
        """Keep what is set here and take the rest from `defaults`; `extra_body` is merged key by key."""
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
        """The request fields that are set, in OpenAI's names."""
        body: dict[str, Any] = {}
        for name in _SENT:
            value = getattr(self, name)
            if value is not None:
                body[name] = list(value) if isinstance(value, tuple) else value
        body.update(self.extra_body)
        return body


_SENT = tuple(f.name for f in fields(Settings) if f.name != "extra_body")


@dataclass(frozen=True, slots=True)
class Routed:
    """The mixture was picked."""

    route: Route


@dataclass(frozen=True, slots=True)
class Started:
    """A call to a worker was started."""

    worker: str
    llm: str
    layer: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A worker answered."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker failed, or was cancelled because the layer ended without it."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class Writing:
    """The proposals are in and an LLM writes the answer, or an LLM alone begins to."""

    role: Role
    llm: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call to an LLM begins, on whoever's behalf."""

    number: int
    """Counts the calls of one question from 1; `CallEnded` and `Token` name it."""
    role: Role
    llm: str
    request: Any
    """The `Request`: messages and settings."""
    is_answer: bool
    """What it writes is shown as it comes."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call ended, with a reply, a failure or a cancellation."""

    number: int
    call: Call
    """What it took."""
    completion: Any = None
    """The `Completion`; None where `error` is set."""
    error: BaseException | None = None
    """What was raised, a cancellation included."""


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
    """An LLM, or one of its addresses, failed so often in a row that it is left alone for a while."""

    llm: str
    failures: int
    seconds: float
    """Until it is tried again."""
    address: str = ""
    """As host and port; empty for an LLM without an address."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer."""

    text: str
    delta: Message = field(default_factory=dict)
    """The provider's `delta`, untouched (tool calls and further fields included)."""
    index: int = 0
    """Of the answer it belongs to, where `n` asked for several."""
    logprobs: Any = None
    call: int = 0
    """Number of the call that wrote it; 0 for a proposal that is shown word for word."""


@dataclass(frozen=True, slots=True)
class Done:
    """The whole answer; the last event."""

    answer: Answer


Event: TypeAlias = (
    Routed | Started | Arrived | Failed | Writing | CallStarted | CallEnded | Retried | BreakerOpened | Token | Done
)


STREAMED = (Routed, Started, Arrived, Failed, Writing, Token, Done)
"""What a reader of a stream is told; an observer is told everything."""


@runtime_checkable
class Observer(Protocol):
    """Is told what happens while a question is answered."""

    def tell(self, event: Event) -> None:
        """Hear what happened, all but tokens; must not block."""

    async def show(self, token: Token) -> None:
        """Hear a piece of the answer; may wait, and the upstream is not read any further meanwhile."""


def new_id() -> str:
    """Make the id of an answer."""
    return f"mollm-{uuid.uuid4().hex}"


def to_plain(value: Any) -> Any:
    """Turn a value of this module into dictionaries, lists, strings and numbers."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    names = _FIELDS.get(kind)
    if names is not None:
        # Most fields are atoms; seeing that here saves a call for each.
        return {name: item if type(item := getattr(value, name)) in _ATOMS else to_plain(item) for name in names}
    if kind is dict:
        return {key: to_plain(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [to_plain(item) for item in value]
    return value


_ATOMS = frozenset((str, int, float, bool, type(None)))
_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind))
    for kind in (
        *(Usage, Failure, Route, Proposal, Call, PlannedCall, Alternative, Written, Answer),
        *(Routed, Started, Arrived, Failed, Writing, Retried, BreakerOpened, Token, Done),
    )
}
# What was sent and what came back is not printed; the answer and the proposals hold what there is to see of it.
_FIELDS |= {CallStarted: ("number", "role", "llm", "is_answer"), CallEnded: ("number", "call")}


def proposal_from_plain(data: dict[str, Any]) -> Proposal:
    """Undo `to_plain` for a proposal."""
    return Proposal(**_with_usage(data))


def call_from_plain(data: dict[str, Any]) -> Call:
    """Undo `to_plain` for a call."""
    return Call(**_with_usage(data))


def _with_usage(data: dict[str, Any]) -> dict[str, Any]:
    error = data["error"]
    return {**data, "usage": Usage(**data["usage"]), "error": Failure(**error) if error else None}


def written_from_plain(data: dict[str, Any]) -> Written:
    """Undo `to_plain` for an answer without its provenance."""
    alternatives = tuple(Alternative(**a) for a in data["alternatives"])
    return Written(**{**data, "degraded": tuple(data["degraded"]), "alternatives": alternatives})


def answer_from_plain(data: dict[str, Any]) -> Answer:
    """Undo `to_plain` for an answer, as found under `mollm` in a graph's state."""
    return Answer(
        **{
            **data,
            "route": Route(**data["route"]),
            "proposals": tuple(proposal_from_plain(p) for p in data["proposals"]),
            "degraded": tuple(data["degraded"]),
            "usage": Usage(**data["usage"]),
            "breakdown": tuple(call_from_plain(c) for c in data["breakdown"]),
            "alternatives": tuple(Alternative(**c) for c in data["alternatives"]),
        }
    )
