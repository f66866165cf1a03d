"""Hold the extras to their promise: the same versions of mollm's dependencies are picked with and without each.

    uv run .ci/extras.py

Prints a line for each Python and extra, and exits with 1 where a version differs.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRIES = 3


def picked(python: str, *options: str) -> dict[str, str]:
    """Name to version of what would be installed."""
    command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", python]
    for number in range(1, TRIES + 1):
        done = subprocess.run([*command, *options, "pyproject.toml"], cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            break
        sys.stderr.write(f"try {number} of {TRIES}: {done.stderr}")
    done.check_returncode()
    lines = (line.partition(";")[0].strip() for line in done.stdout.splitlines() if "==" in line)
    return dict(line.split("==") for line in lines)


def main() -> int:
    """Compare every extra with none, on the oldest and the newest Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [line.rpartition(" :: ")[2] for line in project["classifiers"] if " :: 3." in line]
    differ = False
    for python in (named[0], named[-1]):
        alone = picked(python)
        for extra in project["optional-dependencies"]:
            beside = picked(python, "--extra", extra)
            moved = [f"{name} {alone[name]} -> {beside.get(name)}" for name in alone if beside.get(name) != alone[name]]
            differ |= bool(moved)
            more = f"{len(beside) - len(alone)} more packages"
            print(f"Python {python}, {extra}: {more}; {', '.join(moved) or 'the rest is the same'}")
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
