"""What was answered is found again after a kill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mollm.errors import DataError
from mollm.evaluation.mixtures.gathering.journal import Journal, Key
from mollm.evaluation.mixtures.records import Record
from mollm.types import Failure, Proposal, Usage

if TYPE_CHECKING:
    from pathlib import Path

PROPOSALS = (
    Proposal("a", "a", 1, "Half \ud800 \u2028 4", "4", usage=Usage(1, 2, 3), logprob=-0.5),
    Proposal("b#2", "b", 1, "", error=Failure("timed_out", None, "late")),
)
RECORDS = {
    Key("mixture", "team", "1"): Record("1", "4", "4", degraded=("why",), proposals=PROPOSALS, usage=Usage(1, 2, 3)),
    Key("member", "abc", "1"): Record("1", "5\n", cost_usd=0.5, seconds=2.0),
    Key("route", "", "1"): Record("1", "", route="team"),
}


def filled(path: Path) -> None:
    """Write a journal."""
    journal = Journal.open(path, "questions", "mixtures")
    for key, record in RECORDS.items():
        journal.add(key, record)
    journal.close()


def test_records_are_the_same_when_they_are_read_again(tmp_path: Path) -> None:
    """Proposals, usage and failures included, whatever an LLM wrote."""
    path = tmp_path / "j.jsonl"
    filled(path)

    journal = Journal.open(path, "questions", "mixtures")

    assert journal.records == RECORDS
    assert [journal.done(key) for key in RECORDS] == list(RECORDS.values())
    assert not journal.is_torn
    journal.close()


def test_every_place_at_which_a_kill_can_cut_leaves_a_whole_journal(tmp_path: Path) -> None:
    """Lines before the cut are found, the one that was cut is dropped, and what is added then is found as well."""
    path = tmp_path / "j.jsonl"
    filled(path)
    whole = path.read_bytes()
    lines = whole.split(b"\n")[1:]
    ends = [at for at, byte in enumerate(whole) if byte == ord("\n")]
    cuts = {at + beside for at in ends for beside in (-1, 0, 1)} | {0, 1, *range(2, len(whole), 97)}
    for cut in sorted(cuts - {len(whole)}):
        path.write_bytes(whole[:cut])

        journal = Journal.open(path, "questions", "mixtures")
        found = len(journal.records)
        is_torn = journal.is_torn
        journal.add(Key("mixture", "late", "1"), Record("1", "x"))
        journal.close()

        assert found == max(0, whole[:cut].count(b"\n") - 1)
        assert is_torn == (cut > 0 and not whole[:cut].endswith(b"\n"))
        assert path.read_bytes().split(b"\n")[1 : found + 1] == lines[:found]
        again = Journal.open(path, "questions", "mixtures")
        assert len(again.records) == found + 1
        again.close()


def test_what_failed_is_asked_for_again_at_the_next_start(tmp_path: Path) -> None:
    """And not at this one; an answer that comes then takes its place."""
    path, key = tmp_path / "j.jsonl", Key("mixture", "team", "1")
    journal = Journal.open(path, "questions", "mixtures")
    journal.add(key, Record("1", "", error="unreachable"))
    assert journal.done(key) is not None
    journal.close()

    journal = Journal.open(path, "questions", "mixtures")
    assert journal.failed == 1
    assert journal.done(key) is None
    journal.add(key, Record("1", "4"))
    journal.close()

    journal = Journal.open(path, "questions", "mixtures")
    assert journal.failed == 0
    assert journal.done(key) == Record("1", "4")
    journal.close()


@pytest.mark.parametrize(
    ("questions", "mixtures", "what"),
    [("other", "mixtures", "other questions"), ("questions", "other", "another configuration")],
)
def test_a_journal_of_something_else_is_refused_as_it_is(
    tmp_path: Path, questions: str, mixtures: str, what: str
) -> None:
    """The message says what to do, and nothing of the file changes."""
    path = tmp_path / "j.jsonl"
    filled(path)
    before = path.read_bytes()

    with pytest.raises(DataError, match=rf"j\.jsonl: is the journal of {what}.*--journal, or delete this one"):
        Journal.open(path, questions, mixtures)

    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ['{"id": 1, "question": "q", "reference": "4"}', "x", '{"mollm": "report"}\n'])
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    """Also where it ends without the end of a line, as a journal that was cut off does."""
    path = tmp_path / "data.jsonl"
    path.write_text(content)

    with pytest.raises(DataError, match="is no journal of an evaluation; name another file with --journal"):
        Journal.open(path, "questions", "mixtures")

    assert path.read_text() == content


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    """No kill leaves one: somebody changed the file."""
    path = tmp_path / "j.jsonl"
    filled(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], json.dumps({"record": 5}), *lines[2:]]) + "\n")

    with pytest.raises(DataError, match=r"j\.jsonl:3: is no record of an evaluation"):
        Journal.open(path, "questions", "mixtures")


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A folder is none."""
    with pytest.raises(DataError, match="is not a file"):
        Journal.open(tmp_path, "questions", "mixtures")
