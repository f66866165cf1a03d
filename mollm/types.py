"""The values that flow through mollm: frozen, plain, without dependencies."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Message: TypeAlias = dict[str, Any]
"""One chat message in OpenAI's format: `role`, `content`, and all other fields, unchanged."""


Role: TypeAlias = Literal["router", "worker", "reviewer", "analyst", "aggregator", "fallback", "bypass", "tools"]
"""On whose behalf an LLM is called."""

OnTools: TypeAlias = Literal["after", "every", "alone"]
"""What a mixture does with a request with tools. `after`: the workers propose once in a turn, without the tools, then
the LLM for tools acts; `every`: they propose before each of its steps; `alone`: it acts without them."""
Ended: TypeAlias = Literal["agreed", "enough", "all", "late"]
"""Why a layer of workers ended. `agreed`: as many as `agree` asks for, or one sure enough; `enough`: as many proposals
as are needed; `all`: each that was planned has settled; `late`: the time was up."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, or summed over several."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    estimated: bool = False
    """True if the provider did not report its usage and tokens were estimated from the text."""
    cached_tokens: int = 0
    """Of the prompt: read from the provider's cache, as far as it says so."""
    reasoning_tokens: int = 0
    """Of the completion: spent on reasoning, as far as the provider says so."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            self.estimated or other.estimated,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


def total_cost(costs: Iterable[float | None]) -> float | None:
    """Sum the costs that are known, in USD; None if none is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed."""

    kind: str
    """The `kind` of an `LLMError` (`rate_limited`, `timed_out`, ...), or `cancelled`, `unusable` or `too_deep`."""
    status: int | None
    """HTTP status of the provider, if there was one."""
    message: str
    """In mollm's own words; never a provider's response body."""
    retry_after_seconds: float | None = None
    """When to try again, if the provider said so."""


@dataclass(frozen=True, slots=True)
class Route:
    """The router's decision."""

    mixture: str
    """Name of the mixture that was picked."""
    probabilities: dict[str, float]
    """Mixture to probability, each 0 to 1; empty if the router has no opinion."""
    router: str
    """Kind of the router that decided, or `caller` if the caller named the mixture."""
    reason: str
    """In words."""
    seconds: float = 0.0
    second: str | None = None
    """A second mixture joined to the first, if the router may pick two."""
    is_sure: bool = True
    """False if the router does not know: the mixture is the fallback, and a chain asks its next member."""
    familiarity: float | None = None
    """What speaks for the question being of a kind that the router knows at all, 0 to 1; None if it cannot tell."""
    arm: str | None = None
    """Which of several routers, or mixtures, that share the traffic decided, or answered: `router: FOLDER`,
    `MIXTURE: OTHER`, or both, joined by `; `; None without such a test."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which workers were picked for a question, in a mixture that chooses them."""

    workers: tuple[str, ...]
    """LLMs, the best first."""
    by: str
    """What they were chosen by: `predicted` or `router_llm`."""
    reason: str
    """In words."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """One call to a worker that was started: its answer, or how it failed."""

    worker: str
    """Name of the worker: its LLM, with `#2`, `#3` ... for further samples."""
    llm: str
    layer: int
    """The first layer is 1."""
    text: str
    """Empty if `error` is set."""
    final: str | None = None
    """The final answer found in the text, in canonical form, if there is one."""
    error: Failure | None = None
    """Why the call failed; None if it succeeded."""
    truncated: bool = False
    """Cut off by a token limit."""
    usage: Usage = Usage()
    cost_usd: float | None = None
    """None if the LLM has no price."""
    seconds: float = 0.0
    score: float | None = None
    """What the mixture's `score` says of it; None if it was not scored, or its score failed."""
    logprob: float | None = None
    """Mean log-probability of its tokens, 0 or less; None if they were not asked for, or the provider gave none."""
    alike: str | None = None
    """Of an open text that was compared with others: the first worker whose text says the same, or its own worker."""

    @property
    def said(self) -> str | None:
        """What it agrees with others by: its final answer, or the group of its open text; None if it has neither."""
        return f"\0{self.alike}" if self.final is None and self.alike is not None else self.final


