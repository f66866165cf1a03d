"""What is written beside a trained router: how good it is, on questions that it did not see, and how it was made."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from mollm.evaluation import metrics
from mollm.evaluation.questions import mixtures_of
from mollm.training.markdown import markdown
from mollm.training.picture import picture

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from mollm.evaluation.cost import Cost
    from mollm.evaluation.picks import Picks
    from mollm.routing.learned import LearnedScorer
    from mollm.training.data import Labelled
    from mollm.training.figures import HeldOut
    from mollm.training.methods import Training
    from mollm.training.regret import Regret

JSON, MARKDOWN, PICTURE = "report.json", "report.md", "confusion.svg"
SHOWN = 20
"""Pairs, those confused most often, whose questions are shown."""
QUOTED = 3
"""Questions that are shown of each."""
LONGEST = 160
"""Characters that are shown of a question."""
LIBRARIES = ("mollm", "numpy", "scikit-learn", "torch", "tokenizers")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a router, fitted on a part of the questions, and naive Bayes beside it say of the others."""

    seen: Labelled
    """What they were fitted on."""
    held_out: Labelled
    """What they were asked."""
    chosen: HeldOut
    baseline: HeldOut
    """By naive Bayes."""
    threshold: float
    """Of the router that was measured, as `LearnedScorer.threshold`."""
    familiarity: float


@dataclass(frozen=True, slots=True)
class Report:
    """All that there is to say of a trained router."""

    version: str
    created: datetime
    data: Labelled
    how: Training
    scorer: LearnedScorer
    """Fitted on all of the data."""
    fit: Cost
    """What that took."""
    measured: Measured | None
    """None if nothing was held out."""
    regret: Regret | None = None
    """None without ratings."""

    def to_plain(self) -> dict[str, Any]:
        """As plain data; shares are 0 to 1."""
        counts = {label: len(texts) for label, texts in sorted(self.data.by_mixture().items())}
        how, embedder = self.how, self.scorer.embedder
        return {
            "version": self.version,
            "created": self.created.isoformat(timespec="seconds"),
            "method": how.method,
            "settings": {
                "fallback": how.fallback,
                "false_alarms": how.false_alarms,
                "held_out": how.held_out,
                "seed": how.seed,
                "embedder": None if embedder is None else {"name": embedder.name, "digest": embedder.digest},
            },
            "data": {"digest": self.data.digest, "questions": len(self.data.texts), "labels": counts},
            "router": {
                "digest": self.scorer.digest,
                "threshold": self.scorer.threshold,
                "familiarity": self.scorer.familiarity,
                "second": self.scorer.second,
            },
            "fit": self.fit.to_plain(),
            "warnings": list(self.data.warnings),
            "held_out": None if self.measured is None else _measured(self.measured),
            "feedback": None if self.regret is None else self.regret.to_plain(),
            "versions": {"python": platform.python_version()}
            | {name: v for name in LIBRARIES if (v := _installed(name))},
        }


def write(report: Report, folder: Path) -> None:
    """Write a report as JSON, as text to read, and its confusion matrix as a picture.

    Raises:
        OSError: The folder cannot be written.
    """
    plain = report.to_plain()
    (folder / JSON).write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / MARKDOWN).write_text(markdown(plain), "utf-8")
    if report.measured is not None:
        picks = report.measured.chosen.picks
        (folder / PICTURE).write_text(picture(picks.labels, picks.confusion), "utf-8")


def _measured(measured: Measured) -> dict[str, Any]:
    chosen, joined = measured.chosen.picks, measured.chosen.joined
    questions, labels = len(chosen.truth), chosen.labels
    counts = {name: len(texts) for name, texts in measured.seen.by_mixture().items()}
    commonest = max(labels, key=lambda label: (counts.get(label, 0), label))
    precision, recall, f1 = metrics.of_each(chosen.confusion)
    asked, doubted = np.bincount(chosen.truth, minlength=len(labels)), ~chosen.is_sure
    doubts = np.bincount(chosen.truth[doubted], minlength=len(labels))
    return {
        "questions": questions,
        "fitted_on": len(measured.seen.texts),
        "not_measured": [label for label, count in zip(labels, asked, strict=True) if not count],
        **_figures(chosen),
        "interval": metrics.interval(chosen.accuracy, questions),
        "naive-bayes": _figures(measured.baseline.picks),
        "majority": {
            "label": commonest,
            "accuracy": sum(commonest in mixtures_of(label) for label in measured.held_out.labels) / questions,
        },
        "several": None if joined is None else asdict(joined),
        "thresholds": {
            "threshold": measured.threshold,
            "familiarity": measured.familiarity,
            "doubted": float(doubted.mean()),
            "accuracy_where_sure": chosen.sure_accuracy if chosen.is_sure.any() else None,
            "accuracy_where_doubted": float(chosen.right[doubted].mean()) if doubted.any() else None,
        },
        "labels": {
            label: {
                "precision": float(precision[row]),
                "recall": float(recall[row]),
                "f1": float(f1[row]),
                "questions": int(asked[row]),
                "doubted": float(doubts[row] / asked[row]),
            }
            for row, label in enumerate(labels)
            if asked[row]
        },
        "confusions": _confusions(measured),
    }


def _figures(picks: Picks) -> dict[str, float]:
    return {
        "accuracy": picks.accuracy,
        "macro_f1": picks.macro_f1,
        "calibration_error": picks.calibration_error,
        "doubted": 1.0 - picks.sure,
    }


def _confusions(measured: Measured) -> list[dict[str, Any]]:
    """All pairs that are confused, the most frequent ones first and with some of the questions."""
    chosen, texts = measured.chosen.picks, measured.held_out.texts
    wrong = chosen.confusion - np.diag(np.diag(chosen.confusion))
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: (-wrong[*pair], pair))
    found = []
    for number, (label, taken) in enumerate(pairs):
        rows = np.flatnonzero((chosen.truth == label) & (chosen.likeliest == taken))
        found.append(
            {
                "label": chosen.labels[label],
                "taken_for": chosen.labels[taken],
                "questions": len(rows),
                "of": int((chosen.truth == label).sum()),
                "examples": [texts[row][:LONGEST] for row in rows[: QUOTED if number < SHOWN else 0]],
            }
        )
    return found


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
