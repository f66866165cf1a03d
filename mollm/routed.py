"""The router's decision alone, and whoever watches told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm import flow
from mollm.observing.watching import is_watched
from mollm.run import context_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mollm.catalog import Catalog
    from mollm.events import Observer
    from mollm.options import Options
    from mollm.routing.base import Router
    from mollm.types import Message, Route


async def routed(
    catalog: Catalog,
    question: str | Sequence[Message],
    options: Options,
    observers: Sequence[Observer],
    through: Callable[[Router], Router] | None = None,
) -> Route:
    """Pick the mixture for a question; no worker is asked.

    Args:
        catalog: Has the router.
        question: The question.
        options: The options that the caller set.
        observers: Receive what happens.
        through: Makes what is asked in place of the router; None: the router is.
    """

    async def told(*further: Observer) -> Route:
        context = context_of(catalog, question, options, [*observers, *further])
        context.through = through or context.through
        return await flow.route_only(context)

    if not is_watched():
        return await told()
    from mollm.observing.langchain import current_observer

    callbacks = current_observer("")
    try:
        return await told(callbacks)
    finally:
        await callbacks.settle()
