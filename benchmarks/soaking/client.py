"""The clients of a soak: each asks one question on a connection of its own, may leave, and judges what it gets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httptools

from soaking.faults import ENDLESS, chance, whole
from soaking.upstream import ID

LONGEST_SECONDS = 60.0
ANSWERED, SHORTENED, LEFT, ERROR_EVENT = "answered", "shortened", "left", "error event"
WRONG = "wrong: "
"""Begins the outcomes that must not be."""


@dataclass(frozen=True)
class Question:
    """What one client asks, and when it goes away."""

    id: str
    mixture: str
    streamed: bool = False
    with_tools: bool = False
    leaves_after: float | None = None
    """Seconds after which it leaves, whatever it has by then."""
    leaves_midway: bool = False
    """It leaves with the first text of the answer."""
    padding: str = ""

    def encoded(self) -> bytes:
        """Return the HTTP request."""
        content = f"{self.padding}What is known of {self.id}?"
        body: dict[str, Any] = {"model": self.mixture, "messages": [{"role": "user", "content": content}]}
        if self.streamed:
            body["stream"] = True
        if self.with_tools:
            parameters = {"type": "object", "properties": {"id": {"type": "string"}}}
            body["tools"] = [{"type": "function", "function": {"name": "look", "parameters": parameters}}]
        raw = json.dumps(body).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw


@dataclass
class Outcome:
    """What came of it; times are seconds on the clock that all processes share."""

    question: Question
    begun: float
    ended: float = 0.0
    what: str = ""
    """`answered`, `shortened` (cut at a token limit, and said so), `filtered`, `status 502`, `error event`, `left`,
    or something `wrong`."""
    times: list[float] = field(default_factory=list)
    """When each piece of a body came; kept where it is asked for."""

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


class Exchange(asyncio.Protocol):
    """One question and its answer."""

    def __init__(self, question: Question, *, keep_times: bool = False) -> None:
        self._question, self._keep_times = question, keep_times
        self.outcome = Outcome(question, time.monotonic())
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parser: Any = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # what TCP gives
        self._transport = transport
        transport.write(self._question.encoded())
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(LONGEST_SECONDS, self._end, f"{WRONG}nothing within {LONGEST_SECONDS:g} s")
        if self._question.leaves_after is not None:
            loop.call_later(self._question.leaves_after, self._end, LEFT)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"{WRONG}not HTTP, {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"{WRONG}the connection was lost ({exc})")

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)
        if self._keep_times:
            self.outcome.times.append(time.monotonic())
        if self._question.leaves_midway and b'"content":"T' in part:
            self._end(LEFT)

    def on_message_complete(self) -> None:
        if not self.done.done():
            self._end(judged(self._question, self._parser.get_status_code(), b"".join(self._parts)))

    def _end(self, what: str) -> None:
        if self.done.done():
            return
        self.outcome.what, self.outcome.ended = what, time.monotonic()
        self.done.set_result(None)
        self._limit.cancel()
        self._transport.abort() if what == LEFT else self._transport.close()


def judged(question: Question, status: int, body: bytes) -> str:
    """Say what an HTTP response is, and whether it is one that may be."""
    try:
        if status != 200:
            return f"status {status}" if json.loads(body)["error"]["message"] else f"{WRONG}an error without words"
        if not question.streamed:
            choice = json.loads(body)["choices"][0]
            return _answer(question, choice["message"], choice["finish_reason"])
        return _stream(question, body)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{WRONG}{type(error).__name__} while reading {body[:200]!r}"


def _stream(question: Question, body: bytes) -> str:
    events = [line[6:] for line in body.split(b"\n\n") if line]
    is_done = events[-1:] == [b"[DONE]"]
    read = [json.loads(event) for event in events if event != b"[DONE]"]
    message: dict[str, Any] = {"content": "", "tool_calls": []}
    finish_reason = None
    for choice in [event["choices"][0] for event in read if event.get("choices")]:
        message["content"] += choice["delta"].get("content") or ""
        message["tool_calls"] += choice["delta"].get("tool_calls") or []
        finish_reason = finish_reason or choice["finish_reason"]
    failed = any("error" in event for event in read)
    written = message["content"]
    is_part = whole(question.id).startswith(written) or not written.replace(ENDLESS, "")
    if failed and (is_done or not is_part):
        return f"{WRONG}an error beside an answer"
    if failed:
        return ERROR_EVENT
    return _answer(question, message, finish_reason) if is_done else f"{WRONG}a stream that just ends"


def _answer(question: Question, message: dict[str, Any], finish_reason: str | None) -> str:
    text, right = message.get("content") or "", whole(question.id)
    if strangers := set(ID.findall(json.dumps(message))) - {question.id}:
        return f"{WRONG}the answer of {min(strangers)}"
    if finish_reason == "length" and right.startswith(text):
        return SHORTENED
    if finish_reason == "content_filter":
        return "filtered"
    if message.get("tool_calls"):
        arguments = "".join(call["function"]["arguments"] for call in message["tool_calls"])
        return ANSWERED if json.loads(arguments) == {"id": question.id} else f"{WRONG}another tool call"
    return ANSWERED if text == right and finish_reason == "stop" else f"{WRONG}{text[:100]!r}, {finish_reason}"


Ask = Callable[[Question], Coroutine[Any, Any, Outcome]]


async def ask(port: int, question: Question, *, keep_times: bool = False) -> Outcome:
    """Ask one question and return what came of it."""
    exchange = Exchange(question, keep_times=keep_times)
    try:
        await asyncio.get_running_loop().create_connection(lambda: exchange, "127.0.0.1", port)
    except OSError as error:
        exchange.outcome.what, exchange.outcome.ended = f"{WRONG}no connection, {error}", time.monotonic()
        return exchange.outcome
    await exchange.done
    return exchange.outcome


class Mixed:
    """Questions of every kind, one after the other, by plan."""

    def __init__(self, seed: int) -> None:
        self._seed, self._number = seed, 0

    def calm(self, mixture: str = "three", *, streamed: bool = False) -> Question:
        """Return a question to which no upstream does wrong."""
        self._number += 1
        return Question(f"calm-0-{self._number:07}", mixture, streamed)

    def mixed(self, turn: int | None = None, *, leaving: bool = False) -> Question:
        """Return the next question: calm, or with the faults of that turn; one in twenty clients then leaves."""
        self._number += 1
        id = f"calm-0-{self._number:07}" if turn is None else f"soak-{turn}-{self._number:07}"  # noqa: A001
        drawn, leaves = chance(self._seed, "kind", id), chance(self._seed, "leaves", id)
        if turn is not None and drawn >= 0.9:
            question = Question(id, "lame" if drawn >= 0.95 else "stuck")
        elif drawn >= 0.85:
            question = Question(id, "three", with_tools=True)
        else:
            question = Question(id, "three" if drawn < 0.55 else "one", streamed=0.45 <= drawn < 0.65)
        if not leaving or leaves >= 0.05:
            return question
        if question.streamed:
            return Question(id, question.mixture, streamed=True, leaves_midway=True)
        return Question(id, question.mixture, with_tools=question.with_tools, leaves_after=leaves * 2)


class Load:
    """Asks at a fixed rate, whether or not those before were answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.outcomes: list[Outcome] = []
        self.most_in_flight = 0

    async def run(self, rate: float, seconds: float, following: Callable[[], Question]) -> None:
        """Let `rate` questions a second arrive for `seconds`, or fewer where this process is too slow."""
        begun = time.perf_counter()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            if time.perf_counter() > begun + seconds:
                break
            self.ask(following())

    def ask(self, question: Question) -> None:
        """Ask without waiting."""
        task = asyncio.get_running_loop().create_task(self._ask(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.most_in_flight = max(self.most_in_flight, len(self._tasks))

    async def settle(self) -> None:
        """Wait until every question has an outcome."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _ask(self, question: Question) -> None:
        self.outcomes.append(await ask(self._port, question))


async def capacity(port: int, questions: Mixed, at_once: int, seconds: float) -> float:
    """Answers a second with so many calm questions in flight. Raises `SystemExit` where one fails."""
    outcomes: list[Outcome] = []
    until = time.monotonic() + seconds

    async def ask_on() -> None:
        while time.monotonic() < until:
            outcomes.append(await ask(port, questions.mixed()))

    begun = time.monotonic()
    await asyncio.gather(*(ask_on() for _ in range(at_once)))
    if wrong := [outcome.what for outcome in outcomes if outcome.what != ANSWERED]:
        raise SystemExit(f"{len(wrong)} of {len(outcomes)} calm questions failed: {wrong[0]}")
    return len(outcomes) / (time.monotonic() - begun)
