"""Files that a configuration names, and where they are looked for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mollm.errors import ConfigError

MAX_EXAMPLE_BYTES = 4 * 1024 * 1024
_SUFFIX = re.compile(
    r"\w\.(md|markdown|mdx|txt|text|rst|j2|jinja2?|tmpl|tpl|template|prompt(y|\.yml)?)$", re.IGNORECASE
)
_DATA_SUFFIX = re.compile(r"\w\.(ya?ml|jsonl?|toml|xml|html?)$", re.IGNORECASE)
"""A text may well end in `config.yaml`, and hardly in the path of such a file."""
_BEGINNING = re.compile(r"\.{1,2}[/\\]|~\w*[/\\]|[A-Za-z]:[/\\]|\\\\|/[^/\s]+/")


def packaged_folder() -> Path:
    """The folder that holds the packaged `mixtures/` and `prompts/`, in a wheel and in a checkout alike."""
    package = Path(__file__).parent.parent
    return package / "_data" if (package / "_data").is_dir() else package.parent


def default_path() -> Path:
    """The configuration used when none is named: `$MOLLM_CONFIG`, `mollm.yaml` here, the packaged one."""
    named = os.environ.get("MOLLM_CONFIG")
    if named:
        return Path(named)
    here = Path("mollm.yaml")
    return here if here.is_file() else packaged_folder() / "mixtures" / "local.yaml"


def configuration_path(name: str | Path) -> Path:
    """The configuration that `name` means: as given, else among the packaged files; it need not exist."""
    path = named_path(name)
    packaged = packaged_folder() / path
    return packaged if not is_file(path) and is_file(packaged) else path


def find(name: str, beside: Path | None = None) -> Path | None:
    """Find a file that a configuration names.

    An absolute path is taken as it is. Any other is looked for in the folder of the configuration file `beside`,
    in the working directory, and among the packaged `mixtures/` and `prompts/`, in this order.
    """
    path = named_path(name)
    if path.is_absolute():
        return path if is_file(path) else None
    folders = [*([beside.parent] if beside else []), Path.cwd(), packaged_folder(), packaged_folder() / "mixtures"]
    return next((folder / path for folder in folders if is_file(folder / path)), None)


def read_examples(path: Path) -> list[str]:
    """Read one example per line; blank lines and lines that begin with `#` do not count.

    Raises:
        ConfigError: The file is too large, cannot be read, or is not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_EXAMPLE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_EXAMPLE_BYTES // 1024 // 1024} MiB")
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise ConfigError(f"{path}: {what}") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def looks_like_file_name(text: str) -> bool:
    """Tell whether a text that may hold spaces is rather the name of a file, such as `my prompts/worker.md`.

    One line that ends as the names of text files do, or in the path of another file that may hold a prompt, or begins
    as a path does: `./`, `../`, `~/`, `C:\\`, or with two folders of an absolute one. A template is none.
    """
    name = text.strip()
    if len(name.splitlines()) != 1 or re.search(r"\{[{%#]", name):
        return False
    if _SUFFIX.search(name) or _BEGINNING.match(name) or name.endswith(("/", "\\")):
        return True
    last = name.split()[-1]
    return bool(_DATA_SUFFIX.search(last)) and ("/" in last or "\\" in last)


def is_file(path: Path) -> bool:
    """Tell whether `path` is a file; a name that no file can have names none."""
    return os.path.isfile(path)  # noqa: PTH113 - `Path.is_file` raises where the name is too long


def is_folder(path: Path) -> bool:
    """Tell whether `path` is a folder, as `is_file` does."""
    return os.path.isdir(path)  # noqa: PTH112 - see `is_file`


def named_path(name: str | Path) -> Path:
    """Return the path that `name` means, `~` and `~USER` filled in where there is such a user."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 - `Path.expanduser` raises where there is none
