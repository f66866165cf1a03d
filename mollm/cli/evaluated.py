"""What a report of `mollm eval mixtures` says against the mixtures of a configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mollm.cli.printing.gathering import named
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
    if not found.keys() & config.mixtures.keys():
        yield _of_another(config, report, path)
        return
    for name, section in config.mixtures.items():
        place = config.place("mixtures", name)
        if name not in found:
            continue
        if found[name].digest != mixture_digest(config, section):
            yield f"{place}: {path} is about another version of this mixture; evaluate it again"
        elif is_not_worth_it(found[name]):
            yield f"{place}: by {path} it is {found[name].verdict.sentence}"
    if lacking := [name for name in config.mixtures if name not in found]:
        yield f"{path}: was not about {named(lacking)}, which {_file(config)} has; evaluate {_them(lacking)}"
    if gone := [name for name in found if name not in config.mixtures]:
        yield f"{path}: is also about {named(gone)}, which {_file(config)} does not have"


def _of_another(config: Config, report: Report, path: Path) -> str:
    """What to say of a report that has nothing to do with a file, such as one on a vote of recorded answers."""
    mixtures = f"the mixture{'s' * (len(report.mixtures) > 1)} {named([mixture.name for mixture in report.mixtures])}"
    about = f"{path}: is about {mixtures} of {report.config}, and {_file(config)} has no such mixture"
    return f"{about}; evaluate these with `mollm eval mixtures DATA --config FILE`"


def _file(config: Config) -> str:
    return str(config.path or "the configuration")


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def is_not_worth_it(mixture: MixtureReport) -> bool:
    """Whether a mixture is worse than its best member, or not better and no cheaper."""
    gain, kind = mixture.gain, mixture.verdict.kind
    is_cheaper = gain is not None and gain.cost_ratio is not None and gain.cost_ratio < 1 - SAME
    return kind == "worse" or (kind == "not better" and not is_cheaper)
