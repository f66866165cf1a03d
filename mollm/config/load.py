"""YAML, dictionary or `Config` in; a validated `Config` out.

Everything wrong is found in one pass and named by file, line and key.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mollm.config.places import KeyPath, Places, is_file, named_path, read_yaml
from mollm.config.schema import (
    AggregatorConfig,
    Config,
    LimitsConfig,
    LLMConfig,
    MemberConfig,
    MixtureConfig,
    PaceConfig,
    PriceConfig,
    RouterConfig,
    RouterSection,
    ServerConfig,
    TimeoutConfig,
    WorkerConfig,
    packaged_folder,
)
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
RESERVED_NAMES = ("auto", "router")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def default_path() -> Path:
    """The configuration used when none is named: `$MOLLM_CONFIG`, `mollm.yaml` here, the packaged one."""
    named = os.environ.get("MOLLM_CONFIG")
    if named:
        return Path(named)
    here = Path("mollm.yaml")
    return here if here.is_file() else packaged_folder() / "mixtures" / "local.yaml"


def load_config(source: str | Path | Mapping[str, Any] | Config | None = None) -> Config:
    """Read and validate a configuration.

    Args:
        source: A path, a dictionary of the same shape, a `Config`, or None for `default_path()`.

    Raises:
        ConfigError: `problems` lists everything that is wrong, each with file, line (or key path) and key.
    """
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return _validate(dict(source), Places())
    path = default_path() if source is None else named_path(source)
    if not is_file(path) and not path.is_absolute() and source is not None:
        packaged = packaged_folder() / path
        path = packaged if is_file(packaged) else path
    return _validate(*read_yaml(path))


def expand(value: str, where: str, environ: Mapping[str, str] = os.environ) -> str:
    """Replace each `${VAR}` in `value`.

    Raises:
        ConfigError: A variable is not set; `where` says at which key.
    """

    def lookup(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise ConfigError(f"{where}: the environment variable {name} is not set")
        return environ[name]

    return VARIABLE.sub(lookup, value)


def _validate(data: Any, places: Places) -> Config:
    if not isinstance(data, dict):
        what = "empty" if data is None else "not a mapping"
        raise ConfigError(f"{places.path or 'configuration'}: {what}; it needs at least `llms` and `mixtures`")
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        found = _messages(error, data, places)
        # Without the keys nobody knows the rest may hold, and then it has more to say.
        with suppress(ValidationError):
            rest = Config.model_validate(_without_unknown_keys(data, error))
            found += _problems(rest.located(places))
        raise ConfigError(found) from None
    config = config.located(places)
    found = list(_problems(config))
    if found:
        raise ConfigError(found)
    return config


def _without_unknown_keys(data: Any, error: ValidationError) -> Any:
    data = copy.deepcopy(data)
    for item in error.errors(include_url=False, include_input=False):
        if item["type"] == "extra_forbidden":
            holder = data
            for part in _real_key(item["loc"][:-1], data):
                holder = holder[part]
            holder.pop(item["loc"][-1], None)
    return data


def _messages(error: ValidationError, data: Any, places: Places) -> list[str]:
    found: dict[tuple[str | int, ...], list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        key = _real_key(item["loc"], data)
        text = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        text = _TEXTS.get(item["type"], text[0].lower() + text[1:])
        if item["type"] in ("extra_forbidden", "missing"):
            key = (*_real_key(item["loc"][:-1], data), item["loc"][-1])
        if item["type"] == "extra_forbidden":
            text += _nearest(str(key[-1]), _allowed(key[:-1]))
        elif item["type"] == "model_type":
            text += f" of: {', '.join(_allowed(key))}"
        elif item["loc"][-1:] == ("[key]",):
            text = "a key must be text"
        # A value that may be of several types has one problem for each.
        found.setdefault(key, []).append(text)
    return [f"{places.name(*key)}: {', or '.join(texts)}" for key, texts in found.items()]


_TEXTS = {
    "extra_forbidden": "unknown key",
    "invalid_key": "a key must be text",
    "missing": "is required",
    "model_type": "must be a mapping",
    "string_pattern_mismatch": "must be `provider/model`, as in `openai/gpt-4.1` or `local/smollm2-135m`",
}


def _real_key(loc: tuple[str | int, ...], data: Any) -> tuple[str | int, ...]:
    # pydantic adds names of union members to a location; the user's own keys are those the data has.
    key: list[str | int] = []
    for part in loc:
        if isinstance(data, dict | list) and (part in data if isinstance(data, dict) else isinstance(part, int)):
            data = data[part]  # type: ignore[index] # checked above
            key.append(part)
    return tuple(key)


def _allowed(key: tuple[str | int, ...]) -> list[str]:
    section: dict[tuple[str, ...], type[BaseModel]] = {
        (): Config,
        ("llms", "*"): LLMConfig,
        ("llms", "*", "timeout"): TimeoutConfig,
        ("llms", "*", "price"): PriceConfig,
        ("llms", "*", "pace"): PaceConfig,
        ("router",): RouterConfig,
        ("router", "members", "*"): MemberConfig,
        ("mixtures", "*"): MixtureConfig,
        ("mixtures", "*", "workers", "*"): WorkerConfig,
        ("mixtures", "*", "aggregator"): AggregatorConfig,
        ("limits",): LimitsConfig,
        ("server",): ServerConfig,
    }
    is_named = key[:1] in (("llms",), ("mixtures",))
    pattern = tuple(
        "*" if isinstance(part, int) or (index == 1 and is_named) else part for index, part in enumerate(key)
    )
    return list(section[pattern].model_fields) if pattern in section else []


def _nearest(word: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; allowed: {', '.join(allowed)}" if allowed else ""


def _problems(config: Config) -> Iterator[str]:
    """Find what the shape alone does not show: names that clash or lead nowhere, numbers that cannot be met."""
    for section, names in (("llms", config.llms), ("mixtures", config.mixtures)):
        for name in names:
            if not NAME.fullmatch(name):
                yield f"{config.place(section, name)}: a name is 1 to 64 letters, digits, '_', '.' or '-'"
            if name in RESERVED_NAMES:
                yield f"{config.place(section, name)}: the name {name!r} is reserved for the router"
    for name in config.mixtures:
        if name in config.llms:
            yield f"{config.place('mixtures', name)}: an LLM has the name {name!r} too; names are shared"
    for name, llm in config.llms.items():
        if llm.kind == "openai_compatible" and not llm.api_base:
            yield f"{config.place('llms', name)}: {llm.model!r} needs an api_base"
        if llm.kind != "openai_compatible" and len(llm.api_base or ()) > 1:
            yield f"{config.place('llms', name, 'api_base')}: the client {llm.kind} takes one address, not several"
        if llm.kind != "replay" and llm.pace:
            yield f"{config.place('llms', name, 'pace')}: only recorded answers (replay/...) have a pace"
    yield from _router_problems(config)
    for name, mixture in config.mixtures.items():
        yield from _mixture_problems(config, name, mixture)


def _router_problems(config: Config) -> Iterator[str]:
    router = config.router
    if router.fallback is not None and router.fallback not in config.mixtures:
        near = _nearest(router.fallback, list(config.mixtures))
        yield f"{config.place('router', 'fallback')}: no mixture {router.fallback!r}{near}"
    if router.fallback is None and len(config.mixtures) > 1 and "general" not in config.mixtures:
        yield (
            f"{config.place('router')}: name the `fallback` mixture, the one that answers when the router "
            f"does not know; allowed: {', '.join(config.mixtures)}"
        )
    if config.router_kind == "chain":
        yield from _foreign_keys(config, ("router",), "chain", router)
        if not router.members:
            yield f"{config.place('router', 'members')}: a chain needs at least one member"
    for section in config.router_sections:
        yield from _section_problems(config, section)


def _section_problems(config: Config, section: RouterSection) -> Iterator[str]:
    key, kind, router = section
    yield from _foreign_keys(config, key, kind, router)
    if router.threshold != "auto" and not 0 <= router.threshold <= 1:
        yield f"{config.place(*key, 'threshold')}: must be 'auto' or a number from 0 to 1"
    if kind == "learned" and not router.path and not any(m.examples for m in config.mixtures.values()):
        yield f"{config.place(*key, 'kind')}: a learned router needs `examples` in at least one mixture"
    if kind != "llm":
        return
    if router.llm is None:
        yield f"{config.place(*key)}: kind 'llm' needs `llm`, the LLM that picks; allowed: {', '.join(config.llms)}"
    elif router.llm not in config.llms:
        yield f"{config.place(*key, 'llm')}: no LLM {router.llm!r}{_nearest(router.llm, list(config.llms))}"
    for name in config.mixtures:
        if name.casefold() == "none":
            yield f"{config.place('mixtures', name)}: the router's LLM replies 'none' where no mixture suits"


def _foreign_keys(config: Config, key: KeyPath, kind: str, router: BaseModel) -> Iterator[str]:
    for name in sorted(router.model_fields_set - {"kind", "fallback"}):
        if name not in _ROUTER_KEYS[kind]:
            owners = " or ".join(repr(owner) for owner, keys in _ROUTER_KEYS.items() if name in keys)
            yield f"{config.place(*key, name)}: a router of kind {kind!r} has no such key; it belongs to {owners}"


_ROUTER_KEYS: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "learned": ("threshold", "path"),
    "llm": ("threshold", "llm", "prompt"),
    "chain": ("members",),
}
"""What each kind of router has, beside `kind` and `fallback`."""


def _mixture_problems(config: Config, name: str, mixture: MixtureConfig) -> Iterator[str]:
    def place(*key: str | int) -> str:
        return config.place("mixtures", name, *key)

    used: list[tuple[KeyPath, str]] = [
        (("workers", index, "llm"), worker.llm) for index, worker in enumerate(mixture.workers)
    ]
    used += [(("aggregator", "llm"), mixture.aggregator.llm or mixture.workers[0].llm)]
    used += [(("aggregator", "fallback_llm"), mixture.aggregator.fallback_llm or mixture.workers[0].llm)]
    used += [(("tools",), mixture.tools)] if mixture.tools != "aggregator" else []
    reported = set()
    for key, llm in used:
        if llm not in config.llms and llm not in reported:
            reported.add(llm)
            yield f"{place(*key)}: no LLM {llm!r}{_nearest(llm, list(config.llms))}"
    planned, enough = mixture.planned, mixture.enough or mixture.planned
    bounds = (
        ("enough", enough, planned, "the planned proposals"),
        ("quorum", mixture.quorum, enough, "`enough`"),
        ("agree", mixture.agree or 0, enough, "`enough`" if mixture.enough else "the planned proposals"),
        (
            "ask_first",
            0 if mixture.ask_first == "all" else mixture.ask_first,
            planned,
            "the planned proposals",
        ),
    )
    for field, value, most, what in bounds:
        if value > most:
            yield f"{place(field)}: {value} is more than {what} ({most})"
