"""How far a question is, as a client of the Model Context Protocol is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.events import Arrived, CallStarted, Comparing, Failed, Routed, Started, Token, Writing
from mollm.mcp.progress import Reporter, Step, Steps
from mollm.types import Proposal, Route

if TYPE_CHECKING:
    from mollm.events import Event

CONFIG: dict[str, Any] = {
    "llms": {name: {"model": "scripted/x"} for name in "abc"},
    "mixtures": {
        "two": {"description": "Two.", "workers": ["a", "b"]},
        "layers": {"description": "Two layers.", "workers": ["a", "b"], "layers": 2},
        "solo": {"description": "One.", "workers": ["a"]},
    },
    "router": {"kind": "fixed", "fallback": "two"},
}
CATALOG = Catalog(load_config(CONFIG))
REVIEW: Any = object()
CATALOG.mixtures["ranked"] = replace(CATALOG.mixtures["two"], name="ranked", review=REVIEW)
PROPOSAL = Proposal("a", "a", 1, "Four.")
CALLED = CallStarted(1, "analyst", "a", None, is_streamed=False)
COMPARING = Comparing(("a",))


def routed(*names: str) -> Routed:
    """The decision for a mixture, or for two of them."""
    return Routed(Route(names[0], {}, "fixed", "x", second=names[1] if len(names) > 1 else None))


def steps_of(*events: Event) -> list[Step]:
    """What is said after each, where something is."""
    steps = Steps(lambda: CATALOG)
    return [step for event in events if (step := steps.after(event))]


EVENTS = st.one_of(
    st.sampled_from([routed("two"), routed("layers"), routed("solo"), routed("two", "solo"), routed("ranked")]),
    st.sampled_from([routed("a"), Started("a", "a", 1), Arrived(PROPOSAL), Failed(PROPOSAL), Token("x")]),
    st.sampled_from([CALLED, COMPARING, Writing("aggregator", "a")]),
)


@given(st.lists(EVENTS, max_size=30))
def test_whatever_happens_the_steps_go_forward_and_stop_before_the_last(events: list[Event]) -> None:
    """The protocol asks for the former; the last step is the answer, which comes by itself."""
    found = steps_of(*events)

    done = [step.done for step in found]
    assert done == sorted(set(done))
    assert all(0 < step.done < step.of for step in found)


def test_a_question_that_takes_its_usual_course_takes_every_step() -> None:
    """Routed, two asked, two ended, compared, written: each is one step, in words."""
    found = steps_of(
        *(routed("ranked"), Started("a", "a", 1), Started("b", "b", 1), Arrived(PROPOSAL), Failed(PROPOSAL)),
        *(COMPARING, CALLED, Writing("aggregator", "a")),
    )

    assert [step.done for step in found] == [1, 2, 3, 4, 5, 6, 7]
    assert {step.of for step in found} == {8}
    assert [step.words for step in found] == [
        "ranked: 2 workers planned",
        "1 of 2 workers asked, 0 answered",
        "2 of 2 workers asked, 0 answered",
        "2 of 2 workers asked, 1 answered",
        "2 of 2 workers asked, 1 answered, 1 not",
        "comparing the proposals",
        "writing the answer",
    ]


def test_workers_that_are_not_needed_are_steps_that_are_left_out() -> None:
    """Two that agree are enough, and the writing begins."""
    found = steps_of(routed("layers"), Started("a", "a", 1), Arrived(PROPOSAL), Writing("aggregator", "a"))

    assert [step.done for step in found] == [1, 2, 3, 10]
    assert found[-1].of == 11


async def test_a_client_that_reads_slowly_is_told_the_latest_step_only() -> None:
    """What happened meanwhile is not kept for it."""
    told: list[Step] = []
    reads = asyncio.Event()

    async def report(step: Step) -> None:
        told.append(step)
        await reads.wait()

    reporter = Reporter(Steps(lambda: CATALOG), report)
    task = asyncio.create_task(reporter.run())
    reporter.tell(routed("two"))
    await asyncio.sleep(0)
    for event in (Started("a", "a", 1), Started("b", "b", 1), Arrived(PROPOSAL)):
        reporter.tell(event)
        await asyncio.sleep(0)
    reads.set()
    await asyncio.sleep(0.01)
    task.cancel()

    assert [step.done for step in told] == [1, 4]
