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
FOLDER = "/box"
"""Where a program is within walls."""


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
        argv, needed = [_python(), "-E", "-s", "-B", "-X", "utf8", MAIN], _interpreter()
    else:
        argv, needed = list(program), []
    if not argv or not all(isinstance(part, str) and "\0" not in part for part in argv):
        raise ValueError("a command is a list of texts, the first of which names it")
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise ValueError(f"{name!r} is no name of a file below the folder of the program")
    return {
        "argv": argv,
        "files": {name: binascii.b2a_base64(as_bytes(text)).decode() for name, text in files.items()},
        "read": [*needed, *map(_readable, read)],
        "parent": os.getpid(),
        "isolation": isolation,
        "has_network": isolation == "network",
        "cpu_seconds": limits.cpu_seconds or math.ceil(limits.seconds),
        **{name: getattr(limits, name) for name in ("memory", "disk", "processes", "open_files")},
    }


def _readable(path: str | Path) -> str:
    """A path that a program may be shown, as it is called here."""
    found = os.path.abspath(path)  # noqa: PTH100 - `Path.resolve` would call it by another name
    if not os.path.exists(found):  # noqa: PTH110
        raise ValueError(f"{str(path)!r} cannot be read: it is not there")
    if found in ("/", "/tmp", FOLDER) or found.startswith(("/dev", "/proc")):  # noqa: S108
        raise ValueError(f"{str(path)!r} cannot be read: a program has its own")
    return found


def _python() -> str:
    if not sys.executable:
        raise SandboxError("it is not known which Python runs this (sys.executable is empty)")
    return sys.executable


def _interpreter() -> list[str]:
    """What this interpreter is read from: its prefixes, and the folders that links to it lead over."""
    found, path = [sys.prefix, sys.base_prefix, sys.exec_prefix], Path(_python())
    while path.is_symlink():
        path = path.parent / path.readlink()
        found.append(os.path.normpath(path.parent))
    return found


def environment(folder: str) -> dict[str, str]:
    """All that is set in the environment of a program."""
    temporary = "/tmp" if folder == FOLDER else folder  # noqa: S108 - the one in the sandbox
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8", "TMPDIR": temporary}
