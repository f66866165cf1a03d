"""Tables: the arms, each member on each kind of question, where the router sends them, what is excluded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.page.markup import Markup, tag, together
from mollm.evaluation.mixtures.page.words import NONE, finite, number, percent, percents, short, squeezed, usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mollm.evaluation.mixtures.page.markup import Child
    from mollm.evaluation.mixtures.report import Arm, Confusion, Domains, Excluded

MOST = 200
"""Rows of a table; what is left out stands in report.json."""
_SHADES = 5
_FEW = 20


def scrolled(caption: Child, id_: str, head: Sequence[Child], rows: Iterable[Child]) -> Markup:
    """A table below its caption, which scrolls by itself where the page is narrow, with the keyboard too."""
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", rows), aria_labelledby=id_)
    box = tag("div", table, class_="scroll", tabindex=0, role="region", aria_labelledby=id_)
    return together(tag("p", caption, id=id_, class_="quiet"), box)


def column(name: Child, class_: str | None = None) -> Markup:
    """The head of a column."""
    return tag("th", name, scope="col", class_=class_)


def row_head(name: str) -> Markup:
    """The head of a row."""
    return tag("th", tag("bdi", squeezed(name, 80)), scope="row")


_COLUMNS: tuple[tuple[str, Callable[[Arm], str]], ...] = (
    ("score", lambda arm: percent(arm.score)),
    ("95 % interval", lambda arm: percents(arm.interval)),
    ("calls", lambda arm: number(arm.calls)),
    ("prompt tokens", lambda arm: number(arm.prompt_tokens)),
    ("completion tokens", lambda arm: number(arm.completion_tokens)),
    ("USD", lambda arm: usd(arm.cost_usd)),
    ("seconds", lambda arm: number(arm.seconds)),
    ("failed", lambda arm: f"{arm.failed:,}"),
)


def of_arms(arms: Sequence[Arm], questions: int, id_: str) -> Markup:
    """All arms, the best first, with what each takes per question; columns in which nothing stands are left out."""
    ranked = sorted(arms, key=_rank)
    shown = [(head, cell) for head, cell in _COLUMNS if any(cell(arm) != NONE for arm in arms)]
    caption = together(
        f"The best score first. A score is the mean over {count(questions, 'question')}; its interval holds 95 % of "
        "the means when the questions are drawn again. Calls, tokens, USD and seconds are means per question; "
        "failed are questions that ended with an error; they count 0. ",
        _left_out(len(arms)),
    )
    head = [column("arm"), *(column(name) for name, _ in shown)]
    return scrolled(caption, id_, head, [_arm(arm, [cell(arm) for _, cell in shown]) for arm in ranked[:MOST]])


def _rank(arm: Arm) -> tuple[bool, float]:
    known = finite(arm.score)
    return known is None, -(known or 0.0)


def _arm(arm: Arm, cells: Sequence[str]) -> Markup:
    front = tag("span", "on the Pareto front", class_="quiet") if arm.is_on_front else None
    why = tag("span", short(arm.why, 300), class_="quiet") if arm.why else None
    return tag(
        "tr",
        tag("th", tag("bdi", squeezed(arm.name, 80)), front, why, scope="row"),
        [tag("td", cell, class_="figure") for cell in cells],
        class_="main" if arm.kind == "mixture" else None,
    )


def of_domains(domains: Domains, id_: str) -> Markup:
    """A row for each member, a column for each kind of question, shaded by the score."""
    head = [
        column("member"),
        *(
            column([tag("bdi", short(kind, 40)), tag("span", count(many, "question"), class_="quiet")])
            for kind, many in zip(domains.kinds, domains.questions, strict=False)
        ),
    ]
    best = [max(known, default=None) for known in _known_columns(domains)]
    rows = [
        tag("tr", row_head(name), [_score(score, best[n] if n < len(best) else None) for n, score in enumerate(scores)])
        for name, scores in zip(domains.names[:MOST], domains.scores, strict=False)
    ]
    caption = [
        "Score of each on each kind of question. The stronger the shade, the higher; the best of a kind is underlined. "
    ]
    return scrolled([*caption, _left_out(len(domains.names))], id_, head, rows)


def _known_columns(domains: Domains) -> Iterator[list[float]]:
    for n in range(len(domains.kinds)):
        column_ = (finite(scores[n]) for scores in domains.scores if n < len(scores))
        yield [score for score in column_ if score is not None]


def _score(score: float | None, best: float | None) -> Markup:
    known = finite(score)
    if known is None:
        return tag("td", NONE)
    text: Child = tag("span", percent(known), class_="best") if known == best else percent(known)
    return tag("td", text, class_=f"figure h{_shade(known)}")


def _shade(share: float) -> int:
    return round(_SHADES * min(1.0, max(0.0, share)))


def of_confusion(confusion: Confusion, id_: str) -> Markup:
    """A row for each kind of question, a column for each mixture, shaded by the share of the row."""
    head = [column("kind"), *(column(tag("bdi", short(name, 40))) for name in confusion.mixtures)]
    rows = [
        tag("tr", row_head(kind), [_count(count, sum(counts)) for count in counts])
        for kind, counts in zip(confusion.kinds[:MOST], confusion.counts, strict=False)
    ]
    caption = [
        "Where the router sends the questions of each kind. The stronger the shade, the larger the share of the row. "
    ]
    return scrolled([*caption, _left_out(len(confusion.kinds))], id_, head, rows)


def _count(count: int, total: int) -> Markup:
    share = count / total if total > 0 else 0.0
    of = tag("span", percent(share, 0), class_="quiet") if count else None
    return tag("td", f"{count:,}", of, class_=f"figure h{_shade(share)}")


def of_excluded(excluded: Sequence[Excluded], id_: str) -> Markup:
    """Questions that count for no arm, with place and reason; many of them are folded."""
    head = [column(name, "text") for name in ("question", "place", "why")]
    rows = [
        tag("tr", row_head(row.id), [tag("td", tag("bdi", short(t, 300)), class_="text") for t in (row.place, row.why)])
        for row in excluded[:MOST]
    ]
    caption = [f"{count(len(excluded), 'question')} that count for no arm. ", _left_out(len(excluded))]
    table = scrolled(caption, id_, head, rows)
    if len(excluded) <= _FEW:
        return table
    return tag("details", tag("summary", f"Show {count(len(excluded), 'question')}"), table)


def _left_out(rows: int) -> str:
    return f"The first {MOST} of {rows:,}; all stand in report.json." if rows > MOST else ""
