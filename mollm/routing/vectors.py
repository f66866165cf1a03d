"""The vector of a question, if it comes in time; an embedder that fails costs an opinion and not the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from mollm.errors import ConfigError, RunError
from mollm.routing.base import Scores, deadline
from mollm.routing.features import shortened

if TYPE_CHECKING:
    from mollm.calling.calls import Calls
    from mollm.embeddings.base import Embedder
    from mollm.routing.features import Floats


async def vector_of(text: str, embedder: Embedder, calls: Calls) -> Floats | Scores:
    """Embed a question, shortened if it is long: its vector, shape (d,), or scores without an opinion that say why."""
    try:
        async with asyncio.timeout_at(deadline(calls)):
            [vector] = await embedder.aembed([shortened(text)])
            return np.asarray(vector, dtype=np.float64)
    except TimeoutError:
        return Scores({}, f"{embedder.name} brought no vector in time")
    except (RunError, ConfigError) as error:
        return Scores({}, f"{embedder.name} brought no vector ({error})")
