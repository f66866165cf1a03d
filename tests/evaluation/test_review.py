"""What sways reviewers: on reviews that are known to be swayed, and on files that are none."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mollm.cli.main import app
from mollm.errors import DataError
from mollm.evaluation.answers import read_answers
from mollm.evaluation.review import kendall, points_on, review_report, shares
from mollm.plain import to_plain
from mollm.types import Answer, Ballot, Failure, Proposal, Rank, Ranking, Route, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WORKERS = "abcd"
LATE = Failure("timed_out", None, "late")


def ranked(shown: Sequence[str], key: Callable[[int, str], float]) -> tuple[tuple[str, ...], ...]:
    """What is shown, those with the largest keys first, equal ones tied; `key` takes position and name."""
    keys = {worker: key(position, worker) for position, worker in enumerate(shown)}
    return tuple(tuple(w for w in shown if keys[w] == value) for value in sorted({*keys.values()}, reverse=True))


def answer(draw: random.Random, key: Callable[[int, str, dict[str, int]], float], *, llms: str = WORKERS) -> Answer:
    """An answer of four workers of random lengths, of whom each reviews the others in a random order."""
    lengths = dict(zip(WORKERS, draw.sample(range(10, 500), 4), strict=True))
    proposals = tuple(Proposal(w, llm, 1, "x" * lengths[w]) for w, llm in zip(WORKERS, llms, strict=True))
    ballots = []
    for reviewer, llm in zip(WORKERS, llms, strict=True):
        shown = tuple(draw.sample([w for w in WORKERS if w != reviewer], 3))
        ballots.append(Ballot(reviewer, llm, shown, ranked(shown, lambda at, w: key(at, w, lengths))))
    ranking = Ranking(tuple(Rank(w, 0.5, 3) for w in WORKERS), (*ballots, Ballot("j", "j", ("a", "b"), (), LATE)))
    route = Route("m", {}, "fixed", "")
    return Answer("1", "", {}, "m", route, proposals, None, None, (), 1, Usage(), None, 0.0, ranking=ranking)


def answers(key: Callable[[int, str, dict[str, int]], float], count: int = 40, **options: Any) -> list[Answer]:
    """So many answers with the same reviewers."""
    draw = random.Random(7)  # noqa: S311 - nothing secret
    return [answer(draw, key, **options) for _ in range(count)]


def test_reviewers_that_put_the_longest_first_are_flagged() -> None:
    """Where they read it has nothing to do with it, and all agree."""
    report = review_report(answers(lambda _, worker, lengths: lengths[worker]))

    assert (report.answers, report.ballots, report.failed) == (40, 160, 40)
    assert report.length.value == pytest.approx(1.0)
    assert report.length.verdict == "flagged"
    assert (report.length.ballots, report.length.answers) == (160, 40)
    assert report.position.value is not None
    assert abs(report.position.value) < 0.2
    assert report.position.verdict == "not flagged"
    assert report.position.interval is not None
    assert report.position.interval[0] < report.position.value < report.position.interval[1]
    assert report.agreement.value == pytest.approx(1.0)
    assert (report.agreement.verdict, report.agreement.ballots) == ("told", 6 * 40)


def test_reviewers_that_take_the_first_they_read_are_flagged() -> None:
    """The mean rank of each position shows it."""
    report = review_report(answers(lambda position, _, __: -position))

    assert report.position.value == pytest.approx(1.0)
    assert report.position.verdict == "flagged"
    assert report.length.verdict == "not flagged"
    assert [(p.position, p.rank, p.ballots) for p in report.positions] == [(1, 1.0, 160), (2, 2.0, 160), (3, 3.0, 160)]


def test_reviewers_that_prefer_what_is_short_or_last_are_flagged_too() -> None:
    """A bias the other way is one."""
    short = review_report(answers(lambda _, worker, lengths: -lengths[worker]))
    last = review_report(answers(lambda position, _, __: position))

    assert (short.length.verdict, last.position.verdict) == ("flagged", "flagged")
    assert short.length.value == pytest.approx(-1.0)


def test_reviewers_that_know_what_is_good_are_not_flagged() -> None:
    """Always the same worker first, whatever its length and position."""
    report = review_report(answers(lambda _, worker, __: -WORKERS.index(worker)))

    assert (report.length.verdict, report.position.verdict) == ("not flagged", "not flagged")


def test_what_a_reviewer_gives_its_own_llm_is_measured_where_it_reads_that() -> None:
    """`a` and `b` are of one LLM, and each puts the other first; where nobody reads its own it cannot be told."""
    draw = random.Random(1)  # noqa: S311 - nothing secret

    def one() -> Answer:
        found = answer(draw, lambda _, __, ___: draw.random(), llms="ssbd")
        assert found.ranking is not None
        ballots = []
        for ballot in found.ranking.ballots:
            own = {"a": "b", "b": "a"}.get(ballot.reviewer)
            rest = tuple(w for w in ballot.shown if w != own)
            ranks = ((own,), rest) if own and ballot.error is None else ballot.ranks
            ballots.append(Ballot(ballot.reviewer, ballot.llm, ballot.shown, ranks, ballot.error))
        return Answer(**{**_fields(found), "ranking": Ranking(found.ranking.ranks, tuple(ballots))})

    report = review_report([one() for _ in range(40)])
    without = review_report(answers(lambda _, __, ___: 0.0))

    assert report.own.verdict == "flagged"
    assert report.own.value == pytest.approx(0.5, abs=0.15)
    assert report.own.ballots == 80
    assert (without.own.verdict, without.own.value, without.own.ballots) == ("cannot be told", None, 0)
    assert without.length.verdict == "cannot be told", "everything is tied"


def _fields(found: Answer) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Answer.__slots__}


@pytest.mark.parametrize("count", [0, 1, 9])
def test_of_few_answers_nothing_can_be_told(count: int) -> None:
    """However clear they seem; how many there were is said."""
    report = review_report(answers(lambda _, worker, lengths: lengths[worker], count))

    for figure in (report.length, report.position, report.own, report.agreement, report.both_orders):
        assert (figure.value, figure.interval, figure.verdict) == (None, None, "cannot be told")
    assert (report.length.ballots, report.length.answers) == (4 * count, count)


def test_one_reviewer_asked_in_both_orders_is_compared_with_itself() -> None:
    """One that takes what it reads first contradicts itself."""
    route, proposals = Route("m", {}, "fixed", ""), tuple(Proposal(w, w, 1, w) for w in WORKERS)
    there, back = tuple(WORKERS), tuple(reversed(WORKERS))
    ballots = tuple(Ballot("j", "j", shown, ranked(shown, lambda at, _: -at)) for shown in (there, back))
    ranking = Ranking(tuple(Rank(w, 0.5, 2) for w in WORKERS), ballots)
    one = Answer("1", "", {}, "m", route, proposals, None, None, (), 1, Usage(), None, 0.0, ranking=ranking)

    report = review_report([one] * 20)

    assert (report.both_orders.value, report.both_orders.ballots) == (-1.0, 20)
    assert report.agreement.ballots == 0


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=8))
def test_shares_are_of_the_others(values: list[int]) -> None:
    """Their mean is one half; the best has 1, and all are turned around with the order."""
    found = shares(values)

    assert np.mean(found) == pytest.approx(0.5)
    assert shares([-v for v in values]) == pytest.approx([1 - share for share in found])
    if values.count(max(values)) == 1:
        assert found[values.index(max(values))] == 1.0


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_without_ties_the_correlation_of_shares_is_that_of_ranks(one: list[int], other: list[int]) -> None:
    """Spearman's, as its formula has it."""
    spearman = 1 - 6 * sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / (6 * (36 - 1))

    assert np.corrcoef(shares(one), shares(other))[0, 1] == pytest.approx(spearman)


