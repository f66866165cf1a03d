"""Panels for one request, built once for all nodes of a question, and for further questions that bring the same."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mollm.assembling import mixture_of
from mollm.config.names import PANEL
from mollm.config.panels import (
    FORM,
    OwnPanel,
    panel_id,
    plain_panel,
    read_panel,
    remote_problems,
    told,
    too_many,
    with_panel,
)
from mollm.errors import ConfigError, PromptError, RequestError
from mollm.types import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.config.mixtures import MixtureConfig
    from mollm.config.problem import Problem
    from mollm.embeddings.base import Embedder
    from mollm.mixture import Mixture
    from mollm.pool import LLMs
    from mollm.privacy.veil import Veil

MOST_KEPT = 64
"""Panels; of further ones, those that were used the longest time ago are built anew."""
MOST_OWN = 10_000
"""Panels of the program's own that name files or functions, and are known as such."""


class Panels:
    """The panels that questions bring to one configuration. Safe to use from many threads."""

    def __init__(
        self, config: Config, llms: LLMs, aggregators: Mapping[str, Aggregator], vectors: Callable[[], Embedder | None]
    ) -> None:
        """Build nothing yet.

        Args:
            config: The configuration whose LLMs a panel may name.
            llms: Holds them; those that only a panel names are added.
            aggregators: Aggregators beside the built-in ones, by `method`.
            vectors: Returns what texts are compared with, if there is anything. Raises `ConfigError`.
        """
        self._vectors = vectors
        self._config, self._llms, self._aggregators = config, llms, aggregators
        self._built: OrderedDict[str, Mixture] = OrderedDict()
        self._own: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def plain(self, given: Any) -> dict[str, Any]:
        """Copy what was given to plain data. Raises as `plain_panel`."""
        return plain_panel(given, self._config.limits.calls)

    def problems(self, panel: Mapping[str, Any]) -> list[Problem]:
        """Everything that is wrong with a panel of plain data, by its key in it."""
        return read_panel(self._config, panel, self._aggregators)[1]

    def brought(self, given: Any, *, is_asked: bool, veil: Veil | None = None) -> tuple[dict[str, Any], Route]:
        """Take up a panel that a request brought, and not only the name that stands for one.

        Args:
            given: What the option `mixture` holds.
            is_asked: Whether the panel is to be asked.
            veil: Conceals what LLMs may not read of it; None: nothing is concealed.

        Returns:
            The panel as plain data and as LLMs may read it, and the route to it.

        Raises:
            RequestError: There is no panel, or it is not to be asked. Further as `plain_panel`.
        """
        if given == PANEL:
            raise RequestError(f"mixture: {PANEL!r} stands for a panel for one request; give the panel itself: {FORM}")
        panel = self.plain(given)
        if not is_asked:
            raise RequestError("mixture: a panel for one request is asked and not routed; leave it out, or ask")
        panel = panel if veil is None else veil.panel(panel)
        if isinstance(given, OwnPanel) and remote_problems(panel):
            with self._lock:
                _keep(self._own, panel_id(panel), None, MOST_OWN)
        return panel, Route(PANEL, {PANEL: 1.0}, "caller", "a panel that the request brought")

    async def mixture(self, panel: Mapping[str, Any]) -> Mixture:
        """Return the mixture of a panel of plain data, built if need be; LLMs that nobody used yet in a thread.

        Raises:
            RequestError: Lists everything that is wrong with it; also that it names a file or a function, unless it was
                brought as an `OwnPanel`.
            LimitError: It has more proposals than `limits` has calls.
            UserError: An LLM, which no mixture uses, cannot be used as it is configured.
        """
        known = panel_id(panel)
        with self._lock:
            if found := self._built.get(known):
                self._built.move_to_end(known)
                return found
        section = self._section(panel, known)
        if any(name not in self._llms for name in section.llms):
            await asyncio.to_thread(self._hold, section)
        found = replace(self._mixture(section, panel), panel=known)
        with self._lock:
            _keep(self._built, known, found, MOST_KEPT)
        return found

    def _section(self, panel: Mapping[str, Any], known: str) -> MixtureConfig:
        section, problems = read_panel(self._config, panel, self._aggregators)
        # Also of a run that goes on: whoever can write the state of a graph may not read the files of this process.
        refused = [] if known in self._own else remote_problems(panel)
        if refused or problems:
            raise RequestError(told([*refused, *problems]))
        if section.planned > self._config.limits.calls:
            raise too_many(section.planned, self._config.limits.calls)
        return section

    def _hold(self, section: MixtureConfig) -> None:
        for name in section.llms:
            self._llms.add(name)

    def _mixture(self, section: MixtureConfig, panel: Mapping[str, Any]) -> Mixture:
        try:
            embedder = self._vectors() if section.alike is not None else None
            return mixture_of(with_panel(self._config, section), PANEL, section, self._aggregators, embedder)
        except (ConfigError, PromptError) as error:
            if not remote_problems(panel):
                raise  # it names no file and no function, so it is the configuration's that cannot be used
            raise RequestError(str(error)) from error


def _keep(kept: OrderedDict[str, Any], known: str, value: Any, most: int) -> None:
    kept[known] = value
    kept.move_to_end(known)
    while len(kept) > most:
        kept.popitem(last=False)
