"""The shell of a page: it runs commands as a reader would, and keeps a server where one ends in `&`.

A page says port 8000, since its reader does; here the server listens on one that is free, and both ways one stands
for the other. `$!` is the server, as in any shell; below a `kill` stands what the signal makes it say.
"""

from __future__ import annotations

import doctest
import re
import subprocess
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMMAND = re.compile(
    r"""^\$\ ((?:'[^']*'|"[^"]*"|(?<=\s)\#.*|\\\n|[^'"\n])*)\n  # a quote and a backslash hold lines together
        ((?:(?!\$\ ).*\n)*)""",
    re.MULTILINE | re.VERBOSE,
)
OURS = re.compile(r"(?:(?:echo|printf) .* \| )?mollm ")
BESIDE_SERVER = re.compile(r"(?:curl|echo|kill) ")
"""What is run where a server of the page runs; elsewhere it may be meant for a machine that is not here."""
SERVE = re.compile(r"mollm serve\b.* &")
PAGE_ADDRESS = "127.0.0.1:8000"
ADDRESS = re.compile(r" on http://(127\.0\.0\.1:\d+)\n")
PATIENCE = 120
"""Seconds after which a server that neither says nor does what it should is killed."""


def commands(block: str) -> list[tuple[str, str]]:
    """Commands of a console block, each with what stands below it."""
    found = COMMAND.findall(block)
    assert len(found) == len(re.findall(r"^\$ ", block, re.MULTILINE)), f"a quote is left open:\n{block}"
    return found


def prints(expected: str, output: str) -> bool:
    """Say whether `output` is what a page says, `...` standing for anything."""
    return doctest.OutputChecker().check_output(expected, output, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


class Server:
    """A `mollm serve` of a page."""

    def __init__(self, command: str, folder: Path, environ: Mapping[str, str]) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(
            [*command.removesuffix(" &").split(), "--port", "0"],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(PATIENCE, self._process.kill)
        self._watchdog.start()
        self.pid = self._process.pid
        self.address = ""
        self.log = self.says("... on http://...\n")

    def says(self, expected: str, place: str = "") -> str:
        """Read on until the last lines are those, and return what was read."""
        assert self._process.stderr
        lines: list[str] = []
        while line := self._process.stderr.readline():
            if not self.address and (found := ADDRESS.search(line)):
                self.address = found[1]
            lines.append(line.replace(self.address, PAGE_ADDRESS) if self.address else line)
            if prints(expected, "".join(lines[-expected.count("\n") :])):
                return "".join(lines)
        raise AssertionError(f"{place}\nthe server ended, or had to be ended, after\n{''.join(lines)}")

    def stop(self) -> int:
        """End it, unless the page did, and return its exit code."""
        self._process.terminate()
        code = self._process.wait()
        self._watchdog.cancel()
        assert self._process.stderr
        self._process.stderr.close()
        return code


class Shell:
    """Runs the commands of one page in a folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        """Start with no server."""
        self._folder, self._environ = folder, environ
        self._server: Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._server:
            code = self._server.stop()
            assert kind or code == 0, f"the server exited with {code}"

    def here(self, text: str) -> str:
        """The text of a page with the server's address and number in place of what the page calls them."""
        if not self._server:
            return text
        return text.replace(PAGE_ADDRESS, self._server.address).replace("$!", str(self._server.pid))

    def run(self, command: str, expected: str, place: str) -> None:
        """Run a command if it is one that can be run here; it must end well and print what is expected."""
        if SERVE.fullmatch(command):
            assert not self._server, f"{place}: one server is enough"
            self._server = Server(command, self._folder, self._environ)
            assert not expected or prints(expected, self._server.log), f"{place}\n{self._server.log}"
            return
        if not OURS.match(command) and not (self._server and BESIDE_SERVER.match(command)):
            return
        done = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        output = done.stdout
        assert done.returncode == 0, f"{place}\n{output}"
        if self._server and expected and command.startswith("kill "):
            self._server.says(expected, place)
        else:
            assert not expected or prints(expected, output), f"{place}\n{output}"
