"""Starts the servers and the clients, and ends them with everything that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 40


class Failed(Exception):
    """A process that did not do what it was started for."""


@contextmanager
def server(command: Sequence[str], port: int, log: Path, env: Mapping[str, str], *, status: int = 0) -> Iterator[None]:
    """Run a server while the block runs; SIGTERM has to end it with `status`.

    Raises:
        Failed: It does not answer `GET /health`, or ends in another way.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command, stdout=output, stderr=subprocess.STDOUT, env=dict(env), start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield
            process.send_signal(signal.SIGTERM)
            if (found := process.wait(STOP_SECONDS)) != status:
                raise Failed(f"{' '.join(command)} ended with {found}, not {status}:\n{tail(log.read_text())}")
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(command)} still runs {STOP_SECONDS} s after SIGTERM") from None
        finally:
            _end(process)


def run(command: Sequence[str], env: Mapping[str, str], folder: Path, seconds: float) -> tuple[int | None, str]:
    """Run a command in a folder; return its exit status, None when it took too long, and what it printed."""
    process = subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=folder,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        output, _ = process.communicate()
        return None, output
    except BaseException:
        _end(process)
        raise
    return process.returncode, output


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def tail(text: str, lines: int = 60) -> str:
    """Keep the end of a text."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), opener.open(url, timeout=5):
            return
        time.sleep(0.1)
    raise Failed(f"nothing answers at {url}:\n{tail(log.read_text())}")


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    if process.poll() is None:
        # Its own session: whatever it started goes with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
