"""Every mixture and every member alone, asked on every question: what all that is compared is made of.

A question is asked of all before the next one begins, so that whatever ends an evaluation leaves whole questions. What
a mixture's first layer brought counts as the answer of its member alone; who was not asked there, or not waited for, is
asked alone. The best member's self-mixture comes last, since only then it is known who that is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from mollm.errors import RunError
from mollm.evaluation.mixtures.gathering.asking import Told
from mollm.evaluation.mixtures.gathering.ceiling import CeilingReached
from mollm.evaluation.mixtures.gathering.fitting import Asking
from mollm.evaluation.mixtures.gathering.journal import Key
from mollm.evaluation.mixtures.gathering.members import members_of, readers_of, router_digest, themselves, warmed
from mollm.evaluation.mixtures.records import Gathered, Record

if TYPE_CHECKING:
    from mollm.evaluation.mixtures.gathering.asking import Asker
    from mollm.evaluation.mixtures.gathering.members import Member
    from mollm.evaluation.mixtures.rows import Row
    from mollm.types import Proposal

Best: TypeAlias = Callable[[Gathered], Awaitable[str]]
"""Names the best member of a mixture."""

NOT_WAITED_FOR = frozenset(("cancelled", "timed_out", "exhausted"))
"""Why a call failed that may well answer where it is asked alone."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """What is to be asked."""

    rows: Sequence[Row]
    mixtures: Sequence[str]
    digests: Mapping[str, str] = field(default_factory=dict)
    """Of the mixtures, as reports name them."""
    lacking: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By mixture, the questions that cannot be asked of all its members, by id, and why."""
    routes: bool = False
    """Whether the router is asked as well."""
    readers: bool = True
    """Whether LLMs that read proposals and are no workers are asked alone."""
    best: Best | None = None
    """Names the member of which the self-mixture is made; None: there is none, and `why_not_itself` says why."""
    why_not_itself: str = "it was not asked for"
    concurrency: int = 8
    """Questions that are asked at the same time."""
    told: Callable[[Told], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it."""

    gathered: tuple[Gathered, ...]
    routes: tuple[str | None, ...]
    """The mixture that the router picked for each question, None where it picked none; empty if it was not asked."""
    unrouted: Mapping[str, str]
    """Questions of which the router failed, by id, and why."""
    reached: str | None
    """The ceiling that was reached, in words."""

    @property
    def has_failures(self) -> bool:
        """Whether something that was asked has no answer, or one that an LLM had no part in which was not reached."""
        return any(
            record.id not in one.unasked and (record.error is not None or bool(record.unavailable))
            for one in self.gathered
            for records in (one.answers, one.itself, *one.alone.values())
            for record in records
        )


async def gather(asker: Asker, what: Gathering) -> Found:
    """Ask everything that is not in the journal yet.

    Raises:
        RunError: Nobody answers, or nobody does any more.
        DataError: The journal cannot be written.
    """
    gatherer = _Gatherer(asker, what)
    await asker.all(what.rows, gatherer.row, what.concurrency)
    gathered = [gatherer.gathered(name) for name in what.mixtures]
    records = [record for one in gathered for record in one.answers if record.id not in one.unasked]
    if records and all(record.error is not None for record in records):
        raise RunError(f"nothing was answered at all; the first failure: {records[0].error}")
    whole = tuple([await gatherer.with_itself(one) for one in gathered])
    routes = tuple(gatherer.routes.get(row.id) for row in what.rows) if what.routes else ()
    return Found(whole, routes, gatherer.unrouted, gatherer.reached or None)


class _Gatherer:
    def __init__(self, asker: Asker, what: Gathering) -> None:
        catalog = asker.mollm.catalog
        self._asker, self._what, self._catalog = asker, what, catalog
        self._members = {name: members_of(catalog.mixtures[name], catalog.config) for name in what.mixtures}
        self._readers = {name: readers_of(catalog, name) if what.readers else {} for name in what.mixtures}
        self._answers: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        self._alone: defaultdict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
        self._router = router_digest(catalog.config) if what.routes else ""
        self.routes: dict[str, str | None] = {}
        self.unrouted: dict[str, str] = {}
        self.reached = ""
        self._done, self._total = 0, len(what.rows)

    async def row(self, row: Row) -> None:
        """Ask one question of all."""
        if not self.reached:
            try:
                async with self._held(row):
                    await self._ask_all(row)
            except CeilingReached as error:
                self.reached = str(error)
        self._step()

    @asynccontextmanager
    async def _held(self, row: Row) -> AsyncIterator[None]:
        """Begin with a question where there is enough left for all of it."""
        ceiling, what = self._asker.ceiling, self._what
        asking = Asking(self._catalog, what.mixtures, what.lacking, what.routes, what.readers)
        if not ceiling.is_bounded or asking.is_kept(row, self._asker.journal):
            yield
            return
        async with ceiling.whole(asking.of([row]).worst):
            yield

    async def _ask_all(self, row: Row) -> None:
        if self._what.routes:
            found = await self._asker.route(row, Key("route", self._router, row.id))
            self.routes[row.id] = found.route
            if found.error is not None:
                self.unrouted[row.id] = found.error
        answers: dict[str, Record] = {}
        for name in self._what.mixtures:
            if row.id not in self._what.lacking.get(name, ()):
                answers[name] = await self._asker.answer(row, Key("mixture", name, row.id), name)
        for name in answers:
            for member in (*self._members[name].values(), *self._readers[name].values()):
                self._alone[name, member.name][row.id] = await self._member(row, name, member, answers)
            self._answers[name][row.id] = answers[name]

    async def _member(self, row: Row, name: str, member: Member, answers: Mapping[str, Record]) -> Record:
        """What a member says alone, of its own mixture, of another one, or asked."""
        for other in (name, *answers):
            for same in self._members[other].values():
                if same.key == member.key and (found := _proposed(answers[other].proposals, same.name)):
                    return _record_of(row, found)
        asked = await self._asker.answer(row, Key("member", member.key, row.id), member.panel)
        return _record_of(row, asked.proposals[0]) if asked.proposals else asked

    def gathered(self, name: str) -> Gathered:
        """What came of a mixture, without its self-mixture."""
        what, rows = self._what, tuple(self._what.rows)
        answered = self._answers[name]
        unasked = {row.id: self.reached for row in rows if row.id not in answered} | dict(what.lacking.get(name, {}))

        def records(found: Mapping[str, Record]) -> tuple[Record, ...]:
            return tuple(found.get(row.id) or _not_asked(row, unasked[row.id]) for row in rows)

        answers = [replace(record, route=self.routes.get(record.id)) for record in records(answered)]
        alone, readers = (
            {
                member: records({row: r for row, r in self._alone[name, member].items() if row not in unasked})
                for member in members[name]
            }
            for members in (self._members, self._readers)
        )
        digest = what.digests.get(name, "")
        return Gathered(name, rows, tuple(answers), alone, readers, digest=digest, unasked=unasked)

    async def with_itself(self, gathered: Gathered) -> Gathered:
        """Ask the self-mixture, if there is one."""
        name, workers = gathered.mixture, self._members[gathered.mixture]
        mixture, rows = self._catalog.mixtures[name], [row for row in gathered.rows if row.id not in gathered.unasked]
        if mixture.planned == 1:
            return replace(gathered, why_not_itself="the mixture has one worker")
        if len(workers) == 1 and not gathered.readers:
            return replace(gathered, why_not_itself=f"the mixture is one: it asks {next(iter(workers))} alone")
        if self._what.best is None or not rows:
            return replace(gathered, why_not_itself=self._what.why_not_itself if rows else self.reached)
        member = {**workers, **self._readers[name]}[await self._what.best(gathered)]
        temperature = warmed(member, self._catalog.config)
        panel = themselves(self._catalog.config.mixtures[name], member, temperature)
        notes = [f"asked at temperature {temperature:g}, since {member.name} has none"] if temperature else []
        found: dict[str, Record] = {}
        self._total += len(rows)

        async def one(row: Row) -> None:
            if not self.reached:
                key = Key("itself", f"{name} {member.key} {temperature or ''}".strip(), row.id)
                try:
                    found[row.id] = await self._asker.answer(row, key, panel, *notes)
                except CeilingReached as error:
                    self.reached = str(error)
            self._step()

        await self._asker.all(rows, one, self._what.concurrency)
        if len(found) < len(rows):
            why = f"{self.reached} after {len(found)} of {len(rows)} questions"
            return replace(gathered, why_not_itself=why)
        itself = tuple(found.get(row.id) or _not_asked(row, gathered.unasked[row.id]) for row in gathered.rows)
        return replace(gathered, itself=itself)

    def _step(self) -> None:
        ceiling = self._asker.ceiling
        self._done = min(self._done + 1, self._total)  # a question that is asked again is done already
        self._what.told(Told(self._done, self._total, ceiling.calls, ceiling.failures))


def _proposed(proposals: Sequence[Proposal], name: str) -> Proposal | None:
    """What a worker of that name said in the first layer, unless nobody waited for it."""
    for proposal in proposals:
        if proposal.layer == 1 and proposal.worker == name:
            return None if proposal.error and proposal.error.kind in NOT_WAITED_FOR else proposal
    return None


def _record_of(row: Row, proposal: Proposal) -> Record:
    return Record(
        row.id,
        proposal.text,
        proposal.final,
        proposal.error.message if proposal.error else None,
        usage=proposal.usage,
        cost_usd=proposal.cost_usd,
        seconds=proposal.seconds,
        logprob=proposal.logprob,
    )


def _not_asked(row: Row, why: str) -> Record:
    return Record(row.id, "", error=f"not asked: {why}", calls=0)
