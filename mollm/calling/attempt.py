"""An LLM as the rest of mollm calls it: with its addresses, settings, timeouts, retries, bound and price."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mollm.calling import shapes
from mollm.calling.addresses import Addresses
from mollm.calling.base import LLM, Chunk, Completion, Request
from mollm.calling.bounds import CONNECTIONS, Clock, Slots
from mollm.calling.health import Breaker, RetryBudget
from mollm.calling.history import as_sent
from mollm.calling.logprobs import may_refuse_logprobs, with_logprobs
from mollm.calling.patience import Patience
from mollm.calling.quoting import quoted, with_quote
from mollm.calling.replies import check_reply, up_to_first_token
from mollm.calling.retries import Retries, harmless, place_of
from mollm.calling.streamed import collected
from mollm.calling.translate import translate
from mollm.errors import LLMError
from mollm.messages import CHARACTERS_PER_TOKEN, text_of
from mollm.options import Settings
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mollm.calling.addresses import Address, Attempt
    from mollm.calling.bounds import Room
    from mollm.calling.retries import Tell
    from mollm.config.llms import Dialect
    from mollm.types import Message

log = logging.getLogger("mollm")

DEFAULT_WINDOW = 8192
WINDOW_CALLS = 16
"""Calls at once that ask for a window: one that hangs is asked with every question."""
WINDOW_SECONDS = 2.0
"""What asking an address for its window may take; one that is slow here is asked again next time."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; the last two apply to streamed calls only."""

    total: float = 120.0
    first_token: float = 60.0
    idle: float = 30.0


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float

    def cost(self, usage: Usage) -> float:
        """USD for `usage`."""
        return (usage.prompt_tokens * self.input + usage.completion_tokens * self.output) / 1e6


