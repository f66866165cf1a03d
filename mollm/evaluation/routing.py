"""How good a router is on questions whose mixture is known, and what it does with those that belong nowhere."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mollm.errors import RequestError
from mollm.evaluation import metrics, noise
from mollm.evaluation.baselines import BASELINES, accuracy
from mollm.routing.calibration import FALSE_ALARMS, pick_threshold

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from mollm.routing.base import RouterLike
    from mollm.types import Route

Ask: TypeAlias = Callable[[str], Awaitable["Route"]]

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
SEPARATOR = "|"
"""Between the mixtures of a question that belongs to several."""


@dataclass(frozen=True, slots=True)
class OutOfScope:
    """How questions that belong nowhere are told from the others; shares are 0 to 1."""

    questions: int
    auroc: dict[str, float]
    """By what questions are put in order by: `familiarity`, `probability` of the likeliest mixture."""
    score: str
    """Which of the two the figures below are of."""
    threshold: float
    threshold_from: str
    """`validation`, or `fitted`: then a question is caught where the router is not sure."""
    recall: float
    """Share of them that is caught."""
    false_alarms: float
    """Share of the other questions that is caught as well."""
    kept: float
    """Share of the other questions that is not caught and given to the right mixture."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a router; shares are 0 to 1, and NaN where there was nothing to ask."""

    questions: int
    """That belong to a mixture."""
    mixtures: int
    """That these questions belong to."""
    accuracy: float
    """Of the likeliest mixture, thresholds off."""
    macro_f1: float
    calibration_error: float
    """In `bins` bins of the same width; None if the router gives no probabilities."""
    bins: int
    sure: float
    """Share of the questions of which the router is sure."""
    sure_accuracy: float
    """Accuracy on these."""
    coverage: dict[str, float]
    """Accuracy on the most probable part, by its share: `0.9`."""
    coverage_area: float
    baselines: dict[str, float]
    """Accuracy of what needs no router."""
    flips: dict[str, float]
    """Share of questions that go elsewhere once they are changed, by how; empty if that was not asked."""
    p50_ms: float
    p99_ms: float
    unknown: dict[str, list[int]]
    """Rows, from 1, whose mixture the router never mentions, by mixture; they count as wrong."""
    out_of_scope: OutOfScope | None = None
    sets: metrics.SetScores | None = None
    """Where questions belong to several mixtures; all other figures then count any of them as right."""

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it: what is not a number becomes None."""
        from dataclasses import asdict

        plain: dict[str, Any] = _plain(asdict(self))
        return plain


@dataclass(frozen=True, slots=True)
class Said:
    """What a router said of n questions."""

    routes: list[Route]
    seconds: list[float]
    picks: list[str] = field(init=False)
    """The likeliest mixture of each, whether it was accepted or not."""
    probabilities: NDArray[np.float64] = field(init=False)
    """Of these, shape (n,); 1 where the router has none."""

    def __post_init__(self) -> None:
        likeliest = [_likeliest(route) for route in self.routes]
        object.__setattr__(self, "picks", [pick for pick, _ in likeliest])
        object.__setattr__(self, "probabilities", np.array([share for _, share in likeliest], dtype=np.float64))

    @property
    def has_probabilities(self) -> bool:
        """Whether any question was given probabilities."""
        return any(route.probabilities for route in self.routes)

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Of which questions the router is sure, shape (n,)."""
        return np.array([route.is_sure for route in self.routes], dtype=np.bool_)

    def values(self, score: str) -> NDArray[np.float64]:
        """`familiarity`, with 0 where there is none, or `probability`, shape (n,)."""
        if score == "probability":
            return self.probabilities
        return np.array([route.familiarity or 0.0 for route in self.routes], dtype=np.float64)


async def say(ask: Ask, texts: Sequence[str]) -> Said:
    """Ask about one question after the other, and take the time of each."""
    routes, seconds = [], []
    for text in texts:
        start = time.perf_counter()
        routes.append(await ask(text))
        seconds.append(time.perf_counter() - start)
    return Said(routes, seconds)


def asking(router: RouterLike, fallback: str) -> Ask:
    """Ask a router, a scorer or a function, which may call no LLM; `MoLLM.aroute` asks one that does.

    Args:
        router: As `MoLLM(router=...)` takes it; a learned scorer decides with its own thresholds.
        fallback: The mixture that answers what no other one is picked for.
    """
    from mollm.calling.calls import Calls
    from mollm.messages import question_of
    from mollm.routing.decision import Decision
    from mollm.routing.own import as_router

    own = getattr(router, "decision", None)
    decision = own() if callable(own) else Decision(fallback)
    built = as_router(router, decision)

    async def ask(text: str) -> Route:
        return await built.route(question_of([{"role": "user", "content": text}]), Calls({}))

    return ask


