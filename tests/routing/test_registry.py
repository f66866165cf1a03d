"""From a section of the configuration to a router."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from mollm import load_config
from mollm.config import routers
from mollm.routing.base import Router
from mollm.routing.decision import Decision, ScoringRouter
from mollm.routing.learned import LearnedScorer
from mollm.routing.registry import ROUTERS, build_router, check_prompts, decision_of, planned_calls
from tests.routing.asked import question
from tests.routing.fitted import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "learned": {},
    "semantic": {"embedder": "wordllama"},
    "llm": {"llm": "a"},
    "python": {"path": f"{__name__}:likely"},
    "chain": {"members": [{"kind": "learned"}, {"kind": "llm", "llm": "a"}]},
    "ensemble": {"members": [{"kind": "learned"}, {"kind": "llm", "llm": "a"}]},
}


def likely(_: Any) -> str:
    """Pick a mixture."""
    return "car"


def config(**router: Any) -> Any:
    """A configuration with three mixtures that have examples, and this router."""
    mixtures = {name: {"description": name, "workers": ["a"], "examples": texts} for name, texts in EXAMPLES.items()}
    return load_config({"llms": {"a": {"model": "scripted/x"}}, "mixtures": mixtures, "router": router})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitted routers are kept for the length of a test."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "cache"))


def test_every_kind_is_built() -> None:
    """What the configuration may say is what there is a builder for, and its router says its kind."""
    assert {kind: section for kind, (section, _) in ROUTERS.items()} == routers.ROUTERS
    assert list(ROUTERS) == list(SECTIONS)
    for kind, section in SECTIONS.items():
        router = build_router(config(kind=kind, **section))
        assert isinstance(router, Router)
        assert router.kind == ("likely" if kind == "python" else kind), "one of one's own says its own"


def test_a_threshold_of_ones_own_costs_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to the decision; what was fitted stays as it is."""
    fitted = build_router(config(kind="learned"))
    monkeypatch.setitem(sys.modules, "sklearn", None)

    strict = build_router(config(kind="learned", threshold=0.9))

    assert isinstance(fitted, ScoringRouter)
    assert isinstance(fitted.scorer, LearnedScorer)
    assert isinstance(strict, ScoringRouter)
    second, familiarity = fitted.scorer.second, fitted.scorer.familiarity
    assert fitted.decision == Decision("general", fitted.scorer.threshold, familiarity=familiarity, second=second)
    assert strict.decision == Decision("general", 0.9, familiarity=familiarity, second=second)


@pytest.mark.parametrize(("section", "threshold"), [({}, 0.5), ({"threshold": 0.8}, 0.8)])
def test_a_given_scorer_is_decided_on_as_the_configuration_says(section: dict[str, Any], threshold: float) -> None:
    """Its fallback, and its threshold where it has one."""
    assert decision_of(config(kind="learned", **section)) == Decision("general", threshold)


def test_calls_and_prompts_are_known_without_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever shows or checks a file waits for no router."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    chain, learned = config(kind="chain", **SECTIONS["chain"]), config(kind="learned")
    broken = config(kind="chain", members=[{"kind": "learned"}, {"kind": "llm", "llm": "a", "prompt": "Hm {{ no }}"}])

    assert [(call.role, call.llm) for call in planned_calls(chain, question("Hi"))] == [("router", "a")]
    assert planned_calls(learned, question("Hi")) == ()
    assert check_prompts(chain) == check_prompts(learned) == []
    [problem] = check_prompts(broken)
    assert problem.startswith("router.members[1].prompt: unknown placeholder {{ no }}")
