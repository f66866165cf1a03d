"""The whole page, from top to bottom."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.comparing.sentences import p_in_words
from mollm.evaluation.mixtures.page import charts, lost, tables
from mollm.evaluation.mixtures.page.correctness import agreement, turned
from mollm.evaluation.mixtures.page.costs import taken
from mollm.evaluation.mixtures.page.drawing import figure, twice
from mollm.evaluation.mixtures.page.markup import Markup, tag
from mollm.evaluation.mixtures.page.scatter import scatter
from mollm.evaluation.mixtures.page.style import STYLE
from mollm.evaluation.mixtures.page.words import finite, percent, points, short, span, usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.report import Arm, Gain, MixtureReport, Report

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Nothing is loaded and nothing runs, whatever an LLM wrote."""
_KINDS = {"better": "better", "worse": "worse", "not better": "same"}
_MOST_NOTES = 50
_HOW = (
    "Score of the mixture less that of what it is held against; a percentage point is {point}. Lines are "
    "95 % intervals: where one reaches across 0, there may be no difference. p is how often chance alone brings a "
    "difference as large as this."
)
_POINT = ("a hundredth of the best score that there can be", "one question of 100")
_HELD = (("mixture", "It"), ("best", "the best member"))


def page_of(report: Report) -> str:
    """Write a report as one page of HTML, which needs no other file and has no script.

    Texts of LLMs, of questions and of files are shown as texts, whatever stands in them. What is long is cut, with a
    word about it; `report.json` has the whole.
    """
    title = f"Mixtures on {short(PurePath(report.data).name, 80)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    main = tag("main", _verdicts(report), [_mixture(report, n) for n in range(len(report.mixtures))], *_last(report))
    body = tag("body", tag("header", tag("h1", title), _about(report), _contents(report)), main)
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _about(report: Report) -> Markup:
    answers = "recorded answers; no LLM was called" if report.is_replayed else f"{count(report.calls, 'call')} made"
    said = f"{count(report.questions, 'question')}, scored by {short(report.score, 200)}, {answers}."
    return tag("p", said, " ", tag("span", short(report.date.partition("T")[0], 40), class_="quiet"))


def _contents(report: Report) -> Markup:
    names = [(f"m{n}", tag("bdi", short(mixture.name, 40))) for n, mixture in enumerate(report.mixtures)]
    further = [("router", "Router"), *([("notes", "Notes")] if report.notes else []), ("made", "How it was made")]
    links = [("verdicts", "Verdicts"), *names, *(further if report.router else further[1:])]
    return tag(
        "nav", tag("ul", [tag("li", tag("a", text, href=f"#{to}")) for to, text in links]), aria_label="Contents"
    )


def _section(id_: str, heading: Markup | str, *children: Markup | list[Markup] | None) -> Markup:
    return tag("section", tag("h2", heading, id=f"{id_}-head"), *children, id=id_, aria_labelledby=f"{id_}-head")


def _verdicts(report: Report) -> Markup:
    shown = [row for mixture in report.mixtures for row in _differences(mixture)]
    drawn = None
    if shown:
        pictures = twice(lambda width, shape: charts.forest(shown, width, shape, f"forest-{shape.split()[0]}"))
        drawn = figure(_HOW.format(point=_POINT[report.is_exact]), *pictures)
    none = None if report.mixtures else tag("p", "There is no mixture in this report.")
    return _section("verdicts", "Is it worth it?", [_verdict(mixture) for mixture in report.mixtures], none, drawn)


def _differences(mixture: MixtureReport) -> Iterator[tuple[str, Gain]]:
    for gain in (mixture.gain, mixture.vote):
        if gain is not None and charts.is_drawn(gain):
            yield f"{short(mixture.name, 40)} \u2212 {_whom(gain)}", gain


def _whom(gain: Gain) -> str:
    return short(gain.whom or gain.member, 80)


def _verdict(mixture: MixtureReport) -> Markup:
    kind, sentence, enough = mixture.verdict.kind, short(mixture.verdict.sentence, 600), mixture.verdict.enough
    said = tag("span", tag("span", class_="sign", aria_hidden="true"), short(kind, 40), class_="said")
    more = f"{count(enough, 'question')} would be enough to tell." if enough and f"{enough:,}" not in sentence else None
    return tag(
        "div",
        tag("h3", tag("bdi", short(mixture.name, 60)), ": ", said),
        tag("p", sentence[:1].upper() + sentence[1:], "." if sentence[-1:].isalnum() else None),
        tag("p", _price(mixture.arms)),
        tag("p", more) if more else None,
        [tag("p", _in_figures(gain), class_="quiet") for gain in (mixture.gain, mixture.vote) if gain],
        class_=f"verdict {_KINDS.get(kind, 'open')}",
    )