class ReliableLLM:
    """One LLM of a configuration.

    Attributes:
        name: In the configuration.
        defaults: Settings where a request has none.
        price: None where it is not known.
        dialect: Which server answers, where that is known and request fields of its own may be sent.
        image_tokens: The most tokens that one image takes in a prompt.
    """

    def __init__(
        self,
        name: str,
        llm: LLM | Sequence[LLM],
        *,
        defaults: Settings = Settings(max_tokens=1024),
        timeouts: Timeouts = Timeouts(),
        retries: int = 2,
        budget: RetryBudget | None = None,
        max_in_flight: int | None = None,
        room: Room | None = None,
        price: Price | None = None,
        window: int | None = None,
        dialect: Dialect | None = None,
        image_tokens: int = 2000,
        collects: bool = False,
        moves_thoughts: bool = True,
        secrets: Sequence[str] = (),
        breaker: Callable[[], Breaker] = Breaker,
    ) -> None:
        """Wrap `llm`.

        Args:
            name: In the configuration; errors and events name it.
            llm: Calls the model; several call the same model, each at an address of its own.
            defaults: Settings where a request has none.
            timeouts: Of a call.
            retries: How often a call is tried again; 0: never. What turned it away before a model saw it is not
                counted while there is another sound address.
            budget: Shared with the LLMs that share an outage, or its own.
            max_in_flight: Calls at once on one event loop, over all addresses; None: 512 for each address.
            room: Shared with the LLMs whose connections have to fit the same process, or its own.
            price: None where it is not known.
            window: Tokens of prompt and answer together; None: asked from the server.
            dialect: Which server answers, where that is known.
            image_tokens: The most tokens that one image takes in a prompt.
            collects: Every call is made streamed, and its pieces collected where the whole reply is wanted.
            moves_thoughts: Thoughts between tags at the beginning of a reply are taken out of its text.
            secrets: Its keys, taken out of what a provider said before anybody reads it.
            breaker: Makes the breaker of an address.
        """
        self.name = name
        self.defaults = defaults
        self.price = price
        self.dialect = dialect
        self.image_tokens = image_tokens
        self._addresses = Addresses(llm if isinstance(llm, Sequence) else [llm], breaker)
        self._timeouts = timeouts
        self._retries = Retries(name, self._addresses, retries, budget or RetryBudget(), secrets)
        self._collects = collects
        self._slots = Slots(max_in_flight or CONNECTIONS * len(self._addresses), room)
        self._window = window
        self._window_slots = Slots(WINDOW_CALLS)
        self._moves_thoughts = moves_thoughts
        self._secrets = secrets
        self._without_window: set[str] = set()
        self._tells_logprobs = True

    @property
    def addresses(self) -> Addresses:
        """Where it is served, and how it fares there."""
        return self._addresses

    @property
    def retries(self) -> Retries:
        """What tries its calls again, and counts where it must not."""
        return self._retries

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return self._slots.waiting

    @property
    def clients(self) -> list[LLM]:
        """What calls it, one for each address."""
        return [address.llm for address in self._addresses]

    async def complete(
        self, request: Request, *, deadline: float | None = None, tell: Tell | None = None
    ) -> Completion:
        """Return the whole reply, its usage estimated if the provider said nothing.

        Args:
            request: Its settings win over the LLM's own.
            deadline: On the event loop's clock; retries and the wait for `max_in_flight` included.
            tell: Is told of every retry, and of every breaker that opens.

        Raises:
            LLMError: The call failed, after retries where they made sense.
        """
        request, clock = self._begin(request, deadline)
        bare = request
        if request.wants_logprobs and self._tells_logprobs:
            request = with_logprobs(request)
        given_up = 0

        async def ask(attempt: Attempt) -> Completion:
            nonlocal given_up
            llm = attempt.address.llm
            try:
                async with asyncio.timeout_at(clock.until):
                    completion = await (self._collected(llm, request) if self._collects else llm.complete(request))
            except asyncio.CancelledError:
                given_up += 1
                raise
            completion = shapes.whole(request, completion, moves_thoughts=self._moves_thoughts)
            check_reply(request, completion.finish_reason, completion.message)
            attempt.succeeded()
            return completion

        async with self._slots.slot(clock, self.name):
            try:
                completion = await self._retries.reach(ask, request, clock, tell, hedge=True)
            except LLMError as error:
                if request is bare or not may_refuse_logprobs(error):
                    raise
                # Nobody needs them to answer, and whoever does not tell them now will not do so next time.
                request = bare
                completion = await self._retries.reach(ask, request, clock, tell, hedge=True)
                if self._tells_logprobs:  # of several calls at once one says it
                    self._tells_logprobs = False
                    log.warning(
                        "%s: answers without log-probabilities only; it is asked for no more of them", self.name
                    )
        usage = completion.usage or self.estimate(request.messages, completion.text)
        if given_up:  # another address answered first; what this one had read by then is paid for, too
            usage += self.estimate(request.messages)
        if usage is not completion.usage:
            return Completion(completion.message, completion.finish_reason, usage, completion.logprobs)
        return completion

    async def stream(
        self, request: Request, *, deadline: float | None = None, tell: Tell | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Yield the reply piece by piece. Raises as `complete`, also in the middle."""
        request, clock = self._begin(request, deadline)
        timeouts = self._timeouts

        async def ask(attempt: Attempt) -> tuple[Attempt, list[Chunk], AsyncGenerator[Chunk, None]]:
            chunks = shapes.streamed(request, attempt.address.llm.stream(request), moves_thoughts=self._moves_thoughts)
            try:
                held = await up_to_first_token(
                    request, chunks, until=clock.until, first_token=timeouts.first_token, idle=timeouts.idle
                )
            except BaseException:
                await chunks.aclose()
                raise
            attempt.answered()
            return attempt, held, chunks

        async with self._slots.slot(clock, self.name):
            attempt, held, chunks = await self._retries.reach(ask, request, clock, tell)
            patience = Patience(timeouts.idle, clock.until)
            try:
                for chunk in held:
                    yield chunk
                while True:
                    try:
                        chunk = await patience.next(chunks)
                    except StopAsyncIteration:
                        attempt.succeeded()
                        return
                    except Exception as error:  # noqa: BLE001 - raised as ours
                        ours = self._retries.judge(attempt, error, request, clock, tell)
                        self._retries.report(ours)
                        raise ours from harmless(error)
                    yield chunk
            finally:
                patience.close()
                attempt.abandoned()
                await chunks.aclose()

    async def context_window(self) -> int:
        """Tokens that a prompt and its answer may have together: set, asked from the servers, or 8192."""
        return await self.known_window() or DEFAULT_WINDOW

    async def known_window(self) -> int | None:
        """Like `context_window`, but None if nobody says."""
        if self._window is None:
            for address in sorted(self._addresses, key=lambda a: a.breaker.failures):
                ask = getattr(address.llm, "context_window", None)
                try:
                    clock = Clock(WINDOW_SECONDS, None)
                    async with self._window_slots.slot(clock, self.name), asyncio.timeout_at(clock.until):
                        self._window = (await ask()) if ask else 0
                    if self._window is not None:
                        break
                except Exception as error:  # noqa: BLE001 - an address that fails here may still answer the question
                    self._report_no_window(address, translate(error, self.name))
        return self._window or None

    def _report_no_window(self, address: Address, error: LLMError) -> None:
        if address.name in self._without_window:
            return  # said once; it is asked again with every question
        self._without_window.add(address.name)
        said = with_quote(error.message, quoted(error.said, Request(()), self._secrets))
        log.warning("%s: could not be asked for its context window: %s", place_of(self.name, address.name), said)

    def estimate(self, messages: Sequence[Message], text: str = "") -> Usage:
        """Estimate the tokens of a call from its characters."""
        prompt = sum(len(text_of(m.get("content"))) for m in messages) // CHARACTERS_PER_TOKEN
        completion = len(text) // CHARACTERS_PER_TOKEN
        return Usage(prompt, completion, prompt + completion, estimated=True)

    def cost(self, usage: Usage) -> float | None:
        """USD for `usage`; None without a price."""
        return self.price.cost(usage) if self.price else None

    async def aclose(self) -> None:
        """Close what its clients opened on the running event loop."""
        for address in self._addresses:
            await address.llm.aclose()

    async def _collected(self, llm: LLM, request: Request) -> Completion:
        # Thoughts are taken out of the whole, where more can be told than while they come.
        return await collected(shapes.streamed(request, llm.stream(request), moves_thoughts=False))

    def _begin(self, request: Request, deadline: float | None) -> tuple[Request, Clock]:
        settings = request.settings.over(self.defaults)
        messages = as_sent(request.messages)
        begun = Request(messages, settings, request.is_answer, request.secrets, request.wants_logprobs)
        return begun, Clock(self._timeouts.total, deadline)
