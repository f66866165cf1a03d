"""Properties are marked as such, and tried on as many examples as `MOLLM_FUZZ` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Iterable

settings.register_profile("mollm", max_examples=cases(100))
settings.load_profile("mollm")


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark every property, and nothing else, with `fuzz`."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.fuzz)
