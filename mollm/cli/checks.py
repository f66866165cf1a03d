"""What is wrong, or doubtful, about a configuration, also where that shows only when it is built or asked."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mollm.calling.base import Request
from mollm.calling.quoting import with_quote
from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.config.problems import warnings
from mollm.errors import BadRequest, ConfigError, EmptyReply, LimitError, LLMError, PromptError, UserError
from mollm.limits import check
from mollm.options import Settings
from mollm.pool import Pool
from mollm.routing.registry import build_router

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a configuration."""

    name: str
    """The file."""
    problems: tuple[str, ...] = ()
    """Why it cannot be used as it stands."""
    warnings: tuple[str, ...] = ()
    """What can be used, but is probably not meant so."""
    catalog: Catalog | None = None
    """Built from it, where it could be."""
    pool: Pool = field(default_factory=Pool)
    """Has its LLMs."""


def check_config(source: str | Path | None = None) -> Report:
    """Find everything that is wrong with a configuration, without calling an LLM."""
    try:
        config = load_config(source)
    except ConfigError as error:
        return Report(str(source or "configuration"), tuple(error.problems))
    problems: list[str] = []
    catalog, pool = None, Pool()
    try:
        catalog = Catalog(config, pool)
    except ConfigError as error:
        problems += error.problems
    try:
        with suppress(PromptError):  # the catalog has named it
            build_router(config)
    except ConfigError as error:
        problems += error.problems
    if catalog:
        problems += _over_limits(catalog)
    return Report(str(config.path), tuple(problems), tuple(warnings(config)), catalog, pool)


def _over_limits(catalog: Catalog) -> Iterator[str]:
    config = catalog.config
    for name in catalog.mixtures:
        try:
            plan, arithmetic = catalog.plan(name)
            check(config.limits, plan, catalog.llms, f"mixture {name!r}", arithmetic)
        except LimitError as error:
            yield f"{config.place('mixtures', name)}: {error}"


async def check_online(report: Report) -> Report:
    """Call every LLM once, all at the same time, and add what fails."""
    catalog = report.catalog
    if catalog is None:
        return report
    request = Request([{"role": "user", "content": "Say yes."}], Settings(max_tokens=8))

    async def call(name: str) -> str | None:
        try:
            await catalog.llms[name].complete(request)
        except BadRequest as error:
            # The recorded answers were read to get here; that nobody recorded this question says nothing.
            return None if catalog.config.llms[name].kind == "replay" else _told(error)
        except EmptyReply as error:
            # Eight tokens are too few for an LLM that thinks first; it replied, and that was the question.
            return None if error.code == "reasoning_only" else _told(error)
        except LLMError as error:
            return _told(error)
        except UserError as error:
            return f"{name}: {error}"
        return None

    found = await asyncio.gather(*(call(name) for name in catalog.llms))
    await report.pool.aclose()
    return replace(report, problems=(*report.problems, *(problem for problem in found if problem)))


def _told(error: LLMError) -> str:
    """How a call failed, and what the provider said: whoever checks a configuration is who mends it."""
    return with_quote(str(error), error.said)
