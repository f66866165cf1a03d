"""`mollm routers`: the versions of a trained router."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mollm.cli.options import JsonOption  # noqa: TC001 - typer evaluates annotations

routers = typer.Typer(name="routers", help="The versions of a trained router.", no_args_is_help=True)

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="What `mollm train router --out` was given.")]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="As `mollm routers list` names it.")]


@routers.callback()
def _group() -> None:
    """The versions of a trained router."""


@routers.command("list")
def list_(folder: FolderArgument, json: JsonOption = False) -> None:
    """List all versions, the latest first; a star marks the one in force."""
    from mollm.cli.printing.output import print_json
    from mollm.cli.printing.training import print_versions
    from mollm.training.versions import found

    versions = found(folder)
    if json:
        print_json([asdict(version) for version in versions])
    else:
        print_versions(versions)


@routers.command()
def use(folder: FolderArgument, version: VersionArgument) -> None:
    """Put a version in force. What runs goes on with the one before until it is started or reloaded."""
    from mollm.cli.printing.output import say
    from mollm.errors import ConfigError
    from mollm.routing import versions

    before = None
    with suppress(ConfigError):  # that the one before cannot be used is why another is wanted
        before = versions.current(folder)
    versions.use(folder, version)
    say(f"{version} is in force" + (f"; before, {before} was" if before not in (None, version) else ""))


@routers.command()
def remove(folder: FolderArgument, version: VersionArgument) -> None:
    """Delete a version that is not in force."""
    from mollm.cli.printing.output import say
    from mollm.routing import versions

    versions.remove(folder, version)
    say(f"{version} is deleted")
