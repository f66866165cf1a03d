"""What is wrong, or doubtful, about a configuration."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mollm.calling.base import Request
from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.config.variables import VARIABLE
from mollm.errors import BadRequest, ConfigError, EmptyReply, LimitError, LLMError, PromptError, UserError
from mollm.limits import check
from mollm.pool import Pool
from mollm.routing.registry import build_router
from mollm.types import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mollm.config.config import Config


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    name: str
    """The file."""
    problems: tuple[str, ...] = ()
    """It cannot be used as it stands."""
    warnings: tuple[str, ...] = ()
    """It can, but is probably not meant so."""
    catalog: Catalog | None = None
    """Built from it, where it could be."""
    pool: Pool = field(default_factory=Pool)
    """Has its LLMs."""


def check_config(source: str | Path | None = None) -> Report:
    """Find everything that is wrong with a configuration, without calling anybody."""
    try:
        config = load_config(source)
    except ConfigError as error:
        return Report(str(source or "configuration"), tuple(error.problems))
    report = Report(str(config.path), warnings=tuple(_warnings(config)))
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
        for mixture in catalog.mixtures.values():
            try:
                plan, arithmetic = catalog.plan(mixture.name)
                check(config.limits, plan, catalog.llms, f"mixture {mixture.name!r}", arithmetic)
            except LimitError as error:
                problems.append(f"{config.place('mixtures', mixture.name)}: {error}")
    return replace(report, problems=tuple(problems), catalog=catalog, pool=pool)


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
            # Recorded answers have been read by now; that nobody recorded this question says nothing.
            return None if catalog.config.llms[name].kind == "replay" else str(error)
        except EmptyReply as error:
            # Eight tokens are too few for an LLM that thinks first; it is there, and that was the question.
            return None if error.code == "reasoning_only" else str(error)
        except LLMError as error:
            return str(error)
        except UserError as error:
            return f"{name}: {error}"
        return None

    found = await asyncio.gather(*(call(name) for name in catalog.llms))
    await report.pool.aclose()
    return replace(report, problems=(*report.problems, *(problem for problem in found if problem)))


def _warnings(config: Config) -> Iterator[str]:
    for name, llm in config.llms.items():
        if llm.api_key and not VARIABLE.search(llm.api_key.get_secret_value()):
            yield f"{config.place('llms', name, 'api_key')}: a key in the file; write ${{VARIABLE}} instead"
        if name not in config.used_llms:
            yield f"{config.place('llms', name)}: no mixture uses this LLM"
    reads_descriptions = bool(config.router_llms)
    is_trained = any(getattr(section.config, "path", None) for section in config.router_sections)
    for name, mixture in config.mixtures.items():
        if name == config.fallback:
            pass
        elif config.router_kind == "fixed":
            yield f"{config.place('mixtures', name)}: the fixed router never picks it; it can be asked by name"
        elif not (mixture.examples or reads_descriptions or is_trained):
            yield f"{config.place('mixtures', name)}: without `examples` the router never picks it; only by name"
        if mixture.ask_first != "all" and mixture.agree is None and mixture.enough is None:
            yield f"{config.place('mixtures', name, 'ask_first')}: without `agree` or `enough` all are asked in the end"
