"""The shape of the machine that figures were measured on."""

from __future__ import annotations

import os
import platform

_CORES = len(os.sched_getaffinity(0))  # as it starts, before a benchmark binds itself to one of them


def shape() -> str:
    """Return cores, architecture and version of Python, in words."""
    return f"{_CORES} cores, {platform.machine()}, Python {platform.python_version()}"
