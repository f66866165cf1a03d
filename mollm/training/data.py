"""Questions whose mixture is known, as files have them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Labelled:
    """Questions and the mixture that each belongs to."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    """As many as there are texts."""

    def by_label(self) -> dict[str, list[str]]:
        """The questions of each mixture, in the order in which mixtures first occur."""
        found: dict[str, list[str]] = {label: [] for label in self.labels}
        for text, label in zip(self.texts, self.labels, strict=True):
            found[label].append(text)
        return found


def read(path: Path) -> Labelled:
    """Read JSON lines of `{"text": ..., "label": ...}`."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return Labelled(tuple(row["text"] for row in rows), tuple(row["label"] for row in rows))
