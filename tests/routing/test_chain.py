"""The router that asks others in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, load_config
from mollm.calling.calls import Calls
from mollm.catalog import Catalog
from mollm.cli.checks import check_config
from mollm.errors import ConfigError, LimitError, ProviderFailed
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.base import Router, plan_of
from mollm.routing.chain import ChainRouter
from mollm.routing.decision import ScoringRouter
from mollm.routing.fixed import FixedRouter
from mollm.routing.learned import LearnedScorer
from mollm.routing.llm import LLMScorer
from mollm.routing.registry import build_router, planned_calls
from mollm.types import Route
from tests.routing.asked import decide, question

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.types import Question

CARS = [f"my car {verb} on the motorway again" for verb in ("stops", "stutters", "smokes", "brakes", "squeaks")]
NAPS = [f"a nap {verb} the whole afternoon for me" for verb in ("ruins", "saves", "takes", "makes", "costs")]
CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/from a"}, "guide": {"model": "scripted/unused", "retries": 0}},
    "router": {"kind": "chain", "members": [{"kind": "learned", "threshold": 0.6}, {"kind": "llm", "llm": "guide"}]},
    "mixtures": {
        "car": {"description": "Cars.", "workers": ["a"], "examples": CARS},
        "sleep": {"description": "Sleep.", "workers": ["a"], "examples": NAPS},
        "general": {"description": "Anything else.", "workers": ["a"]},
    },
}
UNKNOWN = "\u10e5\u10d0\u10e0\u10d7\u10e3\u10da\u10d8?"
"""In no script that an example is written in."""


@dataclass
class Member:
    """A router that says what it is told to, and notes what it was asked."""

    kind: str
    mixture: str
    is_sure: bool

    def __post_init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def route(self, question: Question, calls: Calls) -> Route:
        """Decide."""
        assert calls is not None
        self.asked.append((question.last, question.before))
        reason = f"says {self.mixture}"
        return Route(self.mixture, {self.mixture: 0.7}, self.kind, reason, 99.0, is_sure=self.is_sure)


async def routed(*members: Member, query: str = "Hi", before: str = "") -> Route:
    """What a chain makes of a question."""
    return await ChainRouter(members).route(question(query, before), Calls({}))


def changed(**router: Any) -> dict[str, Any]:
    """`CONFIG` with some keys of the router set anew."""
    return {**CONFIG, "router": {**CONFIG["router"], **router}}


async def ask(question: str, guide: Any = "sleep", **sections: Any) -> tuple[Any, ScriptedLLM]:
    """One question through the graph, with the LLM at the end of the chain."""
    fake = ScriptedLLM(guide)
    found = await MoLLM({**CONFIG, **sections}, llms={"guide": fake}).aask(question)
    return found, fake


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted routers are kept for the length of a test."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "cache"))


# --- deciding


async def test_the_first_that_is_sure_decides() -> None:
    """Those after it are not asked; route, probabilities and kind are its own."""
    members = [Member("one", "general", False), Member("two", "car", True), Member("three", "sleep", True)]

    route = await routed(*members)

    assert (route.mixture, route.probabilities, route.router) == ("car", {"car": 0.7}, "chain/two")
    assert route.reason == "one: says general; two: says car"
    assert route.is_sure
    assert 0.0 < route.seconds < 99.0, "measured over the chain, not taken from a member"
    assert [len(member.asked) for member in members] == [1, 1, 0]


async def test_the_last_one_decides_where_nobody_is_sure() -> None:
    """Its route stands, and the chain is not sure either."""
    route = await routed(Member("one", "car", False), Member("two", "general", False))

    assert (route.mixture, route.router, route.is_sure) == ("general", "chain/two", False)


async def test_a_member_that_is_sure_of_the_fallback_ends_the_chain() -> None:
    """To belong nowhere else is something a router can know."""
    last = Member("two", "car", True)

    route = await routed(Member("one", "general", True), last)

    assert route.mixture == "general"
    assert not last.asked


async def test_every_member_is_told_what_was_said_before() -> None:
    """A follow-up reaches all of them whole."""
    members = [Member("one", "general", False), Member("two", "car", True)]

    await routed(*members, query="And mine?", before="Why does a car squeak?")

    assert [member.asked for member in members] == [[("And mine?", "Why does a car squeak?")]] * 2


def test_it_is_a_router() -> None:
    """It satisfies the interface of all routers."""
    assert isinstance(ChainRouter((FixedRouter("general"),)), Router)


# --- learned, then an LLM


async def test_a_question_the_gate_knows_costs_no_call() -> None:
    """What resembles the examples is decided without the LLM."""
    found, fake = await ask("my car smokes on the motorway")

    assert (found.mixture, found.route.router) == ("car", "chain/learned")
    assert not fake.requests
    assert [call.role for call in found.breakdown] == ["bypass"]


async def test_a_question_the_gate_does_not_know_goes_to_the_llm() -> None:
    """One call more, on the books, and the reason tells both decisions."""
    found, fake = await ask(UNKNOWN)

    assert (found.mixture, found.route.router) == ("sleep", "chain/llm")
    assert found.route.reason.startswith("learned: nothing in it is known")
    assert found.route.reason.endswith("; llm: guide picks sleep")
    assert found.route.probabilities == {"car": 0.0, "sleep": 1.0, "general": 0.0}
    assert len(fake.requests) == 1
    assert [call.role for call in found.breakdown] == ["router", "bypass"]


async def test_a_chain_that_ends_in_a_failure_still_answers() -> None:
    """The fallback mixture answers, and the reason names the failure."""
    found, _ = await ask(UNKNOWN, ProviderFailed("down"))

    assert (found.mixture, found.text) == ("general", "from a")
    assert found.route.reason.endswith("llm: guide failed (down), so the fallback general answers")


async def test_a_follow_up_asks_the_llm_at_most_once() -> None:
    """The gate reads both messages, then the LLM reads both in one call."""
    fake = ScriptedLLM("none")
    messages = [{"role": "user", "content": text} for text in (UNKNOWN, "\u65e5\u672c?")]

    found = await MoLLM(CONFIG, llms={"guide": fake}).aask(messages)

    assert found.mixture == "general"
    assert len(fake.requests) == 1


async def test_a_follow_up_that_the_gate_knows_with_the_question_before_costs_no_call() -> None:
    """Joined with the message before, it is known."""
    fake = ScriptedLLM("sleep")
    messages = [{"role": "user", "content": text} for text in ("my car squeaks on the motorway again", UNKNOWN)]

    found = await MoLLM(CONFIG, llms={"guide": fake}).aask(messages)

    assert found.mixture == "car"
    assert not fake.requests


@pytest.mark.parametrize(("threshold", "is_sure"), [(0.0, True), (1.0, False)])
async def test_a_learned_router_is_sure_from_its_threshold_on(threshold: float, is_sure: bool) -> None:
    """Of the fallback as of any other mixture."""
    examples = {"car": CARS, "general": NAPS}
    scorer = LearnedScorer.fit(examples, fallback="general")

    route = decide(scorer, "a nap costs the afternoon", threshold)

    assert (route.mixture, route.is_sure) == ("general", is_sure)


# --- limits


async def test_every_llm_of_the_chain_counts_towards_the_limits() -> None:
    """As if none was sure before the last, also where the first one is."""
    members = [{"kind": "llm", "llm": "guide"}, {"kind": "learned"}, {"kind": "llm", "llm": "a"}]
    text = r"mixture 'car' is not asked: .* 3 calls at worst \(2 routers \+ 1 worker\), and limits.calls is 2\b"

    with pytest.raises(LimitError, match=text):
        await ask("Hi", "car", router={"kind": "chain", "members": members}, limits={"calls": 2})


def test_the_llms_of_a_router_are_found_wherever_they_are() -> None:
    """Those of the configuration, without fitting a router, and those of a router that was brought along."""
    config, asked = load_config(CONFIG), question("Hi")
    catalog = Catalog(config)
    [found] = planned_calls(config, asked)
    assert (found.role, found.llm, found.times) == ("router", "guide", 1)
    assert catalog.plan("car", asked)[0][0] == found

    brought = Catalog(config, router=FixedRouter("general"))
    assert [call.role for call in brought.plan("car", asked)[0]] == ["bypass"]
    llm = build_router(load_config(changed(members=[{"kind": "llm", "llm": "guide"}])))
    assert plan_of(ChainRouter((FixedRouter("car"), ChainRouter((llm,)))), asked) == (found,)


# --- the configuration


def test_members_have_settings_of_their_own(tmp_path: Path) -> None:
    """Thresholds, prompts and folders are those of the member; the fallback is everybody's."""
    LearnedScorer.fit({"car": CARS, "sleep": NAPS}, fallback="general").save(tmp_path)
    members = [
        {"kind": "learned", "path": str(tmp_path), "threshold": 0.9},
        {"kind": "learned", "threshold": 0.8},
        {"kind": "llm", "llm": "guide", "threshold": 0.7, "prompt": "{{ question }} {{ mixtures }}"},
        {"kind": "llm", "llm": "a"},
    ]

    router = build_router(load_config(changed(members=members, fallback="sleep")))

    assert isinstance(router, ChainRouter)
    built = [member for member in router.members if isinstance(member, ScoringRouter)]
    loaded, fitted, own, default = [member.scorer for member in built]
    assert isinstance(loaded, LearnedScorer)
    assert isinstance(fitted, LearnedScorer)
    assert isinstance(own, LLMScorer)
    assert isinstance(default, LLMScorer)
    assert [m.decision.threshold for m in built] == [0.9, 0.8, 0.7, 0.5]
    assert [m.decision.fallback for m in built] == ["sleep"] * 4
    assert own.prompt.render(question="Q", mixtures="M") == "Q M"
    assert default.prompt.render(question="Q", mixtures="M") != "Q M"


