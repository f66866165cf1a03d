"""What a page says of scores: right and wrong where they are 0 or 1, else better, worse and how much."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mollm.evaluation.mixtures.page import page_of
from mollm.evaluation.mixtures.report import Report, Side
from tests.evaluation.mixtures.pages import drawings, read
from tests.evaluation.mixtures.reports import gain, sample_report

CALLED = re.compile(r"\b(right|wrong|correctness)\b", re.IGNORECASE)


def partial_report() -> Report:
    """Scores such as those of words in common."""
    whole = sample_report(lost=3)
    mixture = whole.mixtures[0]
    arms = tuple(replace(arm, score=arm.score and arm.score * 0.51) for arm in mixture.arms)
    lost = tuple(
        replace(
            one,
            answer=Side("math", "Some words.", None, 0.31),
            best=Side("qwen-72b", "Other words.", None, 0.62),
            proposals=(Side("phi-14b", "No word.", None, 0.0), Side("gemma-27b", "Every word.", None, 1.0)),
        )
        for one in mixture.lost
    )
    return replace(whole, router=None, mixtures=(replace(mixture, arms=arms, lost=lost),), is_exact=False)


def test_a_page_of_scores_between_calls_nothing_right_or_wrong() -> None:
    """Neither its texts nor its drawings; the scores stand there instead."""
    page = page_of(partial_report())
    whole = read(page).text
    told = [whole, *("".join(svg.itertext()) for svg in drawings(page))]

    assert [found[0] for text in told for found in CALLED.finditer(text)] == []
    assert "mean score" in whole
    assert "score 31.0\u00a0%" in whole
    assert "score 100.0\u00a0%" in whole
    assert "; no final answer" not in whole


def test_a_page_of_zeros_and_ones_says_right_and_wrong() -> None:
    """As it did."""
    text = read(page_of(sample_report(lost=3))).text

    assert [
        word for word in ("wrong to right", "How often the answer is right", "wrong; final") if word not in text
    ] == []


@pytest.mark.parametrize(("p", "written"), [(0.0009, ", p < 0.001;"), (0.001, ", p = 0.001;"), (1.0, ", p = 1.000;")])
def test_a_small_p_is_written_as_a_bound(p: float, written: str) -> None:
    """Nobody reads 0.000."""
    whole = sample_report(lost=0)
    mixture = replace(whole.mixtures[0], gain=gain(p=p), vote=None)

    assert written in read(page_of(replace(whole, mixtures=(mixture,)))).text


def test_a_verdict_says_what_is_scored_and_taken() -> None:
    """Beside the best member: calls, tokens and USD of a question."""
    text = read(page_of(sample_report(lost=0))).text

    assert (
        "It scores 90.6\u00a0% at 2.4 calls, 1,233 tokens and $0.00313 per question; "
        "the best member scores 87.1\u00a0% at 1 call, 452 tokens and $0.00121 per question."
    ) in text


def test_a_verdict_without_scores_says_nothing_of_them() -> None:
    """Where no question counts, there is nothing to say of calls either."""
    whole = sample_report(lost=0)
    arms = tuple(replace(arm, score=None) for arm in whole.mixtures[0].arms)

    assert "It scores" not in read(page_of(replace(whole, mixtures=(replace(whole.mixtures[0], arms=arms),)))).text


def test_columns_in_which_nothing_stands_are_left_out() -> None:
    """Prices that nobody knows take no room on a telephone."""
    whole = sample_report(lost=0)
    free = tuple(replace(arm, cost_usd=None) for arm in whole.mixtures[0].arms)
    heads = [read(page_of(report)).text.count("completion tokensUSD") for report in (whole, without(whole, free))]

    assert heads == [2, 1]


def without(report: Report, arms: tuple) -> Report:  # type: ignore[type-arg]
    """With other arms of the first mixture."""
    return replace(report, mixtures=(replace(report.mixtures[0], arms=arms), *report.mixtures[1:]))
