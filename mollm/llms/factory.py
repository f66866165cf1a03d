"""Configuration to LLMs: which client calls what, with which key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mollm.calling.attempt import Price, ReliableLLM, Timeouts
from mollm.calling.base import LLM
from mollm.calling.health import RetryBudget
from mollm.calling.http import Sessions
from mollm.config.load import expand
from mollm.errors import ConfigError, UserError
from mollm.types import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.config.schema import Config, LLMConfig
    from mollm.llms.local import LocalLLM
    from mollm.llms.replay import Questions


class LLMs(Mapping[str, ReliableLLM]):
    """The LLMs of a configuration, by name; they share connections and a budget for retries."""

    def __init__(
        self, config: Config, given: Mapping[str, Any] | None = None, *, names: Sequence[str] | None = None
    ) -> None:
        """Build every LLM that a mixture or the router uses; nothing is opened or loaded yet.

        Args:
            config: What to build.
            given: By name, LLMs to use instead of the configured client: anything that satisfies the `LLM`
                protocol, or a LangChain chat model.
            names: Build these only.

        Raises:
            ConfigError: Lists everything that keeps an LLM from being built.
        """
        self._config, self._given = config, dict(given or {})
        self._sessions = Sessions()
        self._budget = RetryBudget()
        self._embedded: dict[tuple[str, int], LocalLLM] = {}
        self._recorded: dict[Path, Questions] = {}
        self._llms: dict[str, ReliableLLM] = {}
        problems = [
            f"llms={name!r}: the configuration names no such LLM" for name in self._given if name not in config.llms
        ]
        for name in config.used_llms if names is None else names:
            try:
                self.add(name)
            except UserError as error:
                problems += error.problems if isinstance(error, ConfigError) else [str(error)]
        if problems:
            raise ConfigError(problems)

    def add(self, name: str) -> ReliableLLM:
        """Build one more, if it is not there yet: an LLM that no mixture uses may still be asked by its name.

        Raises:
            UserError: It cannot be used as it is configured.
        """
        if name not in self._llms:
            self._llms[name] = self._build(self._config, name, self._given.get(name))
        return self._llms[name]

    def __getitem__(self, name: str) -> ReliableLLM:
        return self._llms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._llms)

    def __len__(self) -> int:
        return len(self._llms)

    async def aclose(self) -> None:
        """Close what was opened on the running event loop; LLMs that were given are their owner's to close."""
        for name, llm in self._llms.items():
            if name not in self._given:
                await llm.aclose()
        await self._sessions.aclose()

    def unload(self) -> None:
        """Free the memory of embedded LLMs."""
        for local in self._embedded.values():
            local.unload()

    def _build(self, config: Config, name: str, given: Any) -> ReliableLLM:
        settings = config.llms[name]
        timeout = settings.timeout
        llm = self._client(config, name, settings) if given is None else _adopt(name, given)
        return ReliableLLM(
            name,
            llm,
            defaults=Settings(
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                stop=tuple(settings.stop) if settings.stop else None,
                seed=settings.seed,
                extra_body=settings.extra_body,
            ),
            timeouts=Timeouts(timeout.total, timeout.first_token, timeout.idle),
            retries=settings.retries,
            budget=self._budget,
            max_in_flight=settings.max_in_flight,
            price=_price(settings),
            window=settings.context_window,
            dialect=settings.dialect if given is None else None,
        )

    def _client(self, config: Config, name: str, settings: LLMConfig) -> LLM:
        kind, model = settings.kind, settings.model_name
        if kind == "scripted":
            from mollm.llms.scripted import ScriptedLLM

            return ScriptedLLM(model)
        if kind == "local":
            return self._local(config, name, settings)
        if kind == "replay":
            return self._replay(config, name, settings)
        key, bases = _address(config, name, settings)
        if kind == "openai_compatible":
            from mollm.llms.openai_compatible import OpenAICompatibleLLM

            return OpenAICompatibleLLM(
                model, api_base=bases, api_key=key, connect_seconds=settings.timeout.connect, sessions=self._sessions
            )
        base = bases[0] if bases else None
        if kind == "langchain-openai":
            from mollm.llms.langchain import chat_openai

            return chat_openai(model, api_base=base, api_key=key, timeout_seconds=settings.timeout.total)
        from mollm.llms.litellm import LiteLLM

        return LiteLLM(settings.model, api_base=base, api_key=key, timeout_seconds=settings.timeout.total)

    def _local(self, config: Config, name: str, settings: LLMConfig) -> LLM:
        from mollm.llms.local import DEFAULT_WINDOW, LocalLLM

        folder = _folder(config)
        window = settings.context_window or DEFAULT_WINDOW
        # Several LLMs may be one file with different settings; it is loaded once.
        key = (settings.model_name, window)
        if key not in self._embedded:
            try:
                self._embedded[key] = LocalLLM(settings.model_name, folder, window=window, sessions=self._sessions)
            except ConfigError as error:
                raise ConfigError(f"{config.place('llms', name, 'model')}: {error}") from error
        return self._embedded[key]

    def _replay(self, config: Config, name: str, settings: LLMConfig) -> LLM:
        from mollm.llms.replay import Questions, ReplayLLM, find_recording

        try:
            questions, answers = find_recording(settings.model_name, _folder(config), name)
        except ConfigError as error:
            raise ConfigError(f"{config.place('llms', name, 'model')}: {error}") from error
        # The LLMs of one folder answer the same questions; they are read once.
        shared = self._recorded.setdefault(questions, Questions(questions))
        return ReplayLLM(answers, shared, pace=settings.pace)


def _folder(config: Config) -> Path:
    return config.path.parent if config.path else Path()


def _address(config: Config, name: str, settings: LLMConfig) -> tuple[str | None, list[str]]:
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


def _price(settings: LLMConfig) -> Price | None:
    if settings.price:
        return Price(settings.price.input, settings.price.output)
    if settings.kind != "litellm":
        return None
    from mollm.llms.litellm import price_of

    found = price_of(settings.model)
    return Price(*found) if found else None


def _adopt(name: str, given: Any) -> LLM:
    if isinstance(given, LLM) and not hasattr(given, "ainvoke"):
        return given
    if hasattr(given, "ainvoke") and hasattr(given, "astream"):
        from mollm.llms.langchain import LangChainLLM

        return LangChainLLM(given)
    raise ConfigError(
        f"llms={name!r}: {type(given).__name__} is neither a LangChain chat model nor has `complete`, `stream` "
        "and `aclose`"
    )
