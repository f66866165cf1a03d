"""Whether a pattern is found in an answer."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

from mollm.errors import RunError
from mollm.evaluation.mixtures.scores.base import told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.evaluation.mixtures.rows import Row

SECONDS = 2
"""Of CPU time, for one answer."""
PATIENCE = 10
"""So many times as long, and as many seconds, is a process waited for that does not end by itself."""
SEARCHING = """
import json, re, signal, sys
seconds, pattern, texts = json.loads(sys.stdin.buffer.read())
found = re.compile(pattern)
for text in texts:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # it ends the process, in the middle of a search too
    print(int(found.search(text) is not None), flush=True)
"""
"""The process that searches: inside this one a search could not be ended, and would hold up everything else."""


class Regex:
    """1 if the pattern that is the reference is found in the answer, else 0.

    It is a regular expression of Python's `re`, found anywhere in the text (`re.search`) and without flags; `(?i)`,
    `(?m)` and `(?s)` in front set them, and `\\A...\\Z` hold it to the whole text. A search that takes too long is
    ended, and the answer has no score.
    """

    name, is_exact = "regex", True

    def __init__(self, seconds: float = SECONDS) -> None:
        """Take the seconds of CPU time that there are for one answer."""
        self._seconds = seconds
        self._places = asyncio.Semaphore(os.cpu_count() or 1)
        self._late: list[str] = []

    def problem(self, row: Row) -> str | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                re.compile(row.reference)
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            return f"the reference {row.reference[:60]!r} is no regular expression: {error}"
        return None

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        found: list[float | None] = []
        given = list(texts.values())
        while len(found) < len(given):
            async with self._places:
                found += await asyncio.to_thread(_searched, row.reference, given[len(found) :], self._seconds)
            if len(found) < len(given):
                found.append(None)  # it is the next one that took too long, or too much
        scores = dict(zip(texts, found, strict=True))
        self._late += [
            f"{row.place}: no score for {who}: the search was given up" for who in texts if scores[who] is None
        ]
        return scores

    def notes(self) -> tuple[str, ...]:
        return told(self._late, "answers whose search was given up")


def _searched(pattern: str, texts: Sequence[str], seconds: float) -> list[float]:
    """Search texts in a process of its own, as many of them as it gets through.

    Raises:
        RunError: It cannot be started.
    """
    sent = json.dumps([seconds, pattern, texts]).encode()
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", SEARCHING]
    try:
        said = subprocess.run(  # noqa: S603 - this interpreter, on a program of its own
            command, input=sent, capture_output=True, timeout=PATIENCE * (seconds * len(texts) + 1), check=False
        ).stdout
    except subprocess.TimeoutExpired as late:  # where no process can end itself, or the machine does much else
        said = late.stdout or b""
    except OSError as error:
        raise RunError(f"no process for regular expressions can be started: {error}") from error
    return [float(line) for line in said.split()]
