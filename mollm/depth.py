"""How many questions are being answered inside each other, so that mixtures that ask themselves come to an end.

A question that comes from outside is of level 1. One that is asked while it is answered, by an LLM, a router, an
aggregator or an observer in Python, or by a tool of theirs, is of level 2, and `MOST` is the last that is answered.
The levels are in a context variable, which tasks, `asyncio.to_thread`, `LoopThread` and LangChain's threads take along.

Between servers the number is in a header. It is sent to servers of ours alone, and they ask for it: a call of ours is
signed `AGENT`, and a server of ours that gets one without the header answers `ASKED` and names it, before anything
else. The client remembers that, and strangers are asked nothing.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mollm.errors import RequestError, TooDeep

if TYPE_CHECKING:
    from contextvars import Token

MOST = 2
"""Levels of questions that are answered."""
HEADER = "x-mollm-depth"
"""How many questions are being answered around this one."""
AGENT = "mollm"
"""`User-Agent` of a call whose sender would send the header."""
ASKED = 428
"""Status with which the header is asked for."""
ELSEWHERE = "a mixture of the server that asks"
"""In a chain, the question of another process."""
NOT_A_NUMBER = f"{HEADER} is the number of questions around this one, in one or two digits"
_NUMBER = re.compile(r"[0-9]{1,2}")

_around: ContextVar[tuple[str, ...]] = ContextVar("mollm_questions", default=())


def level() -> int:
    """How many questions are being answered around the code that asks."""
    return len(_around.get())


class Within:
    """A context in which whatever is asked is asked inside these questions, the outermost first."""

    __slots__ = ("_chain", "_token")

    def __init__(self, chain: tuple[str, ...]) -> None:
        self._chain = chain
        self._token: Token[tuple[str, ...]] | None = None

    def __enter__(self) -> None:
        self._token = _around.set(self._chain)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                _around.reset(token)
            except ValueError:  # a coroutine that was forgotten is closed wherever the garbage is collected
                return


def answering(mixture: str) -> Within:
    """Count what is asked meanwhile as asked inside a question to `mixture`.

    Raises:
        TooDeep: That question itself is of a level that is not answered.
    """
    chain = (*_around.get(), mixture)
    if len(chain) > MOST:
        raise TooDeep(chain)
    return Within(chain)


def beneath(questions: int) -> Within:
    """Count what is asked meanwhile as asked inside so many questions of another process."""
    around = _around.get()  # more than nothing where one application calls the other without a socket
    return Within((*around, *(ELSEWHERE,) * (questions - len(around))))


def refused_at(place: str) -> TooDeep:
    """The error of a question that the server at `place` refused, for being too deep."""
    return TooDeep((*_around.get(), f"a mixture at {place}"))


def questions_of(header: str) -> int:
    """Read how many questions are around one that comes from another process; 0 where the header is empty.

    Raises:
        TooDeep: They are too many for one more.
        RequestError: It is no such number.
    """
    if not header:
        return 0
    if not _NUMBER.fullmatch(header):
        raise RequestError(NOT_A_NUMBER)
    questions = int(header)
    if questions >= MOST:
        raise TooDeep((*(ELSEWHERE,) * MOST, "this question"))
    return questions
