"""Configuration to LLMs: which client calls what, with which key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mollm.calling.attempt import Price
from mollm.calling.base import LLM
from mollm.calling.fields import Fields
from mollm.config.variables import expand
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.config.llms import LLMConfig
    from mollm.llms.local import LocalLLM
    from mollm.llms.replay import Questions


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
    settings = config.llms[name]
    key, bases = address_of(config, name) if _is_called_by_address(settings) else (None, [])
    try:
        if settings.kind == "local":
            return [_local(config, settings, shared)]
        if settings.kind == "replay":
            return [_replay(config, name, settings, shared)]
        return _others(settings, key, bases)
    except ConfigError as error:
        place = config.place("llms", name, "model")
        raise ConfigError([f"{place}: {problem}" for problem in error.problems]) from error


def _others(settings: LLMConfig, key: str | None, bases: list[str]) -> list[LLM]:
    kind, model, timeout = settings.kind, settings.model_name, settings.timeout
    fields = _fields(settings)
    if kind == "scripted":
        from mollm.llms.scripted import ScriptedLLM

        return [ScriptedLLM(model)]
    if kind == "openai_compatible":
        from mollm.llms.openai_compatible import OpenAICompatibleLLM

        return [
            OpenAICompatibleLLM(model, api_base=base, api_key=key, connect_seconds=timeout.connect, fields=fields)
            for base in bases
        ]
    base = bases[0] if bases else None
    if kind == "langchain-openai":
        from mollm.llms.langchain import chat_openai

        return [chat_openai(model, api_base=base, api_key=key, timeout_seconds=timeout.total)]
    from mollm.llms.litellm import LiteLLM

    return [LiteLLM(settings.model, api_base=base, api_key=key, timeout_seconds=timeout.total, fields=fields)]


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


def address_of(config: Config, name: str) -> tuple[str | None, list[str]]:
    """Key and addresses of an LLM, their variables filled in.

    Raises:
        ConfigError: A variable is not set.
    """
    settings = config.llms[name]
    problems: list[str] = []

    def filled(value: str, key: str) -> str:
        try:
            return expand(value, config.place("llms", name, key))
        except ConfigError as error:
            problems.extend(error.problems)
            return ""

    key = filled(settings.api_key.get_secret_value(), "api_key") if settings.api_key else None
    bases = [filled(base, "api_base") for base in settings.api_base or ()]
    if problems:
        raise ConfigError(problems)
    return key, bases


def secrets_of(config: Config, name: str) -> tuple[str, ...]:
    """What an LLM is called with and nobody may read: its key, and what stands before the host of an address."""
    if not _is_called_by_address(config.llms[name]):
        return ()
    key, bases = address_of(config, name)
    return tuple(filter(None, (key, *(part for base in bases for part in _userinfo(base)))))


def _userinfo(url: str) -> tuple[str | None, str | None]:
    try:
        parts = urlsplit(url)
    except ValueError:  # the call will say so
        return None, None
    return parts.username, parts.password


def _is_called_by_address(settings: LLMConfig) -> bool:
    return settings.kind not in ("scripted", "local", "replay")


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
