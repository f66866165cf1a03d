"""`mollm eval review`: what sways reviewers beside the quality of what they rank."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer evaluates annotations
from typing import Annotated

import typer

from mollm.cli.options import JsonOption  # noqa: TC001 - typer evaluates annotations


def review(
    data: Annotated[list[Path], typer.Argument(help="Files of answers that `mollm ask --json` printed.")],
    json: JsonOption = False,
) -> None:
    """Show whether reviewers favor long proposals, those they read first, or their own, and how far they agree."""
    from dataclasses import asdict

    from mollm.cli.printing.output import print_json, say
    from mollm.cli.printing.review import print_review
    from mollm.evaluation.answers import read_answers
    from mollm.evaluation.review import review_report

    report = review_report(answer for path in data for answer in read_answers(path))
    if not report.answers:
        say("no answer has a ranking; `mixtures.NAME.review` makes one")
    print_json(asdict(report)) if json else print_review(report)
