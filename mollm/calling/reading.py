"""What an upstream sends, from bytes to completions and chunks. The bytes decide what it is, not their label.

A body may be one document or a stream of events, whatever was asked for. What says that it is an error, what ends in
a failure, and what cannot be understood raises; none of it is ever an answer.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

import orjson

from mollm.calling import lenient
from mollm.calling.base import Chunk, Completion
from mollm.calling.finish import worst
from mollm.calling.inband import BESIDE, SUSPECT, error_beside, error_in, error_of, is_alive
from mollm.calling.shapes import Shapes
from mollm.calling.sse import MAX_EVENT_BYTES, ErrorEvent, EventParser, EventTooLarge
from mollm.calling.streamed import StreamedReply
from mollm.calling.usage import usage_of
from mollm.errors import LLMError, ProviderFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mollm.calling.base import Request

_DONE = re.compile(rb"[\s\"']*(\[(DONE|END)\]|DONE)[\s\"';,]*", re.IGNORECASE)
_KEEP_ALIVE = re.compile(
    rb"\s*:[^{}]*|[\s\"'\[(]*(ping|pong|keep[-_ ]?alive|heart[-_ ]?beat|alive|connected|open|ok|null)?[\s\"'\]).:]*",
    re.IGNORECASE,
)
"""Data that keeps a connection open and is no part of the answer."""
_EVENTS = re.compile(rb"(data|event|id|retry|error)?\s{0,8}:", re.IGNORECASE)
_PAGE = re.compile(rb"<[!?a-z]", re.IGNORECASE)
_SEEN_FIRST = 64
"""Bytes that tell what a reply is, should it not be what was asked for; signs of life are no longer."""
_BESIDE = frozenset(BESIDE)


class ReplyReader:
    """Reads one reply of an upstream.

    Attributes:
        is_done: A stream said that it is at its end.
    """

    def __init__(self, headers: Mapping[str, str], charset: str | None = None) -> None:
        """Take what goes with the bytes.

        Args:
            headers: Of the reply.
            charset: As its content type names it, for bytes that are not UTF-8.
        """
        self.is_done = False
        self._headers = headers
        self._charset = charset
        self._parser = EventParser()
        self._halves: lenient.Halves | None = None
        self._has_begun = False
        self._is_finished = False
        self._is_odd = False
        self._first = b""

    def completion(self, raw: bytes, request: Request) -> Completion:
        """Read the body of the reply to a `request` that was not to be streamed.

        Raises:
            LLMError: It is no answer.
        """
        if raw[:1] != b"{":
            raw = raw.removeprefix(codecs.BOM_UTF8)
            if _is_stream(raw):
                return self._collected(raw, request)
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError:
            try:
                document = self._lenient(raw)
            except ValueError as error:
                if b"}\n" in raw or b"}\r" in raw:  # documents line by line
                    return self._collected(raw, request)
                raise _no_answer(raw) from error
        if type(document) is not dict:
            document = self._only(document)
            if document is None:
                raise _no_answer(raw)
        if self._halves:
            document = lenient.mended(document)
        choices = document.get("choices")
        is_usual = choices and document.get("object") == "chat.completion" and SUSPECT.isdisjoint(document)
        if not is_usual:
            self._check(document)
        choice = self._choice(choices)
        message = choice.get("message")
        if message is None and "delta" in choice:
            return self._collected(raw, request)
        if not isinstance(message, dict):
            raise ProviderFailed("the reply holds no message", status=200)
        if not _BESIDE.isdisjoint(message):
            self._check_beside(message)
        return Completion(message, self._reason(choice), usage_of(document.get("usage")), choice.get("logprobs"))

    def events(self, received: bytes) -> list[bytes]:
        """Return the data of the events that the next bytes of a stream complete; each is read by `chunk`.

        Raises:
            ProviderFailed: An event does not end.
        """
        if len(self._first) < _SEEN_FIRST:
            self._first += received[:_SEEN_FIRST]
        try:
            return self._parser.feed(received)
        except EventTooLarge:
            raise _too_large() from None

    def chunk(self, data: bytes) -> Chunk | None:
        """Read the data of one event; None where it holds nothing of the answer.

        Raises:
            LLMError: It is no part of an answer.
        """
        if isinstance(data, ErrorEvent):
            raise error_of(data.decode("utf-8", "replace"), self._headers)
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            document = self._odd(data)
        if type(document) is not dict:
            document = self._only(document)
            if document is None:
                return None
        choices = document.get("choices")
        if not choices or document.get("object") == "error" or not SUSPECT.isdisjoint(document):
            self._check(document)
        usage = usage_of(document["usage"]) if document.get("usage") else None
        if not choices:
            is_known = "choices" in document or "usage" in document or not document or is_alive(document)
            self._is_odd = self._is_odd or not is_known
            return Chunk(usage=usage) if usage else None
        choice = choices[0] if type(choices) is list else None
        if type(choice) is not dict or not _BESIDE.isdisjoint(choice):
            choice = self._choice(choices)
        delta = choice.get("delta")
        if type(delta) is not dict:
            delta = self._whole(choice)
        elif "error" in delta:
            self._check_beside(delta)
        self._has_begun = True
        reason = choice.get("finish_reason")
        if reason is not None:
            reason = self._reason(choice)
            self._is_finished = self._is_finished or reason is not None
        logprobs = choice.get("logprobs")
        if self._halves:
            delta = self._halves.join(delta, is_last=reason is not None)
            logprobs = lenient.mended(logprobs)
        return Chunk(delta, reason, usage, logprobs)

    def end(self) -> Iterator[Chunk]:
        """Read what the end of the stream, or of the connection, completes.

        Raises:
            LLMError: It is no answer, or broke off.
        """
        if not self.is_done:
            yield from self._read(self._parser.end())
        if self._halves and self._halves.are_held:
            yield Chunk(self._halves.join({}, is_last=True))
        if self._is_finished:
            return
        if not self.is_done and not self._has_begun:
            raise _no_answer(self._first)
        if not self.is_done or self._is_odd or self._parser.other:
            raise ProviderFailed("the stream ended in the middle of the answer", status=200)

    def _read(self, events: list[bytes]) -> Iterator[Chunk]:
        for data in events:
            chunk = self.chunk(data)
            if chunk is not None:
                yield chunk
            elif self.is_done:
                return

    def _collected(self, raw: bytes, request: Request) -> Completion:
        reply, shapes = StreamedReply(), Shapes(request, moves_thoughts=False)
        for part in (self._read(self.events(raw)), self.end()):
            for chunk in part:
                reply.add(shapes.piece(chunk))
        reply.add(shapes.rest())
        return reply.completion(None)

    def _lenient(self, raw: bytes) -> Any:
        """Read what is not strictly JSON. Raises `ValueError` for what is no JSON at all."""
        document = lenient.read(raw, self._charset)
        self._halves = self._halves or lenient.Halves()
        return document

    def _odd(self, data: bytes) -> Any:
        """Read data that is not strictly JSON."""
        data = data.strip().removeprefix(b"data:")  # some gateways frame what is framed already
        if self._is_sign(data):
            return None
        try:
            return self._lenient(data)
        except ValueError:
            raise ProviderFailed("the stream holds something that is not JSON", status=200) from None

    def _is_sign(self, data: bytes) -> bool:
        """Whether it only says that the stream is at its end, or alive."""
        if len(data) > _SEEN_FIRST:
            return False
        if _DONE.fullmatch(data):
            self.is_done = True
        return self.is_done or _KEEP_ALIVE.fullmatch(data) is not None

    def _only(self, document: Any) -> dict[str, Any] | None:
        """Take the object out of what wraps it: a list of one, or a string; None where there is nothing in it."""
        if isinstance(document, str):
            text = document.encode("utf-8", "replace")
            if self._is_sign(text):
                return None
            document = lenient.nested(document)
            if document is None:
                raise error_of(text.decode(), self._headers)
        if isinstance(document, list) and len(document) <= 1:
            document = document[0] if document else None
        if document is None or isinstance(document, dict):
            return document
        raise ProviderFailed("the reply is not a chat completion", status=200)

    def _check(self, document: dict[str, Any]) -> None:
        if error := error_in(document, self._headers):
            raise error

    def _check_beside(self, part: dict[str, Any]) -> None:
        if error := error_beside(part, self._headers):
            raise error

    def _choice(self, choices: Any) -> dict[str, Any]:
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            raise ProviderFailed("the reply is not a chat completion: it holds no choice", status=200)
        if not _BESIDE.isdisjoint(choice):
            self._check_beside(choice)
        return choice

    def _reason(self, choice: dict[str, Any]) -> str | None:
        reason = choice.get("finish_reason")
        try:
            return worst(reason, choice.get("native_finish_reason"))
        except LLMError:
            if isinstance(reason, dict):  # as SGLang says why it gave up
                raise error_of(reason, self._headers) from None
            raise

    def _whole(self, choice: dict[str, Any]) -> dict[str, Any]:
        """Take a whole message in the place of the first piece, as of a reply that was not streamed after all."""
        message = choice.get("message")
        if choice.get("delta") is None:
            if message is None:
                return {}
            if isinstance(message, dict) and not self._has_begun:
                self._check_beside(message)
                self._is_finished = True
                return message
        raise ProviderFailed("the stream holds something that is not a chat completion chunk", status=200)


def _is_stream(raw: bytes) -> bool:
    return _EVENTS.match(raw.lstrip()[:_SEEN_FIRST]) is not None


def _no_answer(raw: bytes) -> ProviderFailed:
    """Say what came instead of a chat completion, without quoting it."""
    raw = raw.lstrip()[:_SEEN_FIRST]
    if not raw:
        what = "the reply is empty"
    elif _EVENTS.match(raw):
        what = "the stream ended before the answer began"
    elif _PAGE.match(raw):
        what = "the reply is a web page, as of a login or a proxy, and not a chat completion; check `api_base`"
    elif raw[:1] in b'{["':
        what = "the reply is not a chat completion"
    else:
        what = "the reply is plain text, and not a chat completion; check `api_base`"
    return ProviderFailed(what, status=200)


def _too_large() -> ProviderFailed:
    return ProviderFailed(f"a piece of the reply has more than {MAX_EVENT_BYTES >> 20} MiB", status=200)
