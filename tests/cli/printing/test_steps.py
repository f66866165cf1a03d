"""Steps of a training, as they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.cli.printing.steps import SELDOM, step

if TYPE_CHECKING:
    import pytest


def test_a_log_is_told_now_and_then_how_far_a_step_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Not at every batch, and nothing of a step that ends soon."""
    now = 0.0

    with step("fitting", lambda: now) as tell:
        for batch in range(9):
            tell(f"batch {batch}")
            now += SELDOM / 4

    assert capsys.readouterr().err.splitlines() == ["fitting: batch 4", "fitting: batch 8"]
