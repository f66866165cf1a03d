"""The LangGraph graphs of the configurations that are in force."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mollm.catalog import Catalog
    from mollm.events import Observer
    from mollm.graph import Graph
    from mollm.loops import LoopThread
    from mollm.turns import Turns


class Graphs:
    """Compiles the graph of a catalog on first use, and forgets those of catalogs that nobody uses any more."""

    def __init__(self, loop_thread: LoopThread, observers: Sequence[Observer], turns: Turns) -> None:
        """Take what all of them share."""
        self._loop_thread, self._observers, self._turns = loop_thread, observers, turns
        self._compiled: dict[Catalog, Graph] = {}
        self._lock = threading.Lock()

    def __contains__(self, catalog: object) -> bool:
        return catalog in self._compiled

    def of(self, catalog: Catalog, living: Collection[Catalog]) -> Graph:
        """The graph of a catalog; `living` are those in use."""
        # Imported on first use: LangGraph takes half a second, and 35 MB.
        from mollm.graph import compile_graph

        with self._lock:
            if catalog not in self._compiled:
                self._compiled = {known: graph for known, graph in self._compiled.items() if known in living}
                self._compiled[catalog] = compile_graph(
                    catalog, loop_thread=self._loop_thread, observers=self._observers, turns=self._turns
                )
            return self._compiled[catalog]