@pytest.mark.parametrize(
    ("router", "messages"),
    [
        ({"members": []}, ["router.members: a chain needs at least one member"]),
        ({"members": ...}, ["router.members: a chain needs at least one member"]),
        (
            {"members": [{"kind": "chain"}]},
            ["router.members[0].kind: must be 'learned', 'semantic', 'llm' or 'python'"],
        ),
        (
            {"members": [{"kind": "fixed"}]},
            ["router.members[0].kind: must be 'learned', 'semantic', 'llm' or 'python'"],
        ),
        ({"members": [{"llm": "guide"}]}, ["router.members[0].kind: is required"]),
        (
            {"members": ["learned"]},
            [
                "router.members[0]: must be a mapping of: kind, threshold, familiarity, "
                "fallback_rate, bounds, recent, path, embedder, llm, prompt"
            ],
        ),
        (
            {"members": [{"kind": "learned", "pth": "x"}]},
            ["router.members[0].pth: unknown key; did you mean 'path'?"],
        ),
        (
            {"members": [{"kind": "learned"}, {"kind": "llm"}]},
            ["router.members[1]: kind 'llm' needs `llm`, the LLM that picks; allowed: a, guide"],
        ),
        (
            {"members": [{"kind": "llm", "llm": "gide"}]},
            ["router.members[0].llm: no LLM 'gide'; did you mean 'guide'?"],
        ),
        (
            {"members": [{"kind": "learned", "threshold": 1.5, "llm": "guide"}]},
            [
                "router.members[0].llm: a router of kind 'learned' has no such key; it belongs to 'llm'",
                "router.members[0].threshold: must be 'auto' or a number from 0 to 1",
            ],
        ),
        (
            {"threshold": 0.5},
            [
                "router.threshold: a router of kind 'chain' has no such key; "
                "it belongs to 'learned' or 'semantic' or 'llm' or 'python' or 'ensemble'"
            ],
        ),
        (
            {"kind": "learned"},
            ["router.members: a router of kind 'learned' has no such key; it belongs to 'chain' or 'ensemble'"],
        ),
    ],
)
def test_each_mistake_has_its_message(router: dict[str, Any], messages: list[str]) -> None:
    """What is wrong with a chain is named by the key of the member, with what is allowed."""
    section = {key: value for key, value in {**CONFIG["router"], **router}.items() if value is not ...}

    with pytest.raises(ConfigError) as caught:
        load_config({**CONFIG, "router": section})

    assert caught.value.problems == messages


