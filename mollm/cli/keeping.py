"""Answers that are to be kept are, before a command ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.cli.printing.output import say

if TYPE_CHECKING:
    from mollm.api import MoLLM


def settle(mollm: MoLLM) -> bool:
    """Write the answers that are to be kept and are not yet; return whether they are, and say why they cannot be."""
    store = mollm.catalog.feedback
    if store is None:
        return False
    store.close()
    if store.problem:
        say(f"mollm: the answer is not kept: {store.problem}")
    return not store.problem
