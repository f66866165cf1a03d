"""Scores by the names under which `mollm eval mixtures --score` takes them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mollm.config.imported import imported
from mollm.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.api import MoLLM
    from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
    from mollm.evaluation.mixtures.rows import Row
    from mollm.evaluation.mixtures.scores.base import Score


@dataclass(frozen=True, slots=True)
class Given:
    """What there is to make a score of."""

    rows: Sequence[Row] = ()
    """The questions."""
    ratings: Path | None = None
    """`--ratings`: a file of them."""
    judge: str | None = None
    """`--judge`: an LLM of the configuration."""
    mollm: MoLLM | None = None
    """Asks the judge; one that calls LLMs, and replays no answers."""
    ceiling: Ceiling | None = None
    """What the judge's calls may take; None: anything."""
    config: Path | None = None
    """The configuration's file, beside which the module of a function may lie; it may lie in the working folder too."""


# Each is imported on use: who counts words needs no sandbox.
def _exact(_: Given) -> Score:
    from mollm.evaluation.mixtures.scores.exact import Exact

    return Exact()


def _rouge(name: str) -> Make:
    def make(_: Given) -> Score:
        from mollm.evaluation.mixtures.scores.rouge import Rouge

        return Rouge(name)

    return make


def _regex(_: Given) -> Score:
    from mollm.evaluation.mixtures.scores.regex import Regex

    return Regex()


def _tests(_: Given) -> Score:
    from mollm.evaluation.mixtures.scores.unit_tests import UnitTests

    return UnitTests()


def _judge(given: Given) -> Score:
    from mollm.evaluation.mixtures.scores.judge import LLMJudge

    if given.judge is None or given.mollm is None:
        raise RequestError("--score judge needs `--judge LLM`: the LLM of the configuration that judges")
    return LLMJudge(given.mollm, given.judge, given.ceiling)


def _ratings(given: Given) -> Score:
    from mollm.evaluation.mixtures.scores.ratings import Ratings

    if given.ratings is None:
        raise RequestError("--score ratings needs `--ratings FILE`: JSON lines of `id`, `who` and `score`")
    return Ratings(given.ratings, given.rows)


Make: TypeAlias = Callable[[Given], "Score"]

DEFAULT = "exact"
SCORES: dict[str, Make] = {
    DEFAULT: _exact,
    "rouge-1": _rouge("rouge-1"),
    "rouge-2": _rouge("rouge-2"),
    "rouge-l": _rouge("rouge-l"),
    "regex": _regex,
    "tests": _tests,
    "judge": _judge,
    "ratings": _ratings,
}
"""By name, what makes them; `module:function` is one of somebody's own."""


def score_of(spec: str = DEFAULT, given: Given = Given()) -> Score:
    """Make the score that an option names.

    Args:
        spec: A name of `SCORES`, or `module:function`.
        given: What it may need.

    Raises:
        RequestError: There is no such score, or an option is missing or has no effect.
        ConfigError: The judge is no LLM of the configuration, or a function cannot be imported or called.
        DataError: The ratings cannot be read.
        SandboxError: Tests would not be isolated on this system.
    """
    for option, value, name in (("--judge", given.judge, "judge"), ("--ratings", given.ratings, "ratings")):
        if value is not None and spec != name:
            raise RequestError(f"{option} has no effect with --score {spec}; it is for --score {name}")
    if ":" in spec:
        from mollm.evaluation.mixtures.scores.own import Own

        return Own(imported(spec, _beside(spec, given.config)), spec)
    if spec not in SCORES:
        near = difflib.get_close_matches(spec.lower(), SCORES, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else f": there are {', '.join(SCORES)} and `module:function`"
        raise RequestError(f"--score: there is no score {spec!r}{meant}")
    return SCORES[spec](given)


def _beside(spec: str, config: Path | None) -> Path | None:
    """Where the module of a function is looked for first: the configuration's folder, unless only this one has it."""
    top = spec.partition(":")[0].partition(".")[0]
    here = Path.cwd() / f"{top}.py"
    is_beside = config is not None and (config.parent / here.name).is_file()
    return here if here.is_file() and not is_beside else config
