"""The picture on the page about evaluation: the chart of a report, with as much of its style as it needs.

`python -m tests.evaluation.mixtures.picture` writes it again.
"""

from __future__ import annotations

from mollm.evaluation.mixtures.page.drawing import WIDE
from mollm.evaluation.mixtures.page.scatter import scatter
from mollm.evaluation.mixtures.page.style import STYLE
from tests.evaluation.mixtures.reports import sample_report
from tests.reference import ROOT

PICTURE = ROOT / "docs" / "score-against-cost.svg"


def picture() -> str:
    """An `<svg>` that stands alone."""
    chart, _, _ = scatter(sample_report().mixtures[0].arms, 417, "chart").partition("<figure>")[2].partition("</svg>")
    colors, _, _ = STYLE.partition("* {")
    rules = [line for line in STYLE.splitlines() if line.startswith("svg .")]
    text = 'svg { background: var(--page); font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--text) }'
    style = "\n".join(["<style>", colors.strip(), text, *rules, "</style>"])
    head, _, body = chart.partition(">")
    return f'{head} width="{WIDE}" xmlns="http://www.w3.org/2000/svg">{style}{body}</svg>\n'


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
