"""Systems that ask a panel, side by side on one upstream: time, calls, tokens, and what is left when a worker is bad.

    uv run python benchmarks/panels.py [--runs 5] [--only mollm --only council]

Every system runs in a process and an environment of its own, and asks the same three workers and the same writer
(`panel_upstream.py`). Whatever is counted is counted where it arrives: calls and tokens by the upstream, times between
what the upstream sent and what came out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import shape
from panel_upstream import ORDERED, Parts, playing
from revisions import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
BOUND = 70.0
"""Seconds after which there is no answer."""
GOOD = ["a", "b", "c"]


@dataclass(frozen=True)
class System:
    """What is measured, and where it is installed."""

    name: str
    kind: str
    requirement: tuple[str, ...] = ()
    how: dict[str, Any] = field(default_factory=dict)

    def python(self) -> str:
        """The interpreter of its environment."""
        if not self.requirement:
            return sys.executable
        *further, requirement = self.requirement
        return str(environment(f"panel-{self.kind}", requirement, *further))


SYSTEMS = (
    System("mollm", "mollm"),
    System("mollm, `enough: 2, grace: 0.2`", "mollm", how={"enough": 2, "grace": 0.2}),
    System("mollm, `review: {by: workers}`", "mollm", how={"review": {"by": "workers"}}),
    System("mollm, `review`, `method: best`", "mollm", how={"review": {}, "aggregator": {"method": "best"}}),
    System("mollm, `analysis: true`", "mollm", how={"aggregator": {"analysis": True}}),
    System("llm-council-core 0.53.0", "council", ("llm-council-core==0.53.0",)),
    System("mixture-llm 0.1.3", "pipeline", ("httpx", "mixture-llm==0.1.3")),
    System("LangGraph fan-out, plain", "plain"),
)


@dataclass
class Asked:
    """How one question went."""

    found: dict[str, Any]
    calls: int
    prompt: int
    reply: int
    waited: float
    """Seconds from the end of the last proposal to the first character; 0 where nothing was streamed."""

    @property
    def answered(self) -> bool:
        """There is a text, and no error."""
        return not self.found.get("error") and bool(self.found.get("text"))


class Panelist:
    """A system in its process."""

    def __init__(self, process: asyncio.subprocess.Process, parts: Parts) -> None:
        self._process, self._parts = process, parts

    async def ask(self, workers: list[str], what: str = "", seconds: float = BOUND) -> Asked:
        """Ask one question."""
        self._parts.forget()
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"workers": workers, "what": what, "seconds": seconds}).encode() + b"\n")
        await process.stdin.drain()
        while True:  # some print beside what they are asked for
            line = await process.stdout.readline()
            if not line:
                raise SystemExit("the process of a system ended")
            if line.startswith(b"{"):
                break
        found = json.loads(line)
        prompt, reply = self._parts.tokens
        first = found.get("first") or 0.0
        waited = first - self._parts.last_proposal if first else 0.0
        return Asked(found, len(self._parts.seen), prompt, reply, waited)


@asynccontextmanager
async def running(system: System, parts: Parts) -> AsyncIterator[Panelist]:
    """Start a system, and stop it at the end."""
    command = [system.python(), str(HERE / "panelists.py"), system.kind, parts.url, json.dumps(system.how)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        panelist = Panelist(process, parts)
        assert process.stdout
        await process.stdout.readline()
        await panelist.ask(GOOD)  # imports and connections are not what is measured
        yield panelist
    finally:
        process.kill()
        await process.wait()


async def measure(system: System, runs: int) -> list[list[str]]:
    """One row for each of the tables."""
    async with playing() as parts, running(system, parts) as panelist:
        good = [await panelist.ask(GOOD) for _ in range(runs)]
        slow = [await panelist.ask(["a", "b", "slow"]) for _ in range(runs)]
        failing = await panelist.ask(["a", "b", "failing"])
        ordering = await panelist.ask(["a", "b", "ordering"])
        named = any(name in call.prompt for call in parts.seen for name in ("ordering", "x/a"))
        streamed = [await panelist.ask(GOOD, "stream") for _ in range(runs)]
        form = await panelist.ask(GOOD, "format")
        tools = await panelist.ask(GOOD, "tools")
        hanging = await panelist.ask(["a", "b", "hanging"])
    return [
        [system.name, _seconds(good), _seconds(slow), str(slow[-1].calls), f"{good[-1].prompt} / {good[-1].reply}"],
        [
            system.name,
            _left(failing),
            _left(hanging),
            _orders(ordering),
            "shown" if named else "hidden",
        ],
        [system.name, _first(streamed), _kept_form(form), "yes" if tools.found.get("tools") else "no"],
    ]


def _seconds(asked: list[Asked]) -> str:
    if not all(one.answered for one in asked):
        return "no answer"
    return f"{statistics.median(one.found['seconds'] for one in asked):.2f} s"


def _left(asked: Asked) -> str:
    if asked.answered:
        return f"answer in {asked.found['seconds']:.2f} s"
    error = str(asked.found.get("error") or "empty")
    return error.split(":")[0]


def _orders(asked: Asked) -> str:
    if not asked.answered:
        return "no answer"
    return "outside the quotation" if ORDERED in _shown(asked) else "inside the quotation"


def _shown(asked: Asked) -> str:
    return str(asked.found.get("text") or "")


def _first(asked: list[Asked]) -> str:
    waits = [one.waited for one in asked if one.waited]
    return f"{1000 * statistics.median(waits):.0f} ms" if waits else "does not stream"


def _kept_form(asked: Asked) -> str:
    try:
        return "yes" if json.loads(_shown(asked))["verdict"] else "no"
    except (ValueError, KeyError, TypeError):
        return "no"


TABLES = (
    (
        "Three workers, 0.1 s each; then one of them ten times slower",
        ("all quick", "one slow", "calls", "tokens in / out"),
    ),
    ("One of three workers is bad", ("answers 500", "never answers", "its orders", "names of LLMs")),
    ("What the caller asks for", ("last proposal to first character", "schema kept", "tools kept")),
)


def report(rows: list[list[list[str]]]) -> str:
    """The tables in Markdown."""
    lines = [f"{date.today().isoformat()}, {shape()}.", ""]
    for number, (title, heads) in enumerate(TABLES):
        lines += [f"### {title}", "", "| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
        lines += ["| " + " | ".join(row[number]) + " |" for row in rows] + [""]
    return "\n".join(lines)


async def main() -> None:
    """Measure all, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", action="append", default=[], choices=sorted({system.kind for system in SYSTEMS}))
    arguments = parser.parse_args()
    rows = []
    for system in SYSTEMS:
        if not arguments.only or system.kind in arguments.only:
            print(f"{system.name} ...", file=sys.stderr)
            rows.append(await measure(system, arguments.runs))
    print(report(rows))


if __name__ == "__main__":
    asyncio.run(main())
