"""`mollm check --evaluated`: what a report says against the mixtures of a file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from mollm.cli.evaluated import is_not_worth_it
from mollm.cli.main import app
from mollm.config.load import load_config
from mollm.config.members import mixture_digest
from mollm.errors import DataError
from mollm.evaluation.mixtures.comparing.compare import report_of
from mollm.evaluation.mixtures.reports import write_report
from mollm.types import Usage
from tests.evaluation.mixtures.pools import ABOUT, Final, column, equals, gathered, lopsided, pool

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.evaluation.mixtures.records import Gathered

POOL = """
llms: {a: {model: scripted/1}, b: {model: scripted/1}}
mixtures:
  maths: {description: Sums., workers: [a, b], aggregator: {method: vote}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration."""
    file = tmp_path / "mollm.yaml"
    file.write_text(POOL)
    return file


def warned(path: Path, found: Gathered, *, digest: str | None = None) -> list[str]:
    """Write a report on a mixture, check the file by it, and return what is said beside that nothing is wrong."""
    config = load_config(path)
    digest = mixture_digest(config, config.mixtures["maths"]) if digest is None else digest
    report = asyncio.run(report_of([replace(found, digest=digest)], Final(), ABOUT))
    result = CliRunner().invoke(app, ["check", str(path), "--evaluated", str(write_report(path.parent, report))])

    assert result.exit_code == 0, result.output
    assert "nothing is wrong" in result.stdout
    lines = [line for line in result.stderr.splitlines() if "never picks" not in line]
    return [line.replace(f"{path.parent}/", "") for line in lines]


def test_a_lopsided_mixture_is_warned_of(path: Path) -> None:
    """With its place in the file, and the sentence of the report."""
    [line] = warned(path, gathered(lopsided(300, 0)))

    assert line.startswith(
        "warning: mollm.yaml:4: mixtures.maths: by report.json it is worse than a alone on these 300"
    )


def test_a_pool_of_equals_is_not(path: Path) -> None:
    """Its vote is better than each of them."""
    assert warned(path, gathered(equals(300, 0))) == []


def test_too_few_questions_are_no_reason_to_warn(path: Path) -> None:
    """Nothing is shown by them."""
    assert warned(path, gathered(lopsided(8, 0))) == []


def test_no_better_at_a_higher_cost_is_warned_of(path: Path) -> None:
    """And not where it takes less."""
    found = gathered(dict.fromkeys("ab", ["1"] * 600))
    cheap = tuple(replace(r, usage=found.alone["a"][0].usage) for r in found.answers)
    cheaper = tuple(replace(r, usage=replace(r.usage, prompt_tokens=0, completion_tokens=9)) for r in found.answers)

    [line] = warned(path, found)

    assert "it is not better than a alone on these 600 questions: 0 gains, 0 losses, 2.0 times the tokens" in line
    assert len(warned(path, replace(found, answers=cheap))) == 1
    assert warned(path, replace(found, answers=cheaper)) == []


def test_a_mixture_that_is_no_better_than_its_writer_is_warned_of(path: Path) -> None:
    """However much better it is than each of its workers."""
    weak = gathered(pool((0.5, 0.4, 0.4), 300, 0))
    strong = column(pool((0.9,), 300, 1)["a"])
    written = tuple(replace(answer, usage=Usage(100, 200, 300)) for answer in strong)

    [line] = warned(path, replace(weak, answers=written, readers={"strong": strong}))

    assert line.endswith("not better than strong alone on these 300 questions: 0 gains, 0 losses, 10 times the tokens")


def test_a_report_about_another_version_says_nothing_about_this_one(path: Path) -> None:
    """However bad that one was."""
    assert warned(path, gathered(lopsided(300, 0)), digest="other") == [
        "warning: mollm.yaml:4: mixtures.maths: report.json is about another version of this mixture; evaluate it again"
    ]


def test_a_report_that_has_no_mixture_of_the_file_says_once_what_it_is_about(path: Path) -> None:
    """One on a vote of recorded answers was never about any file, however many mixtures that has."""
    more = "".join(f"  {name}: {{description: d, workers: [a]}}\n" for name in ("one", "two", "three"))
    path.write_text(f"{POOL}{more}router: {{kind: fixed, fallback: maths}}\n")

    assert warned(path, replace(gathered(lopsided(300, 0)), mixture="vote")) == [
        "warning: report.json: is about the mixture vote of mollm.yaml, and mollm.yaml has no such mixture; "
        "evaluate these with `mollm eval mixtures DATA --config FILE`"
    ]


def test_mixtures_that_one_has_and_the_other_has_not_take_a_line_each_way(path: Path) -> None:
    """What they share is told as ever."""
    more = "".join(f"  {name}: {{description: d, workers: [a]}}\n" for name in ("one", "two"))
    path.write_text(f"{POOL}{more}router: {{kind: fixed, fallback: maths}}\n")
    config, score = load_config(path), Final()
    found = replace(gathered(equals(300, 0)), digest=mixture_digest(config, config.mixtures["maths"]))
    report = asyncio.run(report_of([found, replace(found, mixture="old")], score, ABOUT))
    result = CliRunner().invoke(app, ["check", str(path), "--evaluated", str(write_report(path.parent, report))])

    assert [line.replace(f"{path.parent}/", "") for line in result.stderr.splitlines() if "report" in line] == [
        "warning: report.json: was not about one, two, which mollm.yaml has; evaluate them",
        "warning: report.json: is also about old, which mollm.yaml does not have",
    ]


def test_a_report_that_is_none_is_an_error(path: Path) -> None:
    """It names the file; the command ends with the exit code of what one can mend."""
    result = CliRunner().invoke(app, ["check", str(path), "--evaluated", str(path)])

    assert isinstance(result.exception, DataError)
    assert str(result.exception).startswith(f"{path}: is not JSON")


def test_a_mixture_of_one_member_is_worth_it() -> None:
    """There is nothing that it could be worse than."""
    report = asyncio.run(report_of([gathered({"a": ["1"]})], Final(), ABOUT))

    assert not is_not_worth_it(report.mixtures[0])
