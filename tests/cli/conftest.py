"""What every command is asked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command import TEAM

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration in an empty folder."""
    path = tmp_path / "mollm.yaml"
    path.write_text(TEAM)
    return path
