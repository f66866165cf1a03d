"""How many are worked on, how many wait, and what ends one before its time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.errors import ClientGone, Overloaded
from mollm.server.admission import AT_ONCE, LONGEST_END, LONGEST_WAIT, Admission
from tests.clock import run_virtual
from tests.fuzz import cases
from tests.server.served import config_of, served, until
from tests.upstream import Reply, Upstream, answer, stream

Step = tuple[str, int, int]

FINAL = ("done", "refused", "gone", "cancelled")


class Visitor:
    """One request, and what became of it: waiting, inside, or one of `FINAL`."""

    def __init__(self, admission: Admission, *, is_gone: bool = False) -> None:
        """Come to `admission`; it is noticed at the next turn of the event loop.

        `is_gone` is the client's end of the connection: it closed, and nothing told the server so far.
        """
        self.state = "cancelled"  # as it stays when that happens before anything else
        self.told: Overloaded | None = None
        self.closed = is_gone
        self.has_left, self.may_leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._handling(admission))

    async def _handling(self, admission: Admission) -> None:
        self.state = "waiting"
        try:
            async with admission.slot(self):
                self.state = "inside"
                await self.may_leave.wait()
            self.state = "done"
        except Overloaded as error:
            self.state, self.told = "refused", error
        except ClientGone:
            self.state = "gone"
        except asyncio.CancelledError:
            self.state = "cancelled"
            raise
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0, "who cancels a task for a reason takes the cancellation back"

    async def __call__(self) -> dict[str, Any]:
        """Wait until the server hears that the client has gone, as ASGI's `receive` does."""
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    def is_gone(self) -> bool:
        """Look at the connection itself."""
        return self.closed or self.has_left.is_set()


async def settle() -> None:
    """Let everything happen that needs no timer."""
    for _ in range(12):
        await asyncio.sleep(0)


def states(visitors: list[Visitor]) -> list[str]:
    """What became of each, in the order in which they came."""
    return [visitor.state for visitor in visitors]


class Specification:
    """What `Admission` promises, one event at a time, as a list of who is where."""

    def __init__(self, room: int, queue: int, patience: float = 30.0) -> None:
        self.room, self.queue, self.patience = room, queue, patience
        self.states: list[str] = []
        self.since: list[float] = []
        self.closed: set[int] = set()
        self.now = 0.0

    def count(self, state: str) -> int:
        """How many are there."""
        return self.states.count(state)

    @property
    def oldest(self) -> float:
        """Seconds that the first in the queue has waited."""
        return self.now - self.since[self.states.index("waiting")] if self.count("waiting") else 0.0

    def do(self, what: str, first: int, second: int) -> None:
        """Take a step of a script."""
        if what in ("arrive", "arrive gone"):
            if what == "arrive gone":
                self.closed.add(len(self.states))
            if self.count("inside") < self.room or self.count("waiting") < self.queue:
                self.states.append("waiting")
            else:
                self.states.append("refused")
            self.since.append(self.now)
        elif what == "resize":
            self.room, self.queue = first, second
        elif what == "pass":
            self.now += first
            for number, state in enumerate(self.states):
                if state == "waiting" and self.now - self.since[number] >= self.patience:
                    self.states[number] = "refused"
        elif self.states and self.states[number := first % len(self.states)] not in FINAL:
            if what == "close":
                self.closed.add(number)
            elif what != "leave":
                self.states[number] = {"vanish": "gone", "cancel": "cancelled"}[what]
            elif self.states[number] == "inside":
                self.states[number] = "done"
        while self.count("waiting") and self.count("inside") < self.room:
            number = self.states.index("waiting")
            self.states[number] = "gone" if number in self.closed else "inside"


def take(step: Step, admission: Admission, visitors: list[Visitor], *, from_inside: bool = False) -> None:
    """Take a step of a script, in earnest."""
    what, first, second = step
    if what in ("arrive", "arrive gone"):
        visitors.append(Visitor(admission, is_gone=what == "arrive gone"))
    elif what == "resize":
        admission.resize(first, second)
    elif visitors:
        visitor = visitors[first % len(visitors)]
        if what == "vanish":
            visitor.has_left.set()
        elif what == "close":
            visitor.closed = True
        elif what == "cancel":
            visitor.task.cancel()
        elif visitor.state == "inside" or not from_inside:
            visitor.may_leave.set()


