"""A fitted router, or chooser, as two files, JSON and safetensors; and the folder where fitted routers are kept.

Neither file can hold code, and whoever reads them trusts nothing in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mollm.drafts import write_whole
from mollm.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = 7
"""Raise it when a file of before would be read, or would decide, differently."""
Kind: TypeAlias = Literal["router", "chooser"]
"""What the files are, and are called."""
MANIFEST, ARRAYS = "router.json", "router.safetensors"
MOST_BYTES = {
    **dict.fromkeys((MANIFEST, "chooser.json"), 1024 * 1024),
    **dict.fromkeys((ARRAYS, "chooser.safetensors"), 512 * 1024 * 1024),
}
"""Of each file; a router of a hundred mixtures with thousands of examples each has a tenth of that."""
KEPT = 16
"""Fitted routers that stay in the cache folder, the latest."""


def write(folder: Path, manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], kind: Kind = "router") -> None:
    """Write what was fitted to `folder`, made if missing; a reader never sees half a file.

    Raises:
        OSError: The folder cannot be made or written.
    """
    import numpy as np
    from safetensors.numpy import save

    # safetensors writes the memory as it lies, and a transposed array lies column by column.
    body = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    manifest = {"format": FORMAT, **manifest}
    manifest["checksum"] = _checksum(manifest, body)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{kind}.safetensors", body)
    write_whole(folder / f"{kind}.json", (json.dumps(manifest, indent=2) + "\n").encode())


def read(
    folder: Path, digest: str | None = None, kind: Kind = "router"
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write` wrote: manifest and arrays.

    Args:
        folder: Where it lies.
        digest: Of what is wanted; what has another digest is refused, and its arrays are not read.
        kind: What is wanted.

    Raises:
        ConfigError: There is nothing of this kind in `folder`, something else, or nothing that can be used as it is.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    found = manifest(folder, kind)
    if digest is not None and found.get("digest") != digest:
        raise ConfigError(f"{folder}: a {kind} of other examples")
    try:
        body = _bytes_of(folder / f"{kind}.safetensors")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: no learned {kind} can be read there: {error}") from error
    if found.get("checksum") != _checksum(found, body):
        raise ConfigError(f"{folder}: its files are damaged, changed or not of the same {kind}; train it again")
    try:
        return found, load(body)
    except (SafetensorError, LookupError, TypeError, ValueError, OverflowError) as error:  # types that numpy lacks, too
        raise ConfigError(f"{folder}: its contents do not make a {kind} ({error}); train it again") from error


def manifest(folder: Path, kind: Kind = "router") -> dict[str, Any]:
    """Read the manifest alone, which nothing vouches for before its arrays are read too. Raises as `read`."""
    try:
        found = json.loads(_bytes_of(folder / f"{kind}.json"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{folder}: no learned {kind} can be read there: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ConfigError(f"{folder / f'{kind}.json'}: not a {kind} of format {FORMAT}; train it again")
    return found


def cache_folder() -> Path | None:
    """The folder of fitted routers: below `$MOLLM_CACHE`, `$XDG_CACHE_HOME/mollm` or `~/.cache/mollm`.

    None where the user has no home.
    """
    own, shared = os.environ.get("MOLLM_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own) / "routers"
    if shared and Path(shared).is_absolute():
        return Path(shared) / "mollm" / "routers"
    with suppress(RuntimeError):
        return Path.home() / ".cache" / "mollm" / "routers"
    return None


def prune(routers: Path) -> None:
    """Delete all but the latest few routers in a folder; a reader who loses one in the middle fits again."""
    by_age = sorted(routers.iterdir(), key=lambda folder: folder.stat().st_mtime)
    for folder in by_age[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _checksum(manifest: Mapping[str, Any], body: bytes) -> str:
    fields = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode() + b"\n" + body).hexdigest()


def _bytes_of(path: Path) -> bytes:
    """Read a file that is one, and not too large: a pipe would be waited for, and a device never ends."""
    most = MOST_BYTES[path.name]
    if not path.is_file():
        raise OSError(f"no file {path.name}")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"{path.name} has more than {most >> 20} MiB")
        return file.read(size)
