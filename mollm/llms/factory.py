"""Configuration to LLMs: which client calls what, with which key."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from mollm.calling.attempt import Price
from mollm.calling.base import LLM
from mollm.calling.fields import Fields
from mollm.config.addresses import ProxyURL, expand_login
from mollm.config.headers import resolve_header
from mollm.config.keys import resolve_key
from mollm.config.variables import expand
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mollm.config.addresses import BaseURL
    from mollm.config.config import Config
    from mollm.config.llms import LLMConfig
    from mollm.llms.local import LocalLLM
    from mollm.llms.replay import Questions

Resolved = TypeVar("Resolved")


@dataclass
class Shared:
    """What the clients of a pool have in common: weights and recordings."""

    embedded: dict[tuple[Path, str, int], LocalLLM] = field(default_factory=dict)
    """By folder, file and window: several LLMs may be one file with different settings; it is loaded once."""
    recorded: dict[Path, Questions] = field(default_factory=dict)
    """The LLMs of one folder answer the same questions; they are read once."""


def clients_of(config: Config, name: str, shared: Shared) -> list[LLM]:
    """Build what calls the LLM `name`, a client for each of its addresses; nothing is opened or loaded yet.

    Raises:
        ConfigError: It cannot be used as it is configured.
    """
    settings, target = config.llms[name], target_of(config, name)
    try:
        if settings.kind == "local":
            return [_local(config, settings, shared)]
        if settings.kind == "replay":
            return [_replay(config, name, settings, shared)]
        return _others(settings, target)
    except ConfigError as error:
        place = config.place("llms", name, "model")
        raise ConfigError([f"{place}: {problem}" for problem in error.problems]) from error


def _others(settings: LLMConfig, target: Target) -> list[LLM]:
    kind, model, timeout = settings.kind, settings.model_name, settings.timeout
    proxy = target.proxy.url if target.proxy else None
    headers, fields = dict(target.headers), _fields(settings)
    if kind == "scripted":
        from mollm.llms.scripted import ScriptedLLM

        return [ScriptedLLM(model)]
    if kind == "openai_compatible":
        from mollm.llms.openai_compatible import OpenAICompatibleLLM

        return [
            OpenAICompatibleLLM(
                model,
                api_base=str(base),
                api_key=target.key,
                headers=headers,
                proxy=proxy,
                connect_seconds=timeout.connect,
                fields=fields,
            )
            for base in target.bases
        ]
    address = str(target.bases[0]) if target.bases else None
    if kind == "langchain-openai":
        from mollm.llms.langchain import chat_openai

        return [
            chat_openai(
                model,
                api_base=address,
                api_key=target.key,
                headers=headers,
                proxy=proxy,
                timeout_seconds=timeout.total,
            )
        ]
    from mollm.llms.litellm import LiteLLM

    return [
        LiteLLM(
            settings.model,
            api_base=address,
            api_key=target.key,
            headers=headers,
            timeout_seconds=timeout.total,
            fields=fields,
        )
    ]


def _fields(settings: LLMConfig) -> Fields:
    limit, usage = settings.max_tokens_field, settings.stream_usage
    return Fields(None if limit == "auto" else limit, None if usage == "auto" else usage)


def _local(config: Config, settings: LLMConfig, shared: Shared) -> LLM:
    from mollm.llms.local import DEFAULT_WINDOW, LocalLLM

    folder, window = folder_of(config), settings.context_window or DEFAULT_WINDOW
    key = (folder, settings.model_name, window)
    if key not in shared.embedded:
        shared.embedded[key] = LocalLLM(settings.model_name, folder, window=window)
    return shared.embedded[key]


def _replay(config: Config, name: str, settings: LLMConfig, shared: Shared) -> LLM:
    from mollm.llms.replay import Questions, ReplayLLM, find_recording

    questions, answers = find_recording(settings.model_name, folder_of(config), name)
    known = shared.recorded.setdefault(questions, Questions(questions))
    return ReplayLLM(answers, known, pace=settings.pace)


def folder_of(config: Config) -> Path:
    """Where the relative paths of a configuration begin."""
    return config.path.parent if config.path else Path()


@dataclass(frozen=True, slots=True)
class Target:
    """Where an LLM is called and how it lets us in: what `${VAR}` stands for is known only here."""

    bases: tuple[BaseURL, ...] = ()
    """Each once."""
    key: str | None = field(default=None, repr=False)
    proxy: ProxyURL | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may read of it."""
        login = (self.proxy.user, self.proxy.password) if self.proxy else ()
        queries = (value for base in self.bases for _, value in parse_qsl(base.query))
        return tuple(filter(None, (self.key, *login, *queries, *(value for _, value in self.headers))))


def target_of(config: Config, name: str) -> Target:
    """Fill in the variables of an LLM; nothing for one that is not called at an address.

    Raises:
        ConfigError: A variable is not set, or what it stands for cannot be used; lists everything.
    """
    settings = config.llms[name]
    problems = config.unset("llms", name)
    place = functools.partial(config.place, "llms", name)

    def resolved(resolve: Callable[[str, str], Resolved], text: str, where: str) -> Resolved | None:
        try:
            return resolve(text, where)
        except ConfigError as error:
            problems.extend(error.problems)
        except ValueError as error:
            problems.append(f"{where}: the address {error}")
        return None

    def base(text: str, where: str) -> BaseURL:
        return settings.base_url(expand(text, where, quote=str.strip))

    def proxy(text: str, where: str) -> ProxyURL | None:
        address = expand_login(text, where)
        return ProxyURL.parse(address) if address.strip() else None

    target = Target()
    if settings.is_remote:
        key, through = settings.api_key, settings.proxy
        target = Target(
            key=resolved(resolve_key, key.get_secret_value(), place("api_key")) if key else None,
            bases=_distinct(resolved(base, address, place("api_base")) for address in settings.api_base or ()),
            proxy=resolved(proxy, through.get_secret_value(), place("proxy")) if through else None,
            headers=tuple(
                (header, resolved(resolve_header, value.get_secret_value(), place("headers", header)) or "")
                for header, value in settings.headers.items()
            ),
        )
    if problems:
        raise ConfigError(problems)
    return target


def _distinct(bases: Iterable[BaseURL | None]) -> tuple[BaseURL, ...]:
    return tuple(dict.fromkeys(base for base in bases if base))


def price_of(settings: LLMConfig) -> Price | None:
    """The price that is configured, or that LiteLLM's map knows for one of its models."""
    if settings.price:
        return Price(settings.price.input, settings.price.output)
    if settings.kind != "litellm":
        return None
    from mollm.llms import litellm

    found = litellm.price_of(settings.model)
    return Price(*found) if found else None


def adopt(name: str, given: Any) -> LLM:
    """Take an LLM that was given: a LangChain chat model, or what satisfies the `LLM` protocol.

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(given, LLM) and not hasattr(given, "ainvoke"):
        return given
    if hasattr(given, "ainvoke") and hasattr(given, "astream"):
        from mollm.llms.langchain import LangChainLLM

        return LangChainLLM(given)
    raise ConfigError(
        f"llms={name!r}: {type(given).__name__} is neither a LangChain chat model nor has `complete`, `stream` "
        "and `aclose`"
    )
