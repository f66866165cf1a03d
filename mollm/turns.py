"""Proposals kept for the rest of a user's turn.

The result of a tool comes as a new request that repeats the conversation. The workers were asked for this turn
already, so their proposals are kept for a while and used again. What is not found any more (a restart, another
process, an edited history) costs the calls once more, and nothing else.

A conversation is known by what is said and done in it. Clients write the same one differently from request to request:
a text as parts, marks for a cache on the latest messages, other ids, fields that are null or missing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import orjson

from mollm.messages import SYSTEM, calls_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mollm.mixture import Mixture
    from mollm.types import Analysis, Ended, Message, Proposal, Ranking

SECONDS, MOST_TURNS, MOST_BYTES = 1800.0, 1000, 64 * 1024 * 1024
"""How long proposals are kept since they were last used, of how many turns, and how much of them together."""
_BESIDE_TEXT = 1024
"""Bytes of a proposal without its text, about."""
_OF_POINT = 256
"""Bytes of a point of an analysis without its text, about."""
_SECRET = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Kept:
    """The proposals of a turn, with what is known of them."""

    proposals: tuple[Proposal, ...]
    """Of all layers, one per call that was started."""
    layer: int
    """Number of the latest layer that counts."""
    degraded: tuple[str, ...] = ()
    ranking: Ranking | None = None
    analysis: Analysis | None = None
    confidence: float | None = None
    ended: Ended | None = None

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        proposals = sum(_BESIDE_TEXT + sys.getsizeof(p.text) + sys.getsizeof(p.final or "") for p in self.proposals)
        points = self.analysis.points if self.analysis else ()
        ballots = self.ranking.ballots if self.ranking else ()
        return proposals + sum(_OF_POINT + sys.getsizeof(p.text) for p in points) + _BESIDE_TEXT * len(ballots)


KEPT = tuple(f.name for f in fields(Kept))


class Turns:
    """Keeps the proposals of the latest turns in memory. Safe to use from many threads."""

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        most: int = MOST_TURNS,
        most_bytes: int = MOST_BYTES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep nothing yet.

        Args:
            seconds: For which proposals are kept since they were last used.
            most: Number of turns; beyond it, those that were used the longest time ago are forgotten.
            most_bytes: Of all proposals together, about.
            now: A clock, in seconds.
        """
        self._seconds, self._most, self._most_bytes, self._now = seconds, most, most_bytes, now
        # With its size, since a text takes more memory once somebody has asked for its bytes.
        self._kept: OrderedDict[str, tuple[float, Kept, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, turn: str) -> Kept | None:
        """Return the proposals of `turn`, if they are still kept."""
        with self._lock:
            self._forget()
            found = self._kept.get(turn)
            if found is None:
                return None
            self._kept[turn] = (self._now(), *found[1:])
            self._kept.move_to_end(turn)
            return found[1]

    def put(self, turn: str, kept: Kept) -> None:
        """Keep the proposals of `turn` instead of those that were kept for it before."""
        with self._lock:
            self._drop(turn)
            size = kept.size
            self._kept[turn] = (self._now(), kept, size)
            self._size += size
            self._forget()

    def _forget(self) -> None:
        until = self._now() - self._seconds
        while self._kept:
            turn, (used, *_) = next(iter(self._kept.items()))
            if used > until and len(self._kept) <= self._most and self._size <= self._most_bytes:
                return
            self._drop(turn)

    def _drop(self, turn: str) -> None:
        if found := self._kept.pop(turn, None):
            self._size -= found[2]


def turn_of(messages: Sequence[Message], mixture: Mixture, owner: str) -> str:
    """Return a digest of a user's turn: the conversation up to its last user message, the mixture, and who asks.

    The workers count with the mixture, so that a configuration that asks others does not use what these proposed, and
    of a panel for one request all of it does.
    Without a message of the user there is nothing to tell one turn from another, and the digest is empty. However a
    conversation is written, the digest is the same as long as it says the same.
    """
    bodies = [worker.settings.extra_body for worker in mixture.workers]  # which `repr` masks
    return begun(messages, owner, [mixture.name, mixture.panel, repr((mixture.workers, mixture.rules)), bodies])


def begun(messages: Sequence[Message], owner: str, beside: Sequence[Any] = ()) -> str:
    """Return a digest of how a user's turn began, who asks, and what is `beside`; as `turn_of`."""
    last = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].get("role") == "user"), None)
    if last is None:
        return ""
    asked = [owner, *beside, *_said(messages[: last + 1])]
    try:
        written = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS, default=str)
    except TypeError:  # half of a surrogate pair, which Python can hold
        written = json.dumps(asked, sort_keys=True, default=str).encode()
    return hashlib.sha256(written).hexdigest()


def _said(messages: Iterable[Message]) -> Iterator[Any]:
    """What each message says: who, the texts and media, the calls; a result belongs to one of the calls before."""
    calls: dict[Any, int] = {}
    for message in messages:
        role = message.get("role")
        called = [(name, _value(arguments)) for _, name, arguments in calls_of(message)]
        calls |= {call_id: len(calls) + at for at, (call_id, *_) in enumerate(calls_of(message))}
        yield [
            "system" if role in SYSTEM else role,
            message.get("name"),
            _parts(message.get("content") or message.get("refusal")),
            called,
            calls.get(message.get("tool_call_id")),
        ]


def _parts(content: Any) -> list[Any]:
    """Texts, joined where no other part is between them, and those other parts."""
    found: list[Any] = []
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else part
        if isinstance(text, str) and found and isinstance(found[-1], str):
            found[-1] += text
        elif isinstance(text, dict):
            found.append({key: value for key, value in text.items() if key != "cache_control" and value is not None})
        else:
            found.append(text or "")
    found = [part.strip() if isinstance(part, str) else part for part in found]
    return [part for part in found if part]


def _value(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def mark_of(turn: str) -> str:
    """Return a delimiter for the proposals of `turn`: no worker can guess it, and it is the same in every request.

    So the prompt keeps its beginning from one request of a turn to the next, and servers can reuse it.
    """
    return hmac.new(_SECRET, turn.encode(), hashlib.sha256).hexdigest()[:8]
