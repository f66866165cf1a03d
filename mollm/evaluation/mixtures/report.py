"""What is reported: the values that `report.json` holds, and from which the page and the terminal are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ArmKind: TypeAlias = Literal["mixture", "member", "reader", "best", "random", "self", "vote", "oracle", "routed"]
VerdictKind: TypeAlias = Literal["better", "worse", "not better", "cannot be told"]

FORMAT = 1
"""Of `report.json`."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer, and what it comes to."""

    kind: ArmKind
    name: str
    """Such as `coder alone`, `best member (coder)`, `plain vote of 3`."""
    score: float | None
    """Mean over the questions, 0 to 1; None where it could not be had, and `why` says why."""
    interval: tuple[float, float] | None = None
    """In which 95 % of the resampled means lie."""
    calls: float | None = None
    """Mean per question; so are the next four. None for what nobody would serve, such as an oracle."""
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    cost_usd: float | None = None
    """None also where an LLM has no price."""
    seconds: float | None = None
    failed: int = 0
    """Questions that ended with an error, and count 0."""
    is_on_front: bool = False
    """Nothing else scores as high at as low a cost (or as few calls, where there are no prices)."""
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """The mixture against the best member, which was chosen on other questions than those it is compared on."""

    member: str
    """Whom it is compared with: the member that is best on either half, or the better one on all where these differ. Of
    the comparison with the plain vote, the name of that."""
    difference: float
    """Mean score of the mixture less that of the best member, -1 to 1."""
    interval: tuple[float, float]
    """Paired bootstrap, 95 %, as `gains.paired_interval` draws it."""
    p: float
    """Two-sided: exact sign test of scores that are 0 or 1 (McNemar), else signs flipped."""
    gains: int
    """Questions that the mixture answers better; `losses`: worse."""
    losses: int
    questions: int
    cost_ratio: float | None
    """What the mixture takes over what the member takes: in USD, or in tokens where there are no prices."""
    ratio_of: Literal["cost", "tokens", "calls"] = "cost"
    whom: str = ""
    """As a sentence names it: `coder alone`, or `the best member (coder or claude)` where the halves differ: each is
    then compared on the half for which it was chosen."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the mixture is worth it."""

    kind: VerdictKind
    sentence: str
    enough: int | None = None
    """How many questions would be enough to tell, where these are too few."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers with about the same agreement, or confidence."""

    low: float
    high: float
    questions: int
    mean: float
    """Mean agreement, or confidence."""
    right: float
    """Share that is right; the mean score where answers are not right or wrong."""


@dataclass(frozen=True, slots=True)
class Turned:
    """What the aggregator made of the proposal that it would have been without it: the best proposal."""

    wrong: int
    """Answers that it turned from right to wrong, or made worse."""
    right: int
    """Answers that it turned from wrong to right, or made better."""
    questions: int
    """Answers that it wrote or picked."""


@dataclass(frozen=True, slots=True)
class Side:
    """One text beside the others on a question that the mixture lost."""

    who: str
    text: str
    final: str | None
    score: float | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A question that the best member answers better than the mixture."""

    id: str
    question: str
    reference: str
    kind: str | None
    answer: Side
    best: Side
    proposals: tuple[Side, ...]
    mixture: str | None = None


@dataclass(frozen=True, slots=True)
class Excluded:
    """A question that counts for no arm."""

    id: str
    place: str
    """File and line."""
    why: str


@dataclass(frozen=True, slots=True)
class Domains:
    """Each member, and the mixture, on each kind of question."""

    kinds: tuple[str, ...]
    questions: tuple[int, ...]
    """Of each kind."""
    names: tuple[str, ...]
    scores: tuple[tuple[float | None, ...], ...]
    """A row for each name, a column for each kind."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Where the router sends the questions of each kind."""

    kinds: tuple[str, ...]
    mixtures: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A row for each kind, a column for each mixture."""
    accuracy: float | None
    """Share of questions whose kind is the name of the mixture picked; None where no kind is the name of a mixture."""


@dataclass(frozen=True, slots=True)
class MixtureReport:
    """One mixture."""

    name: str
    digest: str
    """Of its members and rules, as `mollm.config.members.mixture_digest` makes it."""
    questions: int
    arms: tuple[Arm, ...]
    gain: Gain | None
    """None for a mixture of one member."""
    verdict: Verdict
    agreement: tuple[Bin, ...] = ()
    confidence: tuple[Bin, ...] = ()
    calibration_error: float | None = None
    """Expected calibration error of `confidence`, 0 to 1."""
    turned: Turned | None = None
    domains: Domains | None = None
    lost: tuple[Lost, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    vote: Gain | None = None
    """The mixture against the plain vote of all members, all of which that asks; None for a mixture of one member."""


@dataclass(frozen=True, slots=True)
class Report:
    """All mixtures of a configuration on one file of questions."""

    date: str
    """ISO 8601."""
    data: str
    """The file."""
    data_digest: str
    questions: int
    config: str
    score: str
    """How answers were scored."""
    is_replayed: bool
    """The answers are recorded ones, and no LLM was called."""
    mixtures: tuple[MixtureReport, ...]
    router: Confusion | None = None
    notes: tuple[str, ...] = ()
    """What a reader has to know: what recorded answers cannot show, how far a judge agrees with references, ..."""
    calls: int = 0
    """Made for this report, all arms together, and those of a judge."""
    cost_usd: float | None = None
    format: int = FORMAT
    is_exact: bool = True
    """Answers are right or wrong. Where scores lie between 0 and 1, `Bin.right` is a mean score, and `Turned` counts
    answers that became better or worse."""
