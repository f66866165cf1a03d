"""`report.json`: what is written is read again, and what is none is named."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.errors import DataError
from mollm.evaluation.mixtures.comparing.compare import report_of
from mollm.evaluation.mixtures.report import Report, Side
from mollm.evaluation.mixtures.reports import read_report, to_json, write_report
from tests.evaluation.mixtures.pools import ABOUT, Final, gathered, lopsided
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(st.characters(), max_size=8)  # halves of surrogate pairs among them
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def made() -> Report:
    """A report with all its parts."""
    found = gathered(lopsided(20, 0), kinds=["maths", "other"])
    sure = tuple(replace(r, confidence=0.7) for r in found.answers)
    return asyncio.run(report_of([replace(found, answers=sure)], Final(), replace(ABOUT, routes=("maths",) * 20)))


MADE = made()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Every part, in a folder that was not there, over a report that was."""
    write_report(tmp_path / "new", replace(MADE, notes=("older",)))
    path = write_report(tmp_path / "new", MADE)

    assert path == tmp_path / "new" / "report.json"
    assert read_report(path) == MADE
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]
    assert MADE.mixtures[0].lost
    assert MADE.mixtures[0].domains
    assert MADE.router


@settings(max_examples=cases(40))
@given(TEXT, TEXT, st.none() | FINITE, FINITE, FINITE)
def test_texts_and_numbers_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, who: str, text: str, score: float | None, low: float, high: float
) -> None:
    """To the last bit; a text may hold anything that an LLM writes."""
    mixture = MADE.mixtures[0]
    side = Side(who, text, text or None, score, who or None)
    lost = replace(mixture.lost[0], answer=side, proposals=(side, side))
    arm = replace(mixture.arms[0], interval=(low, high), score=score, name=who)
    report = replace(MADE, mixtures=(replace(mixture, lost=(lost,), arms=(arm,)),), cost_usd=score)

    path = write_report(tmp_path_factory.mktemp("report"), report)

    assert read_report(path) == report


def test_a_number_that_is_none_is_not_written() -> None:
    """JSON has no word for it, and other programs would stumble over it."""
    with pytest.raises(ValueError, match="JSON"):
        to_json(replace(MADE, cost_usd=math.nan))


def changed(**values: Any) -> str:
    """The report with other values under some keys; None takes a key away."""
    data = json.loads(to_json(MADE)) | values
    return json.dumps({key: value for key, value in data.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"format": NaN}', "is not JSON: NaN is no number"),
        ('{"format": 1e999}', "is not JSON: 1e999 is no number"),
        ("[]", "is no report of `mollm eval mixtures`"),
        ('{"format": 1}', "it has no `format` and `mixtures`"),
        (changed(format=2), "format: is 2, and 1 is read here"),
        (changed(data=None), "data: is missing"),
        (changed(questions="many"), "questions: input should be a valid integer"),
        (changed(mixtures=[{"name": "m"}]), "mixtures.0.digest: is missing"),
        (changed(mixtures=[7]), "mixtures.0: input should be a dictionary"),
    ],
)
def test_what_is_no_report_is_named(tmp_path: Path, text: str, message: str) -> None:
    """With the file, and the key where one is wrong."""
    path = tmp_path / "report.json"
    path.write_text(text)

    with pytest.raises(DataError) as error:
        read_report(path)

    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_keys_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    """As long as the format is the same."""
    path = tmp_path / "report.json"
    path.write_text(changed(later={"more": 1}))

    assert read_report(path) == MADE


def test_a_report_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match=r"report\.json: cannot be written"):
        write_report(tmp_path / "file", MADE)
