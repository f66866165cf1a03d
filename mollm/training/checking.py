"""What is wrong with labelled questions: repetitions, contradictions, mixtures with next to nothing."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from mollm.config.names import NAME, NAMING, RESERVED_NAMES
from mollm.errors import DataError
from mollm.evaluation.questions import mixtures_of
from mollm.training.data import NAMED, Labelled, rows_named

FEW = 5
"""Questions of a mixture below which nothing can be held out of them."""


def checked(data: Labelled) -> Labelled:
    """Leave out what cannot be learned from, and warn of that and of mixtures with few questions.

    A question that stands there twice, but for case and white space, counts once; one that stands under two mixtures
    says nothing, and is left out of both.

    Raises:
        DataError: Fewer than two mixtures have questions.
    """
    first: dict[str, int] = {}
    labels: dict[str, set[str]] = {}
    repeated: list[int] = []
    for row, (text, label) in enumerate(zip(data.texts, data.labels, strict=True)):
        key = normalized(text)
        labels.setdefault(key, set()).add(label)
        if first.setdefault(key, row) != row:
            repeated.append(row)
    torn = [row for row, text in enumerate(data.texts) if len(labels[normalized(text)]) > 1]
    again = sorted({*repeated} - {*torn})
    left_out = {*again, *torn}
    kept = data.only(row for row in range(len(data.texts)) if row not in left_out)
    warned = [*data.warnings, *_told(data, again, torn), *_thin(kept), *_alike(kept), *_nameless(kept)]
    if len(kept.mixtures) < 2:
        found = f"only of {kept.mixtures[0]!r}" if kept.mixtures else "of none"
        raise DataError(
            "\n".join(
                [*warned, f"a router tells mixtures apart, but there are questions {found}; it takes two at least"]
            )
        )
    return replace(kept, warnings=tuple(warned))


def _told(data: Labelled, again: list[int], torn: list[int]) -> list[str]:
    places = data.places or [f"question {row + 1}" for row in range(len(data.texts))]
    told = []
    if torn:
        by_text: dict[str, list[int]] = {}
        for row in torn:
            by_text.setdefault(normalized(data.texts[row]), []).append(row)
        shown = [
            " and ".join(f"{places[row]} ({data.labels[row]})" for row in rows[:NAMED])
            for rows in list(by_text.values())[:NAMED]
        ]
        more = "; ..." if len(by_text) > NAMED else ""
        told.append(f"{len(torn):,} rows contradict each other and are left out: {'; '.join(shown)}{more}")
    if again:
        told.append(rows_named([places[row] for row in again], "repeated, counted once"))
    return told


def _thin(data: Labelled) -> list[str]:
    """Mixtures of which nothing can be measured, the poorest first."""
    counts = {name: len(texts) for name, texts in data.by_mixture().items()}
    thin = sorted((label for label in counts if counts[label] < FEW), key=lambda label: (counts[label], label))
    if not thin:
        return []
    places = data.places or [f"question {row + 1}" for row in range(len(data.texts))]
    first = {
        name: place for place, label in zip(places[::-1], data.labels[::-1], strict=True) for name in mixtures_of(label)
    }
    shown = [f"{name} ({counts[name]}, {first[name]})" for name in thin[:NAMED]]
    more = ", ..." if len(thin) > NAMED else ""
    what = "1 mixture has" if len(thin) == 1 else f"{len(thin):,} mixtures have"
    return [f"{what} fewer than {FEW} questions, too few to be told well: {', '.join(shown)}{more}"]


def _alike(data: Labelled) -> list[str]:
    """Names that differ in case, spaces, underscores or how accents are coded are probably meant to be one."""
    spelled: dict[str, list[str]] = {}
    for label in data.mixtures:
        folded = unicodedata.normalize("NFKC", label.casefold())
        spelled.setdefault("".join(filter(str.isalnum, folded)) or folded, []).append(label)
    doubtful = [" and ".join(names) for names in spelled.values() if len(names) > 1]
    if not doubtful:
        return []
    return [f"names that are nearly the same, as of different mixtures: {'; '.join(doubtful[:NAMED])}"]


def _nameless(data: Labelled) -> list[str]:
    """A router that may pick what can be no mixture can be used by no configuration."""
    nameless = [label for label in data.mixtures if not NAME.fullmatch(label) or label in RESERVED_NAMES]
    if not nameless:
        return []
    shown, more = ", ".join(map(repr, nameless[:NAMED])), ", ..." if len(nameless) > NAMED else ""
    return [
        f"no mixture of a configuration can be called {shown}{more}; a name is {NAMING}, "
        f"and none of {', '.join(f'`{name}`' for name in RESERVED_NAMES)}"
    ]


def normalized(text: str) -> str:
    """What two questions have in common that are the same to a router."""
    return " ".join(text.casefold().split())
