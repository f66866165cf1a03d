"""Routes, findings, mixtures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from mollm.catalog import WITH_TOOLS
from mollm.cli.printing.explanation import likely
from mollm.cli.printing.layout import console
from mollm.cli.printing.output import say
from mollm.evaluation.counting import count
from mollm.limits import worst_case
from mollm.printable import abridged, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.catalog import Catalog
    from mollm.cli.checks import Report
    from mollm.mixture import Mixture
    from mollm.types import Route


def print_routes(questions: Sequence[str], routes: Sequence[Route]) -> None:
    """Print decisions, the likeliest mixtures of each with their probabilities."""
    screen = console()
    for question, route in zip(questions, routes, strict=True):
        screen.print(Text(route.mixture, style="bold") + Text(f"  {abridged(question)}", style="not bold"))
        screen.print(Text(f"  {likely(route)}", style="dim"))
        screen.print(Text(f"  {printable(route.reason)}", style="dim"))


def print_findings(report: Report) -> None:
    """Print what `check` found."""
    for problem in report.problems:
        say(f"error: {problem}")
    for warning in report.warnings:
        say(f"warning: {warning}")
    if not report.problems and report.catalog:
        config = report.catalog.config
        counts = f"{count(len(config.mixtures), 'mixture')}, {count(len(config.llms), 'LLM')}"
        if keys := config.server.api_keys:
            counts += f", {count(len(keys), 'key')} ({', '.join(key.name for key in keys)})"
        sys.stdout.write(f"{printable(report.name)}: {counts}, {config.router_kind} router: nothing is wrong\n")


def shares(arms: Mapping[str, float]) -> str:
    """Write the arms of a test with their shares."""
    return ", ".join(f"{arm} {100 * share:g} %" for arm, share in arms.items())


def _comparing(mixture: Mixture) -> list[str]:
    """Who ranks and who analyzes the proposals, if anybody does."""
    review, analyst = mixture.review, mixture.analyst
    by = ("the workers" if review.by_workers else ", ".join(review.llms)) if review else ""
    return [*([f"ranked by {by}"] if review else []), *([f"analyzed by {analyst.llm}"] if analyst else [])]


def print_mixtures(catalog: Catalog) -> None:
    """Print mixtures and LLMs with the worst case of one question."""
    screen = console()
    config = catalog.config
    screen.print(Text(printable(str(config.path or "configuration")), style="dim"))
    for name, mixture in catalog.mixtures.items():
        worst = worst_case(catalog.plan(name)[0], catalog.llms)
        price = f", {worst.cost_usd:.6f} USD + prompt" if worst.cost_usd is not None else ""
        most = f"at most {count(worst.calls, 'call')}, {worst.output_tokens} output tokens{price}"
        is_fallback = " (fallback)" if name == config.fallback else ""
        screen.print(Text(name, style="bold") + Text(is_fallback, style="not bold dim"))
        screen.print(Text(printable(f"  {mixture.description}")))
        workers = ", ".join(worker.name for worker in mixture.workers)
        if mixture.chooser:
            workers = f"{mixture.chooser.most} of {workers} ({mixture.chooser.kind})"
        how = "bypass" if mixture.is_bypass else mixture.method
        who = mixture.judge.name if mixture.judge else mixture.llm
        by = f" by {who}" if who else ""
        steps = " -> ".join([workers, *_comparing(mixture), f"{how}{by}"])
        screen.print(Text(f"  {steps}; {most}", style="dim"))
        if arms := config.mixtures[name].arms:
            screen.print(Text(f"  arms: {shares(arms)}", style="dim"))
        if mixture.on_tools != "alone" or not mixture.acts_as_worker:
            with_tools = worst_case(catalog.plan(name, WITH_TOOLS)[0], catalog.llms)
            how = f"{mixture.on_tools}, by {mixture.tools_llm}; at most {count(with_tools.calls, 'call')}"
            screen.print(Text(f"  with tools: {how}", style="dim"))
    if config.router.arms:
        screen.print(Text(printable(f"arms of the router: {shares(config.router.arms)}"), style="dim"))
    screen.print()
    for name, llm in config.llms.items():
        screen.print(Text(name, style="bold") + Text(printable(f"  {llm.model} ({llm.kind})"), style="not bold dim"))
    if config.server.api_keys:
        screen.print()
    for key in config.server.api_keys:
        limits = key.limits.model_dump(exclude_none=True)
        most = ", ".join(
            f"{name}: {most:g}" if type(most) is float else f"{name}: {most}" for name, most in limits.items()
        )
        screen.print(Text(key.name, style="bold") + Text(f"  key, {most or 'without limits'}", style="not bold dim"))