def steps(*kinds: str) -> st.SearchStrategy[Step]:
    """A step of a script: what happens to whom, or to which bounds."""
    bounds = st.tuples(st.just("resize"), st.integers(1, 4), st.integers(0, 4))
    arrivals = st.just(("arrive", 0, 0))
    others = st.tuples(st.sampled_from(kinds), st.integers(0, 11), st.just(0))
    return st.one_of(arrivals, arrivals, others, bounds)


TIMES = st.tuples(st.just("pass"), st.sampled_from((1, 5, 9, 10, 25)), st.just(0))
GONE = st.just(("arrive gone", 0, 0))


@settings(max_examples=cases(200))
@given(
    st.integers(1, 3),
    st.integers(0, 3),
    st.lists(st.one_of(steps("leave", "vanish", "cancel", "close"), steps("leave", "close"), TIMES, GONE), max_size=30),
)
def test_who_is_let_in_waits_or_is_refused(room: int, queue: int, script: list[Step]) -> None:
    """First come, first served, within bounds that may change: exactly as the specification says, step by step.

    Who has closed its connection takes no place, although nothing told the server, and nobody waits longer than 10 s.
    """

    async def main() -> None:
        loop, refusals = asyncio.get_running_loop(), list[float]()
        admission = Admission(room, queue, 10, on_refusal=lambda: refusals.append(loop.time()))
        specification, visitors = Specification(room, queue, 10), list[Visitor]()
        for step in script:
            if step[0] == "pass":
                await asyncio.sleep(step[1])
            elif step[0] == "resize":
                admission.resize(step[1], step[2], 10)
            else:
                take(step, admission, visitors, from_inside=True)
            await settle()
            specification.do(*step)
            assert states(visitors) == specification.states
            assert admission.in_flight == specification.count("inside")
            assert admission.waiting == specification.count("waiting")
            assert admission.oldest_seconds == specification.oldest
            assert len(refusals) == specification.count("refused")
        await everybody_leaves(admission, visitors)

    run_virtual(main())


def test_many_at_one_moment_are_let_in_turn_by_turn() -> None:
    """Whatever else is ready, `/health` too, has its turn in between; nobody is refused for it, even with no queue."""

    async def main() -> None:
        admission = Admission(5 * AT_ONCE, 0)
        visitors = [Visitor(admission) for _ in range(5 * AT_ONCE + 1)]
        seen = []
        for _ in range(8):
            before = admission.in_flight
            await asyncio.sleep(0)
            seen.append(admission.in_flight - before)
        assert max(seen) == AT_ONCE
        await settle()
        assert states(visitors) == ["inside"] * 5 * AT_ONCE + ["refused"]
        visitors[0].closed = True
        await everybody_leaves(admission, visitors)

    run_virtual(main())


def test_who_waited_too_long_is_told_when_to_come_back() -> None:
    """At the very moment, the first one first; a shorter bound counts for who waits already."""

    async def main() -> None:
        admission, loop = Admission(1, 4, 30), asyncio.get_running_loop()
        visitors = [Visitor(admission)]
        for _ in range(2):
            visitors.append(Visitor(admission))
            await asyncio.sleep(10)
        assert admission.oldest_seconds == 20
        await asyncio.sleep(10.5)
        assert states(visitors) == ["inside", "refused", "waiting"]
        assert visitors[1].told
        assert "30 s" in str(visitors[1].told)
        assert 1 <= (visitors[1].told.retry_after_seconds or 0) <= LONGEST_WAIT
        admission.resize(1, 4, 20)
        await settle()
        assert states(visitors) == ["inside", "refused", "refused"]
        assert loop.time() == 30.5
        await everybody_leaves(admission, visitors)

    run_virtual(main())


