"""Where answers are right: by agreement, by stated confidence, and by what the aggregator made of the proposals.

Where scores are not all 0 or 1 it is the mean score instead of the share that is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.evaluation.mixtures.page import axes, labels
from mollm.evaluation.mixtures.page.boxes import Box
from mollm.evaluation.mixtures.page.charts import bars
from mollm.evaluation.mixtures.page.drawing import NARROW, across, figure, line, picture, upright, words
from mollm.evaluation.mixtures.page.markup import Markup, tag
from mollm.evaluation.mixtures.page.words import finite, percent, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.report import Bin, MixtureReport, Turned


def agreement(mixture: MixtureReport, id_: str, *, is_exact: bool) -> Iterator[Markup]:
    """The score by agreement and by confidence, as far as there is something to draw."""
    agreed, confident = _binned(mixture.agreement), _binned(mixture.confidence)
    what = "correctness" if is_exact else "score"
    halves = []
    if agreed:
        rows = [(_bin_name(b), b.right, _counted(b, is_exact=is_exact)) for b in agreed]
        heads = ("agreement", "right" if is_exact else "mean score")
        drawn = bars(rows, f"Agreement against {what}", heads, f"{id_}-agreement")
        said = "How often the answer is right, of how many questions" if is_exact else "The mean score of n answers"
        caption = f"{said}, by the share of proposals that agree on it."
        halves.append(tag("div", tag("h3", f"Agreement against {what}"), figure(caption, drawn)))
    if confident:
        drawn = _reliability(confident, f"{id_}-confidence", is_exact=is_exact)
        shown = figure(_calibrated(mixture, is_exact=is_exact), drawn)
        halves.append(tag("div", tag("h3", f"Confidence against {what}"), shown))
    if halves:
        yield tag("div", halves, class_="pair")


def _calibrated(mixture: MixtureReport, *, is_exact: bool) -> str:
    error = finite(mixture.calibration_error)
    off = (
        ""
        if error is None
        else (
            f"On average, the stated confidence is {100 * error:.1f} percentage points off "
            "(expected calibration error). "
        )
    )
    holds = "it holds exactly" if is_exact else "confidence and mean score are the same"
    return f"{off}On the dotted diagonal {holds}; below it the mixture is too sure. Numbers are questions."


def _reliability(bins: Sequence[Bin], id_: str, *, is_exact: bool) -> Markup:
    """The share that is right, or the mean score, against the stated confidence; on the diagonal they are the same."""
    left, top, right, bottom = 50.0, 24.0, NARROW - 24.0, NARROW - 70.0
    wide, tall = axes.Axis(0.0, 1.0, left, right), axes.Axis(0.0, 1.0, bottom, top)
    ticks = [(tick, percent(tick, 0)) for tick in wide.ticks(5)]
    spots = sorted((wide.at(b.mean), tall.at(b.right)) for b in bins)
    curve = tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in spots), class_="curve")
    counts = {(wide.at(b.mean), tall.at(b.right)): f"{b.questions:,}" for b in bins}
    texts = [counts[spot] for spot in spots]
    placed = labels.place(spots, [labels.width_of(text) for text in texts], Box(left + 2, 2, NARROW - 2, bottom - 2))
    what = "right" if is_exact else "mean score"
    said = "; ".join(f"{percent(b.mean)} stated, {percent(b.right)} {what} of {b.questions:,}" for b in bins)
    return picture(
        "Confidence against correctness" if is_exact else "Confidence against score",
        f"{said}.",
        (NARROW, NARROW - 24),
        words(what, 4, 14, "tick"),
        across(wide, ticks, top, bottom),
        upright(tall, ticks, left, right),
        line(left, bottom, right, top, "level"),
        curve,
        [tag("circle", cx=x, cy=y, r=4.5, class_="main dot") for x, y in spots],
        [
            words(text, spot.box.left + 1, spot.box.bottom - 4, "name")
            for text, spot in zip(texts, placed or (), strict=False)
        ],
        words("stated confidence", (left + right) / 2, bottom + 38, "tick", "middle"),
        shape="small",
        id_=id_,
    )


def _binned(bins: Sequence[Bin]) -> list[Bin]:
    """Those that can be drawn."""
    return [b for b in bins if b.questions > 0 and _is_drawn(b.mean) and _is_drawn(b.right)]


def _is_drawn(value: float) -> bool:
    known = share(value)
    return known is not None and known >= 0


def _bin_name(b: Bin) -> str:
    """What the answers of a bin have in common."""
    low, high = share(b.low), share(b.high)
    if low is None or high is None or low == high:
        return percent(b.mean, 0)
    return f"{100 * low:.0f} to {percent(high, 0)}"


def _counted(b: Bin, *, is_exact: bool) -> str:
    """What is written behind its bar."""
    return f"{percent(b.right, 0)} of {b.questions:,}" if is_exact else f"{percent(b.right, 0)}, n = {b.questions:,}"


def turned(counts: Turned, id_: str, *, is_exact: bool) -> Markup:
    """What the aggregator made of the best proposals."""
    if counts.questions <= 0:
        return tag("p", "It wrote no answer.")
    names = ("wrong to right", "right to wrong") if is_exact else ("better", "worse")
    most = max(1, counts.right, counts.wrong)
    rows = [
        (name, many / most, f"{many:,} of {counts.questions:,}")
        for name, many in zip(names, (counts.right, counts.wrong), strict=True)
    ]
    drawn = bars(rows, "What the aggregator turned", ("turned", "answers"), f"{id_}-turned")
    what = "What it wrote, against the answer that the best proposal would have been without it"
    return figure(f"{what}.", drawn)
