"""Stated probabilities: what they follow from, that a vote never lowers its own answer, and files that are none."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.calling.logprobs import mean_logprob
from mollm.errors import DataError
from mollm.final.calibration import LARGEST, SIGNALS, VOTES, Calibration, Member, Said
from mollm.final.calibration_file import MOST_BYTES, read_calibration, text_of
from tests.calibrations import made_up
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("a", "b", "c", "d")
SIZES = st.floats(0, 20) | st.sampled_from([0.0, LARGEST])
PAIRS = st.tuples(st.floats(-LARGEST, LARGEST), SIZES)
MEMBERS = st.builds(Member, SIZES, SIZES, PAIRS, st.none() | PAIRS)
CALIBRATIONS = st.builds(
    lambda members, base, weights: Calibration(
        dict(zip(NAMES, members, strict=True)), base, dict(zip((*VOTES, *SIGNALS), weights, strict=True)), 9, None
    ),
    st.lists(MEMBERS, min_size=4, max_size=4),
    st.floats(-LARGEST, LARGEST),
    st.lists(SIZES, min_size=8, max_size=8),
)
LOGPROBS = st.none() | st.floats(-1e300, 0) | st.just(math.nan)


def replies(*finals: str | None) -> list[Said]:
    """One reply of each member in turn."""
    return [Said(name, final, -0.1, 400) for name, final in zip(NAMES, finals, strict=False)]


@st.composite
def states(draw: st.DrawFn) -> tuple[list[Said], Said]:
    """What some members said, and what one more says."""
    names = draw(st.permutations(NAMES))
    said = [
        Said(name, draw(st.sampled_from(["1", "2", "3", None])), draw(LOGPROBS), draw(st.integers(0, 10**9)))
        for name in names
    ]
    count = draw(st.integers(1, 3))
    return said[:count], said[count]


@settings(max_examples=cases(100))
@given(CALIBRATIONS, states())
def test_one_more_vote_never_makes_its_answer_less_probable(
    calibration: Calibration, state: tuple[list[Said], Said]
) -> None:
    """Whoever gives it, however unlikely its reply looks; and whatever stands in the file, it is a probability."""
    said, more = state
    before = calibration.confidence(said)
    if before is None:
        assert all(one.final is None for one in said)
        return
    votes = [one.final for one in said if one.final is not None]
    leading = max(votes, key=lambda final: (votes.count(final), -votes.index(final)))

    after = calibration.confidence([*said, Said(more.worker, leading, more.logprob, more.length)])

    assert after is not None
    assert 0 <= before <= after + 1e-12 <= 1 + 1e-12
    assert after <= calibration.highest(len(said) + 1) + 1e-12


def test_it_follows_from_who_said_it_and_who_contradicts() -> None:
    """A member that is trusted weighs more, for its answer and against every other."""
    members = {"a": Member(supports=2.0, contradicts=1.0), "b": Member(supports=0.5, contradicts=0.25), "c": Member()}
    calibration = made_up(members, base=-1.0, leader=1.0, tied=0.5, without=0.3)

    assert calibration.confidence(replies("7")) == pytest.approx(1 / (1 + math.exp(1 - 2)))
    assert calibration.confidence([Said("b", "7")]) == pytest.approx(1 / (1 + math.exp(1 - 0.5)))
    tied = -1 + 2 - 0.25 - 0.5
    assert calibration.confidence(replies("7", "8")) == pytest.approx(1 / (1 + math.exp(-tied)))
    agreed = -1 + math.log(2) + 2.5 - 0.3 * math.log(2)
    assert calibration.confidence(replies("7", "7", None)) == pytest.approx(1 / (1 + math.exp(-agreed)))


def test_a_reply_that_is_unlike_its_member_is_doubted() -> None:
    """Longer or less likely than usual; a second one that is as usual makes up for it."""
    member = Member(length=(math.log1p(400), 0.5), logprob=(-0.1, 0.1))
    calibration = made_up({"a": member, "b": member}, base=3.0, long=1.0, unlikely=1.0)

    usual = calibration.confidence([Said("a", "7", -0.1, 400)])
    long = calibration.confidence([Said("a", "7", -0.1, 4000)])
    unlikely = calibration.confidence([Said("a", "7", -0.5, 400)])
    unknown = calibration.confidence([Said("a", "7", None, 400)])
    both = calibration.confidence([Said("a", "7", -0.5, 4000), Said("b", "7", -0.1, 400)])

    assert None not in (usual, long, unlikely)
    assert usual == unknown == both == pytest.approx(1 / (1 + math.exp(-3.0)))
    assert max(long or 1, unlikely or 1) < (usual or 0)


def test_a_doubtful_reply_matters_less_the_more_have_answered() -> None:
    """By the square of their number, whether they agree or not; and a short reply makes nothing more probable."""
    member = Member(length=(math.log1p(400), math.log(10)))
    calibration = made_up(dict.fromkeys("abc", member), base=1.0, long=1.0)

    def odds(length: int, *finals: str) -> float:
        said = [Said(name, final, None, length) for name, final in zip("abc", finals, strict=False)]
        found = calibration.confidence(said) or 0.0
        return math.log(found / (1 - found))

    assert odds(4009, "7") == pytest.approx(1 - 1)
    assert odds(4009, "7", "7") == pytest.approx(1 - 1 / 4)
    assert odds(4009, "7", "8", "9") == pytest.approx(1 - 1 / 9)
    assert odds(0, "7") == odds(400, "7") == pytest.approx(1)


def test_nothing_is_said_where_nothing_is_known() -> None:
    """No final answer leads, or somebody answers whom the calibration does not know."""
    calibration = made_up({"a": Member()})

    assert calibration.confidence([]) is None
    assert calibration.confidence([Said("a", None)]) is None
    assert calibration.confidence([Said("a", "7"), Said("z", "7")]) is None


WHOLE = made_up({"a": Member(0.5, 0.25, (6.0, 0.5), (-0.2, 0.1)), "b": Member()}, base=-0.5, leader=1.5)


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    """What is read is what was written."""
    path = tmp_path / "calibration.json"
    path.write_text(text_of(WHOLE), "utf-8")

    assert read_calibration(path) == WHOLE


def changed(*keys: str, to: Any) -> Callable[[], str]:
    """The text of a file in which a value is another one."""

    def make() -> str:
        whole = found = json.loads(text_of(WHOLE))
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = to
        return json.dumps(whole)

    return make


def lacking(*keys: str) -> Callable[[], str]:
    """The text of a file in which a key is missing."""

    def make() -> str:
        whole = found = json.loads(text_of(WHOLE))
        for key in keys[:-1]:
            found = found[key]
        del found[keys[-1]]
        return json.dumps(whole)

    return make


HOSTILE: list[tuple[Callable[[], str], str]] = [
    (lambda: "", "is not JSON"),
    (lambda: "[" * 100_000, "is not JSON"),
    (lambda: '"text"', "is not a JSON object"),
    (lambda: " " * (10 << 20), f"has more than {MOST_BYTES >> 20} MiB"),
    (changed("format", to=1), "format: must be 2, not 1"),
    (changed("format", to=True), "format: must be 2"),
    (lacking("format"), "format: is missing"),
    (lacking("digest"), "digest: is missing"),
    (changed("digest", to=7), "digest: must be text"),
    (changed("base", to=math.nan), "base: must be a number, -1e+06 to 1e+06"),
    (changed("base", to=math.inf), "base: must be a number"),
    (changed("base", to=10**400), "base: must be a number"),
    (changed("base", to="1"), "base: must be a number"),
    (changed("base", to=True), "base: must be a number"),
    (changed("error", to=1.5), "error: must be a number, 0 to 1"),
    (changed("questions", to=-1), "questions: must be a number"),
    (changed("weights", to=[]), "weights: must be an object"),
    (lacking("weights", "tied"), "weights.tied: is missing"),
    (changed("weights", "tied", to=-0.1), "weights.tied: must be a number, 0 to 1e+06"),
    (changed("members", to={}), "members: there are none"),
    (changed("members", "a", to=None), "members.a: must be an object"),
    (lacking("members", "a", "supports"), "members.a.supports: is missing"),
    (changed("members", "a", "supports", to=1e300), "members.a.supports: must be a number"),
    (changed("members", "a", "length", to=[1.0]), "members.a.length: must be a mean and a standard deviation"),
    (changed("members", "a", "logprob", to=[0.0, math.nan]), "members.a.logprob: must be a number"),
]


@pytest.mark.parametrize(("text", "message"), HOSTILE, ids=[message for _, message in HOSTILE])
def test_a_file_that_is_none_is_refused_by_name_and_key(text: Callable[[], str], message: str, tmp_path: Path) -> None:
    """Nothing in it is trusted, and whoever has to mend it is told where."""
    path = tmp_path / "calibration.json"
    path.write_text(text(), "utf-8")

    with pytest.raises(DataError) as caught:
        read_calibration(path)

    assert f"{path}: {message}" in str(caught.value)


STRANGE: list[Any] = [
    *(None, [], {}, "x", 7, {"content": None}, {"content": []}, {"content": "x"}, {"content": [None]}),
    *({"content": [{"token": "x"}]}, {"tokens": ["4"], "token_logprobs": [-0.1]}),
]
NO_NUMBERS: list[Any] = [None, "-1", True, [], math.nan]


@pytest.mark.parametrize(
    ("logprobs", "mean"),
    [
        ({"content": [{"token": "4", "logprob": -0.1}, {"token": ".", "logprob": -0.3}]}, -0.2),
        ({"content": [{"logprob": -9999.0}, {"logprob": 0}]}, -50.0),  # vLLM, of what could not be
        ({"content": [{"logprob": 1e-9}]}, 0.0),
        ({"content": [{"logprob": -math.inf}]}, -100.0),
        *((strange, None) for strange in STRANGE),
        *(({"content": [{"logprob": value}]}, None) for value in NO_NUMBERS),
    ],
)
def test_log_probabilities_are_read_or_left(logprobs: Any, mean: float | None) -> None:
    """OpenAI's form, which vLLM has too; anything else is no reason to fail, and no number."""
    assert mean_logprob(logprobs) == (None if mean is None else pytest.approx(mean))
