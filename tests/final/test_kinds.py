"""Final answers of each kind: money, units, marks, choices, dates, ranges, sets, code, languages; pairs, open text."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from tests.final.rows import after_another, holds, rows


def _by_kind() -> dict[str, list[tuple[dict[str, Any], str | None]]]:
    kinds: dict[str, list[tuple[dict[str, Any], str | None]]] = defaultdict(list)
    for row, before in after_another(rows()):
        kinds[row.get("kind") or next(kind for kind in ("same", "different", "open") if kind in row)].append(
            (row, before)
        )
    return kinds


KINDS = _by_kind()


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_holds_or_says_why_not(kind: str) -> None:
    """Found, kept the same and told apart; a row with a reason is a known limit, and one that is mended loses it."""
    assert [row for row, before in KINDS[kind] if holds(row, before) is ("reason" in row)] == []
