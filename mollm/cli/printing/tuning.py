"""What `mollm tune` found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from mollm.cli.printing.layout import console
from mollm.printable import printable

if TYPE_CHECKING:
    from mollm.cli.tuning_files import Written
    from mollm.evaluation.tuning.evidence import Source
    from mollm.evaluation.tuning.outcomes import Outcome
    from mollm.evaluation.tuning.settings import Setting
    from mollm.evaluation.tuning.tune import Tuned


def print_tuned(found: Tuned, written: Written) -> None:
    """Print the evidence, and where the mixture was written."""
    from mollm.evaluation.tuning.evidence import lines

    screen = console()
    places = [str(path) for path in (written.path, written.calibration) if path]
    for line in (*lines(found), *written.notes, "", f"Written to {' and '.join(places)}"):
        screen.print(Text(printable(line)))


def to_plain(found: Tuned, source: Source, written: Written) -> dict[str, Any]:
    """The same as plain data."""
    confirmed, gain, setting = found.confirmed, found.confirmed.gain, found.found.setting
    return {
        "written": str(written.path),
        "calibration": None if written.calibration is None else str(written.calibration),
        "calibration_error": written.error,
        "notes": list(written.notes),
        "is_mixture": found.is_mixture,
        "method": found.method,
        "reason": found.reason,
        "date": source.date,
        "data": source.data,
        "data_digest": source.digest,
        "seed": found.seed,
        "questions": {
            "searched": found.searched,
            "held_out": len(confirmed.alone.scores),
            "excluded": dict(found.excluded),
        },
        "tried": found.found.tried,
        "best": {"llm": found.found.best_member, **_both(found.found.alone, confirmed.alone)},
        "vote": None if confirmed.vote is None else _figures(confirmed.vote),
        "found": None if setting is None else {**_setting(setting), **_both(found.found.outcome, confirmed.outcome)},
        "verdict": {
            "kind": confirmed.verdict.kind,
            "enough": confirmed.verdict.enough,
            "gain": None
            if gain is None
            else {
                "difference": gain.difference,
                "interval": list(gain.interval),
                "p": gain.p,
                "gains": gain.gains,
                "losses": gain.losses,
                "questions": gain.questions,
            },
        },
        "aggregated": [
            {"method": tried.method, "questions": len(tried.outcome.scores), **_figures(tried.outcome)}
            | {"verdict": tried.verdict.kind, "sentence": tried.verdict.sentence}
            for tried in found.aggregated
        ],
        "gap": found.gap,
        "front": [
            {**_setting(setting), **_both(outcome, held_out)}
            for (setting, outcome), held_out in zip(found.found.front, confirmed.front, strict=True)
        ],
    }


def _setting(setting: Setting) -> dict[str, Any]:
    return {
        "members": list(setting.members),
        "ask_first": setting.ask_first,
        "agree": setting.until,
        "widen": setting.widen,
    }


def _both(searched: Outcome | None, held_out: Outcome | None) -> dict[str, Any]:
    return {
        "searched": None if searched is None else _figures(searched),
        "held_out": None if held_out is None else _figures(held_out),
    }


def _figures(outcome: Outcome) -> dict[str, float | None]:
    cost = outcome.mean_cost if outcome.is_priced else None
    return {"score": outcome.score, "calls": outcome.mean_calls, "cost_usd": cost}
