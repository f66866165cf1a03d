"""What a name costs before it does anything: fresh interpreters, taken in turn, less what an empty one costs.

uv run python benchmarks/imports.py [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from datetime import date
from importlib.metadata import version

from machine import shape

COMMANDS = {
    "nothing": ["-c", ""],
    "import httpx": ["-c", "import httpx"],
    "import mollm": ["-c", "import mollm"],
    "from mollm import MoLLM": ["-c", "from mollm import MoLLM"],
    "from mollm import create_graph": ["-c", "from mollm import create_graph"],
    "mollm --help": ["-m", "mollm", "--help"],
}
BUDGETS = {"import mollm": 0.5, "mollm --help": 4.0}
"""As multiples of `import httpx`."""


def cpu_seconds(arguments: list[str]) -> float:
    """CPU of one interpreter from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # compiled modules are what an installation has
    subprocess.run([sys.executable, *arguments], env=environ, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    for command in COMMANDS.values():
        cpu_seconds(command)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            taken[name].append(cpu_seconds(command))
    empty = statistics.median(taken["nothing"])
    median = {name: statistics.median(found) - empty for name, found in taken.items()}

    print("| | CPU ms | / `import httpx` | budget |\n|---|---:|---:|---:|")
    for name in [*COMMANDS][1:]:
        budget = f"<= {BUDGETS[name]}" if name in BUDGETS else ""
        print(f"| `{name}` | {median[name] * 1000:.0f} | {median[name] / median['import httpx']:.2f} | {budget} |")
    print(
        f"\nMedians, less the {empty * 1000:.0f} ms of an interpreter that imports nothing; httpx {version('httpx')}."
    )
    print(f"`uv run python benchmarks/imports.py`, {rounds} rounds, {shape()}, {date.today()}.")


if __name__ == "__main__":
    main()
