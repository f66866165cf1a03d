"""What a configuration becomes, and what of it is built when it is first asked for."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.pool import Pool

if TYPE_CHECKING:
    from mollm.config.llms import LLMConfig

CONFIG = {
    "llms": {"a": {"model": "scripted/Four."}, "spare": {"model": "scripted/Five."}},
    "mixtures": {"one": {"description": "One.", "workers": ["a"]}},
}


class Watched(dict[str, Any]):
    """LLMs of a configuration; who looks one up to build it is noted, and waits a moment for the others."""

    def __init__(self, llms: dict[str, LLMConfig]) -> None:
        super().__init__(llms)
        self.builders: set[int] = set()
        self._company = threading.Event()

    def __getitem__(self, name: str) -> Any:
        if name == "spare":
            self.builders.add(threading.get_ident())
            if len(self.builders) > 1:
                self._company.set()
            self._company.wait(0.2)
        return super().__getitem__(name)


async def test_an_llm_that_many_ask_for_at_first_is_built_once() -> None:
    """One in no mixture, asked by its name five times at the same moment: all get the same."""
    config = load_config(CONFIG)
    llms = Watched(config.llms)
    pool = Pool()
    catalog = Catalog(config.model_copy(update={"llms": llms}), pool)

    mixtures = await asyncio.gather(*(catalog.built_mixture("spare") for _ in range(5)))

    assert len(llms.builders) == 1
    assert all(mixture is mixtures[0] for mixture in mixtures)
    assert catalog.mixture("spare") is mixtures[0]
    await pool.aclose()
