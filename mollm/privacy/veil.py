"""The veil over one question: what LLMs and observers read of it, and what whoever asks gets."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mollm.events import CallEnded, CallStarted, Done
from mollm.formats import format_of
from mollm.messages import question_of
from mollm.privacy.conversations import (
    Changes,
    changed_message,
    changed_messages,
    changed_panel,
    changed_settings,
    in_json,
)
from mollm.privacy.pieces import Pieces, Tail, to_the_end, whole_placeholders, whole_values

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mollm.calling.base import Chunk, Completion, Request
    from mollm.events import Event, Observer, Token
    from mollm.options import Options
    from mollm.privacy.values import Values
    from mollm.types import Answer, Question


class Veil:
    """Everything inside mollm is concealed; values are revealed to private LLMs and to whoever asks, and nowhere else.

    It knows the values, so it is never stored, printed or sent.
    """

    def __init__(self, values: Values, is_private: Callable[[str], bool]) -> None:
        """Know no value yet; `is_private` says whether the LLM of a name reads values."""
        self._values, self._is_private = values, is_private
        self._concealing = Changes(values.conceal, lambda text: in_json(text, values.conceal))
        self._revealing = Changes(values.reveal, values.reveal_in_json)
        self._answering = self._revealing
        self._reserving = Changes(values.reserve, values.reserve)

    def question(self, question: Question, options: Options) -> tuple[Question, Options]:
        """Conceal a question and what the caller sends along.

        Its tokens are those of the longer one of both forms, since private LLMs are sent the values.
        """
        values = self._values
        changed_messages(question.messages, self._reserving)
        changed_settings(options, values.reserve)
        changed_panel(options.mixture, values.reserve)
        messages = changed_messages(question.messages, self._concealing)
        options = changed_settings(options, values.conceal)
        if format_of(options.response_format):
            self._answering = Changes(values.reveal_in_json, values.reveal_in_json)
        found = question_of(
            messages, tools=options.tools, response_format=options.response_format, extra_body=options.extra_body
        )
        tokens = max(question.tokens, found.tokens)
        return replace(question, messages=messages, last=found.last, before=found.before, tokens=tokens), options

    def panel(self, panel: dict[str, Any]) -> dict[str, Any]:
        """Conceal a panel for one request, of plain data, whose conversation is concealed already."""
        found: dict[str, Any] = changed_panel(panel, self._values.conceal_panel)
        return found

    def outgoing(self, llm: str, request: Request) -> Request:
        """What is sent to an LLM: the request itself, and to a private one with its values."""
        if not self._is_private(llm):
            return request
        # A proposal of an earlier request may have a placeholder whose value is not known any more; no other gets it.
        changed_messages(request.messages, self._reserving)
        if not self._values:
            return request
        return replace(
            request,
            messages=changed_messages(request.messages, self._revealing),
            settings=changed_settings(request.settings, self._values.reveal),
            secrets=self._values.all,
        )

    def incoming(self, llm: str, request: Request, completion: Completion) -> Completion:
        """What is kept of a reply: a private LLM may have written any value, another one only what it guessed."""
        message = changed_message(completion.message, self._incoming(llm, request))
        return completion if message is completion.message else replace(completion, message=message)

    async def pieces(
        self, llm: str, request: Request, chunks: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[Chunk, None]:
        """What is kept of a reply that comes in pieces, in none of which a placeholder or a value is cut off."""
        if self._is_private(llm):
            changes = self._incoming(llm, request)
            is_json = format_of(request.settings.response_format) is not None
            cut = to_the_end if is_json else whole_values
            pieces = Pieces(
                lambda: Tail(cut, changes.text),
                lambda: Tail(to_the_end, changes.json),
                lambda message: changed_message(message, changes),
            )
        else:
            pieces = Pieces(lambda: Tail(whole_placeholders), lambda: Tail(whole_placeholders))
        async with aclosing(chunks):
            async for chunk in chunks:
                yield pieces.piece(chunk)
        if rest := pieces.rest():
            yield rest

    def _incoming(self, llm: str, request: Request) -> Changes:
        values = self._values
        conceal = values.conceal_reply if self._is_private(llm) else values.conceal_known
        is_json = format_of(request.settings.response_format) is not None

        def conceal_in_json(text: str) -> str:
            return in_json(text, conceal)

        return Changes(conceal_in_json if is_json else conceal, conceal_in_json)

    def answer(self, answer: Answer) -> Answer:
        """The answer as whoever asks gets it; how it came about stays concealed."""
        message = changed_message(answer.message, self._answering)
        others = tuple(
            replace(other, message=changed_message(other.message, self._answering)) for other in answer.alternatives
        )
        return replace(answer, text=self._answering.text(answer.text), message=message, alternatives=others)

    def token(self, token: Token) -> Token:
        """A piece of the answer as whoever asks gets it."""
        return replace(
            token, text=self._answering.text(token.text), delta=changed_message(token.delta, self._answering)
        )

    def completion(self, completion: Completion) -> Completion:
        """A reply as whoever asks gets it."""
        return replace(completion, message=changed_message(completion.message, self._answering))

    def for_caller(self, observer: Observer) -> Observer:
        """An observer through which whoever asks reads the answer."""
        return _Unveiled(observer, self)


class _Unveiled:
    """Passes events on, with the values in the answer, its pieces, and the reply that they were pieces of."""

    __slots__ = ("_observer", "_veil", "_written")

    def __init__(self, observer: Observer, veil: Veil) -> None:
        self._observer, self._veil = observer, veil
        self._written: set[int] = set()

    def tell(self, event: Event) -> None:
        if isinstance(event, Done):
            event = Done(self._veil.answer(event.answer))
        elif isinstance(event, CallStarted):
            self._written |= {event.number} if event.is_streamed else set()
        elif isinstance(event, CallEnded) and event.number in self._written and event.completion is not None:
            event = replace(event, completion=self._veil.completion(event.completion))
        self._observer.tell(event)

    async def show(self, token: Token) -> None:
        await self._observer.show(self._veil.token(token))
