"""The part `transformer` of `routing.py`: MiniLM fine-tuned by the command, and as it is with a linear head."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from revisions import ENVIRONMENTS

if TYPE_CHECKING:
    from routing_data import Rows

HEAD, TUNED = "MiniLM, linear head", "transformer"
SETS = {
    "150": "CLINC150, 150 intents",
    "few/clinc150": "10 examples an intent, CLINC150",
    "few/banking77": "10 examples an intent, BANKING77",
}
"""What both are measured on, by its place in the keys."""


def fine_tuned(rows: Rows) -> Any:
    """A router trained by the command; one that a run before has trained on these rows is read.

    Raises:
        CalledProcessError: The command failed; what it said went to standard error.
    """
    from mollm.routing import versions
    from mollm.routing.learned import LearnedScorer

    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    folder = ENVIRONMENTS / f"transformer-{hashlib.sha256(lines.encode()).hexdigest()[:12]}"
    if not folder.is_dir() or versions.current(folder) is None:
        data = folder.with_suffix(".jsonl")
        data.write_text(lines)
        how = ["--method", "transformer", "--fallback", "none of these", "--held-out", "0"]
        command = [sys.executable, "-m", "mollm", "train", "router", data, "--out", folder, *how]
        subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=True)
    return LearnedScorer.load(folder)


def compared(known: dict[str, dict[str, Any]]) -> list[str]:
    """Rows of the table: the fine-tuned encoder, wanted above the frozen one."""
    rows = []
    for place, what in SETS.items():
        tuned, head = (known.get(f"transformer/{place}/{router}", {}).get("accuracy") for router in (TUNED, HEAD))
        if tuned is None or head is None:
            wanted, measured, met = "above a linear head", "not measured", "-"
        else:
            wanted, measured, met = f"> {head:.2%}", f"{tuned:.2%}", "yes" if tuned > head else "no"
        rows.append(f"| {what}, transformer above a linear head | transformer | {wanted} | {measured} | {met} |")
    return rows
