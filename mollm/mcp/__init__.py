"""Mixtures as tools of other people's agents: a server of the Model Context Protocol."""

from __future__ import annotations

from importlib.util import find_spec

from mollm.errors import missing


def check_installed() -> None:
    """Raise `ConfigError`, which says what to run, where the protocol's SDK is not installed."""
    if find_spec("mcp") is None:
        raise missing("mcp", "the SDK of the Model Context Protocol is not installed")