async def evaluate(
    ask: Ask,
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    out_of_scope: Collection[str] = (),
    outside: Sequence[str] = (),
    validation: Sequence[str] | None = None,
    known: Collection[str] | None = None,
    train: tuple[Sequence[str], Sequence[str]] | None = None,
    false_alarms: float = FALSE_ALARMS,
    noisy: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Measure a router.

    Args:
        ask: Routes a question: `asking(router, fallback)`, or `MoLLM.aroute`.
        texts: The questions, none of them twice for a fair figure.
        labels: The mixture of each; several in one, `a|b` or a JSON list, are measured as sets.
        out_of_scope: Labels of questions that belong nowhere.
        outside: More questions that belong nowhere.
        validation: Other questions that belong to mixtures; the threshold is the value that a share `false_alarms` of
            them does not reach. None: the thresholds of the router.
        known: Mixtures that there are; None: those that the router ever mentions.
        train: Questions and their mixtures that the baselines are fitted on; None: on the other half of these.
        false_alarms: 0 to 1.
        noisy: Whether the questions are asked in `noise.KINDS` of other forms as well.
        seed: Draws the noise.

    Raises:
        RequestError: No question belongs to a mixture.
    """
    nowhere = set(out_of_scope)
    rows = [row for row, label in enumerate(labels) if label not in nowhere]
    if not rows:
        raise RequestError("no question of the data belongs to a mixture: there is nothing to measure")
    inside = [texts[row] for row in rows]
    wanted = [mixtures_of(labels[row]) for row in rows]
    said = await say(ask, inside)
    others = [texts[row] for row, label in enumerate(labels) if label in nowhere] + list(outside)
    right = np.array([pick in mixtures for pick, mixtures in zip(said.picks, wanted, strict=True)], dtype=np.bool_)
    mentioned = set(said.picks).union(*(route.probabilities for route in said.routes)) if known is None else set(known)
    # Of a question with several mixtures, the one that was picked if it is any of them.
    truth = [pick if hit else mixtures[0] for pick, hit, mixtures in zip(said.picks, right, wanted, strict=True)]
    names = sorted({*truth, *said.picks})
    number = {name: place for place, name in enumerate(names)}
    milliseconds = 1e3 * np.array(said.seconds)
    return Evaluation(
        questions=len(rows),
        mixtures=len({name for mixtures in wanted for name in mixtures}),
        accuracy=float(right.mean()),
        macro_f1=metrics.macro_f1(
            np.array([number[name] for name in truth]), np.array([number[name] for name in said.picks]), len(names)
        ),
        calibration_error=(
            metrics.calibration_error(said.probabilities, right) if said.has_probabilities else float("nan")
        ),
        bins=metrics.BINS,
        sure=float(said.sure.mean()),
        sure_accuracy=float(right[said.sure].mean()) if said.sure.any() else float("nan"),
        coverage=dict(
            zip(
                [f"{share:.1f}" for share in COVERAGES],
                metrics.coverage_curve(said.probabilities, right, COVERAGES),
                strict=True,
            )
        ),
        coverage_area=metrics.coverage_area(said.probabilities, right),
        baselines={name: accuracy(fit, inside, truth, train) for name, fit in BASELINES.items()},
        flips=await _flips(ask, inside, said, seed) if noisy else {},
        p50_ms=float(np.quantile(milliseconds, 0.5)),
        p99_ms=float(np.quantile(milliseconds, 0.99)),
        unknown=_unknown(rows, wanted, mentioned),
        out_of_scope=await _told_apart(ask, said, right, others, validation, false_alarms) if others else None,
        sets=_sets(said, wanted) if any(len(mixtures) > 1 for mixtures in wanted) else None,
    )


def mixtures_of(label: str) -> tuple[str, ...]:
    """The mixtures that a label names: one, several as `a|b`, or a JSON list of them."""
    if label.startswith("["):
        try:
            listed = json.loads(label)
        except ValueError:
            listed = None
        if isinstance(listed, list) and listed and all(isinstance(name, str) for name in listed):
            return tuple(dict.fromkeys(listed))
    parts = [part.strip() for part in label.split(SEPARATOR)]
    return tuple(dict.fromkeys(part for part in parts if part)) or (label,)


def _likeliest(route: Route) -> tuple[str, float]:
    if not any(route.probabilities.values()):
        return route.mixture, 1.0
    pick = max(route.probabilities, key=route.probabilities.__getitem__)
    return pick, route.probabilities[pick]


async def _flips(ask: Ask, texts: Sequence[str], said: Said, seed: int) -> dict[str, float]:
    """Of the questions that a kind of noise changes at all."""
    flips = {}
    for kind, change in noise.KINDS.items():
        changed = [(change(text, seed), pick) for text, pick in zip(texts, said.picks, strict=True)]
        changed = [(new, pick) for (new, pick), old in zip(changed, texts, strict=True) if new != old]
        again = await say(ask, [new for new, _ in changed])
        moved = [pick != before for pick, (_, before) in zip(again.picks, changed, strict=True)]
        flips[kind] = float(np.mean(moved)) if moved else float("nan")
    return flips


async def _told_apart(
    ask: Ask,
    said: Said,
    right: NDArray[np.bool_],
    others: Sequence[str],
    validation: Sequence[str] | None,
    false_alarms: float,
) -> OutOfScope:
    outside = await say(ask, others)
    familiar = all(route.familiarity is not None for route in said.routes + outside.routes)
    scores = ["familiarity", "probability"] if familiar else ["probability"]
    score = scores[0]
    if validation is not None:
        threshold = pick_threshold((await say(ask, validation)).values(score), false_alarms)
        alarm, caught = said.values(score) < threshold, outside.values(score) < threshold
    else:
        threshold, alarm, caught = float("nan"), ~said.sure, ~outside.sure
    return OutOfScope(
        questions=len(others),
        auroc={name: metrics.auroc(said.values(name), outside.values(name)) for name in scores},
        score=score,
        threshold=threshold,
        threshold_from="fitted" if validation is None else "validation",
        recall=float(caught.mean()),
        false_alarms=float(alarm.mean()),
        kept=float((right & ~alarm).mean()),
    )


def _unknown(rows: Sequence[int], wanted: Sequence[tuple[str, ...]], mentioned: set[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, mixtures in zip(rows, wanted, strict=True):
        for name in mixtures:
            if name not in mentioned:
                found.setdefault(name, []).append(row + 1)
    return found


def _sets(said: Said, wanted: Sequence[tuple[str, ...]]) -> metrics.SetScores:
    """By what the router decided: the mixture and the second one joined to it."""
    found = [{route.mixture} | ({route.second} if route.second else set()) for route in said.routes]
    return metrics.of_sets(wanted, found)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
