"""Whether the code in an answer passes tests."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mollm.errors import SandboxError
from mollm.evaluation.mixtures.scores import harness
from mollm.evaluation.mixtures.scores.assertions import NAME, Assertions, assertions_of
from mollm.evaluation.mixtures.scores.base import told
from mollm.loops import all_of
from mollm.sandbox import Limits, arun, code_of, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mollm.evaluation.mixtures.rows import Row

MIB = 1024 * 1024
LIMITS = Limits(seconds=10.0, output=8 * MIB)
"""Of one answer and its tests together."""


class UnitTests:
    """1 if the code in the answer passes the tests that are the reference, else 0.

    The longest Python block of the answer runs as a module, without input, and the tests behind it in the same
    namespace: `assert` statements, or functions `test_...` that take nothing and are called. All of it happens in the
    sandbox, without a network. See `mollm.evaluation.mixtures.scores.assertions` for what code can do to pass that is
    wrong.
    """

    name, is_exact = "tests", True

    def __init__(self, limits: Limits = LIMITS) -> None:
        """Find out whether there is a sandbox.

        Raises:
            SandboxError: This system isolates no programs; nothing is run without that.
        """
        try:
            run("", limits=limits)
        except SandboxError as error:
            raise SandboxError(
                f"answers cannot be tested here, since their code would not be isolated: {error}"
            ) from error
        self._limits = limits
        self._harness = Path(harness.__file__).read_text("utf-8")
        self._places = asyncio.Semaphore(os.cpu_count() or 1)
        self._late: list[str] = []
        self._runs = 0

    def problem(self, row: Row) -> str | None:
        try:
            _tests(row.reference)
        except ValueError as error:
            return str(error)
        return None

    async def score(self, row: Row, texts: Mapping[str, str]) -> Mapping[str, float | None]:
        codes = {who: code_of(text) for who, text in texts.items()}
        distinct = list(dict.fromkeys(codes.values()))
        tests = _tests(row.reference)
        passed = await all_of([self._passes(row, code, tests) for code in distinct]) if distinct else []
        found = dict(zip(distinct, passed, strict=True))
        return {who: float(found[code]) for who, code in codes.items()}

    def notes(self) -> tuple[str, ...]:
        how = (
            "the code of answers was tested in the sandbox: without a network, and without files of this machine but "
            f"those of the system and of Python, to be read; for at most {self._limits.seconds:g} s"
        )
        return (f"{how} ({self._runs} runs)", *told(self._late, "answers whose tests took too long"))

    async def _passes(self, row: Row, code: str, tests: Assertions) -> bool:
        secret = secrets.token_hex(16)
        async with self._places:
            self._runs += 1
            result = await arun(
                self._harness,
                stdin=json.dumps([secret, NAME, tests.code]),
                files={"answer.py": code},
                limits=self._limits,
            )
        if result.timed_out:
            self._late.append(f"{row.place}: an answer and its tests took more than {self._limits.seconds:g} s")
        return result.ended == "exit" and tests.passed(result.stdout, secret)


@lru_cache(maxsize=4096)
def _tests(code: str) -> Assertions:
    return assertions_of(code)
