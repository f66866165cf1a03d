"""Several observers as one, an observer that is nobody, and one whose failures are logged."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.events import Observer
from mollm.loops import cancellations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mollm.events import Event, Token

log = logging.getLogger("mollm")


class Observers:
    """Passes every event on to each observer, in order."""

    __slots__ = ("all",)

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self.all = tuple(observers)

    def __bool__(self) -> bool:
        return bool(self.all)

    def tell(self, event: Event) -> None:
        """Tell every observer."""
        for observer in self.all:
            observer.tell(event)

    async def show(self, token: Token) -> None:
        """Show a token to each observer in turn; the answer is only read as fast as the slowest observer."""
        for observer in self.all:
            await observer.show(token)


NOBODY = Observers()


def together(observer: Observer, others: Sequence[Observer]) -> Observer:
    """Tell an observer, and others after it."""
    if not others:
        return observer
    return Observers((*observer.all, *others) if isinstance(observer, Observers) else (observer, *others))


class Guarded:
    """An observer whose failures are logged, so that it never costs the answer."""

    __slots__ = ("_observer",)

    def __init__(self, observer: Observer) -> None:
        """Raises `ConfigError` if `observer` is none."""
        if not isinstance(observer, Observer):
            raise ConfigError(f"observers: {type(observer).__name__} has no `tell` and `show`")
        self._observer = observer

    def tell(self, event: Event) -> None:
        """Tell the observer; log its failure."""
        try:
            self._observer.tell(event)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - logged
            self._report(error)

    async def show(self, token: Token) -> None:
        """Show it a token and wait for it; log its failure."""
        try:
            await self._observer.show(token)
        except asyncio.CancelledError as error:
            if cancellations():
                raise
            self._report(error)
        except Exception as error:  # noqa: BLE001 - logged
            self._report(error)

    def _report(self, error: BaseException) -> None:
        # The message may quote a prompt; the traceback does not.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("the observer %s failed: %s, at\n%s", type(self._observer).__name__, type(error).__name__, frames)