def test_refusals_share_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The first says what there is no room for, and each second after it how many more there were; all are counted."""

    async def main() -> None:
        counted = []
        admission = Admission(1, 0, on_refusal=lambda: counted.append(1))
        inside = Visitor(admission)
        await settle()
        for refused in (100, 20):
            visitors = [Visitor(admission) for _ in range(refused)]
            await asyncio.sleep(1.2)
            assert states(visitors) == ["refused"] * refused
        await asyncio.sleep(5)
        late = Visitor(admission)
        await settle()
        assert late.state == "refused"
        inside.may_leave.set()
        await settle()
        assert len(counted) == 121

    run_virtual(main())
    first = "an HTTP request was refused: 1 HTTP requests are in flight and 0 waiting, which is all there is room for"
    more = [f"{count} more HTTP requests were refused within 1 s" for count in (99, 20)]
    assert [record.getMessage() for record in caplog.records] == [first, *more, first]


TURNS = st.sampled_from((0, 0, 1, 2, 3, 12))
"""Of the event loop between two steps; after 12 of them everything has happened."""


@settings(max_examples=cases(300))
@given(
    st.integers(1, 3),
    st.integers(0, 4),
    st.lists(st.tuples(steps("leave", "vanish", "cancel"), TURNS), max_size=40),
)
def test_what_happens_at_one_moment_does_no_harm(room: int, queue: int, script: list[tuple[Step, int]]) -> None:
    """Whatever coincides: never too many inside, nobody overtaken, no place lost, nothing left behind."""

    async def main() -> None:
        admission, visitors, inside = Admission(room, queue), list[Visitor](), 0
        rooms = [room]
        for step, turns in script:
            rooms += [step[1]] if step[0] == "resize" else []
            take(step, admission, visitors)
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns < 12:
                continue
            now = [number for number, state in enumerate(states(visitors)) if state == "inside"]
            waiting = [number for number, state in enumerate(states(visitors)) if state == "waiting"]
            assert admission.in_flight == len(now) <= max(*rooms, inside)
            assert not [visitor for visitor in visitors if visitor.state == "waiting" and visitor.has_left.is_set()]
            assert admission.waiting == len(waiting)
            assert not waiting or (max(now) < min(waiting) and len(now) >= rooms[-1])
            inside, rooms = len(now), rooms[-1:]
        await everybody_leaves(admission, visitors)

    run_virtual(main())


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("end", ["vanish", "cancel"])
@pytest.mark.parametrize("makes_room", ["leave", "resize", "drain"])
def test_who_goes_when_it_is_let_in_takes_no_place_along(makes_room: str, end: str, turns: int) -> None:
    """At whichever turn of the event loop after there was room, or after there never will be."""

    async def main() -> None:
        admission = Admission(1, 2)
        visitors = [Visitor(admission) for _ in range(3)]
        await settle()
        assert states(visitors) == ["inside", "waiting", "waiting"]
        draining = asyncio.create_task(admission.drained(1)) if makes_room == "drain" else None
        if not draining:
            take((makes_room, 0 if makes_room == "leave" else 2, 2), admission, visitors)
        for _ in range(turns):
            await asyncio.sleep(0)
        take((end, 1, 0), admission, visitors)
        await settle()
        if draining:
            assert states(visitors)[2] == "refused"
            assert admission.in_flight == 1
            await draining
            assert admission.in_flight == 0
        else:
            assert states(visitors)[2] == "inside"
            await everybody_leaves(admission, visitors)

    run_virtual(main())


async def everybody_leaves(admission: Admission, visitors: list[Visitor]) -> None:
    """Nothing is left behind, and there is as much room as in the beginning."""
    for visitor in visitors:
        visitor.may_leave.set()
    await settle()
    assert all(
        visitor.state in FINAL and (visitor.task.cancelled() or not visitor.task.result()) for visitor in visitors
    )
    assert (admission.in_flight, admission.waiting) == (0, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    admission.resize(1, 0)
    late = Visitor(admission)
    await settle()
    assert late.state == "inside"
    late.may_leave.set()
    await settle()


@settings(max_examples=cases(100))
@given(
    st.integers(1, 3),
    st.integers(0, 4),
    st.lists(steps("leave", "vanish", "cancel"), max_size=12),
    st.lists(steps("leave", "vanish", "cancel"), max_size=6),
)
def test_draining_ends_with_nobody_inside(room: int, queue: int, before: list[Step], at_once: list[Step]) -> None:
    """Whatever coincides with it: who waits is refused, nobody comes in, and who stays too long is ended."""

    async def main() -> None:
        admission, visitors = Admission(room, queue), list[Visitor]()
        for step in before:
            take(step, admission, visitors)
            await settle()
        draining = asyncio.create_task(admission.drained(5.0))
        await asyncio.sleep(0)
        for step in at_once:
            take(step, admission, visitors)
        late = Visitor(admission)
        await settle()
        assert late.state == "refused"
        assert "waiting" not in states(visitors)
        await draining
        assert all(visitor.state in FINAL for visitor in visitors)
        assert (admission.in_flight, admission.waiting) == (0, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_draining_takes_no_longer_than_it_must() -> None:
    """It ends with the last one inside, long before its time is up."""

    async def main() -> float:
        admission = Admission(2, 0)
        visitors = [Visitor(admission) for _ in range(2)]
        await settle()
        loop = asyncio.get_running_loop()
        loop.call_later(1, visitors[0].may_leave.set)
        loop.call_later(3, visitors[1].may_leave.set)
        await admission.drained(60)
        assert states(visitors) == ["done", "done"]
        return loop.time()

    assert run_virtual(main()) == pytest.approx(3, abs=0.1)


def test_who_stays_too_long_is_told_why() -> None:
    """The block is cancelled, and what it raises says that the server is about to stop."""

    async def main() -> None:
        admission = Admission(1, 0)
        slow = Visitor(admission)
        await settle()
        await admission.drained(5)
        assert slow.state == "refused"
        assert str(slow.told) == "the server is about to stop"
        assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.1)

    run_virtual(main())


def test_draining_ends_although_somebody_does_not(caplog: pytest.LogCaptureFixture) -> None:
    """Who swallows its cancellation is not waited for any longer, and the log says so."""

    async def main() -> None:
        admission, may_end = Admission(2, 0), asyncio.Event()

        async def swallow() -> None:
            async with admission.slot(asyncio.Event().wait):  # type: ignore[arg-type] # never returns
                try:
                    await may_end.wait()
                except asyncio.CancelledError:
                    await may_end.wait()

        task = asyncio.create_task(swallow())
        other = Visitor(admission)
        await settle()
        async with asyncio.timeout(60):
            await admission.drained(5)
        assert asyncio.get_running_loop().time() == pytest.approx(5 + LONGEST_END, abs=0.1)
        assert other.state == "refused"
        assert not task.done()
        may_end.set()
        await task
        assert task.cancelling() == 0

    run_virtual(main())
    assert "1 HTTP requests did not end when they were told to" in caplog.text


class Own(Exception):
    """What a block makes of its cancellation."""


async def turned(admission: Admission, visitor_has_left: asyncio.Event) -> None:
    """Stay until the client goes, and raise another error then."""

    async def receive() -> dict[str, Any]:
        await visitor_has_left.wait()
        return {"type": "http.disconnect"}

    async with admission.slot(receive):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Own from None


def test_a_block_may_turn_its_cancellation_into_an_error_of_its_own() -> None:
    """It goes on as it is, and the task is no longer cancelled: whatever it waits for next is waited for."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task
        has_left = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_later(1, has_left.set)
        with pytest.raises(Own):
            await turned(Admission(1, 0), has_left)
        assert task.cancelling() == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        assert (loop.time(), task.cancelling()) == (4, 0)

    run_virtual(main())


