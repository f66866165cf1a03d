"""mollm as it was at a revision, in an environment of its own, to be measured beside what it is now."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = Path(tempfile.gettempdir()) / "mollm-benchmarks"


def environment(name: str, requirement: str, *options: str) -> Path:
    """Return the interpreter of an environment with `requirement`, made by uv if it is not there yet."""
    folder = ENVIRONMENTS / name
    python, mark = folder / "bin" / "python", folder / "requirement"
    if not mark.exists() or mark.read_text() != requirement:
        print(f"installing {requirement} into {folder} ...", file=sys.stderr)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run(["uv", "venv", "-q", "--clear", "--python", version, str(folder)], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), *options, requirement], check=True)
        mark.write_text(requirement)
    return python


def revision(name: str, extra: str = "") -> tuple[str, Path]:
    """Return the commit that `name` stands for, shortened, and the interpreter of an environment with it and `extra`.

    Every library that both have is of the version that is installed here, so that mollm is what differs.
    """
    found = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=9", f"{name}^{{commit}}"], capture_output=True, text=True
    )
    if found.returncode:
        raise SystemExit(f"git knows no revision {name!r}")
    commit = found.stdout.strip()
    source = ENVIRONMENTS / "sources" / commit
    constraints = ENVIRONMENTS / f"constraints-{commit}.txt"
    if not source.exists():
        source.mkdir(parents=True)
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
        freeze = ["uv", "pip", "freeze", "-q", "--exclude-editable", "--python", sys.executable]
        constraints.write_text(subprocess.run(freeze, capture_output=True, text=True, check=True).stdout)
    requirement = f"mollm[{extra}] @ {source.as_uri()}" if extra else str(source)
    folder = "-".join(filter(None, ("mollm", commit, extra)))
    return commit, environment(folder, requirement, "--constraint", str(constraints))
