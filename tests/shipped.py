"""The router that comes with the packaged mixtures, so that nobody has to fit it.

`python -m tests.shipped` fits it again, after a change of the examples or of how they are fitted.
"""

from __future__ import annotations

from pathlib import Path

from mollm.config.load import load_config
from mollm.routing.learned import LearnedScorer
from mollm.routing.naming import OF_FILE
from mollm.routing.registry import SHIPPED

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / SHIPPED


def fitted() -> LearnedScorer:
    """Fit on the packaged examples, whatever is kept somewhere."""
    config = load_config(ROOT / "mixtures" / "local.yaml")
    return LearnedScorer.fit(config.examples(), fallback=config.fallback, named=OF_FILE)


if __name__ == "__main__":
    fitted().save(FOLDER)