@pytest.mark.parametrize("turns", [False, True], ids=["as it is", "turned into another error"])
@pytest.mark.parametrize(("leaves", "expires"), [(1, 5), (5, 1), (1, 1)], ids=["client", "timeout", "both at once"])
def test_a_stay_inside_a_timeout(leaves: float, expires: float, turns: bool) -> None:
    """Each raises its own, and none is taken for the other; afterwards the task is not cancelled."""

    async def main() -> None:
        loop, task, admission, has_left = asyncio.get_running_loop(), asyncio.current_task(), Admission(1, 0), None
        assert task
        has_left = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await has_left.wait()
            return {"type": "http.disconnect"}

        async def slot() -> None:
            async with admission.slot(receive):
                await asyncio.Event().wait()

        loop.call_at(leaves, has_left.set)
        ends: list[type[Exception]] = [Own if turns else ClientGone] if leaves <= expires else []
        ends += [Own if turns else TimeoutError] if expires <= leaves else []
        with pytest.raises(tuple(ends)):
            async with asyncio.timeout_at(expires):
                await (turned(admission, has_left) if turns else slot())
        assert (loop.time(), task.cancelling()) == (min(leaves, expires), 0)
        await asyncio.sleep(10)

    run_virtual(main())


def test_a_timeout_inside_a_stay() -> None:
    """It raises its own error, and the client's going ends the block later all the same."""

    async def main() -> None:
        visitor_has_left = asyncio.Event()
        asyncio.get_running_loop().call_later(5, visitor_has_left.set)

        async def receive() -> dict[str, Any]:
            await visitor_has_left.wait()
            return {"type": "http.disconnect"}

        with pytest.raises(ClientGone):
            async with Admission(1, 0).slot(receive):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await asyncio.Event().wait()
                await asyncio.Event().wait()
        assert asyncio.get_running_loop().time() == 5

    run_virtual(main())


