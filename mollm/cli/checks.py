"""What is wrong, or doubtful, about a configuration, also where that shows only when it is built or asked."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mollm.calling.base import Request
from mollm.calling.quoting import with_quote
from mollm.catalog import NOTHING, WITH_TOOLS, Catalog
from mollm.choosing import within
from mollm.config.load import load_config
from mollm.config.problems import warnings
from mollm.config.variables import missing_variables
from mollm.embeddings.factory import build_embedder
from mollm.embeddings.remote import RemoteEmbedder
from mollm.errors import BadRequest, ConfigError, EmptyReply, LimitError, LLMError, PromptError, UserError
from mollm.feedback.stores import store_of
from mollm.limits import check
from mollm.mcp import check_installed
from mollm.options import Settings
from mollm.pool import Pool
from mollm.routing.pairs import inseparable
from mollm.routing.registry import build_arms, build_router
from mollm.routing.trained import never_picked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.config.embeddings import EmbeddingsConfig
    from mollm.config.places import KeyPath
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
            build_arms(config)
    except ConfigError as error:
        problems += (problem for problem in error.problems if problem not in problems)
    if catalog:
        problems += _over_limits(catalog, NOTHING)
    found = [*warnings(config), *never_picked(config), *_not_kept(config), *_not_served(config)]
    found += _inseparable(config)
    if catalog:
        found += _narrowed(catalog)
    if catalog and not problems:
        found += (f"{text}; so every request with tools is refused" for text in _over_limits(catalog, WITH_TOOLS))
    return Report(str(config.path), tuple(problems), tuple(found), catalog, pool)


def _not_kept(config: Config) -> Iterator[str]:
    """Why no answers would be kept; the file is not made here."""
    store = store_of(config)
    if store is not None and not os.access(store.path if store.path.exists() else store.path.parent, os.W_OK):
        yield f"{config.place('feedback', 'path')}: {store.path} cannot be written, so no answers are kept"


def _not_served(config: Config) -> Iterator[str]:
    """Why `mollm serve` would not start. Only it reads that section, and its variables may be set there alone."""
    server = config.server
    has_all = not any(missing_variables(key.key.get_secret_value()) for key in server.api_keys if key.key)
    if server.model_fields_set and has_all and not config.unset("server"):
        from mollm.server.keys import Keys

        try:
            Keys(config)
            if server.mcp:
                check_installed(config.place("server", "mcp"))
        except ConfigError as error:
            yield from (f"{problem}; `mollm serve` does not start" for problem in error.problems)


def _narrowed(catalog: Catalog) -> Iterator[str]:
    """Which choices the limits leave fewer workers than the file says, and prices that are not there to count."""
    for name, mixture in catalog.mixtures.items():
        if not mixture.chooser:
            continue
        choose = ("mixtures", name, "workers", "choose")
        plan, arithmetic = catalog.plan(name)
        try:
            check(catalog.config.limits, plan, catalog.llms, f"mixture {name!r}", arithmetic)
        except LimitError as error:
            yield f"{catalog.config.place(*choose, 'most')}: {error}; fewer workers are chosen then"
        free = [llm for llm in mixture.candidates if catalog.llms[llm].price is None]
        if mixture.chooser.kind == "predicted" and 0 < len(free) < len(mixture.candidates):
            text = f"without a price {', '.join(free)} counts as free beside the others"
            yield f"{catalog.config.place(*choose, 'from')}: {text}"


def _inseparable(config: Config) -> Iterator[str]:
    """Mixtures that no router can tell apart; the fixed one does not have to."""
    if config.router_kind == "fixed":
        return
    descriptions = {name: mixture.description for name, mixture in config.mixtures.items()}
    with suppress(ConfigError):  # a file of examples is missing, which whoever built the router has named
        by_examples = any(section.kind != "llm" for section in config.router_sections)
        for one, other, why in inseparable(descriptions, config.examples(), by_examples=by_examples):
            yield f"{config.place('mixtures', other)}: no router can tell it from {one!r}: {why}"


def _over_limits(catalog: Catalog, question: Question) -> Iterator[str]:
    config = catalog.config
    for name, mixture in catalog.mixtures.items():
        try:
            if mixture.chooser:  # which may choose fewer, down to a single worker
                within(catalog, mixture, catalog.plan_before(mixture, question), question)
            else:
                plan, arithmetic = catalog.plan(name, question)
                check(config.limits, plan, catalog.llms, f"mixture {name!r}", arithmetic)
        except LimitError as error:
            yield f"{config.place('mixtures', name)}: {error}"


async def check_online(report: Report) -> Report:
    """Call every LLM once, and with a tool those that have the tools of a request, all at the same time.

    An LLM that fails is a problem, and so is an address that brings no vectors. An LLM that only refuses tools is
    warned of: not every request has some.
    """
    catalog = report.catalog
    if catalog is None:
        return report
    mixtures: dict[str, list[str]] = {}
    for name, mixture in catalog.config.mixtures.items():
        mixtures.setdefault(mixture.acting_llm, []).append(name)
    found, refused, unembedded = await asyncio.gather(
        asyncio.gather(*(_called(catalog, name) for name in catalog.llms)),
        asyncio.gather(*(_offered(catalog, name, mixtures[name]) for name in mixtures)),
        asyncio.gather(*(_embedded(catalog.config, key, section) for key, section in _addresses(catalog.config))),
    )
    await report.pool.aclose()
    failed = {name for name, problem in zip(catalog.llms, found, strict=True) if problem}
    refusals = (text for name, text in zip(mixtures, refused, strict=True) if text and name not in failed)
    problems = (*report.problems, *filter(None, found), *filter(None, unembedded))
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


def _addresses(config: Config) -> list[tuple[KeyPath, EmbeddingsConfig]]:
    """The addresses that routers ask for vectors, by their keys."""
    sections = (section for section in config.router_sections if section.kind in ("learned", "semantic"))
    found = {place[1]: place[0] for place in map(config.embedder_of, sections) if place}
    return [(key, section) for key, section in found.items() if section.kind == "openai"]


async def _embedded(config: Config, key: KeyPath, section: EmbeddingsConfig) -> str | None:
    """Ask for one vector, and say how that failed."""
    embedder = build_embedder(section, config, key)
    try:
        await embedder.aembed([MESSAGES[0]["content"]])
    except LLMError as error:
        return f"{config.place(*key)}: {_told(error)}"
    finally:
        if isinstance(embedder, RemoteEmbedder):
            await embedder.aclose()
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
