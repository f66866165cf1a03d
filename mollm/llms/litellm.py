"""Any provider that LiteLLM knows. The only import of litellm, which takes seconds: in a thread, on first use."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import inspect
import json
import logging
import os
import sys
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from mollm.calling.base import Chunk, Completion, Request
from mollm.calling.fields import AUTO, Fields
from mollm.calling.finish import finish_reason
from mollm.calling.inband import error_beside
from mollm.calling.lenient import Halves, mended
from mollm.calling.translate import translate
from mollm.calling.usage import usage_of
from mollm.errors import BadRequest, ProviderFailed, missing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from mollm.types import Message, Usage

log = logging.getLogger("mollm.llms")

_ENVIRONMENT = {
    # Without these the import, or a later call, fetches files from GitHub, with retries where there is no network.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    # Otherwise the import loads a `.env` file from the working directory or above.
    "LITELLM_MODE": "PRODUCTION",
    # Its LLMs of one provider share a client. `Slots` bounds each of them; 0 here would be aiohttp's default of 100.
    "AIOHTTP_CONNECTOR_LIMIT": "1000000",
    "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "0",
}

_LOADED_BY_THE_FIRST_CALL = (
    "litellm.litellm_core_utils.default_encoding",
    "litellm.proxy._types",
    "openai.resources.chat",
)
"""What litellm leaves for its first call, where it would hold up the event loop for 0.6 s (1.106.2)."""

_HINTS = frozenset(
    (
        *("reasoning_effort", "thinking", "verbosity"),
        *("prompt_cache_key", "safety_identifier", "user", "service_tier"),
    )
)
"""Settings of OpenAI's that clients send to whatever LLM answers. LiteLLM refuses to call a model that does not take
them; an answer without them is still the answer."""

_PRICES = "model_prices_and_context_window_backup.json"


class LiteLLM:
    """An LLM reached through LiteLLM, one call at a time: its retries, fallbacks and router are not used."""

    def __init__(
        self,
        model: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 120,
        fields: Fields = AUTO,
    ) -> None:
        """Check that the library is there; it is imported by the first call.

        Raises:
            ConfigError: LiteLLM is not installed.
        """
        if find_spec("litellm") is None:
            raise missing("litellm", f"LiteLLM, which calls {model}, is not installed")
        self.model = model
        self._untaken: set[str] = set()
        self._fields = fields
        self._target = {
            "model": model,
            **({"api_base": api_base} if api_base else {}),
            **({"api_key": api_key} if api_key else {}),
            **({"extra_headers": dict(headers)} if headers else {}),
            "timeout": timeout_seconds,
        }

    async def complete(self, request: Request) -> Completion:
        library = await _load()
        reply = await self._send(library, request)
        if not reply.choices:
            raise ProviderFailed("the provider sent an answer without a choice")
        choice = reply.choices[0]
        message = mended(_plain(choice.message))
        _check_beside(choice, message)
        return Completion(
            message=message,
            finish_reason=_reason(choice.finish_reason, _native(choice)),
            usage=_usage(getattr(reply, "usage", None)),
            logprobs=_plain_or_none(getattr(choice, "logprobs", None)),
        )

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Yield the reply piece by piece; closing the iterator closes the connection.

        Raises:
            ProviderFailed: The reply broke off; litellm itself would end it with an invented `stop`.
        """
        library = await _load()
        reply = await self._send(library, request, stream=True)
        halves = Halves()
        async with aclosing(reply):
            async for piece in reply:
                chunk = _chunk(piece, reply)
                chunk.delta = halves.join(chunk.delta, is_last=chunk.finish_reason is not None)
                if chunk.finish_reason:
                    if _is_invented(reply):
                        raise ProviderFailed("the stream ended in the middle of the answer")
                    chunk.finish_reason = _reason(chunk.finish_reason, getattr(reply, "received_finish_reason", None))
                yield chunk

    async def _send(self, library: Any, request: Request, *, stream: bool = False) -> Any:
        """Call litellm, once more where only a field was refused that another name or none makes good."""
        _check_provider(library, self._target)
        sent = self._fields
        try:
            with _noting_clients(library, self):
                return await self._call(library, self._arguments(library, request, sent, stream=stream))
        except Exception as error:
            fields = sent.without(translate(error, "").refused)
            if fields == sent:
                raise
        with _noting_clients(library, self):
            reply = await self._call(library, self._arguments(library, request, fields, stream=stream))
        self._fields = fields
        return reply

    async def _call(self, library: Any, arguments: dict[str, Any]) -> Any:
        try:
            return await library.acompletion(**arguments)
        except library.UnsupportedParamsError as error:  # raised before anything is sent
            untaken = {name for name in _HINTS & arguments.keys() if f"'{name}'" in str(error)}
            if not untaken:
                raise
        self._untaken |= untaken
        log.warning("%s takes no %s, so it is called without", self.model, ", ".join(sorted(untaken)))
        return await self._call(library, {name: arguments[name] for name in arguments.keys() - untaken})

    async def prepare(self) -> None:
        """Import the library, which the first call would otherwise wait for."""
        await _load()

    async def aclose(self) -> None:
        """Close the HTTP clients that calls on this event loop opened, unless another LiteLLM still uses them."""
        clients = _clients.get(asyncio.get_running_loop())
        if clients is None:
            return
        clients.users.discard(self)
        if not clients.users:
            await _close_clients(_import(), clients.keys)

    async def context_window(self) -> int | None:
        """Tokens that a prompt and its answer may have together, by LiteLLM's map."""
        return await asyncio.to_thread(context_window_of, self.model)

    def _arguments(self, library: Any, request: Request, fields: Fields, *, stream: bool) -> dict[str, Any]:
        # A deep copy, since litellm edits messages and tools where they lie, and workers share them.
        asked = copy.deepcopy({**request.settings.payload(), "messages": list(request.messages)})
        if "seed" in asked and not _takes(library, self.model, "seed"):
            del asked["seed"]  # it goes to every worker, and a wish; the other settings are somebody's intent
        for name in self._untaken & asked.keys():
            del asked[name]
        if stream:
            asked["stream"] = True
        fields.write(asked, stream=stream)
        return {
            **asked,
            **self._target,
            "num_retries": 0,
            "max_retries": 0,
            # The handler would resolve `mcp` tools by itself, and needs a package that litellm does not depend on.
            "_skip_mcp_handler": True,
        }


