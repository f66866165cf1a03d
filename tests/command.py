"""The command as tests call it, and the configuration they ask."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOLLM = [sys.executable, "-W", "error", "-m", "mollm"]

TEAM = """
llms:
  a: {model: scripted/from a}
  b: {model: scripted/from b}
  boss: {model: "scripted/the whole answer"}
mixtures:
  team: {description: Two and a boss., workers: [a, b], aggregator: {llm: boss}}
  solo: {description: One alone., workers: [a]}
router: {kind: fixed, fallback: team}
"""


def run(*arguments: str, cwd: Path, text: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command with pipes for standard streams."""
    env = {**os.environ, **environ}
    env.pop("MOLLM_CONFIG", None) if "MOLLM_CONFIG" not in environ else None
    return subprocess.run(
        [*MOLLM, *arguments], cwd=cwd, env=env, input=text, capture_output=True, text=True, timeout=120
    )


def in_terminal(
    *arguments: str,
    cwd: Path,
    columns: int = 80,
    interrupt_at: bytes | None = None,
    program: Sequence[str] = MOLLM,
    **environ: str,
) -> tuple[int, str]:
    """Run the command in a pseudo-terminal and return its exit code and what the screen received."""
    pid, screen = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.update(COLUMNS=str(columns), TERM="xterm", **environ)
        os.execv(program[0], [*program, *arguments])
    seen = b""
    while True:
        try:
            piece = os.read(screen, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if interrupt_at and interrupt_at in seen:
            interrupt_at = None
            os.kill(pid, signal.SIGINT)
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()


def plain(screen: str) -> str:
    """What a terminal received, without the sequences that steer it."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)


class Screen(io.StringIO):
    """Takes what a terminal would show."""

    def isatty(self) -> bool:
        return True
