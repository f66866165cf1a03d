"""The questions that routers are measured on, and the routers: what `routing.py` is made of."""

from __future__ import annotations

import csv
import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from revisions import ENVIRONMENTS
from routing_transformer import HEAD, TUNED, fine_tuned

if TYPE_CHECKING:
    from pathlib import Path

Rows = list[tuple[str, str]]
"""Questions with their labels."""

VARIANTS: dict[str, tuple[str, str | None]] = {
    "no vectors": ("linear", None),
    "static": ("both", "wordllama"),
    "MiniLM": ("both", "minilm"),
}
"""How a router is fitted: the method, and whose vectors."""
_EMBEDDERS = {"wordllama": "mollm.embeddings.static", "minilm": "mollm.embeddings.bert"}
FEW = 10
"""Examples of a label where there are few: picked at random, since the first ones of CLINC150 resemble one another."""


@dataclass(frozen=True, slots=True)
class Split:
    """Questions to learn from, to set thresholds with, and to report on."""

    train: Rows
    validation: Rows
    test: Rows
    outside_validation: list[str]
    outside_test: list[str]

    def few(self) -> Split:
        """With `FEW` examples of each label to learn from."""
        taken: dict[str, int] = {}
        rows = []
        for place in np.random.default_rng(0).permutation(len(self.train)):
            text, label = self.train[place]
            taken[label] = taken.get(label, 0) + 1
            if taken[label] <= FEW:
                rows.append((text, label))
        return Split(rows, self.validation, self.test, self.outside_validation, self.outside_test)


def clinc150(data: Path, labels: int) -> Split:
    """CLINC150 with its 150 intents or its 10 domains as labels."""
    folder = data / "clinc150"
    full: dict[str, list[list[str]]] = json.loads((folder / "data_full.json").read_text("utf-8"))
    domains: dict[str, list[str]] = json.loads((folder / "domains.json").read_text("utf-8"))
    domain_of = {_plain(intent): domain for domain, intents in domains.items() for intent in intents}

    def rows(split: str) -> Rows:
        return [(text, _plain(label) if labels == 150 else domain_of[_plain(label)]) for text, label in full[split]]

    def outside(split: str) -> list[str]:
        return [text for text, _ in full[split]]

    return Split(rows("train"), rows("val"), rows("test"), outside("oos_val"), outside("oos_test"))


def banking77(data: Path) -> Split:
    """BANKING77; it has nothing to validate with and nothing out of scope."""

    def rows(name: str) -> Rows:
        with (data / "banking77" / name).open(encoding="utf-8", newline="") as file:
            return [(row["text"], row["category"]) for row in csv.DictReader(file)]

    return Split(rows("train.csv"), [], rows("test.csv"), [], [])


def fitted(rows: Rows, variant: str) -> Any:
    """A router learned from rows as `mollm train router` learns; its vectors are kept for the next one."""
    from mollm.routing.learned import LearnedScorer
    from mollm.routing.naming import OF_DATA

    if variant == TUNED:
        return fine_tuned(rows)
    method, vectors = ("embeddings", "minilm") if variant == HEAD else VARIANTS[variant]
    examples: dict[str, list[str]] = {}
    for text, label in rows:
        examples.setdefault(label, []).append(text)
    fit: Any = LearnedScorer.fit
    if vectors is None:
        return fit(examples, fallback="none of these", named=OF_DATA)
    return fit(examples, fallback="none of these", named=OF_DATA, method=method, embedder=Kept.of(vectors))


class Kept:
    """An embedder that remembers its vectors, in a file too, so that no text is turned into a vector twice."""

    made: dict[str, Kept] = {}  # noqa: RUF012 - one for each kind of vectors

    def __init__(self, embedder: Any) -> None:
        self.embedder, self.name, self.digest = embedder, embedder.name, embedder.digest
        self.path = ENVIRONMENTS / f"vectors-{embedder.digest[:12].replace('/', '-').replace(':', '-')}.npz"
        self.known: dict[str, Any] = {}
        if self.path.exists():
            with np.load(self.path) as file:
                self.known = dict(zip(json.loads(str(file["texts"])), file["vectors"], strict=True))

    @classmethod
    def of(cls, kind: str) -> Kept:
        """The one of a kind: `wordllama`, `minilm`."""
        if kind not in cls.made:
            cls.made[kind] = cls(plain(kind))
        return cls.made[kind]

    def embed(self, texts: Any) -> Any:
        """As the embedder does."""
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        for begin in range(0, len(new), 256):
            part = new[begin : begin + 256]
            self.known |= dict(zip(part, self.embedder.embed(part), strict=True))
        return np.stack([self.known[text] for text in texts])

    async def aembed(self, texts: Any) -> Any:
        """As the embedder does."""
        return self.embed(texts)

    def keep(self) -> None:
        """Write what is known."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(self.path, texts=json.dumps(list(self.known)), vectors=np.stack(list(self.known.values())))


def plain(kind: str) -> Any:
    """An embedder that remembers nothing."""
    return getattr(importlib.import_module(_EMBEDDERS[kind]), kind)()


def _plain(label: str) -> str:
    return label.lower().replace(" ", "_")
