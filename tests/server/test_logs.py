"""The log of a server: whoever reads it, or does not, holds nobody up."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import aiohttp
import pytest
import yaml

from mollm.logs import LONGEST_WRITE, Lines
from tests.server.served import Caller
from tests.server.test_process import SCRIPTED, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALLEST_PIPE = 4096


@contextmanager
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """The reading and the writing end of a pipe that holds one page."""
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux; elsewhere a pipe holds more, which takes more lines
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


def record(text: str) -> logging.LogRecord:
    """A line of the log."""
    return logging.LogRecord("mollm", logging.INFO, "", 0, text, (), None)


async def test_a_server_whose_log_nobody_reads_goes_on_answering(tmp_path: Path) -> None:
    """Long after the pipe behind its standard error is full."""
    path, port = tmp_path / "mollm.yaml", free_port()
    path.write_text(yaml.safe_dump({**SCRIPTED, "server": {"port": port}}))
    with pipe() as (_, writer):
        command = (sys.executable, "-m", "mollm", "serve", "-c", str(path))
        process = await asyncio.create_subprocess_exec(*command, stderr=writer)
        try:
            async with aiohttp.ClientSession() as session, asyncio.timeout(60):
                server = Caller(f"http://127.0.0.1:{port}", session)
                await _answers(server)
                statuses = {(await server.chat(model="one")).status for _ in range(SMALLEST_PIPE // 16)}
            process.terminate()
            code = await asyncio.wait_for(process.wait(), 20)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert statuses == {200}
    assert code == 0


async def _answers(server: Caller) -> None:
    while True:
        try:
            await server.get("/ready")
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)
        else:
            return


def test_lines_that_nobody_takes_are_dropped_and_counted() -> None:
    """Those before stay whole, and the first that is taken again says how many are missing."""
    with pipe() as (reader, writer):
        lines = Lines(writer)
        wrote = 0
        while not lines.dropped:
            lines.emit(record(f"line {wrote}"))
            wrote += 1
        for _ in range(9):
            lines.emit(record("lost"))
        held = os.read(reader.fileno(), 1 << 20).decode()
        lines.emit(record("read again"))
        later = os.read(reader.fileno(), 1 << 20).decode()

    assert held.splitlines() == [f"line {number}" for number in range(wrote - 1)]
    assert later == "lines of the log that standard error did not take, and that are lost: 10\nread again\n"
    assert lines.dropped == 0


@pytest.mark.parametrize("length", [0, 1, LONGEST_WRITE - 1, LONGEST_WRITE, LONGEST_WRITE + 1, 3 * LONGEST_WRITE])
def test_a_line_of_any_length_is_whole_where_there_is_room(length: int, tmp_path: Path) -> None:
    """As it is with a file, or with a reader that keeps up."""
    with (tmp_path / "log").open("w") as file:
        Lines(file).emit(record("ü" * length))

    assert (tmp_path / "log").read_text() == "ü" * length + "\n"


def test_a_reader_that_went_away_costs_lines_alone() -> None:
    """No exception, and nothing that is written in its place."""
    with pipe() as (reader, writer):
        lines = Lines(writer)
        reader.close()
        for _ in range(3):
            lines.emit(record("nobody hears it"))

    assert lines.dropped == 3


def test_what_is_no_file_is_written_as_usual(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can be asked whether it takes more."""
    lines = Lines(sys.stderr)
    lines.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    lines.emit(record("Hello."))

    assert re.fullmatch("INFO Hello.\n", capsys.readouterr().err)
