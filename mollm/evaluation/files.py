"""Files of data, read as text, and what tells them from others."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from mollm.config.files import is_file
from mollm.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1024 * 1024 * 1024
"""Of a file."""


def text_of(path: Path) -> str:
    """Read a file that is one: a pipe would be waited for, and a device never ends.

    Raises:
        DataError: There is no such file, it is too large, cannot be read, or is not UTF-8.
    """
    try:
        if not is_file(path):
            what = "is not a file" if os.path.exists(path) else "there is no such file"  # noqa: PTH110 - see `is_file`
            raise DataError(f"{path}: {what}")
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: is larger than {MOST_BYTES >> 20} MiB; give parts of it")
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits. Raises `DataError` if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
