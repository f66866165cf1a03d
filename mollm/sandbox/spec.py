"""What the launcher is to run."""

from __future__ import annotations

import binascii
import math
import os
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mollm.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.sandbox.values import Isolation, Limits

MAIN = "main.py"
"""The file that code given as a text becomes."""


def as_bytes(text: str | bytes) -> bytes:
    """A text in UTF-8; bytes as they are."""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def spec_of(
    program: str | Sequence[str],
    files: Mapping[str, str | bytes],
    limits: Limits,
    read: Sequence[str | Path],
    isolation: Isolation,
) -> dict[str, Any]:
    """What the launcher is to run; raises as `run`."""
    if sys.platform != "linux":
        raise SandboxError(f"programs are run apart on Linux only, and this is {sys.platform}")
    if isolation not in ("full", "network", "none"):
        raise ValueError(f"isolation must be 'full', 'network' or 'none', not {isolation!r}")
    if isinstance(program, str):
        if MAIN in files:
            raise ValueError(f"{MAIN} is the program; it cannot be among `files`")
        files = {**files, MAIN: program}
        python = _python()
        argv, shown = [python, "-E", "-s", "-B", "-X", "utf8", MAIN], [*_interpreter(python), *map(str, read)]
    else:
        argv, shown = list(program), list(map(str, read))
    if not argv or not all(isinstance(part, str) and "\0" not in part for part in argv):
        raise ValueError("a command is a list of texts, the first of which names it")
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise ValueError(f"{name!r} is no name of a file below the folder of the program")
    return {
        "argv": argv,
        "files": {name: binascii.b2a_base64(as_bytes(text)).decode() for name, text in files.items()},
        "read": [os.path.realpath(path) for path in shown],
        "parent": os.getpid(),
        "isolation": isolation,
        "has_network": isolation == "network",
        "cpu_seconds": limits.cpu_seconds or math.ceil(limits.seconds),
        **{name: getattr(limits, name) for name in ("memory", "disk", "processes", "open_files")},
    }


def _python() -> str:
    """This interpreter, by a path that does not lead over a link to a folder."""
    if not sys.executable:
        raise SandboxError("it is not known which Python runs this (sys.executable is empty)")
    path = Path(sys.executable)
    return str(Path(os.path.realpath(path.parent)) / path.name)


def _interpreter(python: str) -> list[str]:
    """What an interpreter is read from: its prefixes, and each link on the way to it."""
    found, path = [sys.prefix, sys.base_prefix, sys.exec_prefix], Path(python)
    while path.is_symlink():
        path = path.parent / path.readlink()
        found.append(str(path))
    return found


def environment(folder: str) -> dict[str, str]:
    """All that is set in the environment of a program."""
    temporary = "/tmp" if folder == "/work" else folder  # noqa: S108 - the one in the sandbox
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8", "TMPDIR": temporary}
