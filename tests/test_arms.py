"""Arms: shares of the traffic, drawn by the id of an answer, that stand in its route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm import MoLLM, load_config
from mollm.config.arms import CURRENT, ROUTER, arms_of, drawn, with_arm
from mollm.config.files import packaged_folder
from mollm.config.names import NAME
from mollm.config.problems import warnings
from mollm.errors import ConfigError
from mollm.llms.scripted import ScriptedLLM
from mollm.routing.learned import LearnedScorer
from mollm.types import new_id
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.types import Answer, Message

TRAINED = packaged_folder() / "mixtures" / "router"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def config(arms: dict[str, float] | None = None, **sections: Any) -> dict[str, Any]:
    """`sums` shares its questions with `better`."""
    return {
        "llms": {"a": {"model": "scripted/x"}, "b": {"model": "scripted/x"}},
        "mixtures": {
            "sums": {"description": "Sums.", "workers": ["a"], "arms": arms or {CURRENT: 0.7, "better": 0.3}},
            "better": {"description": "Sums, otherwise.", "workers": ["b"]},
        },
        "router": {"fallback": "sums"},
        **sections,
    }


def answers(configuration: dict[str, Any], count: int, **options: Any) -> list[Answer]:
    """Ask the same question so often."""
    llms = {"a": ScriptedLLM("from a"), "b": ScriptedLLM("from b")}
    with MoLLM(configuration, llms=llms) as mollm:
        return mollm.batch(["Hi"] * count, concurrency=50, **options)


def test_shares_are_kept_and_follow_from_the_id_alone() -> None:
    """Each id falls to one arm, and so many of them fall to each; another test draws otherwise."""
    arms = {CURRENT: 0.7, "b": 0.1, "c": 0.2, "never": 0.0}
    ids = [new_id() for _ in range(5000)]
    found = [drawn(arms, ROUTER, id) for id in ids]  # noqa: A001

    assert found == [drawn(arms, ROUTER, id) for id in ids]  # noqa: A001
    assert {arm: found.count(arm) / len(ids) for arm in arms} == pytest.approx(arms, abs=0.03)
    halves = {CURRENT: 0.5, "b": 0.5}
    alike = sum(drawn(halves, ROUTER, id) == drawn(halves, "sums", id) for id in ids)  # noqa: A001
    assert alike / len(ids) == pytest.approx(0.5, abs=0.03), "an arm of the router says nothing about the mixture's"


def test_more_for_an_arm_takes_nothing_from_it() -> None:
    """Who is in the arm stays there when its share grows."""
    ids = [new_id() for _ in range(2000)]
    few = {id for id in ids if drawn({CURRENT: 0.9, "b": 0.1}, "m", id) == "b"}  # noqa: A001
    many = {id for id in ids if drawn({CURRENT: 0.6, "b": 0.4}, "m", id) == "b"}  # noqa: A001

    assert few < many


NAMES = st.text("aZ9:=/.+~@-_", min_size=1).filter(lambda name: NAME.fullmatch(name))


@pytest.mark.fuzz
@given(st.dictionaries(NAMES, NAMES, max_size=1), st.none() | st.text(min_size=1))
@settings(max_examples=cases(100))
def test_the_arms_of_a_route_are_read_as_they_were_written(mixture: dict[str, str], folder: str | None) -> None:
    """Whatever the folder of the router is called."""
    told = None if folder is None else with_arm(None, ROUTER, folder)
    for test, arm in mixture.items():
        told = with_arm(told, test, arm)

    assert arms_of(told) == mixture | ({} if folder is None else {ROUTER: folder})


def test_another_mixture_answers_its_share() -> None:
    """The route says which arm, and that the router picked what it shares with; so for a mixture that is named."""
    for options in ({}, {"mixture": "sums"}):
        found = answers(config(), 60, **options)
        for answer in found:
            stands_in = drawn({CURRENT: 0.7, "better": 0.3}, "sums", answer.id) == "better"
            assert answer.text == ("from b" if stands_in else "from a")
            assert answer.mixture == answer.route.mixture == ("better" if stands_in else "sums")
            assert answer.route.arm == f"sums: {'better' if stands_in else CURRENT}"
            assert answer.route.reason.endswith("; better answers in its place") == stands_in
        assert len({answer.mixture for answer in found}) == 2


def test_a_mixture_that_stands_in_can_be_asked_by_name() -> None:
    """Its questions are nobody's but its own."""
    (found,) = answers(config(), 1, mixture="better")

    assert (found.mixture, found.route.arm) == ("better", None)


