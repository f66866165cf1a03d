"""What is wrong, or doubtful, about a configuration, also where that shows only when it is built or asked."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mollm.calling.base import Request
from mollm.calling.quoting import with_quote
from mollm.catalog import NOTHING, WITH_TOOLS, Catalog
from mollm.config.load import load_config
from mollm.config.problems import warnings
from mollm.config.variables import missing_variables
from mollm.errors import BadRequest, ConfigError, EmptyReply, LimitError, LLMError, PromptError, UserError
from mollm.limits import check
from mollm.options import Settings
from mollm.pool import Pool
from mollm.routing.registry import build_router

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.types import Question

MESSAGES = ({"role": "user", "content": "Say yes."},)
PLACE = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "get_time", "description": "Tells the time.", "parameters": PLACE}}


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
        problems += _over_limits(catalog, NOTHING)
    found = [*warnings(config), *_not_served(config)]
    if catalog and not problems:
        found += (f"{text}; so every request with tools is refused" for text in _over_limits(catalog, WITH_TOOLS))
    return Report(str(config.path), tuple(problems), tuple(found), catalog, pool)


def _not_served(config: Config) -> Iterator[str]:
    """Why `mollm serve` would not start. Only it reads that section, and its variables may be set there alone."""
    server = config.server
    has_all = not any(missing_variables(key.key.get_secret_value()) for key in server.api_keys if key.key)
    if server.model_fields_set and has_all and not config.unset("server"):
        from mollm.server.keys import Keys

        try:
            Keys(config)
        except ConfigError as error:
            yield from (f"{problem}; `mollm serve` does not start" for problem in error.problems)


def _over_limits(catalog: Catalog, question: Question) -> Iterator[str]:
    config = catalog.config
    for name in catalog.mixtures:
        try:
            plan, arithmetic = catalog.plan(name, question)
            check(config.limits, plan, catalog.llms, f"mixture {name!r}", arithmetic)
        except LimitError as error:
            yield f"{config.place('mixtures', name)}: {error}"


async def check_online(report: Report) -> Report:
    """Call every LLM once, and with a tool those that have the tools of a request, all at the same time.

    An LLM that fails is a problem. One that only refuses tools is warned of: not every request has some.
    """
    catalog = report.catalog
    if catalog is None:
        return report
    mixtures: dict[str, list[str]] = {}
    for name, mixture in catalog.config.mixtures.items():
        mixtures.setdefault(mixture.acting_llm, []).append(name)
    found, refused = await asyncio.gather(
        asyncio.gather(*(_called(catalog, name) for name in catalog.llms)),
        asyncio.gather(*(_offered(catalog, name, mixtures[name]) for name in mixtures)),
    )
    await report.pool.aclose()
    failed = {name for name, problem in zip(catalog.llms, found, strict=True) if problem}
    refusals = (text for name, text in zip(mixtures, refused, strict=True) if text and name not in failed)
    problems = (*report.problems, *filter(None, found))
    return replace(report, problems=problems, warnings=(*report.warnings, *refusals))


async def _called(catalog: Catalog, name: str) -> str | None:
    """Call an LLM, and say how that failed."""
    try:
        await catalog.llms[name].complete(Request(MESSAGES, Settings(max_tokens=8)))
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


async def _offered(catalog: Catalog, name: str, mixtures: Sequence[str]) -> str | None:
    """Call an LLM with a tool, and say whether that was refused. All else, a call cut off included, is no refusal."""
    if catalog.config.llms[name].kind == "replay":
        return None
    with suppress(LLMError, UserError):
        try:
            await catalog.llms[name].complete(Request(MESSAGES, Settings(max_tokens=8, tools=(TOOL,))))
        except BadRequest as error:
            of = f"it has the tools of requests to {', '.join(mixtures)}, and refuses tools"
            return f"{name}: {of}: {with_quote(error.message, error.said)}"
    return None


def _told(error: LLMError) -> str:
    """How a call failed, and what the provider said: whoever checks a configuration is who mends it."""
    return with_quote(str(error), error.said)
