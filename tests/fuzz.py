"""How many examples the properties are tried on: few with every change, and as many as one likes for a longer run.

MOLLM_FUZZ=50 uv run pytest -m fuzz
"""

from __future__ import annotations

import os


def cases(count: int) -> int:
    """So many examples, times `MOLLM_FUZZ`; half as many where that is not set."""
    return max(1, round(count * float(os.environ.get("MOLLM_FUZZ", "0.5"))))
