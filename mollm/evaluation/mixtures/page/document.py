"""The whole page, from top to bottom."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from mollm.evaluation.counting import count
from mollm.evaluation.mixtures.comparing.sentences import p_value
from mollm.evaluation.mixtures.page import charts, lost, tables
from mollm.evaluation.mixtures.page.drawing import figure, twice
from mollm.evaluation.mixtures.page.markup import Markup, tag
from mollm.evaluation.mixtures.page.scatter import scatter
from mollm.evaluation.mixtures.page.style import STYLE
from mollm.evaluation.mixtures.page.words import finite, percent, points, short, span, usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mollm.evaluation.mixtures.report import Gain, MixtureReport, Report, Turned

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Nothing is loaded and nothing runs, whatever an LLM wrote."""
_KINDS = {"better": "better", "worse": "worse", "not better": "same"}
_MOST_NOTES = 50


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
        drawn = figure(
            "Score of the mixture less that of what it is held against. Lines are 95 % intervals.", *pictures
        )
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
        tag("p", sentence[:1].upper() + sentence[1:]),
        tag("p", more) if more else None,
        [tag("p", _in_figures(gain), class_="quiet") for gain in (mixture.gain, mixture.vote) if gain],
        class_=f"verdict {_KINDS.get(kind, 'open')}",
    )


def _in_figures(gain: Gain) -> str:
    ends = span(gain.interval)
    between = f" (95 %: {points(ends[0])} to {points(ends[1])})" if ends else ""
    known = finite(gain.p)
    p = "" if known is None else f", {p_value(known)}"
    return (
        f"Against {_whom(gain)}: {points(gain.difference)} percentage points{between}{p}; better on "
        f"{gain.gains:,} and worse on {gain.losses:,} of {count(gain.questions, 'question')}."
    )


def _mixture(report: Report, n: int) -> Markup:
    mixture, id_ = report.mixtures[n], f"m{n}"
    return _section(
        id_,
        tag("bdi", short(mixture.name, 60)),
        tag("p", f"{count(mixture.questions, 'question')}."),
        tag("h3", "Score against cost"),
        scatter(mixture.arms, id_),
        tag("h3", "All arms"),
        tables.of_arms(mixture.arms, f"{id_}-arms"),
        *_agreement(mixture, id_),
        *_further(mixture, id_),
        *_lost(report, mixture),
    )


def _agreement(mixture: MixtureReport, id_: str) -> Iterator[Markup]:
    agreement, confidence = charts.binned(mixture.agreement), charts.binned(mixture.confidence)
    halves = []
    if agreement:
        rows = [(charts.bin_name(b), b.right, charts.counted_right(b)) for b in agreement]
        bars = charts.bars(rows, "Agreement against correctness", ("agreement", "right"), f"{id_}-agreement")
        caption = "How often the answer is right, of how many questions, by the share of proposals that agree on it."
        halves.append(tag("div", tag("h3", "Agreement against correctness"), figure(caption, bars)))
    if confidence:
        drawn = figure(_calibrated(mixture), charts.reliability(confidence, f"{id_}-confidence"))
        halves.append(tag("div", tag("h3", "Confidence against correctness"), drawn))
    if halves:
        yield tag("div", halves, class_="pair")


def _calibrated(mixture: MixtureReport) -> str:
    error = finite(mixture.calibration_error)
    off = (
        ""
        if error is None
        else (
            f"On average, the stated confidence is {100 * error:.1f} percentage points off "
            "(expected calibration error). "
        )
    )
    return f"{off}On the dotted diagonal it holds exactly; below it the mixture is too sure. Numbers are questions."


def _further(mixture: MixtureReport, id_: str) -> Iterator[Markup]:
    if mixture.domains and mixture.domains.kinds:
        yield tag("h3", "Kinds of questions")
        yield tables.of_domains(mixture.domains, f"{id_}-domains")
    if mixture.turned:
        yield tag("h3", "What the aggregator turned")
        yield _turned(mixture.turned, id_)
    if mixture.excluded:
        yield tag("h3", "Excluded questions")
        yield tables.of_excluded(mixture.excluded, f"{id_}-excluded")


def _turned(turned: Turned, id_: str) -> Markup:
    if turned.questions <= 0:
        return tag("p", "It wrote no answer.")
    pairs = (("wrong to right", turned.right), ("right to wrong", turned.wrong))
    most = max(1, turned.right, turned.wrong)
    rows = [(name, many / most, f"{many:,} of {turned.questions:,}") for name, many in pairs]
    drawn = charts.bars(rows, "What the aggregator turned", ("turned", "answers"), f"{id_}-turned")
    return figure("Against the answer that the best proposal would have been without it.", drawn)


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
    yield lost.losses(mixture.lost, lost.BUDGET // sum(bool(other.lost) for other in report.mixtures))


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