def test_a_learned_member_needs_examples() -> None:
    """Found when the file is read, named by the member."""
    bare = {name: {"description": "x", "workers": ["a"]} for name in ("car", "general")}

    with pytest.raises(ConfigError, match=r"^router\.members\[0\]\.kind: a learned router needs `examples`"):
        load_config({**CONFIG, "mixtures": bare})


def test_a_mixture_without_examples_can_still_be_picked(tmp_path: Path) -> None:
    """`check` does not warn of it where an LLM reads the descriptions; without one it does."""
    lines = ["llms: {a: {model: scripted/x}, guide: {model: scripted/x}}", "mixtures:"]
    lines += [f"  {name}: {{description: about {name}, workers: [a], examples: {texts}}}" for name, texts in
              (("car", CARS), ("sleep", NAPS), ("cook", []), ("general", []))]  # fmt: skip
    path = tmp_path / "my.yaml"

    path.write_text("\n".join([*lines, "router: {kind: chain, members: [{kind: learned}, {kind: llm, llm: guide}]}"]))
    assert check_config(path).warnings == ()
    path.write_text("\n".join([*lines, "router: {kind: chain, members: [{kind: learned}]}"]))
    assert check_config(path).warnings == (
        f"{path}:1: llms.guide: no mixture uses this LLM",
        f"{path}:5: mixtures.cook: without `examples` the router never picks it; only by name",
    )
