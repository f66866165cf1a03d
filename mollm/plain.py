"""Values and events as dictionaries, lists, strings and numbers: as they are printed, and kept in a graph's state."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mollm.events import (
    Analyzed,
    Arrived,
    BreakerOpened,
    CallEnded,
    CallStarted,
    Comparing,
    Done,
    Failed,
    Retried,
    Reviewed,
    Routed,
    Started,
    Token,
    Writing,
)
from mollm.types import (
    Alternative,
    Analysis,
    Answer,
    Ballot,
    Call,
    Choice,
    Failure,
    PlannedCall,
    Point,
    Proposal,
    Rank,
    Ranking,
    Route,
    Usage,
    Written,
)


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
        *(Usage, Failure, Route, Choice, Proposal, Call, PlannedCall, Alternative, Written, Answer),
        *(Point, Analysis, Ballot, Rank, Ranking),
        *(Routed, Started, Arrived, Failed, Comparing, Reviewed, Analyzed, Writing),
        *(Retried, BreakerOpened, Token, Done),
    )
}
# Requests and replies are left out; the answer and the proposals hold what is worth printing.
_FIELDS |= {CallStarted: ("number", "role", "llm", "is_streamed"), CallEnded: ("number", "call")}


def proposal_from_plain(data: dict[str, Any]) -> Proposal:
    """Undo `to_plain` for a proposal."""
    return Proposal(**_with_usage(data))


def call_from_plain(data: dict[str, Any]) -> Call:
    """Undo `to_plain` for a call."""
    return Call(**_with_usage(data))


def _with_usage(data: dict[str, Any]) -> dict[str, Any]:
    error = data["error"]
    return {**data, "usage": Usage(**data["usage"]), "error": Failure(**error) if error else None}


def choice_from_plain(data: dict[str, Any] | None) -> Choice | None:
    """Undo `to_plain` for a choice, if there is one."""
    return Choice(**{**data, "workers": tuple(data["workers"])}) if data else None


def ranking_from_plain(data: dict[str, Any] | None) -> Ranking | None:
    """Undo `to_plain` for a ranking, if there is one."""
    if not data:
        return None
    ranks, ballots = (Rank(**rank) for rank in data["ranks"]), map(_ballot, data["ballots"])
    return Ranking(**{**data, "ranks": tuple(ranks), "ballots": tuple(ballots), "dissent": tuple(data["dissent"])})


def _ballot(data: dict[str, Any]) -> Ballot:
    error, ranks = data["error"], tuple(map(tuple, data["ranks"]))
    failure = Failure(**error) if error else None
    return Ballot(**{**data, "shown": tuple(data["shown"]), "ranks": ranks, "error": failure})


def analysis_from_plain(data: dict[str, Any] | None) -> Analysis | None:
    """Undo `to_plain` for an analysis, if there is one."""
    if not data:
        return None
    points = {name: tuple(map(_point, found)) for name, found in data.items() if name != "llm"}
    return Analysis(data["llm"], **points)


def _point(data: dict[str, Any]) -> Point:
    return Point(data["text"], tuple(data["proposals"]))


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
            "choice": choice_from_plain(data.get("choice")),
            "ranking": ranking_from_plain(data.get("ranking")),
            "analysis": analysis_from_plain(data.get("analysis")),
        }
    )