def test_kendalls_tau_counts_ties() -> None:
    """Values worked out by hand: 2 pairs of 10 alike, 6 contrary, 2 tied in the first, 1 in the second."""
    assert kendall([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]) == pytest.approx(-4 / (8 * 9) ** 0.5)
    assert kendall([1, 2, 3], [1, 2, 3]) == 1
    assert np.isnan(kendall([1, 1], [1, 2]))


def test_points_are_those_of_the_ranking() -> None:
    """In the order in which the reviewer read them."""
    assert points_on(Ballot("a", "a", ("b", "c", "d"), (("d",), ("b", "c")))) == [0.25, 0.25, 1.0]


def test_answers_are_read_from_lines_lists_and_one_after_the_other(tmp_path: Path) -> None:
    """As `mollm ask --json` prints them, several in a row."""
    one, two, three, four = answers(lambda at, _, __: at, 4)
    file = tmp_path / "answers.json"
    plain = [to_plain(found) for found in (one, two, three, four)]
    file.write_text(f"\ufeff{json.dumps(plain[0])}\n{json.dumps(plain[1], indent=2)}\n\n{json.dumps(plain[2:])}\n")

    assert read_answers(file) == [one, two, three, four]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "document 1 is no answer as `mollm ask --json` prints it"),
        ("3", "document 1 is no answer"),
        ("[[1]]", "document 1 is no answer"),
        ('\n\n{"a": ', ":3: is not JSON"),
        ("\u00e9", ":1: is not JSON"),
        ("[" * 100_000, ":1: is not JSON"),
    ],
)
def test_what_is_no_answer_is_named(tmp_path: Path, text: str, said: str) -> None:
    """With the file and where in it."""
    file = tmp_path / "answers.json"
    file.write_text(text, "utf-8")

    with pytest.raises(DataError, match=r"answers\.json") as caught:
        read_answers(file)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"shown": ["a"], "ranks": [["a"]]},
        {"ranks": [["b"]]},
        {"shown": ["b", "b", "c"], "ranks": [["b", "b"], ["c"]]},
        {"ranks": 3},
    ],
)
def test_a_ballot_that_cannot_be_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    """Nobody vouches for a file."""
    plain = to_plain(answers(lambda at, _, __: at, 1)[0])
    plain["ranking"]["ballots"][0] |= change
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(plain))

    with pytest.raises(DataError, match="document 1 is no answer"):
        read_answers(file)
    (tmp_path / "bytes").write_bytes(b"\xff{}")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_answers(tmp_path / "bytes")
    with pytest.raises(DataError, match="there is no such file"):
        read_answers(tmp_path / "none")


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    """Of one file or several together; a word says where something cannot be told, or is beyond what is usual."""
    file, more = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    found = [json.dumps(to_plain(one)) for one in answers(lambda position, _, __: -position, 12)]
    file.write_text("\n".join(found[:8]))
    more.write_text("\n".join(found[8:]))

    table = CliRunner().invoke(app, ["eval", "review", str(file), str(more)])
    plain = CliRunner().invoke(app, ["eval", "review", str(file), str(more), "--json"])

    assert table.exit_code == plain.exit_code == 0, table.output
    lines = table.stdout.splitlines()
    assert lines[0] == "48 ballots of 12 answers with a ranking, 12 more that do not count"
    read_before = next(line for line in lines if line.startswith("read before"))
    assert read_before.split("  ")[-1].strip() == "flagged: beyond 0.3"
    assert next(line for line in lines if line.startswith("own LLM")).endswith("cannot be told")
    assert lines[-3].split() == ["1", "1.00", "48"]
    document = json.loads(plain.stdout)
    assert document["position"]["verdict"] == "flagged"
    assert document["position"]["value"] == pytest.approx(1.0)
    assert document["positions"][0] == {"position": 1, "rank": 1.0, "ballots": 48}


def test_answers_without_rankings_are_told(tmp_path: Path) -> None:
    """Somebody else's mixture, or one without `review`."""
    plain = to_plain(answers(lambda at, _, __: at, 1)[0]) | {"ranking": None}
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(plain))

    found = CliRunner().invoke(app, ["eval", "review", str(file)])

    assert found.exit_code == 0
    assert "no answer has a ranking; `mixtures.NAME.review` makes one" in found.stderr
