"""Values: sums, what wins over what, and the plain form they are stored in."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.calling.base import Request
from mollm.errors import RateLimited
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
    Retried,
    Reviewed,
    Routed,
    Started,
    Token,
    Writing,
)
from mollm.options import Options, RequestOptions, Settings
from mollm.plain import answer_from_plain, call_from_plain, proposal_from_plain, to_plain
from mollm.types import Analysis, Answer, Ballot, Call, Failure, Point, Proposal, Rank, Ranking, Route, Usage

SET: dict[str, Any] = {
    "max_tokens": 7,
    "temperature": 0.0,
    "top_p": 0.5,
    "stop": ("a", "b"),
    "seed": 0,
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function"}],
    "tool_choice": "none",
    "extra_body": {"top_k": 1},
}


def test_usage_is_summed_field_by_field() -> None:
    """Tokens add up, and one estimate makes the sum an estimate."""
    total = Usage(1, 2, 3) + Usage(10, 20, 30, estimated=True) + Usage()

    assert total == Usage(11, 22, 33, estimated=True)
    assert not (Usage(1, 2, 3) + Usage()).estimated


def test_the_table_of_settings_is_complete() -> None:
    """A new setting must join the tests below."""
    assert list(SET) == [field.name for field in dataclasses.fields(Settings)]


@pytest.mark.parametrize("name", SET)
def test_what_is_set_wins_and_what_is_not_is_filled_in(name: str) -> None:
    """Zero counts as set; only None leaves the decision to the defaults."""
    value = SET[name]
    other: Any = {"other": 1} if name == "extra_body" else "other"
    both: Any = {"other": 1, "top_k": 1} if name == "extra_body" else value

    assert Settings(**{name: value}).over(Settings(**{name: other})) == Settings(**{name: both})
    assert Settings().over(Settings(**{name: value})) == Settings(**{name: value})
    assert Settings(**{name: value}).over(Settings()) == Settings(**{name: value})


def test_extra_fields_are_merged_key_by_key() -> None:
    """A key set nearer to the call wins, the others stay."""
    merged = Settings(extra_body={"a": 1}).over(Settings(extra_body={"a": 2, "b": 2}))

    assert merged.extra_body == {"a": 1, "b": 2}


@pytest.mark.parametrize("name", [name for name in SET if name != "extra_body"])
def test_only_what_is_set_is_sent(name: str) -> None:
    """A field has OpenAI's name, and JSON's types."""
    value = list(SET[name]) if isinstance(SET[name], tuple) else SET[name]

    assert Settings(**{name: SET[name]}).payload() == {name: value}
    assert Settings().payload() == {}


def test_extra_fields_are_sent_as_they_are() -> None:
    """They stand beside the others in the request, not below a key of their own."""
    settings = Settings(temperature=1.0, extra_body={"top_k": 3, "temperature": 0.5})

    assert settings.payload() == {"top_k": 3, "temperature": 0.5}


@pytest.mark.parametrize(("given", "sent"), [(None, None), (-1, None), (0, None), (1, 1), (500, 500)])
def test_no_limit_means_the_llms_own(given: int | None, sent: int | None) -> None:
    """`max_tokens: -1` and none at all leave the limit to the LLM."""
    assert Options(max_tokens=given).writing.max_tokens == sent
    assert Options(max_tokens=given).for_tools.max_tokens == sent


def test_the_writing_llm_gets_no_tools() -> None:
    """Tools go to the LLM for tools alone; everything else goes to both."""
    options = Options(**SET, mixture="m", stream=True)

    assert options.writing == Settings(**{**SET, "tools": None, "tool_choice": None})
    assert options.for_tools == Settings(**SET)


def test_options_can_be_given_as_keywords() -> None:
    """`RequestOptions` offers what a caller may set, in the names and with the types of `Options`."""
    keywords, options = get_type_hints(RequestOptions), get_type_hints(Options)

    assert keywords.items() <= options.items()
    assert set(SET) < set(keywords)


@pytest.mark.parametrize("value", [Usage(), Settings(), Options(), Route("m", {}, "fixed", "")])
def test_values_cannot_be_changed(value: Any) -> None:
    """What flows through several tasks at once is frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, 1)


