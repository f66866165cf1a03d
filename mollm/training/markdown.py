"""The report of a trained router as text to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mollm.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WHOLE = 12
"""Up to so many labels, the whole confusion matrix is shown; of more, the pairs that are confused."""


def markdown(report: dict[str, Any]) -> str:
    """Write a report; `report` is what `Report.to_plain` gives."""
    parts = [
        f"# {report['version']}",
        _made(report),
        *_warned(report["warnings"]),
        *(_measured(report) if report["held_out"] else ["Nothing was held out, so nothing was measured."]),
        *(_rated(report["feedback"]) if report["feedback"] else []),
        "## How it was made",
        _settings(report),
    ]
    return "\n\n".join(parts) + "\n"


def _made(report: dict[str, Any]) -> str:
    labels = report["data"]["labels"]
    fitted = f"Fitted by `{report['method']}` on {report['data']['questions']:,} questions of {len(labels)} mixtures"
    return f"{fitted}, {report['created']}."


def _warned(warnings: Sequence[str]) -> Iterator[str]:
    if warnings:
        yield "## About the data"
        yield "\n".join(f"- {_plain(warning)}" for warning in warnings)


def _measured(report: dict[str, Any]) -> Iterator[str]:
    held_out, method = report["held_out"], report["method"]
    low, high = held_out["interval"]
    yield "## On questions that it did not see"
    yield (
        f"A router fitted in the same way on {held_out['fitted_on']:,} of the questions, asked about the other "
        f"{held_out['questions']:,}. The router in this folder has seen all of them.\n"
        f"With 95 % its accuracy lies between {low:.1%} and {high:.1%}."
    )
    rows = (
        [(method, held_out)]
        if method == "naive-bayes"
        else [(method, held_out), ("naive-bayes", held_out["naive-bayes"])]
    )
    majority = held_out["majority"]
    keys = ("accuracy", "macro_f1", "calibration_error", "doubted")
    lines = [[name, *(_share(figures[key]) for key in keys)] for name, figures in rows]
    yield _table(
        ["method", "accuracy", "macro F1", "calibration error", "doubted"],
        [*lines, [f"always {majority['label']}", _share(majority["accuracy"]), "", "", ""]],
    )
    if held_out["not_measured"]:
        names = ", ".join(map(_plain, held_out["not_measured"]))
        yield f"Not measured, for want of questions: {names}."
    yield "## What the thresholds cost"
    yield _thresholds(report)
    if held_out["several"]:
        yield "## Questions of several mixtures"
        yield _several(held_out["several"], held_out["questions"])
    yield "## Mixtures"
    yield _labels(held_out["labels"], report["data"]["labels"])
    yield "## Confusions"
    yield from _confused(held_out)


def _thresholds(report: dict[str, Any]) -> str:
    cost, settings = report["held_out"]["thresholds"], report["settings"]
    lines = [
        f"A question is doubted if its probability is below {cost['threshold']:.3f} or its familiarity below "
        f"{cost['familiarity']:.3f}. Together they are meant to doubt {_share(settings['false_alarms'])} of the "
        f"questions of these mixtures; of those held out {_share(cost['doubted'])} are doubted.",
        f"Right where it is sure: {_share(cost['accuracy_where_sure'])}. "
        f"Right where it doubts: {_share(cost['accuracy_where_doubted'])}.",
        f"The router in this folder has {report['router']['threshold']:.3f} and {report['router']['familiarity']:.3f}.",
    ]
    return "\n".join(lines)


def _several(found: dict[str, Any], questions: int) -> str:
    rows = [
        [name, *(_share(found[key][figure]) for figure in ("micro_f1", "macro_f1", "exact"))]
        for name, key in (("with a second mixture", "joined"), ("without", "first_only"))
    ]
    said = (
        f"{found['several']:,} of the {questions:,} questions belong to several mixtures; above, any of them counts as "
        f"right. With `multi: true` a second mixture that suits by {found['bound']:.3f} is joined; either half of the "
        "questions is measured by the bound that is best on the other half."
    )
    return said + "\n\n" + _table(["decided", "micro F1", "macro F1", "exactly right"], rows)


def _labels(labels: dict[str, Any], counts: dict[str, int]) -> str:
    """A row for each mixture, the hardest first."""
    hardest = sorted(labels, key=lambda label: (labels[label]["f1"], label))
    rows = [
        [
            label,
            *(_share(labels[label][key]) for key in ("precision", "recall", "f1", "doubted")),
            str(labels[label]["questions"]),
            str(counts.get(label, 0)),
        ]
        for label in hardest
    ]
    return _table(["mixture", "precision", "recall", "F1", "doubted", "held out", "questions"], rows)


def _confused(held_out: dict[str, Any]) -> Iterator[str]:
    pairs, labels = held_out["confusions"], sorted(held_out["labels"])
    shown = [pair for pair in pairs if pair["examples"]]
    yield "![confusion matrix](confusion.svg)"
    if not pairs:
        yield "None."
        return
    if len(labels) <= WHOLE:
        yield "Rows as labeled, columns as routed:"
        yield _matrix(held_out, labels)
    yield "The pairs confused most:" if len(pairs) > len(shown) else "The pairs that are confused:"
    rows = [[pair["label"], pair["taken_for"], f"{pair['questions']} of {pair['of']}"] for pair in shown]
    examples = ["<br>".join(map(_plain, pair["examples"])) for pair in shown]
    plain = [[*map(_plain, row), example] for row, example in zip(rows, examples, strict=True)]
    yield _lines(["mixture", "taken for", "questions", "for example"], plain)


def _matrix(held_out: dict[str, Any], labels: Sequence[str]) -> str:
    wrong = {(pair["label"], pair["taken_for"]): pair["questions"] for pair in held_out["confusions"]}
    taken = list(dict.fromkeys([*labels, *(name for _, name in wrong)]))
    rows = []
    for label in labels:
        right = held_out["labels"][label]["questions"] - sum(wrong.get((label, other), 0) for other in taken)
        wrongs = [str(right if other == label else wrong.get((label, other), "")) for other in taken]
        rows.append([label, *wrongs])
    return _table(["", *taken], rows)


def _rated(feedback: dict[str, Any]) -> Iterator[str]:
    yield "## On what people said of answers"
    yield "\n".join(f"- {_plain(line)}" for line in feedback["said"])


def _settings(report: dict[str, Any]) -> str:
    settings, versions = report["settings"], report["versions"]
    embedder = settings["embedder"]
    rows = [
        ["method", report["method"]],
        ["fallback", settings["fallback"]],
        ["wanted false alarms", _share(settings["false_alarms"])],
        ["held out", f"{_share(settings['held_out'])}, seed {settings['seed']}"],
        *([["vectors", f"{embedder['name']} ({embedder['digest'][:16]})"]] if embedder else []),
        ["fit", _cost(report["fit"])],
        ["digest of the data", report["data"]["digest"]],
        ["digest of the router", report["router"]["digest"]],
        ["versions", ", ".join(f"{name} {number}" for name, number in versions.items())],
    ]
    return _table(["", ""], rows)


def _cost(fit: dict[str, Any]) -> str:
    took = f"{fit['seconds']:.1f} s, of CPU {fit['cpu_seconds']:.1f} s"
    return took if fit["peak_mb"] is None else f"{took}; peak memory of the process {fit['peak_mb']:,.0f} MB"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return _lines(list(map(_plain, head)), [list(map(_plain, row)) for row in rows])


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def _plain(text: str) -> str:
    """A text that stays in its cell, and is shown as it stands whatever it holds."""
    line = " ".join(printable(text).split())
    return re.sub(r"([\\`*\[\]<>|!&~$])|(?<!\w)_|_(?!\w)", lambda found: f"\\{found[0]}", line)
