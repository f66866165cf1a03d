"""Several observers as one, and nobody."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mollm.types import Event, Observer, Token

log = logging.getLogger("mollm")


class Observers:
    """Passes on to each observer what happens, in their order."""

    __slots__ = ("_all",)

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._all = tuple(observers)

    def __bool__(self) -> bool:
        return bool(self._all)

    def tell(self, event: Event) -> None:
        """Tell every observer."""
        for observer in self._all:
            observer.tell(event)

    async def show(self, token: Token) -> None:
        """Show a token to one observer after the other; the slowest sets the pace."""
        for observer in self._all:
            await observer.show(token)


NOBODY = Observers()


class Guarded:
    """An observer whose failures are logged: one that only looks on never costs the answer."""

    __slots__ = ("_observer",)

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def tell(self, event: Event) -> None:
        """Tell the observer."""
        try:
            self._observer.tell(event)
        except Exception as error:  # noqa: BLE001 - logged
            self._report(error)

    async def show(self, token: Token) -> None:
        """Show it a token; the wait for it counts, its failure does not."""
        try:
            await self._observer.show(token)
        except Exception as error:  # noqa: BLE001 - logged
            self._report(error)

    def _report(self, error: Exception) -> None:
        # What it says may quote a prompt; where it happened does not.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("the observer %s failed: %s, at\n%s", type(self._observer).__name__, type(error).__name__, frames)