def _price(arms: Sequence[Arm]) -> str | None:
    """What the mixture scores and takes, beside the best member."""
    found = ((who, arm) for kind, who in _HELD for arm in arms if arm.kind == kind and finite(arm.score) is not None)
    said = [f"{who} scores {percent(arm.score)}{_at(arm)}" for who, arm in found]
    return f"{'; '.join(said)}." if said else None


def _at(arm: Arm) -> str:
    known = taken(arm)
    return f" at {known} per question" if known else ""


def _in_figures(gain: Gain) -> str:
    ends = span(gain.interval)
    between = f" (95 %: {points(ends[0])} to {points(ends[1])})" if ends else ""
    known = finite(gain.p)
    p = "" if known is None else f", {p_in_words(known)}"
    return (
        f"Against {_whom(gain)}: {points(gain.difference)} percentage points{between}{p}; better on "
        f"{gain.gains:,} and worse on {gain.losses:,} of {count(gain.questions, 'question')}."
    )


def _mixture(report: Report, n: int) -> Markup:
    mixture, id_, exact = report.mixtures[n], f"m{n}", report.is_exact
    return _section(
        id_,
        tag("bdi", short(mixture.name, 60)),
        tag("p", f"{count(mixture.questions, 'question')}."),
        tag("h3", "Score against cost"),
        scatter(mixture.arms, mixture.questions, id_),
        tag("h3", "All arms"),
        tables.of_arms(mixture.arms, mixture.questions, f"{id_}-arms"),
        *agreement(mixture, id_, is_exact=exact),
        *_further(mixture, id_, is_exact=exact),
        *_lost(report, mixture),
    )


def _further(mixture: MixtureReport, id_: str, *, is_exact: bool) -> Iterator[Markup]:
    if mixture.domains and mixture.domains.kinds:
        yield tag("h3", "Kinds of questions")
        yield tables.of_domains(mixture.domains, f"{id_}-domains")
    if mixture.turned:
        yield tag("h3", "What the aggregator turned")
        yield turned(mixture.turned, id_, is_exact=is_exact)
    if mixture.excluded:
        yield tag("h3", "Excluded questions")
        yield tables.of_excluded(mixture.excluded, f"{id_}-excluded")


def _lost(report: Report, mixture: MixtureReport) -> Iterator[Markup]:
    if not mixture.gain and not mixture.lost:
        return
    yield tag("h3", "Questions that it lost")
    if not mixture.lost:
        yield tag("p", "None: the best member answers no question better.")
        return
    yield tag(
        "p",
        f"{count(len(mixture.lost), 'question')} that the best member answers better. "
        "Final answers are marked. Long texts are cut where it says so; report.json has all of them.",
    )
    budget = lost.BUDGET // sum(bool(other.lost) for other in report.mixtures)
    yield lost.losses(mixture.lost, budget, is_exact=report.is_exact)


def _last(report: Report) -> Iterator[Markup]:
    if report.router:
        accuracy = finite(report.router.accuracy)
        said = "No kind of question is the name of a mixture, so none is right or wrong."
        if accuracy is not None:
            said = f"{percent(accuracy)} of the questions go to the mixture that their kind names."
        yield _section("router", "Router", tag("p", said), tables.of_confusion(report.router, "router-confusion"))
    if report.notes:
        more = len(report.notes) - _MOST_NOTES
        left = tag("li", f"{more:,} more, in report.json.") if more > 0 else None
        notes = [tag("li", short(note, 2000)) for note in report.notes[:_MOST_NOTES]]
        yield _section("notes", "Notes", tag("ul", notes, left))
    yield _section("made", "How it was made", tag("dl", list(_made(report)), class_="made"))


def _made(report: Report) -> Iterator[Markup]:
    digests = [f"{short(mixture.name, 40)} {short(mixture.digest, 80)}" for mixture in report.mixtures[:_MOST_NOTES]]
    rows: Sequence[tuple[str, str]] = (
        ("Data", short(report.data, 300)),
        ("Digest of the data", short(report.data_digest, 100)),
        ("Questions", f"{report.questions:,}"),
        ("Configuration", short(report.config, 300)),
        ("Digests of the mixtures", "; ".join(digests)),
        ("Score", short(report.score, 300)),
        ("Answers", "recorded; no LLM was called" if report.is_replayed else "live"),
        ("Calls for this report", f"{report.calls:,}"),
        ("Cost of this report", usd(report.cost_usd)),
        ("Date", short(report.date, 40)),
        ("Format of report.json", str(report.format)),
    )
    for name, value in rows:
        yield tag("dt", name)
        yield tag("dd", value)
