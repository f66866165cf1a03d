"""Calibrations for tests: made up, and written for the members of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mollm.config.load import load_config
from mollm.config.members import members_digest
from mollm.final.calibration import SIGNALS, VOTES, Calibration, Member
from mollm.final.calibration_file import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def made_up(members: Mapping[str, Member], *, base: float = 0.0, digest: str = "", **weights: float) -> Calibration:
    """A calibration of these members; what has no weight has none."""
    whole = {**dict.fromkeys((*VOTES, *SIGNALS), 0.0), **weights}
    return Calibration(members, base, whole, 100, 0.01, digest, "questions.jsonl", "0" * 64)


def written(
    path: Path, config: dict[str, Any], mixture: str = "m", supports: Mapping[str, float] | None = None
) -> Path:
    """Write one for the workers of a mixture, of whom each supports its answer with so much; others with nothing."""
    whole = {**config["mixtures"][mixture], "calibration": str(path)}
    loaded = load_config({**config, "mixtures": {**config["mixtures"], mixture: whole}})
    section = loaded.mixtures[mixture]
    members = {worker.llm: Member((supports or {}).get(worker.llm, 0.0)) for worker in section.listed}
    digest = members_digest(loaded, section)
    path.write_text(text_of(made_up(members, digest=digest, leader=2.0, runner_up=1.0)), "utf-8")
    return path