def price_of(model: str) -> tuple[float, float] | None:
    """USD per million tokens of input and of output by LiteLLM's map, without its tiers; None: not in it."""
    facts = _facts(model)
    prices = facts.get("input_cost_per_token"), facts.get("output_cost_per_token")
    if prices[0] is None or prices[1] is None:
        return None
    # Rounded, since 2.5e-06 times a million is 2.4999999999999996.
    return round(float(prices[0]) * 1e6, 9), round(float(prices[1]) * 1e6, 9)


def context_window_of(model: str) -> int | None:
    """Tokens that fit into the LLM's context window by LiteLLM's map; None: not in it."""
    facts = _facts(model)
    window = facts.get("max_input_tokens") or facts.get("max_tokens")
    return int(window) if window else None


# The library


async def _load() -> Any:
    if _import.cache_info().currsize:
        return _import()
    return await asyncio.to_thread(_import)


@functools.cache
def _import() -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import litellm

    litellm.suppress_debug_info = True  # it prints where to get help for every error
    for name in _LOADED_BY_THE_FIRST_CALL:
        with suppress(ImportError):
            importlib.import_module(name)
    return litellm


def _check_provider(library: Any, target: Mapping[str, Any]) -> None:
    try:
        library.get_llm_provider(target["model"], api_base=target.get("api_base"))
    except library.BadRequestError as error:
        known = "https://docs.litellm.ai/docs/providers"
        raise BadRequest(f"LiteLLM knows no provider for {target['model']!r}; see {known}") from error


def _takes(library: Any, model: str, setting: str) -> bool:
    try:
        names = library.get_supported_openai_params(model)
    except Exception:  # noqa: BLE001 - an unknown provider; the call itself will say so
        return True
    return names is None or setting in names


@functools.cache
def _facts(model: str) -> Mapping[str, Any]:
    """Find a model in the map; keys are with or without the provider, as the provider's own names are."""
    known = _map()
    provider, _, name = model.partition("/")
    if model in known:
        return known[model]
    entry = known.get(name, {})
    return entry if str(entry.get("litellm_provider", "")).startswith(provider) else {}


def _map() -> Mapping[str, Mapping[str, Any]]:
    """LiteLLM's map; read from its file where it was not imported yet, which takes milliseconds, not seconds.

    Empty without LiteLLM, where an LLM that was given stands for one of its models.
    """
    spec = find_spec("litellm")
    if spec is None:
        return {}
    if "litellm" not in sys.modules:
        file = Path(spec.origin).parent / _PRICES if spec.origin else Path()
        if file.is_file():
            bundled: dict[str, dict[str, Any]] = json.loads(file.read_bytes())
            return bundled
    loaded: dict[str, dict[str, Any]] = _import().model_cost
    return loaded


