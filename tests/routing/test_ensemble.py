"""The scorer that adds up what others think, and how its weights are fitted."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm import MoLLM, load_config
from mollm.calling.calls import Calls
from mollm.errors import ConfigError, LimitError, ProviderFailed
from mollm.extending import Chain, Ensemble
from mollm.llms.scripted import ScriptedLLM
from mollm.routing import weighing
from mollm.routing.base import Scorer, Scores
from mollm.routing.calibration import softmax
from mollm.routing.decision import Decision, ScoringRouter
from mollm.routing.ensemble import EnsembleScorer, Member, Together, moved
from mollm.routing.registry import build_router, planned_calls
from tests.fuzz import cases
from tests.routing.asked import question
from tests.routing.fitted import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.types import Question

NAMES = ("car", "sleep", "general")


@dataclass(frozen=True)
class Says:
    """A scorer that says what it is told to, or fails."""

    scores: Scores | Exception
    kind: str = "says"

    async def score(self, question: Question, calls: Calls) -> Scores:
        """Say it."""
        assert calls is not None
        assert question.last
        if isinstance(self.scores, Exception):
            raise self.scores
        return self.scores


def says(familiarity: float | None = None, **probabilities: float) -> Scores:
    """Scores whose pick is the likeliest."""
    return Scores(probabilities, "so", max(probabilities, key=probabilities.__getitem__), familiarity)


async def together(*given: Scores | Exception, weights: tuple[float, ...] = (), threshold: float = 0.0) -> Together:
    """What an ensemble makes of these."""
    each = weights or (1.0 / len(given),) * len(given)
    members = tuple(Member(Says(scores), w, threshold) for scores, w in zip(given, each, strict=True))
    return await EnsembleScorer(members, NAMES).score(question("Hi"), Calls({}))


distributions = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(
    lambda parts: dict(zip(NAMES, (part / sum(parts) for part in parts), strict=True))
)


@settings(max_examples=cases(60))
@given(opinions=st.lists(distributions, min_size=1, max_size=4), data=st.data())
async def test_it_is_a_distribution_in_any_order(opinions: list[dict[str, float]], data: st.DataObject) -> None:
    """Probabilities are positive with the sum 1, whoever is asked first; members that agree leave it where they are."""
    order = data.draw(st.permutations(range(len(opinions))))

    found = await together(*(says(**o) for o in opinions))
    again = await together(*(says(**opinions[at]) for at in order))
    same = await together(*(says(**opinions[0]) for _ in opinions))

    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert all(0.0 < share < 1.0 for share in found.probabilities.values())
    assert again.probabilities == pytest.approx(dict(found.probabilities))
    assert same.probabilities == pytest.approx(opinions[0], abs=0.02)
    if all(max(o, key=o.__getitem__) == "car" for o in opinions):
        assert found.pick == "car", "what all think likeliest is the likeliest"


@pytest.mark.parametrize(
    "nobody",
    [
        ValueError("mine"),
        ProviderFailed("down"),
        Scores({}, "no idea"),
        Scores({"car": 0.5, "sleep": 0.5}, "", None, 0.0),
    ],
)
async def test_who_fails_or_has_no_opinion_is_left_out(nobody: Scores | Exception) -> None:
    """The others decide as if they were alone, and the reason says so."""
    alone = await together(says(car=0.7, sleep=0.2, general=0.1))

    found = await together(says(car=0.7, sleep=0.2, general=0.1), nobody)

    assert found.probabilities == pytest.approx(dict(alone.probabilities))
    assert found.probabilities["car"] == pytest.approx(0.7, abs=0.02)
    assert "says left out: " in found.reason
    assert [weight for _, _, weight, _ in found.said] == [1.0, 0.0]


async def test_where_nobody_has_an_opinion_the_fallback_answers() -> None:
    """And nothing is sure."""
    scores = await together(ValueError("mine"), Scores({}, "no idea"))

    route = Decision("general").decide(scores, "ensemble")

    assert (route.mixture, route.is_sure) == ("general", False)
    assert route.reason.startswith("says left out: failed (ValueError); says left out: no idea")


async def test_a_call_that_nobody_planned_is_no_failure_of_a_member() -> None:
    """It ends the question."""
    with pytest.raises(LimitError, match="not planned"):
        await together(says(car=0.9), LimitError("not planned"))


async def test_a_member_that_does_not_know_the_question_is_left_out() -> None:
    """However sure its probabilities are; where none knows it, all count, and the familiarity is low."""
    german = says(0.1, general=0.99, car=0.005, sleep=0.005)

    one = await together(german, says(0.9, car=0.8, sleep=0.1, general=0.1), threshold=0.5)
    all_of_them = await together(german, german, threshold=0.5)

    assert one.pick == "car"
    assert "general 0.99, left out: unfamiliar" in one.reason
    assert all_of_them.familiarity == pytest.approx(0.1)
    assert not Decision("general", familiarity=0.5).decide(all_of_them, "ensemble").is_sure


async def test_what_a_member_does_not_name_it_holds_as_likely_as_any() -> None:
    """One without examples of a mixture does not rule it out for the others."""
    found = await together(says(car=0.6, general=0.4), says(sleep=0.9, car=0.05, general=0.05))

    assert found.pick == "sleep"


async def test_an_llm_that_finds_nothing_suitable_speaks_for_the_fallback() -> None:
    """What it gives to no mixture is its doubt."""
    nothing = Scores({"car": 0.1, "sleep": 0.1, "general": 0.1}, "none", None)

    found = await together(nothing, nothing)

    assert found.familiarity == pytest.approx(0.3)
    assert not Decision("general", 0.0, familiarity=0.5).decide(found, "ensemble").is_sure


async def test_weights_count() -> None:
    """One of weight 0 changes nothing, and one of more wins."""
    car, sleep = says(car=0.8, sleep=0.1, general=0.1), says(car=0.1, sleep=0.8, general=0.1)

    assert (await together(car, sleep, weights=(0.7, 0.3))).pick == "car"
    assert (await together(car, sleep, weights=(0.3, 0.7))).pick == "sleep"
    ignored = await together(car, sleep, weights=(1.0, 0.0))
    assert ignored.probabilities["car"] == pytest.approx(0.8, abs=0.02)


@given(familiarity=st.floats(0.0, 1.0), threshold=st.floats(0.0, 1.0))
def test_thresholds_meet_at_a_half(familiarity: float, threshold: float) -> None:
    """What a member knows is at least a half, what it does not know is below, and order stays."""
    found = moved(familiarity, threshold)

    assert 0.0 <= found <= 1.0
    assert (found >= 0.5) == (familiarity >= threshold)


async def test_members_are_asked_at_the_same_time() -> None:
    """Two that wait for each other both come to an end."""
    met = asyncio.Barrier(2)

    class Waits:
        kind = "waits"

        async def score(self, question: Question, calls: Calls) -> Scores:  # noqa: ARG002 - as every scorer
            await asyncio.wait_for(met.wait(), 5)
            return says(car=0.9)

    found = await EnsembleScorer((Member(Waits(), 0.5), Member(Waits(), 0.5))).score(question("Hi"), Calls({}))

    assert found.pick == "car"
    assert isinstance(EnsembleScorer(()), Scorer)


# --- weights


@settings(max_examples=cases(30))
@given(seed=st.integers(0, 2**32 - 1), members=st.integers(1, 4), count=st.integers(1, 40))
def test_fitted_weights_are_no_worse_than_all_the_same_or_than_one_alone(seed: int, members: int, count: int) -> None:
    """By the log-loss that they are fitted for, on whatever members say."""
    generator = np.random.default_rng(seed)
    logs = np.log(softmax(3.0 * generator.standard_normal((members, count, 3))))
    labels = generator.integers(3, size=count)

    def loss(weights: Any) -> float:
        shares = softmax(np.tensordot(np.asarray(weights), logs, 1))[np.arange(count), labels]
        drawn = weighing.RIDGE * sum((weight - 1.0 / members) ** 2 for weight in weights)
        return float(-np.log(np.maximum(shares, 1e-300)).mean() + drawn)

    weights = weighing.fit_weights(logs, labels)

    assert all(0.0 <= weight <= weighing.MOST for weight in weights)
    others = [np.full(members, 1.0 / members), *np.eye(members)]
    assert all(loss(weights) <= loss(other) + 1e-9 for other in others)


class Fitted:
    """What a refit made: it knows the subject by a word, or says anything."""

    familiarity = 0.2

    def __init__(self, *, knows: bool) -> None:
        self._knows = knows

    def scores(self, text: str) -> Scores:
        """Score a text."""
        right = "car" if "car" in text else "sleep"
        pick = right if self._knows else "car" if len(text) % 2 else "sleep"
        return Scores({"car": 0.1, "sleep": 0.1} | {pick: 0.9}, "so", pick, 0.8)


def test_who_knows_more_counts_more() -> None:
    """A member that guesses counts for less, and no example is scored by what saw it."""
    examples = {"car": [f"car {n}" for n in range(12)], "sleep": [f"nap {'x' * n}" for n in range(12)], "one": ["1"]}
    seen: list[set[str]] = []

    def knowing(given: Any) -> Fitted:
        seen.append({text for texts in given.values() for text in texts})
        return Fitted(knows=True)

    found = weighing.weigh([knowing, lambda _: Fitted(knows=False)], examples)

    assert found.weights[0] > 0.8
    assert found.weights[1] < found.weights[0] / 2
    assert [len(texts) for texts in seen] == [17, 17, 17]
    assert all("1" in texts for texts in seen), "the only one of its mixture is always seen"
    assert set.intersection(*seen) == {"1"}
    assert 0.5 < found.threshold < 1.0
    assert found.familiarity == pytest.approx(moved(0.8, 0.2))


def test_what_was_fitted_is_kept_and_distrusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read again; whatever else lies there is fitted anew."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))
    fits: list[int] = []

    def fit() -> weighing.Weighed:
        fits.append(1)
        return weighing.Weighed((0.7, 0.2), 0.6, 0.4)

    assert weighing.cached("d", 2, fit) == weighing.cached("d", 2, fit) == weighing.Weighed((0.7, 0.2), 0.6, 0.4)
    assert len(fits) == 1
    path = tmp_path / "routers" / "d" / weighing.FILE
    good = json.loads(path.read_text())
    bad = ["", "[]", "nan", {"weights": [0.5]}, {**good, "weights": [0.5, -1]}, {**good, "weights": [0, 0]}]
    bad += [{**good, "threshold": 2}, {**good, "weights": [0.5, math.nan]}, {**good, "familiarity": "x"}]
    for content in bad:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        assert weighing.cached("d", 2, fit) == weighing.Weighed((0.7, 0.2), 0.6, 0.4)
    assert len(fits) == 1 + len(bad)


# --- the configuration

CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/from a"}, "guide": {"model": "scripted/unused", "retries": 0}},
    "router": {"kind": "ensemble", "members": [{"kind": "learned"}, {"kind": "llm", "llm": "guide"}]},
    "mixtures": {
        name: {"description": f"About {name}.", "workers": ["a"], "examples": EXAMPLES[name]} for name in NAMES
    },
}


def by_letter(asked: Question) -> dict[str, float]:
    """Find that what begins with z is about sleep."""
    return {"sleep": 0.99, "car": 0.005, "general": 0.005} if asked.last.startswith("z") else {}


WRONG: list[Any] = [Says, 3]


def configured(**router: Any) -> dict[str, Any]:
    """`CONFIG` with some keys of the router set anew."""
    return {**CONFIG, "router": {**CONFIG["router"], **router}}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Fitted routers are kept for the length of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


async def test_a_file_describes_an_ensemble() -> None:
    """Its LLM is planned, called once and on the books, and the reason tells what each said."""
    fake = ScriptedLLM("car")
    async with MoLLM(CONFIG, llms={"guide": fake}) as mollm:
        found = await mollm.aask("Which oil does my car need?")

    assert (found.mixture, found.route.router) == ("car", "ensemble")
    assert [call.role for call in found.breakdown] == ["router", "bypass"]
    assert "learned: car" in found.route.reason
    assert "llm: car" in found.route.reason
    [planned] = planned_calls(load_config(CONFIG), question("Hi"))
    assert (planned.role, planned.llm) == ("router", "guide")


async def test_an_llm_that_fails_costs_nothing_but_its_opinion() -> None:
    """The others decide."""
    async with MoLLM(CONFIG, llms={"guide": ScriptedLLM(ProviderFailed("down"))}) as mollm:
        found = await mollm.aroute("The battery of my car is dead.")

    assert found.mixture == "car"
    assert "llm left out: guide failed (down)" in found.reason


def test_weights_are_given_fitted_or_all_the_same() -> None:
    """Given ones count in proportion; fitted are those of members that can all be refitted."""

    def weights(**router: Any) -> list[float]:
        router_of_file = build_router(load_config(configured(**router)))
        assert isinstance(router_of_file, ScoringRouter)
        assert isinstance(router_of_file.scorer, EnsembleScorer)
        return [member.weight for member in router_of_file.scorer.members]

    python = {"kind": "python", "path": f"{__name__}:by_letter"}
    assert weights() == [0.5, 0.5]
    assert weights(weights=[3, 1.0]) == [0.75, 0.25]
    assert weights(members=[{"kind": "learned"}, python]) == [0.5, 0.5]
    fitted = weights(members=[{"kind": "learned"}, {"kind": "learned", "familiarity": 0.1}])
    assert fitted[0] == pytest.approx(fitted[1], abs=0.01), "they say the same"
    assert fitted != [0.5, 0.5]


async def test_a_function_is_a_member_in_the_file_and_in_python() -> None:
    """Alone, in an ensemble and in a chain."""
    python = {"kind": "python", "path": f"{__name__}:by_letter"}
    for router in ({"members": [python], "kind": "ensemble"}, {"members": [python], "kind": "chain"}, python):
        async with MoLLM({**CONFIG, "router": router}) as mollm:
            assert (await mollm.aroute("zzz")).mixture == "sleep"
            assert (await mollm.aroute("Hi")).mixture == "general"
    scorer = Says(says(car=0.6, sleep=0.3, general=0.1))
    for several in (Ensemble(by_letter, scorer), Chain(by_letter, Ensemble(scorer)), Ensemble(scorer, weights=[2])):
        async with MoLLM(CONFIG, router=several) as mollm:
            assert (await mollm.aroute("Hi")).mixture == "car"
    async with MoLLM(CONFIG, router=Chain(by_letter, lambda _: "car")) as mollm:
        assert [(await mollm.aroute(text)).router for text in ("zzz", "Hi")] == ["chain/by_letter", "chain/lambda"]


@pytest.mark.parametrize(
    "given",
    [Ensemble(), Ensemble(by_letter, weights=[]), Ensemble(by_letter, weights=[0]), Ensemble(by_letter, weights=[-1]),
     Ensemble(WRONG[0]), Ensemble(WRONG[1]), Chain()],
)  # fmt: skip
def test_what_is_no_ensemble_is_refused(given: Any) -> None:
    """When it is given, with what was wrong."""
    with pytest.raises(ConfigError, match=r"Ensemble|ensemble|Chain has at least one"):
        MoLLM(CONFIG, router=given)


@pytest.mark.parametrize(
    ("router", "message"),
    [
        ({"members": []}, "router.members: an ensemble needs at least one member"),
        ({"weights": [1.0]}, "router.weights: 1 weights for 2 members; each has one"),
        ({"weights": [0.0, 0.0]}, "router.weights: one of them must be above 0"),
        ({"weights": [1.0, -1.0]}, "router.weights[1]: must be greater than or equal to 0"),
        (
            {"members": [{"kind": "learned", "threshold": 0.5}]},
            "router.members[0].threshold: a member of an ensemble only scores; set `router.threshold`",
        ),
        ({"threshold": 1.5}, "router.threshold: must be 'auto' or a number from 0 to 1"),
        ({"familiarity": -1.0}, "router.familiarity: must be 'auto' or a number from 0 to 1"),
        ({"recent": 60}, "router.recent: has no effect without `fallback_rate`"),
        ({"bounds": [0.9, 0.1], "fallback_rate": 0.1}, "router.bounds: must be two numbers from 0 to 1, the lesser"),
        ({"members": [{"kind": "python", "path": "x.py"}]}, "router.members[0].path: must be `package.module:name`"),
        ({"members": [{"kind": "python"}]}, "router.members[0]: kind 'python' needs `path`, what decides"),
    ],
)
def test_each_mistake_has_its_message(router: dict[str, Any], message: str) -> None:
    """What is wrong is named by its key."""
    with pytest.raises(ConfigError) as caught:
        load_config(configured(**router))

    [found] = caught.value.problems
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere_at_all:x", "No module named"),
        (f"{__name__}:nothing", "has no attribute 'nothing'"),
        ("math:pi", "given"),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_key(path: str, said: str) -> None:
    """When the router is built."""
    for kind in ("ensemble", "chain"):
        config = load_config(configured(kind=kind, members=[{"kind": "python", "path": path}]))
        with pytest.raises(ConfigError, match=said):
            build_router(config)
