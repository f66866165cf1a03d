"""The catalog in force, and those before it that questions still use."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mollm.catalog import Catalog
    from mollm.pool import Pool


class Catalogs:
    """Puts one catalog after the other in force; LLMs that none of those in use holds are closed.

    Attributes:
        current: The catalog in force.
    """

    def __init__(self, first: Catalog, pool: Pool) -> None:
        """Put `first` in force; `pool` has the LLMs of all of them."""
        self.current = first
        self._pool = pool
        self._lock = threading.Lock()
        self._users: Counter[Catalog] = Counter()
        self._lent: set[Catalog] = set()
        self._changes = 0
        self._latest = self._applied = 0
        self._retiring: set[asyncio.Task[None]] = set()

    @contextmanager
    def using(self) -> Iterator[Catalog]:
        """Use the catalog in force; it stays usable until the block ends, whatever comes into force meanwhile."""
        with self._lock:
            catalog = self.current
            self._users[catalog] += 1
        try:
            yield catalog
        finally:
            with self._lock:
                self._users[catalog] -= 1
                is_retired = catalog is not self.current and not self._users[catalog]
            if is_retired:
                task = asyncio.get_running_loop().create_task(self.retire())
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)

    def lend(self) -> Catalog:
        """Return the catalog in force to somebody whose use of it cannot be seen; it is never retired."""
        with self._lock:
            self._lent.add(self.current)
            return self.current

    @contextmanager
    def changing(self) -> Iterator[Callable[[Catalog], None]]:
        """Build another catalog in the block, and put it in force by what is yielded.

        Nothing is retired while one is built, since it may hold LLMs that the one before it holds. Of two changes
        at once the one that began later wins.
        """
        with self._lock:
            self._changes += 1
            self._latest += 1
            turn = self._latest

        def put(catalog: Catalog) -> None:
            with self._lock:
                if turn > self._applied:
                    self._applied, self.current = turn, catalog

        try:
            yield put
        finally:
            with self._lock:
                self._changes -= 1

    async def retire(self) -> None:
        """Forget the catalogs that nobody uses, and close what only they held."""
        with self._lock:
            if self._changes:
                return  # the change that is under way does it when it is through
            gone = [catalog for catalog, users in self._users.items() if catalog is not self.current and not users]
            for catalog in gone:
                del self._users[catalog]
        for catalog in set(gone) - self.living:
            await catalog.aclose()
        await self._pool.retire([catalog.llms for catalog in self.living])

    @property
    def living(self) -> set[Catalog]:
        """The catalog in force, and those that somebody uses."""
        with self._lock:
            return {self.current, *self._users, *self._lent}

    async def aclose(self) -> None:
        """Close what catalogs opened on the running event loop; of those before, what is being closed there."""
        loop = asyncio.get_running_loop()
        if closing := [task for task in list(self._retiring) if task.get_loop() is loop]:
            await asyncio.wait(closing)
        for catalog in self.living:
            await catalog.aclose()