def test_one_turn_with_tools_stays_in_one_arm() -> None:
    """The request that brings the result of a tool finds the proposals of the one before."""
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    with MoLLM(config({CURRENT: 0.5, "better": 0.5}), llms={n: ScriptedLLM("x") for n in "ab"}) as mollm:
        found = set()
        for number in range(20):
            first: list[Message] = [{"role": "user", "content": f"Look {number}!"}]
            later = [*first, {"role": "assistant", "content": None, "tool_calls": [call]}]
            later += [{"role": "tool", "tool_call_id": "1", "content": "a bird"}]
            one, other = (mollm.ask(asked, tools=[TOOL]).route.arm for asked in (first, later))
            assert one == other
            found.add(one)
    assert len(found) == 2


def test_routers_share_the_traffic(tmp_path: Path) -> None:
    """The arm of the router and that of the mixture both stand in the route."""
    folder = tmp_path / "r; sums: 2"
    folder.symlink_to(TRAINED)
    shares = {CURRENT: 0.5, str(folder): 0.5}
    whole = config(router={"fallback": "sums", "arms": shares})
    other = whole["mixtures"]["better"]
    whole["mixtures"] |= dict.fromkeys(LearnedScorer.load(TRAINED).mixtures, other)
    for answer in answers(whole, 40):
        arm = drawn(shares, ROUTER, answer.id)
        assert arms_of(answer.route.arm)[ROUTER] == arm
        assert answer.route.router == ("fixed" if arm == CURRENT else "learned")
        assert ("sums" in arms_of(answer.route.arm)) == (arm == CURRENT), "the trained router knows no sums"


def test_a_router_that_cannot_be_had_is_named_with_its_line(tmp_path: Path) -> None:
    """Nothing there, or one that knows mixtures that the file does not have."""
    for folder, why in (
        (tmp_path / "nowhere", "nowhere"),
        (TRAINED, "this router picks 'car', 'coding', .* no mixtures here"),
    ):
        path = tmp_path / "my.yaml"
        path.write_text(
            "llms: {a: {model: scripted/x}}\n"
            "mixtures: {m: {description: x, workers: [a]}}\n"
            f"router:\n  arms:\n    current: 0.5\n    {folder}: 0.5\n"
        )
        with MoLLM(path) as mollm, pytest.raises(ConfigError, match=rf"my\.yaml:6: router\.arms\..*{why}"):
            mollm.ask("Hi")


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({CURRENT: 0.9, "better": 0.2}, "the shares sum to 1.1, and have to sum to 1"),
        ({CURRENT: 0.9}, "the shares sum to 0.9"),
        ({CURRENT: 1.5, "better": -0.5}, "less than or equal to 1"),
        ({CURRENT: float("nan"), "better": 1.0}, "finite"),
        ({CURRENT: 0.5, "bettr": 0.5}, "no mixture 'bettr'; did you mean 'better'?"),
        ({CURRENT: 0.5, "sums": 0.5}, "this mixture itself stands under `current`"),
        ({"better": 1.0}, "the share of `current`, which is what stands here without arms, is missing"),
        ({CURRENT: True, "better": 0}, "number"),
    ],
)
def test_arms_that_cannot_be_meant_are_named(arms: dict[str, Any], message: str) -> None:
    """By the key, with what is wrong."""
    with pytest.raises(ConfigError, match=r"mixtures\.sums\.arms") as error:
        load_config(config(arms))
    assert message in str(error.value)


def test_thirds_may_be_written_with_six_digits() -> None:
    """Shares need not be exact to the last bit."""
    thirds = {CURRENT: 0.333333, "better": 0.333333, "third": 0.333334}
    whole = config(thirds)
    whole["mixtures"]["third"] = whole["mixtures"]["better"]

    assert load_config(whole).mixtures["sums"].arms == thirds


def test_arms_that_nobody_learns_from_are_warned_of() -> None:
    """And the mixture that stands in is not said to be out of reach."""
    found = list(warnings(load_config(config())))

    assert [text for text in found if "mixtures.sums.arms: without `feedback`" in text]
    assert not [text for text in found if "mixtures.better" in text]
    kept = config(feedback={"kind": "sqlite"})
    assert not [text for text in warnings(load_config(kept)) if "feedback" in text]


async def test_a_routers_llm_is_not_offered_what_stands_in() -> None:
    """It would answer for more than its share."""
    whole = config(router={"kind": "llm", "llm": "a", "fallback": "sums"})
    llms = {"a": ScriptedLLM("sums"), "b": ScriptedLLM("b")}
    async with MoLLM(whole, llms=llms) as mollm:
        await mollm.aroute("Hi")

    (request,) = llms["a"].requests
    assert "Sums." in str(request.messages)
    assert "Sums, otherwise." not in str(request.messages)
