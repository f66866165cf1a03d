"""One run: what is known of a question while it is answered, and what surrounds it.

`Run` is the value that the nodes of `flow.py` hand on. It is frozen, and plain data where a checkpointer keeps it.
`Context` is what does not belong to it: the configuration, the question, who is told, and the calls of one node.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from mollm.calling.calls import Allowance, Calls
from mollm.observing.observers import NOBODY
from mollm.types import (
    Call,
    PlannedCall,
    Proposal,
    Route,
    Written,
    call_from_plain,
    new_id,
    proposal_from_plain,
    to_plain,
    written_from_plain,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.catalog import Catalog
    from mollm.mixture import Mixture
    from mollm.options import Options
    from mollm.types import Observer, Question


@dataclass(frozen=True, slots=True)
class Run:
    """How far a question has come."""

    id: str
    """Of the answer."""
    seconds: float = 0.0
    """Used so far: a clock of this process means nothing to one that resumes the run."""
    route: Route | None = None
    planned: tuple[PlannedCall, ...] = ()
    """Every call that may be made, those that were made included; it stands for a mixture that is not in the file."""
    layer: int = 0
    """The latest that counts; the first is 1."""
    agreed: bool = False
    """The layer ended because enough proposals have the same final answer."""
    degraded: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    """Of all layers, one per call that was started."""
    breakdown: tuple[Call, ...] = ()
    """Every call that has ended."""
    written: Written | None = None
    """The answer, once there is one."""

    @property
    def mixture(self) -> str:
        """Name of the mixture that was picked."""
        if self.route is None:
            raise RuntimeError("nothing was routed yet")
        return self.route.mixture

    @property
    def arrived(self) -> tuple[Proposal, ...]:
        """Proposals of the latest layer that counts which brought an answer."""
        return tuple(p for p in self.proposals if p.layer == self.layer and p.error is None)

    def to_plain(self) -> dict[str, Any]:
        """Turn it into dictionaries, lists, strings and numbers."""
        return {name: to_plain(getattr(self, name)) for name in _FIELDS}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Undo `to_plain`."""
        route, written = data["route"], data["written"]
        return cls(
            **{
                **data,
                "route": Route(**route) if route else None,
                "planned": tuple(PlannedCall(**planned) for planned in data["planned"]),
                "degraded": tuple(data["degraded"]),
                "proposals": tuple(map(proposal_from_plain, data["proposals"])),
                "breakdown": tuple(map(call_from_plain, data["breakdown"])),
                "written": written_from_plain(written) if written else None,
            }
        )


_FIELDS = tuple(f.name for f in fields(Run))


class Context:
    """What surrounds the run of one question.

    Attributes:
        catalog: Mixtures and router of the configuration in force.
        question: What is asked.
        options: What the caller set.
        observer: Is told what happens.
        streams: Somebody wants the answer token by token.
        calls: Makes the calls of the node that runs.
    """

    calls: Calls

    def __init__(
        self,
        catalog: Catalog,
        question: Question,
        options: Options,
        *,
        observer: Observer = NOBODY,
        streams: bool = False,
        spent: float = 0.0,
    ) -> None:
        """Surround a run that has taken `spent` seconds before."""
        self.catalog, self.question, self.options = catalog, question, options
        self.observer, self.streams = observer, streams
        self._now = asyncio.get_running_loop().time
        self._begun = self._now() - spent

    def begin(self, run: Run) -> None:
        """Begin a node: it has the calls that are left of the plan, and the time that is left."""
        self.calls = self._calls(run)

    def plan(self, run: Run, planned: Sequence[PlannedCall]) -> Run:
        """Plan further calls, in the middle of a node."""
        run = replace(run, planned=(*run.planned, *planned))
        self.calls.allow(planned)
        return run

    def end(self, run: Run) -> Run:
        """End a node: enter what it took. Raises `LimitError` where it called what nobody planned."""
        if self.calls.refused:
            raise self.calls.refused
        seconds = self._now() - self._begun
        return replace(run, seconds=seconds, breakdown=(*run.breakdown, *self.calls.spent))

    async def mixture(self, run: Run) -> Mixture:
        """The mixture that was picked."""
        return await self.catalog.built_mixture(run.mixture)

    def _calls(self, run: Run) -> Calls:
        return Calls(
            self.catalog.llms,
            Allowance(run.planned, run.breakdown),
            deadline=self._begun + self.catalog.config.limits.seconds,
            observer=self.observer,
            first=len(run.breakdown) + 1,
        )


def fresh(options: Options) -> Run:
    """Begin a run."""
    return Run(options.id or new_id())
