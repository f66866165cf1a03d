"""Code that nobody has read, run apart from everything else: without a network, without files but its own, bounded.

| module | does |
|---|---|
| `running` | `run` and `arun`: one program to its end, with what it printed |
| `spec` | what the launcher is to run |
| `values` | what a run may take, and what came of it |
| `launcher` | the first process of a run: it builds the walls, and imports nothing of mollm |
| `code` | `code_of`: the code in an answer |
"""

from __future__ import annotations

from mollm.errors import SandboxError
from mollm.sandbox.code import code_of
from mollm.sandbox.running import arun, run
from mollm.sandbox.values import Isolation, Limits, Result

__all__ = ["Isolation", "Limits", "Result", "SandboxError", "arun", "code_of", "run"]
