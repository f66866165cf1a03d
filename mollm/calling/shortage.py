"""What this process or machine has run out of, as the errors of any library show it."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_DESCRIPTOR = "no_descriptor"
"""Our code for a call that found no file descriptor, which others will give back."""
NO_RESOURCE = "no_resource"
"""Our code for one that found no port, buffer or memory."""
SAID_AGAIN = 10.0
"""Seconds between two lines in the log that say what is lacking here: every call, and every client, would have one."""

_LACKING = {
    errno.ENOBUFS: "this machine has no buffer left for a connection",
    errno.ENOMEM: "this machine has no memory left for a connection",
    errno.EADDRNOTAVAIL: "this machine has no port or address left for a connection",
}


def shortage_in(errors: Iterable[BaseException]) -> tuple[str, str] | None:
    """Find what was lacking in an error and its causes.

    Returns:
        What to say, and our code; None where nothing was lacking here.
    """
    for error in errors:
        if isinstance(error, ExceptionGroup):  # every address of a host was tried
            found = [shortage_in([inner]) for inner in error.exceptions]
            if all(found):
                return found[0]
        elif isinstance(error, socket.gaierror):
            # Without a descriptor the resolver says that there is no such host, as it could not even ask.
            if error.errno == getattr(socket, "EAI_MEMORY", None):
                return _LACKING[errno.ENOMEM], NO_RESOURCE
            if not has_descriptor():
                return no_descriptor(), NO_DESCRIPTOR
        elif isinstance(error, OSError):
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return no_descriptor(error.errno), NO_DESCRIPTOR
            if error.errno in _LACKING:
                return _LACKING[error.errno], NO_RESOURCE
    return None


def no_descriptor(number: int = errno.EMFILE) -> str:
    """Say that there is none, and what the limit is."""
    if number == errno.ENFILE:
        return "this machine has no file descriptor left"
    limit = descriptor_limit()
    return f"this process has no file descriptor left{f' (limit {limit})' if limit else ''}"


def has_descriptor() -> bool:
    """Whether this process could open one more file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def descriptor_limit() -> int | None:
    """How many descriptors this process may have open; None where there is no such limit, or nobody says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
