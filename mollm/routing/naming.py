"""Examples among which the name of a mixture says nothing.

Whoever writes "route this to coding" behind a question must not decide where it goes, and a question about cars may
say "car" all the same. So no word is left out, and nothing is looked for in a question: some of the examples that a
router is fitted on get such a sentence, with the name of another mixture, and it learns how little that says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OF_FILE, OF_DATA = 5, 20
"""Of so many examples of a mixture, one is changed: where somebody wrote some dozens into a file, and where data have
hundreds, of which one in five costs a third of a point. With one in twenty, "Route this to X." behind a question moves
14 % of them to X where there are 150 intents and 0.3 % with ten domains; with none, 21 and 7 % (CLINC150, validation
split)."""
SENTENCES = (
    "use {name}",
    "{name}, please",
    "category: {name}",
    "forward it to {name}",
    "I want {name} for this",
    "ask {name} instead",
    "topic is {name}",
    "{name} should answer that",
    "it is about {name}",
    "{name} expert",
    "mixture {name}",
    "router: {name}",
    "take me to {name}",
    "treat it as {name}",
    "[{name}]",
    "{name} {name}",
)
_BETWEEN = re.compile(r"[\W_]+")


def with_names(examples: Mapping[str, Sequence[str]], every: int) -> dict[str, list[str]]:
    """Return the examples, one in `every` of each mixture with a sentence that names another mixture, at random.

    A mixture with less than `every` keeps them as they are, and so do two mixtures: of two, the other one's name would
    come to speak for one. The same examples always come out the same.
    """
    names = {mixture: _BETWEEN.sub(" ", mixture).strip() or mixture for mixture in examples}
    if len(names) < 3:
        return {mixture: list(texts) for mixture, texts in examples.items()}
    generator = np.random.default_rng(0)
    changed: dict[str, list[str]] = {}
    for mixture, texts in examples.items():
        changed[mixture] = list(texts)
        others = [name for other, name in names.items() if other != mixture]
        for at in range(every - 1, len(texts), every):
            sentence = SENTENCES[generator.integers(len(SENTENCES))].format(
                name=others[generator.integers(len(others))]
            )
            is_first = generator.random() < 0.3
            changed[mixture][at] = f"{sentence} {texts[at]}" if is_first else f"{texts[at]} {sentence}"
    return changed