@dataclass(frozen=True, slots=True)
class Point:
    """Something that an analysis says of some of the proposals."""

    text: str
    proposals: tuple[str, ...]
    """Names of their workers; empty where it is said of none, or of all."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """How the proposals compare, as an LLM sees it before the answer is written."""

    llm: str
    """The LLM that compared them."""
    consensus: tuple[Point, ...] = ()
    """What several say."""
    contradictions: tuple[Point, ...] = ()
    """Where they cannot all be right."""
    partial_coverage: tuple[Point, ...] = ()
    """What is asked, and only some of them treat."""
    unique_points: tuple[Point, ...] = ()
    """What one alone says."""
    blind_spots: tuple[Point, ...] = ()
    """What is asked, and none of them, or none of those named, treats."""

    @property
    def points(self) -> tuple[Point, ...]:
        """All of them, whatever their kind."""
        return tuple(point for kind in ANALYZED for point in getattr(self, kind))


ANALYZED = tuple(f.name for f in fields(Analysis) if f.name != "llm")
"""The kinds of points of an analysis."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """One review: how one reviewer ranks the proposals of others."""

    reviewer: str
    """Name of the worker, or of the LLM that is none."""
    llm: str
    shown: tuple[str, ...]
    """Names of the workers whose proposals it read, in the order in which it read them, without knowing whose."""
    ranks: tuple[tuple[str, ...], ...] = ()
    """Names of the workers, best first; those that are tied stand together. Empty if `error` is set."""
    error: Failure | None = None
    """Why the review counts for nobody."""


@dataclass(frozen=True, slots=True)
class Rank:
    """Where one proposal stands after the reviews."""

    worker: str
    points: float | None
    """Mean over the ballots that rank it, of the share of the others on the ballot that it is ahead of, a tie counting
    half: 0 (always last) to 1 (always first); None if no ballot does."""
    ballots: int
    """Ballots that rank it."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The proposals in the order that their reviews give (Borda count)."""

    ranks: tuple[Rank, ...]
    """Best first, one per proposal."""
    ballots: tuple[Ballot, ...]
    """Reviews that were asked for, those that failed included."""
    dissent: tuple[str, ...] = ()
    """Reviewers that read the winner and put another proposal before it."""
    is_decided_early: bool = False
    """Further reviews were planned, and not asked or not waited for, since they could not have changed the winner."""


@dataclass(frozen=True, slots=True)
class Call:
    """Tokens, cost and time of one call to an LLM."""

    role: Role
    llm: str
    usage: Usage
    cost_usd: float | None
    seconds: float
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that may be made. Plans are counted before the first call; a call that is not planned is refused."""

    role: Role
    llm: str
    max_tokens: int
    """Most tokens of the reply."""
    prompt_tokens: int
    """Most tokens of the prompt, without images."""
    times: int = 1
    """How often the call may be made."""
    images: int = 0
    """Number of images in the prompt; the LLM knows what an image takes."""
    others: tuple[str, ...] = ()
    """LLMs one of which may be called in place of `llm`."""

    @property
    def llms(self) -> tuple[str, ...]:
        """Every LLM that may be called."""
        return (self.llm, *self.others)


@dataclass(frozen=True, slots=True)
class Question:
    """What the user asks, as routers, scorers and plans need to know it."""

    messages: tuple[Message, ...]
    """The conversation in OpenAI's format."""
    last: str = ""
    """Text of the last user message."""
    before: str = ""
    """Text of the user message before it; empty if there is none."""
    has_images: bool = False
    has_tools: bool = False
    """The caller offers tools, or the last message is the result of one."""
    tokens: int = 0
    """Most tokens of all of it in a prompt: texts, tool calls, schemas of tools and answer; without images."""
    images: int = 0
    """Number of images."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of several answers to one question, if `n` asked for several."""

    message: Message
    finish_reason: str = "stop"
    logprobs: Any = None


@dataclass(frozen=True, slots=True)
class Written:
    """The text of an answer, without its provenance."""

    message: Message
    finish_reason: str = "stop"
    degraded: tuple[str, ...] = ()
    logprobs: Any = None
    alternatives: tuple[Alternative, ...] = ()
    proposed_by: str | None = None
    """As in `Answer`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, and where it came from."""

    id: str
    text: str
    message: Message
    """The assistant message of the writing LLM: text, thoughts as `reasoning_content`, tool calls, further fields."""
    mixture: str
    route: Route
    proposals: tuple[Proposal, ...]
    agreement: float | None
    """Size of the largest group of proposals with the same final answer, divided by the number that arrived, 0 to 1;
    None if no proposal has a final answer, or an open text that was compared."""
    confidence: float | None
    """Calibrated probability that the answer is right, 0 to 1; None where its mixture has no `calibration`, where no
    proposal has a final answer, and where the answer's final answer is not the one that leads among the proposals."""
    degraded: tuple[str, ...]
    """Why this is not the answer that was planned; empty if it is."""
    calls: int
    usage: Usage
    cost_usd: float | None
    """Summed over all calls; None if no LLM that was called has a price."""
    seconds: float
    breakdown: tuple[Call, ...] = ()
    """One entry per call, in the order in which they ended; `usage` and `cost_usd` are its sums."""
    finish_reason: str = "stop"
    """`stop`, `length` or `tool_calls`, as OpenAI names them."""
    logprobs: Any = None
    """As the writing LLM sent them, if requested."""
    alternatives: tuple[Alternative, ...] = ()
    """The second answer and all others, if `n` asked for several."""
    on_tools: OnTools | None = None
    """What the mixture did with a request with tools: `after`, `every` or `alone`; None for one without."""
    reused: bool = False
    """The proposals are those of an earlier request of the same turn, and no worker was asked."""
    choice: Choice | None = None
    """The workers that were picked for this question; None where the mixture lists them all."""
    ranking: Ranking | None = None
    """How the proposals were ranked by reviewers; None if they were not."""
    analysis: Analysis | None = None
    """How the proposals compare; None if nobody compared them, or that failed."""
    proposed_by: str | None = None
    """Name of the worker whose proposal is the answer; None if an LLM wrote it from them, or without any."""
    ended: Ended | None = None
    """Why no more workers were asked, or waited for; None if none was to propose, or a late reply spoiled the reason.
    """


def new_id() -> str:
    """Return a new id for an answer."""
    return f"mollm-{uuid.uuid4().hex}"
