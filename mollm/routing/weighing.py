"""How much each member of an ensemble counts: fitted where all of them can be refitted on the examples.

Every member is refitted on two thirds of the examples and scores the last third, three times over; the weights are
those at which the ensemble finds the right mixtures likeliest (the least cross-validated log-loss), and the thresholds
are picked on the same scores. Numpy only; what members are refitted with is theirs.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from mollm.drafts import write_whole
from mollm.routing import artifacts
from mollm.routing.calibration import FALSE_ALARMS, pick_threshold, softmax
from mollm.routing.ensemble import FLOOR, HALF, added_up, counting, log_shares, opinion_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mollm.routing.base import Scores
    from mollm.routing.calibration import Ints
    from mollm.routing.ensemble import Opinion
    from mollm.routing.features import Floats

FOLDS = 3
STEPS = 50
MOST = 10.0
"""Of a weight."""
RIDGE = 1e-3
"""How strongly weights are drawn to those that are all the same; it decides where members say the same."""
FORMAT = 1
FILE = "ensemble.json"
MOST_BYTES = 64 * 1024


class Fitted(Protocol):
    """A scorer that was fitted on examples."""

    @property
    def familiarity(self) -> float:
        """Below which it does not know a question."""
        ...

    def scores(self, text: str) -> Scores:
        """Score a text."""
        ...


Refit: TypeAlias = "Callable[[Mapping[str, Sequence[str]]], Fitted]"
"""Fits a member on questions by mixture."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """What was fitted for an ensemble."""

    weights: tuple[float, ...]
    """One for each member, 0 to `MOST`."""
    threshold: float = 0.5
    """Probability from 0 to 1 that all but the wanted share of held-out questions reach."""
    familiarity: float = HALF
    """Familiarity likewise."""


def equal(members: int) -> Weighed:
    """Weights that are all the same, with the sum 1."""
    return Weighed((1.0 / members,) * members)


def relative(weights: Sequence[float]) -> Weighed:
    """Weights that somebody gave, at least one of them above 0, brought to the sum 1."""
    total = sum(weights)
    return Weighed(tuple(weight / total for weight in weights))


def weigh(
    members: Sequence[Refit], examples: Mapping[str, Sequence[str]], *, false_alarms: float = FALSE_ALARMS
) -> Weighed:
    """Fit weights and thresholds on examples; where no mixture has two, weights are all the same.

    Args:
        members: What refits each member.
        examples: Mixture to questions.
        false_alarms: Share of all these questions, 0 to 1, that either threshold may call into doubt.
    """
    names = tuple(sorted(examples))
    held_out: list[tuple[list[Opinion], int]] = []
    for number in range(FOLDS):
        seen, unseen = _split(examples, names, number)
        if unseen and len(seen) > 1:
            fitted = [refit(seen) for refit in members]
            held_out += [([opinion_of(m.scores(text), m.familiarity) for m in fitted], of) for text, of in unseen]
    if not held_out:
        return equal(len(members))
    logs = np.array([[log_shares(opinion, names) for opinion in opinions] for opinions, _ in held_out])
    weights = fit_weights(logs.swapaxes(0, 1), np.array([of for _, of in held_out]))
    shares = [softmax(added_up(log, counting(weights, said))) for log, (said, _) in zip(logs, held_out, strict=True)]
    known = [[o.familiarity for o in said if o.familiarity is not None] for said, _ in held_out]
    familiar = np.array([sum(each) / len(each) for each in known if each])
    return Weighed(
        tuple(weights),
        threshold=pick_threshold(np.array(shares).max(axis=1), false_alarms),
        familiarity=pick_threshold(familiar, false_alarms),
    )


def fit_weights(logs: Floats, labels: Ints) -> list[float]:
    """Find the weights, 0 to `MOST`, at which added log-probabilities make the right labels likeliest.

    Args:
        logs: Log-probabilities of m members for n questions and K mixtures, shape (m, n, K), n at least 1.
        labels: The right mixtures, 0 to K-1, shape (n,).
    """
    members, count, _ = logs.shape
    even = np.full(members, 1.0 / members)
    rows = np.arange(count)

    def loss(weights: Floats) -> float:
        right = softmax(np.tensordot(weights, logs, 1))[rows, labels]
        drawn = RIDGE * float(((weights - even) ** 2).sum())
        return float(-np.log(np.maximum(right, 1e-300)).mean()) + drawn

    weights, least = even, loss(even)
    for _ in range(STEPS):
        shares = softmax(np.tensordot(weights, logs, 1))
        mean = (logs * shares).sum(axis=2)
        slope = (mean - logs[:, rows, labels]).mean(axis=1) + 2 * RIDGE * (weights - even)
        away = logs - mean[:, :, None]
        curvature = np.einsum("ank,bnk,nk->ab", away, away, shares) / count + 2 * RIDGE * np.eye(members)
        # A weight at its end that would go on beyond it stays there, and Newton's step is taken in the others.
        free = ~(((weights <= 0.0) & (slope > 0.0)) | ((weights >= MOST) & (slope < 0.0)))
        step = np.zeros(members)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], slope[free])
        size = 1.0
        while size > 1e-6:
            tried = np.clip(weights - size * step, 0.0, MOST)
            if (found := loss(tried)) < least - 1e-12:
                break
            size /= 2.0
        else:
            break
        weights, least = tried, found
    return [float(weight) for weight in weights]


def digest_of(examples: Mapping[str, Sequence[str]], members: Sequence[object]) -> str:
    """Of what weights are fitted on; `members` say in JSON what refits them."""
    material = json.dumps([FORMAT, artifacts.FORMAT, FOLDS, FLOOR, {k: list(v) for k, v in examples.items()}, *members])
    return hashlib.sha256(material.encode()).hexdigest()


def cached(digest: str, count: int, fit: Callable[[], Weighed]) -> Weighed:
    """What was fitted before for `digest`, of so many members, else what `fit` finds, which is kept.

    The cache is a convenience: what is missing, unreadable, changed or cannot be written only costs a new fit.
    """
    routers = artifacts.cache_folder()
    if routers is None:
        return fit()
    path = routers / digest / FILE
    if (found := _read(path, count)) is not None:
        return found
    weighed = fit()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(weighed)).encode())
        artifacts.prune(routers)
    return weighed


def _read(path: Path, count: int) -> Weighed | None:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        data = json.loads(path.read_bytes())
        weights = tuple(float(weight) for weight in data["weights"])
        threshold, familiarity = float(data["threshold"]), float(data["familiarity"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError, OverflowError):
        return None
    sound = len(weights) == count and all(0.0 <= weight <= MOST for weight in weights) and any(weights)
    if not sound or not 0.0 <= threshold <= 1.0 or not 0.0 <= familiarity <= 1.0:
        return None
    return Weighed(weights, threshold, familiarity)


def _split(
    examples: Mapping[str, Sequence[str]], names: Sequence[str], number: int
) -> tuple[dict[str, list[str]], list[tuple[str, int]]]:
    """Examples to fit on, by mixture, and those held out in fold `number`; a mixture's only one is always seen."""
    seen: dict[str, list[str]] = {}
    unseen: list[tuple[str, int]] = []
    generator = np.random.default_rng(0)
    for label, name in enumerate(names):
        texts = list(dict.fromkeys(text.strip() for text in examples[name] if text.strip()))
        for place, at in enumerate(generator.permutation(len(texts))):
            if len(texts) > 1 and place % FOLDS == number:
                unseen.append((texts[at], label))
            else:
                seen.setdefault(name, []).append(texts[at])
    return seen, unseen
