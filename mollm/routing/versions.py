"""Trained routers side by side in one folder, one of them in force.

    DIR/current.json            names the version in force
    DIR/versions/VERSION/       a trained router, and what is known about it

The folder of a version is a trained router of its own; so is a folder that has no versions.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from mollm.drafts import write_whole
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS, CURRENT = "versions", "current.json"
MOST_BYTES = 4096
"""Of `current.json`."""


def in_force(folder: Path) -> Path:
    """The folder of the router that `folder` means: of the version in force, or itself if it has no versions.

    Raises:
        ConfigError: It has versions, and none of them is in force.
    """
    version = current(folder)
    if version is not None:
        return folder / VERSIONS / version
    if listed(folder) and not (folder / "router.json").is_file():
        raise ConfigError(f"{folder}: none of its versions is in force; {_choice(folder)}")
    return folder


def current(folder: Path) -> str | None:
    """The version in force; None if the folder names none.

    Raises:
        ConfigError: What it names is no version of it, or cannot be read.
    """
    path = folder / CURRENT
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            version = json.loads(file.read(MOST_BYTES))["version"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); {_choice(folder)}") from error
    if version not in listed(folder):  # so that it is the name of a folder here, whatever was written there
        raise ConfigError(f"{path}: there is no version {version!r:.80}; {_choice(folder)}")
    return str(version)


def listed(folder: Path) -> list[str]:
    """The names of all versions, the oldest first."""
    with suppress(OSError, ValueError):  # ValueError: a name that no folder can have
        return sorted(path.name for path in (folder / VERSIONS).iterdir() if path.is_dir() and path.name[0] != ".")
    return []


def use(folder: Path, version: str) -> None:
    """Put a version in force, in one step for whoever reads meanwhile.

    Raises:
        ConfigError: There is no such version, or its files are damaged.
        OSError: The folder cannot be written.
    """
    from mollm.routing import artifacts

    _known(folder, version)
    try:
        artifacts.read(folder / VERSIONS / version)
    except ConfigError as error:
        others = [name for name in listed(folder) if name != version]
        raise ConfigError(f"{error}; other versions: {', '.join(others) or 'none'}") from error
    write_whole(folder / CURRENT, (json.dumps({"version": version}) + "\n").encode())


def remove(folder: Path, version: str) -> None:
    """Delete a version that is not in force.

    Raises:
        ConfigError: There is no such version, or it is in force.
        OSError: It cannot be deleted.
    """
    _known(folder, version)
    if version == current(folder):
        raise ConfigError(f"{folder}: {version} is in force; put another one in force first: {_choice(folder)}")
    shutil.rmtree(folder / VERSIONS / version)


def free(folder: Path, version: str) -> str:
    """A name that no version has yet: this one, else with a number behind it."""
    taken, name, number = set(listed(folder)), version, 1
    while name in taken:
        number += 1
        name = f"{version}-{number}"
    return name


def add(folder: Path, version: str, router: Path) -> None:
    """Move a trained router, which lies on the same disk, to the versions of a folder, in one step; not in force.

    Raises:
        ConfigError: There is such a version.
        OSError: The folder cannot be written.
    """
    final = folder / VERSIONS / version
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        router.rename(final)
    except OSError as error:
        if final.exists():
            raise ConfigError(f"{folder}: there is a version {version} already; train again") from error
        raise


def _known(folder: Path, version: str) -> None:
    if version not in listed(folder):
        raise ConfigError(f"{folder}: there is no version {version!r:.80}; {_choice(folder)}")


def _choice(folder: Path) -> str:
    names = listed(folder)
    if not names:
        return "it has no versions; train one with `mollm train router`"
    return f"pick one with `mollm routers use {folder} VERSION`: {', '.join(names)}"
