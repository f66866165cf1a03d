"""Scores that call nobody: ROUGE, regular expressions, ratings, functions of a user's own, and how they are named."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mollm.errors import ConfigError, DataError, RequestError, SandboxError
from mollm.evaluation.mixtures.scores.base import Spent, spent_by, told
from mollm.evaluation.mixtures.scores.own import Own
from mollm.evaluation.mixtures.scores.ratings import Ratings
from mollm.evaluation.mixtures.scores.regex import Regex
from mollm.evaluation.mixtures.scores.registry import SCORES, Given, score_of
from mollm.evaluation.mixtures.scores.rouge import Rouge
from tests.evaluation.mixtures.scores.asking import row

if TYPE_CHECKING:
    from pathlib import Path


async def test_rouge_scores_each_answer_and_says_what_it_does_not_see() -> None:
    """A reference of which nothing is left is a problem of its row."""
    score = Rouge("rouge-l")

    assert await score.score(row("the cat sat"), {"a": "The cat sat.", "b": "A dog"}) == {"a": 1.0, "b": 0.0}
    assert score.problem(row("?!")) == "the reference '?!' has no words"
    assert "one word" in (Rouge("rouge-2").problem(row("Paris")) or "")
    assert "does not see whether" in score.notes()[0]


async def test_a_pattern_is_searched_in_the_answer() -> None:
    """Anywhere, and without flags but those in the pattern."""
    texts = {"a": "It is 42.", "b": "It is 421.", "c": "It is\n42"}

    assert await Regex().score(row(r"\b42\b"), texts) == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert await Regex().score(row(r"(?m)^42$"), texts) == {"a": 0.0, "b": 0.0, "c": 1.0}
    assert await Regex().score(row(r"(?i)\AIT"), texts) == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert await Regex().score(row("x"), {}) == {}


def test_a_pattern_that_is_none_is_a_problem_of_its_row() -> None:
    """So is one that is nested too deep."""
    assert Regex().problem(row("(a")) == (
        "the reference '(a' is no regular expression: missing ), unterminated subpattern at position 0"
    )
    assert "is no regular expression" in (Regex().problem(row("(" * 5000 + ")" * 5000)) or "")
    assert Regex().problem(row("[[a]")) is None


async def test_a_catastrophic_pattern_is_ended_and_holds_nothing_up() -> None:
    """The answer on which it explodes has no score, the others have theirs, and the loop goes on meanwhile."""
    score, ticks = Regex(seconds=0.2), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    found = await score.score(row("^(a+)+$"), {"a": "aaa", "b": "a" * 50 + "b", "c": "b"})
    ticking.cancel()

    assert found == {"a": 1.0, "b": None, "c": 0.0}
    assert score.notes() == ("data.jsonl:1: no score for b: the search was given up",)
    assert ticks > 10


def rated(path: Path, *lines: Any) -> Path:
    """A file of ratings."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


async def test_ratings_are_those_of_mollm_feedback_on_a_scale_from_0_to_1(tmp_path: Path) -> None:
    """-1 is 0, and several of one answer are one mean; who was not rated has no score."""
    path = rated(
        tmp_path / "r.jsonl",
        {"id": "1", "who": "a", "score": 1},
        {"id": 1, "who": "a", "score": 0},
        {"id": "1", "who": "b", "score": -1},
        {"id": "9", "who": "b", "score": 1},
        {"id": "1", "who": "nobody", "score": 1},
    )
    score = Ratings(path, [row("x"), row("y", id="2")])

    assert await score.score(row("x"), {"a": "A", "b": "B", "c": "C"}) == {"a": 0.75, "b": 0.0, "c": None}
    assert score.problem(row("x")) is None
    assert score.problem(row("y", id="2")) == "nobody rated an answer to it"
    assert score.notes() == (
        f"{path}:4: a rating of no question of the data ('9')",
        f"{path}:5: a rating of 'nobody', which gave no answer to '1'",
    )


async def test_what_feedback_exports_is_taken_as_it_is(tmp_path: Path) -> None:
    """By the text of the question, and only for the answer that was rated."""
    kept = {"id": "x1", "question": "Which one?", "mixture": "a", "text": "This.", "score": 0.5, "better": None}
    path = rated(tmp_path / "r.jsonl", kept, {**kept, "id": "x2", "score": None}, {**kept, "text": "That.", "score": 0})
    score = Ratings(path, [row("x")])

    assert await score.score(row("x"), {"a": "This."}) == {"a": 0.75}
    assert score.notes() == (f"{path}:3: 'a' answers otherwise now",)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ([], "is not a JSON object"),
        ({"who": "a", "score": 1}, "`id` must be text"),
        ({"id": "1", "score": 1}, "`who` must be text"),
        ({"id": "1", "who": "a", "score": 2}, "score: must be a number from -1 to 1, not 2"),
        ({"id": "1", "who": "a", "score": True}, "score: must be a number from -1 to 1, not True"),
        ({"id": "1", "who": "a"}, "score: must be a number from -1 to 1, not None"),
        ({"id": "1", "who": "a", "score": 1, "text": 3}, "`text` must be text"),
    ],
)
def test_a_line_that_is_no_rating_is_named(tmp_path: Path, line: Any, why: str) -> None:
    """File, line and key."""
    path = rated(tmp_path / "r.jsonl", {"id": "1", "who": "a", "score": 0}, line)

    with pytest.raises(DataError, match=f":2: {why}"):
        Ratings(path, [row("x")])