# Replies


def _plain(message: Any) -> Message:
    """Make a dictionary of a message or delta, without the fields that litellm adds and leaves empty."""
    fields: dict[str, Any] = message.model_dump()
    extra = fields.pop("provider_specific_fields", None) or {}
    extra = {name: value for name, value in extra.items() if value is not None}
    plain = {name: value for name, value in fields.items() if value is not None or name == "content"}
    return {**plain, **({"provider_specific_fields": extra} if extra else {})}


def _plain_or_none(value: Any) -> Any:
    return mended(value.model_dump() if hasattr(value, "model_dump") else value)


def _chunk(piece: Any, reply: Any) -> Chunk:
    usage = _usage(getattr(piece, "usage", None))
    if usage is not None and not _is_reported(reply):
        usage = replace(usage, estimated=True)
    if not piece.choices:
        return Chunk(usage=usage)
    choice = piece.choices[0]
    delta = _plain(choice.delta)
    _check_beside(choice, delta)
    if delta["content"] is None:
        del delta["content"]
    return Chunk(delta, choice.finish_reason, usage, _plain_or_none(getattr(choice, "logprobs", None)))


def _usage(usage: Any) -> Usage | None:
    """Read the usage; litellm's zeros for a provider that said nothing count as nothing."""
    if usage is None or not usage.total_tokens:
        return None
    return usage_of(usage.model_dump())


def _is_reported(reply: Any) -> bool:
    """Tell a usage the provider sent from one that litellm counted itself, by the chunks it keeps."""
    return any(getattr(chunk, "usage", None) is not None for chunk in getattr(reply, "chunks", ()))


def _check_beside(choice: Any, message: Message) -> None:
    """Raise the error that stands in a choice or its message; litellm has several places for what it does not know."""
    extra = getattr(choice, "provider_specific_fields", None), message.get("provider_specific_fields")
    said = [getattr(choice, "error", None), message.get("error"), *((e or {}).get("error") for e in extra)]
    if error := error_beside({"error": said}, {}):
        raise error


def _native(choice: Any) -> str | None:
    """The provider's own finish reason, which litellm keeps where it made another of it."""
    native = (getattr(choice, "provider_specific_fields", None) or {}).get("native_finish_reason")
    return native if isinstance(native, str) else None


def _reason(said: str | None, native: str | None) -> str | None:
    """Read a finish reason by the provider's own word, as litellm makes a `stop` of failures and of what it knows not.

    Raises:
        LLMError: The provider's own word is for a failure, or is not known.
    """
    own = finish_reason(native)
    return said if own in (None, "stop") else own


def _is_invented(reply: Any) -> bool:
    """Tell a stream that broke off, which litellm ends with a finish reason of its own."""
    reasons = ("received_finish_reason", "intermittent_finish_reason")
    return all(hasattr(reply, name) and getattr(reply, name) is None for name in reasons)


# HTTP clients


@dataclass(eq=False)
class _Clients:
    """The HTTP clients that our calls on one event loop brought into litellm's cache, and who uses them.

    The cache belongs to the process, knows no owner and keeps a client for an hour, long after its loop is gone.
    So what appears there during a call of ours is noted, and closed when the last LiteLLM on the loop is.
    """

    keys: set[str] = field(default_factory=set)
    users: WeakSet[LiteLLM] = field(default_factory=WeakSet)


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients] = WeakKeyDictionary()


@contextmanager
def _noting_clients(library: Any, llm: LiteLLM) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    cache = library.in_memory_llm_clients_cache
    cached, of_this_loop = cache.cache_dict, cache.update_cache_key_with_event_loop("")
    before = set(cached)
    clients = _clients.setdefault(loop, _Clients())
    clients.users.add(llm)
    try:
        yield
    finally:
        clients.keys |= {key for key in set(cached) - before if key.endswith(of_this_loop)}


async def _close_clients(library: Any, keys: set[str]) -> None:
    cache = library.in_memory_llm_clients_cache
    while keys:
        key = keys.pop()
        client = cache.cache_dict.get(key)
        cache.delete_cache(key)
        close = getattr(client, "aclose", None) or getattr(client, "close", None)
        closing = close() if close else None
        if inspect.isawaitable(closing):
            await closing