USAGES = st.builds(Usage, *[st.integers(0, 10**9)] * 3, estimated=st.booleans())
FAILURES = st.builds(Failure, st.text(), st.none() | st.integers(400, 599), st.text())
COSTS = st.none() | st.floats(0, 100)
MESSAGES = st.dictionaries(st.text(), st.text() | st.none() | st.lists(st.integers()))
ROUTES = st.builds(
    Route,
    st.text(),
    st.dictionaries(st.text(), st.floats(0, 1)),
    st.text(),
    st.text(),
    st.floats(0, 9),
    st.none() | st.text(),
)
PROPOSALS = st.builds(
    Proposal,
    st.text(),
    st.text(),
    st.integers(1, 3),
    st.text(),
    st.none() | st.text(),
    st.none() | FAILURES,
    st.booleans(),
    USAGES,
    COSTS,
    st.floats(0, 9),
)
CALLS = st.builds(
    Call,
    st.sampled_from(["router", "worker", "reviewer", "analyst", "aggregator", "fallback", "bypass", "tools"]),
    st.text(),
    USAGES,
    COSTS,
    st.floats(0, 9),
    st.none() | FAILURES,
)
NAMED = st.lists(st.text(), max_size=2).map(tuple)
POINTS = st.lists(st.builds(Point, st.text(), NAMED), max_size=2).map(tuple)
ANALYSES = st.builds(Analysis, st.text(), *[POINTS] * 5)
BALLOTS = st.builds(Ballot, st.text(), st.text(), NAMED, st.lists(NAMED, max_size=2).map(tuple), st.none() | FAILURES)
RANKINGS = st.builds(
    Ranking,
    st.lists(st.builds(Rank, st.text(), st.none() | st.floats(0, 1), st.integers(0, 9)), max_size=2).map(tuple),
    st.lists(BALLOTS, max_size=2).map(tuple),
    NAMED,
    st.booleans(),
)
ANSWERS = st.builds(
    Answer,
    id=st.text(),
    text=st.text(),
    message=MESSAGES,
    mixture=st.text(),
    route=ROUTES,
    proposals=st.lists(PROPOSALS, max_size=3).map(tuple),
    agreement=st.none() | st.floats(0, 1),
    confidence=st.none() | st.floats(0, 1),
    degraded=st.lists(st.text(), max_size=3).map(tuple),
    calls=st.integers(0, 99),
    usage=USAGES,
    cost_usd=COSTS,
    seconds=st.floats(0, 9),
    breakdown=st.lists(CALLS, max_size=3).map(tuple),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
    ranking=st.none() | RANKINGS,
    analysis=st.none() | ANALYSES,
    proposed_by=st.none() | st.text(),
    ended=st.sampled_from([None, "agreed", "enough", "all", "late"]),
)


@given(ANSWERS)
def test_an_answer_survives_being_stored(answer: Answer) -> None:
    """Its plain form goes through JSON and comes back as the same value."""
    plain = to_plain(answer)

    assert answer_from_plain(json.loads(json.dumps(plain))) == answer
    assert list(plain) == [field.name for field in dataclasses.fields(Answer)]


@given(ANSWERS)
def test_values_survive_the_way_to_another_process(answer: Answer) -> None:
    """An answer, with all that is in it, and the events that tell of it; one that holds an error as well."""
    call = Call("worker", "w", Usage(), None, 1.0)
    ended = CallEnded(1, call, None, RateLimited("slow", llm="w", retry_after_seconds=2.0))
    started = CallStarted(1, "worker", "w", Request(({"role": "user", "content": "x"},), Settings(seed=1)), False)
    events = (
        Done(answer),
        *map(Arrived, answer.proposals),
        Routed(answer.route),
        started,
        Token("x", {"content": "x"}),
    )

    assert pickle.loads(pickle.dumps(events)) == events  # noqa: S301
    found = pickle.loads(pickle.dumps(ended))  # noqa: S301
    assert (found.call, str(found.error), vars(found.error)) == (call, str(ended.error), vars(ended.error))
    assert copy.deepcopy(answer) == answer


@given(PROPOSALS, CALLS)
def test_parts_of_an_answer_survive_too(proposal: Proposal, call: Call) -> None:
    """A graph stores proposals and calls one by one between its steps."""
    assert proposal_from_plain(json.loads(json.dumps(to_plain(proposal)))) == proposal
    assert call_from_plain(json.loads(json.dumps(to_plain(call)))) == call


def test_every_event_has_a_plain_form() -> None:
    """An event of any kind can be printed as JSON."""
    proposal = Proposal("w", "w", 1, "text", error=Failure("timed_out", None, "late"))
    route = Route("m", {"m": 1.0}, "fixed", "")
    answer = Answer("1", "", {}, "m", route, (proposal,), None, None, (), 1, Usage(), None, 0.0)
    events: list[Event] = [
        Routed(route),
        Started("w", "w", 1),
        Arrived(proposal),
        Failed(proposal),
        Comparing(("w",)),
        Reviewed(Ranking((Rank("w", 1.0, 1),), (Ballot("w", "w", ("w",), (("w",),)),))),
        Analyzed(Analysis("w", consensus=(Point("text", ("w",)),))),
        Writing("aggregator", "w"),
        CallStarted(1, "worker", "w", object(), is_streamed=False),
        CallEnded(1, Call("worker", "w", Usage(), None, 1.0), object(), None),
        Retried("w", Failure("unreachable", None, "refused"), 0.5, "127.0.0.1:1"),
        BreakerOpened("w", 8, 15.0),
        Token("x", {"content": "x"}),
        Done(answer),
    ]

    plain = [to_plain(event) for event in events]

    assert {type(event) for event in events} == set(get_args(Event))
    assert json.loads(json.dumps(plain)) == plain
    assert plain[3]["proposal"]["error"] == {
        "kind": "timed_out",
        "status": None,
        "message": "late",
        "retry_after_seconds": None,
    }