def test_ratings_of_other_questions_alone_are_none(tmp_path: Path) -> None:
    """It says so before anybody is asked."""
    with pytest.raises(DataError, match="rates no answer to any of the 1 questions"):
        Ratings(rated(tmp_path / "r.jsonl", {"id": "7", "who": "a", "score": 0}), [row("x")])


async def test_a_function_of_ones_own_is_called_with_three_texts() -> None:
    """Whether it waits or not; a truth value is 0 or 1."""
    seen: list[tuple[str, str, str]] = []

    def plain(question: str, answer: str, reference: str) -> bool:
        seen.append((question, answer, reference))
        assert threading.current_thread() is not threading.main_thread()
        return answer == reference

    async def waiting(question: str, answer: str, reference: str) -> float:
        await asyncio.sleep(0)
        return len(answer) / len(reference + question)

    assert await Own(plain, "m:f").score(row("x", "Q"), {"a": "x", "b": "y"}) == {"a": 1.0, "b": 0.0}
    assert await Own(waiting, "m:f").score(row("x", "Q"), {"a": "x"}) == {"a": 0.5}
    assert sorted(seen) == [("Q", "x", "x"), ("Q", "y", "x")]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (1.5, "returned 1.5, which is no number from 0 to 1"),
        (float("nan"), "returned nan, which is no number from 0 to 1"),
        (None, "returned None, which is no number from 0 to 1"),
        ("1", "returned a str, which is no number from 0 to 1"),
        (KeyError("x"), "raised KeyError: 'x'"),
        (SystemExit(0), "raised RuntimeError: it raised SystemExit"),
        (SandboxError("no room"), "failed: no room"),
    ],
)
async def test_a_function_that_fails_gives_no_score_and_is_told_by_row(result: Any, why: str) -> None:
    """It never counts as right or wrong."""

    def function(*_: str) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    score = Own(function, "m:f")

    assert await score.score(row("x"), {"a": "x"}) == {"a": None}
    assert score.notes() == (f"data.jsonl:1: no score for a: m:f {why}",)


async def test_a_function_that_never_returns_is_waited_for_so_long() -> None:
    """Whether it holds a thread or the loop's time."""
    over = threading.Event()
    blocking = Own(lambda *_: over.wait(30), "m:f", seconds=0.05)

    async def sleeping(*_: str) -> float:
        await asyncio.sleep(30)
        return 1.0

    begun = time.monotonic()
    assert await blocking.score(row("x"), {"a": "x"}) == {"a": None}
    assert await Own(sleeping, "m:f", seconds=0.05).score(row("x"), {"a": "x"}) == {"a": None}
    over.set()

    assert time.monotonic() - begun < 5
    assert blocking.notes() == ("data.jsonl:1: no score for a: m:f took more than 0.05 s",)


async def test_a_function_tells_right_from_wrong_until_it_says_something_between() -> None:
    """What is partly right would else be called right in the report."""
    score = Own(lambda *texts: {"x": True, "y": 0.0, "z": 0.5}[texts[1]], "m:f")

    await score.score(row("x"), {"a": "x", "b": "y", "c": "nothing of these"})
    assert score.is_exact
    await score.score(row("x"), {"a": "z"})
    assert not score.is_exact


def test_scores_are_made_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function's module may lie beside the configuration, or in the working folder."""
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "own_score_beside.py").write_text("def f(q, a, r): return 1.0\n")
    (tmp_path / "own_score_here.py").write_text("def f(q, a, r): return 1.0\n")
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "beside" / "mollm.yaml"

    names = ["exact", "rouge-1", "rouge-2", "rouge-l", "regex", "own_score_beside:f", "own_score_here:f"]
    found = [score_of(name, Given(config=config)) for name in names]

    assert [score.name for score in found] == names
    assert [score.name for score in found if score.is_exact] == ["exact", "regex", *names[-2:]]
    assert list(SCORES) == ["exact", "rouge-1", "rouge-2", "rouge-l", "regex", "tests", "judge", "ratings"]
    assert score_of().name == "exact"
    assert spent_by(score_of()) == Spent()


@pytest.mark.parametrize(
    ("spec", "given", "why"),
    [
        ("rogue-l", Given(), "there is no score 'rogue-l'; did you mean 'rouge-l'"),
        ("Exact", Given(), "did you mean 'exact'"),
        ("nonsense", Given(), "there is no score 'nonsense': there are exact, rouge-1, .* and `module:function`"),
        ("judge", Given(), "needs `--judge LLM`"),
        ("ratings", Given(), "needs `--ratings FILE`"),
        ("exact", Given(judge="a"), "--judge has no effect with --score exact"),
    ],
)
def test_a_score_that_cannot_be_made_says_what_to_do(spec: str, given: Given, why: str) -> None:
    """A slip of the pen, and an option that is missing or has no effect."""
    with pytest.raises(RequestError, match=why):
        score_of(spec, given)


@pytest.mark.parametrize(
    ("spec", "why"), [("json:loads", "cannot be called with a question"), ("json:nope", "cannot be imported")]
)
def test_a_function_that_cannot_score_is_refused(spec: str, why: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(ConfigError, match=why):
        score_of(spec)


def test_of_many_lines_a_few_are_told() -> None:
    """And how many more there are."""
    assert told([str(n) for n in range(8)], "rows") == ("0", "1", "2", "3", "4", "and 3 more rows")
