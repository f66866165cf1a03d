"""Mixtures as tools of other people's agents: a server of the Model Context Protocol."""

from __future__ import annotations

from importlib.util import find_spec

from mollm.errors import missing


def check_installed(needed_by: str = "") -> None:
    """Raise `ConfigError`, which says what to run, where the protocol's SDK is not installed.

    Args:
        needed_by: The key of a file that asks for it, as `Config.place` names it; empty: the command does.
    """
    if find_spec("mcp") is None:
        before = f"{needed_by}: " if needed_by else ""
        raise missing("mcp", f"{before}the SDK of the Model Context Protocol is not installed")
