"""How probable an answer is, is said of the workers that were measured, and of nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.errors import BadRequest, LimitError
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.types import Route
from tests.calibrations import written

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.types import Answer, Question

FOUR, FIVE = "The answer is 4.", "The answer is 5."
PANEL = {"workers": ["a", "b", "c"], "aggregator": {"method": "vote"}}
DOWN = Reply(error=BadRequest("no"))
FORM = {"response_format": {"type": "json_object"}}


def calibrated(folder: Path, *names: str, **mixture: Any) -> dict[str, Any]:
    """Two mixtures of three, of which those named have a calibration."""
    mixtures = {
        "m": {"description": "One.", "workers": ["a", "b", "c"], "aggregator": {"method": "vote"}, **mixture},
        "n": {"description": "Other.", "workers": ["a", "b", "d"], "aggregator": {"llm": "boss"}},
    }
    llms = {name: {"model": "x/y", "retries": 0} for name in ("a", "b", "c", "d", "boss")}
    config = {"llms": llms, "mixtures": mixtures, "router": {"fallback": "m"}}
    for name in names:
        alone = {
            **config,
            "mixtures": {name: {key: value for key, value in mixtures[name].items() if key != "arms"}},
            "router": {},
        }
        mixtures[name]["calibration"] = str(written(folder / f"{name}.json", alone, name))
    return config


def ask(config: dict[str, Any], router: Any = None, scripts: dict[str, Any] | None = None, **options: Any) -> Answer:
    """Ask it, with LLMs that say four unless something else is given."""
    llms = {name: ScriptedLLM((scripts or {}).get(name, FOUR)) for name in config["llms"]}
    with MoLLM(config, llms=llms, router=router) as asked:
        return asked.ask("How many?", **options)


class Both:
    """A router that sends every question to both mixtures."""

    kind = "both"

    async def route(self, _: Question, __: Any) -> Route:
        """Pick them."""
        return replace(Route("m", {"m": 0.5, "n": 0.5}, "both", "both"), second="n")


@pytest.mark.parametrize("names", [("m",), ("m", "n")], ids=["one calibrated", "both calibrated"])
def test_two_mixtures_joined_have_none(names: tuple[str, ...], tmp_path: Path) -> None:
    """All workers of both are asked, as many as there are, and that was never measured."""
    found = ask(calibrated(tmp_path, *names, ask_first=1, agree=0.75), router=Both())

    assert [p.worker for p in found.proposals] == ["a", "b", "c", "d"]
    assert found.confidence is None


def test_an_arm_has_that_of_its_own_mixture(tmp_path: Path) -> None:
    """Whatever the mixture has in whose place it answers."""
    config = calibrated(tmp_path, "m", arms={"current": 0.0, "n": 1.0})
    other = calibrated(tmp_path, "n", arms={"current": 0.0, "n": 1.0})

    without, own = ask(config, mixture="m"), ask(other, mixture="m")

    assert without.mixture == own.mixture == "n"
    assert without.confidence is None
    assert own.confidence == pytest.approx(0.9)


def test_the_same_workers_in_a_panel_or_alone_have_none(tmp_path: Path) -> None:
    """The file is named by a mixture, not by who is in it."""
    config = calibrated(tmp_path, "m")

    found = [ask(config, mixture=mixture) for mixture in ("m", PANEL, "a")]

    assert [answer.confidence for answer in found] == [pytest.approx(0.9), None, None]


def test_limits_that_leave_no_room_for_all_of_them_refuse_the_question(tmp_path: Path) -> None:
    """It is never asked of fewer, of whom something else would be known."""
    config = {**calibrated(tmp_path, "m"), "limits": {"calls": 2}}

    with pytest.raises(LimitError):
        ask(config, mixture="m")


def test_who_is_down_has_said_nothing(tmp_path: Path) -> None:
    """What is stated is that of an answer with as many votes as there were, and not of all three."""
    one_down, two_down = (
        ask(calibrated(tmp_path, "m"), scripts=dict.fromkeys(names, DOWN), mixture="m") for names in ("a", "ab")
    )

    assert one_down.confidence == pytest.approx(0.8)
    assert two_down.confidence == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("mixture", "is_said"), [({"ask_first": 1, "agree": 0.75}, True), ({}, False)], ids=["sure", "vote"]
)
def test_workers_that_answer_in_a_format_were_not_measured(
    mixture: dict[str, Any], is_said: bool, tmp_path: Path
) -> None:
    """Who was asked for JSON answers otherwise than who was asked to think: all are asked, and it is said why."""
    found = ask(calibrated(tmp_path, "m", **mixture), scripts=dict.fromkeys("abc", '{"n": 4}'), mixture="m", **FORM)

    assert (found.text, found.agreement, len(found.proposals)) == ('{"n": 4}', 1.0, 3)
    assert found.confidence is None
    assert found.degraded == (("no probability is known of answers in a format, so nobody was sure enough",) * is_said)


def test_workers_that_are_read_by_an_llm_are_not_asked_for_the_format(tmp_path: Path) -> None:
    """So what is known of them holds."""
    found = ask(calibrated(tmp_path, "n"), scripts={"boss": '{"answer": 4}'}, mixture="n", **FORM)

    assert found.confidence == pytest.approx(0.9)
