"""What a run may take, and what came of it."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from typing import Literal, TypeAlias

MIB = 1024 * 1024

Isolation: TypeAlias = Literal["full", "network", "none"]
"""`full`: no network, no process but its own, and no file but its own and, to be read, those of the system and of
Python. `network`: the same with this machine's network. `none`: the limits alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one run may take.

    Raises:
        ValueError: One is not above 0.
    """

    seconds: float = 10.0
    """From the start of the program to its end."""
    cpu_seconds: int | None = None
    """CPU time of each process, in whole seconds; None: `seconds`, rounded up."""
    memory: int = 512 * MIB
    """Bytes of address space, for each process."""
    disk: int = 64 * MIB
    """Bytes of all its files together, which are kept in memory; of each file where nothing is isolated."""
    output: int = MIB
    """Bytes of its standard output, and as many of its standard error."""
    processes: int = 32
    """Processes and threads at once."""
    open_files: int = 256
    """Open files of each process."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, not {value!r}")


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended, and what it printed."""

    status: int | None
    """Its exit status, negative where a signal ended it; None if the sandbox did."""
    stdout: str
    """What it printed, up to the limit; bytes that are no UTF-8 are replaced."""
    stderr: str
    seconds: float
    """From the start of the program to its end."""
    ended: Literal["exit", "time", "output"] = "exit"
    """`exit`: by itself, or by a signal. `time`: it took too long. `output`: it printed too much."""

    @property
    def is_ok(self) -> bool:
        """It ended by itself, with exit status 0."""
        return self.status == 0 and self.ended == "exit"

    @property
    def timed_out(self) -> bool:
        """It took more seconds, or more CPU time, than it may."""
        return self.ended == "time"


def ended_by(status: int | None, ended: Literal["exit", "time", "output"]) -> Literal["exit", "time", "output"]:
    """Tell a program that used up its CPU time from one that ended."""
    return "time" if ended == "exit" and status == -signal.SIGXCPU else ended
