"""What you implement to extend mollm, and the values that come with it.

| to bring | implement | give it as |
|---|---|---|
| an LLM | `LLM`: `complete`, `stream`, `aclose` | `MoLLM(llms={"name": yours})` |
| a router | `Router`: `kind`, `route`, and `plan` if it calls LLMs | `MoLLM(router=yours)` |
| a router, in one function | a function of the `Question` that names a mixture | `MoLLM(router=yours)` |
| a scorer, for which mollm decides | `Scorer`: `kind`, `score`, and `plan` if it calls LLMs | `MoLLM(router=yours)` |
| an aggregator | `Aggregator`: `aggregate`, and `plan` if it calls LLMs | `MoLLM(aggregators={"method": yours})` |
| an observer | `Observer`: `tell`, `show` | `MoLLM(observers=[yours])` |

All of these are protocols: nothing has to be inherited. What calls LLMs does so through the `Calls` it is given, which
counts, bounds, retries and prices every call, and says in its `plan` what it may call.
"""

from __future__ import annotations

from mollm.aggregation.base import Aggregator, Brief, Picked
from mollm.calling.base import LLM, Chunk, Completion, Request
from mollm.calling.calls import Calls, Outcome
from mollm.routing.base import Router, Scorer, Scores
from mollm.types import (
    Arrived,
    BreakerOpened,
    Call,
    CallEnded,
    CallStarted,
    Done,
    Event,
    Failed,
    Observer,
    PlannedCall,
    Proposal,
    Question,
    Retried,
    Route,
    Routed,
    Settings,
    Started,
    Token,
    Usage,
    Writing,
    Written,
)

__all__ = [
    "LLM",
    "Aggregator",
    "Arrived",
    "BreakerOpened",
    "Brief",
    "Call",
    "CallEnded",
    "CallStarted",
    "Calls",
    "Chunk",
    "Completion",
    "Done",
    "Event",
    "Failed",
    "Observer",
    "Outcome",
    "Picked",
    "PlannedCall",
    "Proposal",
    "Question",
    "Request",
    "Retried",
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
]