def test_who_is_told_to_come_back_is_told_when() -> None:
    """As long as it takes until those who wait were served, at the pace of late, and never longer than a minute."""

    async def main() -> None:
        admission = Admission(1, 1)
        told = []
        for _ in range(40):
            inside, waiting = Visitor(admission), Visitor(admission)
            await settle()
            late = Visitor(admission)
            await settle()
            assert late.told
            told.append(late.told.retry_after_seconds)
            await asyncio.sleep(20)
            inside.may_leave.set()
            await settle()
            waiting.may_leave.set()
            await settle()
        assert told == sorted(told)
        assert 1 <= told[0] < 5
        assert 15 < told[-1] < LONGEST_WAIT
        for _ in range(40):
            slow = Visitor(admission)
            await asyncio.sleep(3600)
            slow.may_leave.set()
            await settle()
        with pytest.raises(Overloaded) as refused:
            await admission.drained(0)
            async with admission.slot(slow):
                pass
        assert refused.value.retry_after_seconds == LONGEST_WAIT

    run_virtual(main())


FULL: dict[str, Any] = {"server": {"max_in_flight": 1, "queue": 1}}


async def test_a_full_server_says_when_to_come_back() -> None:
    """One inside, one waiting, the third gets 503 with whole seconds; who waits is answered afterwards."""
    go = asyncio.Event()
    upstream = Upstream(Reply(answer("First.").parts, before=go), answer("Second."))
    async with upstream, served(config_of(upstream, **FULL)) as server:
        first = asyncio.create_task(server.chat(model="one"))
        await upstream.request(1)
        second = asyncio.create_task(server.chat(model="one"))
        await until(lambda: server.deployment.admission.waiting)
        refused = [await server.chat(model="one", stream=stream) for stream in (False, True)]
        refused.append(await server.post("/predict", {"query": "Hi"}))
        counted = [await server.metric("queue_length"), await server.metric("requests_in_flight")]
        go.set()
        answers = [await first, await second]

    assert [reply.status for reply in refused] == [503] * 3
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in refused)
    assert all(reply.body["error"]["code"] == "overloaded" for reply in refused)
    assert counted == [1, 1]
    assert [a.body["choices"][0]["message"]["content"] for a in answers] == ["First.", "Second."]
    assert len(upstream.received) == 2


async def test_a_full_server_still_says_that_it_is_well() -> None:
    """What tells of the server does not wait behind requests; a full server is ready, since it answers."""
    go = asyncio.Event()
    upstream = Upstream(stream("Fo", go, "ur."))
    async with upstream, served(config_of(upstream, **FULL)) as server, server.open(model="one") as reply:
        await reply.event()
        told = [await server.get(path) for path in ("/health", "/ready", "/metrics", "/v1/models")]
        go.set()
        rest = await reply.rest()

    assert [reply.status for reply in told] == [200] * 4
    assert rest[-1] == "[DONE]"
