"""How many examples the properties take: a longer run is `MOLLM_FUZZ=100 uv run pytest`."""

from __future__ import annotations

import os


def cases(count: int) -> int:
    """So many examples, times `MOLLM_FUZZ`."""
    return count * int(os.environ.get("MOLLM_FUZZ", "1"))
