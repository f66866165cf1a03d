"""The protocols that you implement to extend mollm, and the values that they use.

| part | implement | pass it as |
|---|---|---|
| an LLM | `LLM`: `complete`, `stream`, `aclose` | `MoLLM(llms={"name": yours})` |
| a router | `Router`: `kind`, `route`, and `plan` if it calls LLMs | `MoLLM(router=yours)` |
| a router as a function | a function of the `Question` that returns a mixture | `MoLLM(router=yours)` |
| a scorer; mollm decides | `Scorer`: `kind`, `score`, and `plan` if it calls LLMs | `MoLLM(router=yours)` |
| several of these together | `Chain(yours, ...)`, `Ensemble(yours, ...)` | `MoLLM(router=Chain(...))` |
| an aggregator | `Aggregator`: `aggregate`, and `plan` if it calls LLMs | `MoLLM(aggregators={"method": yours})` |
| a score | a function of a `Question` and a `Proposal` that returns a number | `aggregator.score` in the file |
| an observer | `Observer`: `tell`, `show` | `MoLLM(observers=[yours])` |

All of these are protocols: nothing has to be inherited. Whatever calls LLMs does so through the `Calls` that it is
given, which counts, limits, retries and prices every call, and lists in its `plan` every call that it may make.
"""

from __future__ import annotations

from mollm.aggregation.base import Aggregator, Brief, Picked
from mollm.calling.base import LLM, Chunk, Completion, Request
from mollm.calling.calls import Calls, Outcome
from mollm.events import (
    Analyzed,
    Arrived,
    BreakerOpened,
    CallEnded,
    CallStarted,
    Comparing,
    Done,
    Event,
    Failed,
    Observer,
    Retried,
    Reviewed,
    Routed,
    Started,
    Token,
    Writing,
)
from mollm.options import Settings
from mollm.prompts import fence
from mollm.routing.base import Router, Scorer, Scores
from mollm.routing.own import Chain, Ensemble
from mollm.types import (
    Alternative,
    Analysis,
    Ballot,
    Call,
    Failure,
    Message,
    PlannedCall,
    Point,
    Proposal,
    Question,
    Rank,
    Ranking,
    Role,
    Route,
    Usage,
    Written,
)

__all__ = [
    "LLM",
    "Aggregator",
    "Alternative",
    "Analysis",
    "Analyzed",
    "Arrived",
    "Ballot",
    "BreakerOpened",
    "Brief",
    "Call",
    "CallEnded",
    "CallStarted",
    "Calls",
    "Chain",
    "Chunk",
    "Comparing",
    "Completion",
    "Done",
    "Ensemble",
    "Event",
    "Failed",
    "Failure",
    "Message",
    "Observer",
    "Outcome",
    "Picked",
    "PlannedCall",
    "Point",
    "Proposal",
    "Question",
    "Rank",
    "Ranking",
    "Request",
    "Retried",
    "Reviewed",
    "Role",
    "Route",
    "Routed",
    "Router",
    "Scorer",
    "Scores",
    "Settings",
    "Started",
    "Token",
    "Usage",
    "Writing",
    "Written",
    "fence",
]
