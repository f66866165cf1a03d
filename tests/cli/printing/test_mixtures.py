"""The report on mixtures in a terminal: sixty columns, the verdict first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from mollm.cli.printing.mixtures import print_mixtures_report
from mollm.evaluation.mixtures.comparing.compare import report_of
from mollm.evaluation.mixtures.records import Gathered
from mollm.evaluation.mixtures.report import Confusion, Excluded, Turned
from tests.evaluation.mixtures.pools import ABOUT, Final, column, gathered, lopsided, rows_of, voted

if TYPE_CHECKING:
    from mollm.evaluation.mixtures.report import Report


def made(*found: Gathered) -> Report:
    """What is reported of mixtures."""
    return asyncio.run(report_of(found, Final(), ABOUT))


def printed(report: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines, without the blank ones."""
    print_mixtures_report(report)
    return [line for line in capsys.readouterr().out.splitlines() if line]


def test_the_verdicts_come_first_and_then_every_arm(capsys: pytest.CaptureFixture[str]) -> None:
    """With score, interval, calls, tokens and seconds; money only where there are prices."""
    lines = printed(made(gathered({"a": ["1"] * 8, "b": ["2"] * 8})), capsys)

    assert lines[:2] == ["questions.jsonl: 8 questions, scored by final, recorded", "answers"]
    assert lines[2] == "maths: whether it is better than a alone cannot be told from"
    assert lines[3].startswith("these 8 questions: 0 gains, 0 losses, 2.0 times the")
    at = lines.index("maths: 8 questions")
    assert lines[at + 1].split() == ["score", "95", "%", "calls", "tokens", "s"]
    assert lines[at + 2].split() == ["maths", "100.0", "100-100", "2.00", "60", "2.0"]
    assert lines[at + 3].split() == ["a", "alone", "*", "100.0", "100-100", "1.00", "30", "1.0"]
    assert "  random member  50.0  50.0-50.0  1.00     30   1.0" in lines
    assert "    - it was not asked" in lines
    assert "  * nothing scores as high at as low a cost" in lines


@pytest.mark.parametrize("columns", ["40", "200"])
def test_no_line_is_longer_than_sixty_columns(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With prices, long and wide names, and every part there is; nothing steers the terminal."""
    monkeypatch.setenv("COLUMNS", columns)
    name, rows = "long-name-of-an-llm-" * 4 + "\x1b[31m漢字", rows_of(6, ["a kind with a rather long name" * 2])
    alone = {
        who: column(finals, cost_usd=123.456)
        for who, finals in ((name, ["1", "1", "2", None, "1", "1"]), ("b", ["2"] * 6))
    }
    answers = tuple(replace(r, confidence=0.7) for r in voted(alone, rows))
    report = made(Gathered("maths", rows, answers, alone))
    mixture = replace(
        report.mixtures[0],
        turned=Turned(1, 2, 3),
        excluded=tuple(Excluded(f"q{n}", f"questions.jsonl:{n}", "why " * 90) for n in range(7)),
    )
    router = Confusion(("maths",), ("maths", "other"), ((3, 1),), 0.75)

    lines = printed(replace(report, mixtures=(mixture,), router=router, notes=("What is said. " * 9,)), capsys)

    assert max(map(cell_len, lines)) <= 60
    assert "\x1b" not in "".join(lines)
    for part in (
        "from right to wrong",
        "and 2 more",
        "by kind",
        "calibration error",
        "where the router sends",
        "123.4",
    ):
        assert part in " ".join(line.strip() for line in lines), part


def test_what_a_lopsided_mixture_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """Gains, losses, interval and p stand under the table, against the best member and against a vote of all."""
    lines = printed(made(gathered(lopsided(300, 0))), capsys)

    at = lines.index("maths: paired")
    assert lines[at + 1] == "  against a alone"
    assert lines[at + 2].endswith(", p < 0.001")
    assert lines[at + 4] == "  against a plain vote of 5"
    assert lines[at + 6] == "    0 gains, 0 losses, as many tokens"


@pytest.mark.parametrize(
    ("is_exact", "shown"),
    [
        (True, ("right, by agreement", "from right to wrong      1", "from wrong to right      2")),
        (
            False,
            (
                "mean score, by agreement",
                "worse than the best proposal       1",
                "neither                            4",
            ),
        ),
    ],
)
def test_answers_are_called_right_only_where_scores_are_0_or_1(
    is_exact: bool, shown: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half the words of a reference make an answer better than none of them, and not right."""
    report = made(gathered(lopsided(20, 0)))
    turned = replace(report.mixtures[0], turned=Turned(1, 2, 7))

    lines = "\n".join(printed(replace(report, mixtures=(turned,), is_exact=is_exact), capsys))

    assert all(part in lines for part in shown)
    assert ("right" in lines) is is_exact
