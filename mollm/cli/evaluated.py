"""What a report of `mollm eval mixtures` says against the mixtures of a configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.config.members import mixture_digest
from mollm.evaluation.mixtures.comparing.sentences import SAME
from mollm.evaluation.mixtures.reports import read_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mollm.cli.checks import Report as Checked
    from mollm.config.config import Config
    from mollm.evaluation.mixtures.report import MixtureReport, Report


def with_evaluated(checked: Checked, path: Path) -> Checked:
    """Add warnings of mixtures that are not worth it by a report, or that it is not about.

    Raises:
        DataError: The report cannot be read.
    """
    report = read_report(path)
    if checked.catalog is None:
        return checked
    return replace(checked, warnings=(*checked.warnings, *_warnings(checked.catalog.config, report, path)))


def _warnings(config: Config, report: Report, path: Path) -> Iterator[str]:
    found = {mixture.name: mixture for mixture in report.mixtures}
    for name, section in config.mixtures.items():
        place = config.place("mixtures", name)
        if name not in found:
            yield f"{place}: {path} has no such mixture; evaluate it"
        elif found[name].digest != mixture_digest(config, section):
            yield f"{place}: {path} is about another version of this mixture; evaluate it again"
        elif is_not_worth_it(found[name]):
            yield f"{place}: by {path} it is {found[name].verdict.sentence}"
    for name in found:
        if name not in config.mixtures:
            yield f"{path}: is about a mixture {name!r}, which {config.path or 'the configuration'} does not have"


def is_not_worth_it(mixture: MixtureReport) -> bool:
    """Whether a mixture is worse than its best member, or not better and no cheaper."""
    gain, kind = mixture.gain, mixture.verdict.kind
    is_cheaper = gain is not None and gain.cost_ratio is not None and gain.cost_ratio < 1 - SAME
    return kind == "worse" or (kind == "not better" and not is_cheaper)
