"""The vector of a question, if it comes in time; an embedder that fails costs an opinion and not the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from mollm.errors import ConfigError, RunError
from mollm.routing.base import Scores
from mollm.routing.features import shortened

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.embeddings.base import Embedder
    from mollm.routing.features import Floats

SHARE_OF_TIME = 0.25
"""Of the time that a question has left; an address that hangs must leave enough for the answer."""


async def vector_of(text: str, embedder: Embedder, calls: Calls) -> Floats | Scores:
    """Embed a question, shortened if it is long: its vector, shape (d,), or scores without an opinion that say why."""
    now = asyncio.get_running_loop().time()
    until = None if calls.deadline is None else now + SHARE_OF_TIME * max(0.0, calls.deadline - now)
    try:
        async with asyncio.timeout_at(until):
            [vector] = await embedder.aembed([shortened(text)])
            return np.asarray(vector, dtype=np.float64)
    except TimeoutError:
        return Scores({}, f"{embedder.name} brought no vector in time")
    except (RunError, ConfigError) as error:
        return Scores({}, f"{embedder.name} brought no vector ({error})")
