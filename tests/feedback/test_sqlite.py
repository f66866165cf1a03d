"""Answers in a file: kept without anybody waiting, deleted for good, and a file that cannot be used costs nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.cli.printing.feedback import print_entries, print_lines
from mollm.errors import FeedbackError, UnknownAnswer
from mollm.feedback import sqlite, table
from mollm.feedback.base import MOST_TEXT, Rating, rated
from mollm.feedback.sqlite import DAY, SqliteStore
from mollm.types import Answer, Proposal, Route, Usage
from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROUTE = Route("sums", {"sums": 0.75, "general": 0.25}, "learned", "most like the examples of sums", arm="sums: better")
PROPOSAL = Proposal("a", "a", 1, "I think it is 4.", "4")
ANSWER = Answer(
    id="mollm-1",
    text="It is 4.",
    message={"role": "assistant", "content": "It is 4."},
    mixture="better",
    route=ROUTE,
    proposals=(PROPOSAL,),
    agreement=None,
    confidence=None,
    degraded=(),
    calls=3,
    usage=Usage(5, 6, 11),
    cost_usd=0.25,
    seconds=1.5,
)
GOOD = Rating(1.0, "Four.", "well done")


class Stores:
    """Opens stores on one file, and closes what is left open."""

    def __init__(self, path: Path) -> None:
        """Open none yet."""
        self.path = path
        self.all: list[SqliteStore] = []

    def __call__(self, **given: object) -> SqliteStore:
        """Open one."""
        self.all.append(SqliteStore(self.path, **given))  # type: ignore[arg-type] # a test says what it needs
        return self.all[-1]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """On a file that is not there yet."""
    found = Stores(tmp_path / "f.sqlite")
    yield found
    for store in found.all:
        store.close()


def numbered(number: int) -> Answer:
    """An answer with an id of its own."""
    return replace(ANSWER, id=f"mollm-{number}")


def test_an_answer_is_there_after_a_restart(stores: Stores) -> None:
    """With its question, route, arm, what it took, and what was said of it."""
    first = stores()
    first.keep(ANSWER, "What is 2 + 2?", "anna")
    first.rate("mollm-1", Rating(-1.0)).result()
    first.rate("mollm-1", GOOD).result()
    first.close()
    (entry,) = stores().entries()
    (row,) = rated(stores())

    assert (entry.id, entry.question, entry.text, entry.mixture) == (ANSWER.id, "What is 2 + 2?", "It is 4.", "better")
    assert (entry.calls, entry.tokens, entry.cost_usd, entry.seconds, entry.key) == (3, 11, 0.25, 1.5, "anna")
    assert entry.rating == GOOD, "the last one counts"
    assert entry.arms == {"sums": "better"}
    assert row.mixture == "sums", "the router picked it, whoever answered"
    assert (row.probabilities, row.router, row.score) == (ROUTE.probabilities, "learned", 1.0)


def test_proposals_are_kept_where_that_is_wanted(stores: Stores) -> None:
    """And nowhere else: not a byte of them is in the file."""
    stores().keep(ANSWER, "Q", "")
    stores.all[0].close()
    assert b"I think it is 4." not in stores.path.read_bytes()

    stores(keeps_proposals=True).keep(numbered(2), "Q", "")
    _, entry = stores.all[-1].entries()

    assert entry.proposals is not None
    assert [(p["worker"], p["text"], p["final"]) for p in entry.proposals] == [("a", "I think it is 4.", "4")]


def test_the_file_is_its_owners_alone(stores: Stores) -> None:
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        stores().check().result()
    finally:
        os.umask(before)

    assert stat.S_IMODE(stores.path.stat().st_mode) == 0o600


def test_what_is_deleted_is_gone(stores: Stores) -> None:
    """To the last byte, and under its id nothing is found any more."""
    store = stores()
    store.keep(replace(ANSWER, text="a confession"), "the secret question", "")
    store.rate("mollm-1", Rating(1.0, "a better confession", "a secret note")).result()
    store.delete("mollm-1").result()
    for again in (store.delete("mollm-1"), store.rate("mollm-1", GOOD)):
        with pytest.raises(UnknownAnswer, match="'mollm-1'"):
            again.result()

    left = b"".join(path.read_bytes() for path in stores.path.parent.iterdir())
    assert not [word for word in (b"confession", b"secret") if word in left]


def test_answers_of_another_key_are_as_good_as_unknown(stores: Stores) -> None:
    """The same is said as of an id that there never was; who names no key is the owner of the file."""
    store = stores()
    store.keep(ANSWER, "Q", "anna")
    store.keep(numbered(2), "Q", "")
    for id, key in (("mollm-1", "bert"), ("mollm-1", ""), ("mollm-2", "anna"), ("nobody's", "anna")):  # noqa: A001
        for refused in (store.rate(id, GOOD, key), store.delete(id, key)):
            with pytest.raises(UnknownAnswer) as error:
                refused.result()
            assert str(error.value) == f"no answer {id!r} is kept: there was none, it was deleted, or it is too old"
    store.rate("mollm-1", GOOD, "anna").result()
    store.delete("mollm-2").result()

    assert [entry.id for entry in store.entries()] == ["mollm-1"]


def test_answers_that_are_too_old_are_gone(stores: Stores) -> None:
    """From the file, too, and for whoever asks at once, before they are deleted."""
    now = [0.0]
    store = stores(days=2, clock=lambda: now[0])
    store.keep(replace(ANSWER, text="an old confession"), "Q", "")
    store.check().result()
    now[0] = 1.9 * DAY
    store.keep(numbered(2), "Q", "")
    assert len(list(store.entries())) == 2
    now[0] = 2.1 * DAY
    assert [entry.id for entry in store.entries()] == ["mollm-2"]
    with pytest.raises(UnknownAnswer):
        store.rate("mollm-1", GOOD).result()
    store.close()

    stores(days=2, clock=lambda: now[0]).check().result()
    stores.all[-1].close()
    assert b"an old confession" not in stores.path.read_bytes()


def test_ratings_are_read_in_the_order_in_which_they_came(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, each answer once."""
    monkeypatch.setattr(table, "PAGE", 5)
    now = [0.0]
    store = stores(clock=lambda: now[0])
    numbers = range(12)
    for number in numbers:
        store.keep(numbered(number), f"Q{number}", "")
    last = [store.rate(f"mollm-{number}", Rating(number / 1000)) for number in reversed(numbers)][-1]
    last.result()
    now[0] = 1.0
    store.rate("mollm-7", Rating(-1.0)).result()

    assert len({entry.id for entry in store.entries()}) == len(numbers)
    found = [row.id for row in rated(store)]
    assert (len(found), found[-1]) == (len(numbers), "mollm-7")


def test_long_texts_are_cut(stores: Stores) -> None:
    """One answer cannot fill the disk."""
    store = stores(keeps_proposals=True)
    long = "x" * 10 * MOST_TEXT
    store.keep(replace(ANSWER, text=long, proposals=(replace(PROPOSAL, text=long),)), long, "")
    (entry,) = store.newest().result()

    assert entry.proposals is not None
    assert {len(text) for text in (entry.text, entry.question, entry.proposals[0]["text"])} == {MOST_TEXT}


ODD = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    ("'); DROP TABLE answers; --", "\0", "\ud800", "last", "%", '"', "../../etc/passwd", "\u202e")
)


@pytest.mark.fuzz
@given(ODD, ODD, ODD, st.floats(-1, 1))
@settings(max_examples=cases(15))
def test_any_text_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str, key: str, score: float
) -> None:
    """SQL, quotes, zeros; half of a character alone becomes a question mark. No other row is touched."""
    file = table.connected(tmp_path_factory.mktemp("odd") / "f.sqlite", 1.0)
    whole = text.encode("utf-8", "replace").decode()
    one, other = replace(ANSWER, id=f"1{name}", text=text), replace(ANSWER, id=f"2{name}")
    table.write(file, [table.row_of(a, text, key, 1.0, keeps_proposals=True) for a in (one, other)])
    table.rate(file, f"1{name}", Rating(score, text, text), key, 2.0, 0.0)
    second, first = table.newest(file, 9, 0.0)
    table.delete(file, f"2{name}", key, 0.0)
    left = table.newest(file, 9, 0.0)
    file.close()

    assert (first.text, first.question, first.rating) == (whole, whole, Rating(score, whole, whole))
    assert second.rating is None
    assert left == [first]


def test_nobody_waits_for_a_file_that_somebody_else_holds(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """The answers wait, one line says so, whoever asks is told, and afterwards everything is there."""
    store = stores(patience=0.01)
    store.check().result()
    other = sqlite3.connect(stores.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with caplog.at_level(logging.INFO, "mollm.feedback"):
        begun = time.monotonic()
        for number in range(50):
            store.keep(numbered(number), "Q", "")
        assert time.monotonic() - begun < 0.5
        for _ in range(3):
            with pytest.raises(FeedbackError, match="locked"):
                store.check().result()
        assert "locked" in store.problem
        other.execute("COMMIT")
        store.check().result()
    other.close()

    assert store.problem == ""
    assert len(list(store.entries())) == 50
    assert [(record.levelname, "kept again" in record.getMessage()) for record in caplog.records] == [
        ("WARNING", False),
        ("INFO", True),
    ]


def test_memory_is_bounded_where_nothing_can_be_written(
    stores: Stores, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much is lost, and how much that was is said."""
    monkeypatch.setattr(sqlite, "MOST_HELD", 10 * (sqlite.BESIDE_TEXT + 10))
    store = stores(patience=0.01)
    stores.path.mkdir()
    for number in range(50):
        store.keep(numbered(number), "Q", "")
    with pytest.raises(FeedbackError):
        store.check().result()
    stores.path.rmdir()
    store.check().result()

    assert len(list(store.entries())) == 10
    assert "40 were lost" in caplog.text


def read_only(path: Path) -> None:
    """A file that says so, where that keeps somebody from writing: not root."""
    path.write_bytes(b"")
    path.chmod(0o400)


def foreign(path: Path) -> None:
    """A database of something else."""
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE usage (day TEXT)")
    file.close()


def later(path: Path) -> None:
    """Of a version that is to come."""
    file = table.connected(path, 1.0)
    file.execute("PRAGMA user_version = 99")
    file.close()


def damaged(path: Path) -> None:
    """Half of it is something else."""
    file = table.connected(path, 1.0)
    table.write(file, [table.row_of(numbered(n), "Q" * 500, "", 1.0, keeps_proposals=False) for n in range(99)])
    file.close()
    whole = bytearray(path.read_bytes())
    whole[100:] = b"\x07" * (len(whole) - 100)
    path.write_bytes(whole)


@pytest.mark.parametrize(
    "spoil",
    [
        foreign,
        later,
        damaged,
        lambda path: path.mkdir(),
        lambda path: path.write_text("llms: {}\n" * 1000),
        lambda path: path.symlink_to("/nowhere/f.sqlite"),
        pytest.param(read_only, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")),
    ],
)
def test_a_file_that_cannot_be_used_costs_no_answer(
    spoil: Callable[[Path], None], stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays as it is; whoever wants something of it learns why not, and the log says it once."""
    spoil(stores.path)
    before = stores.path.read_bytes() if stores.path.is_file() else b""
    store = stores(patience=0.01)
    for number in range(3):
        store.keep(numbered(number), "Q", "")
        with pytest.raises(FeedbackError, match=r"f\.sqlite"):
            store.check().result()
    store.close()

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "the last 3 answers are not kept" in caplog.records[-1].getMessage()
    assert (stores.path.read_bytes() if stores.path.is_file() else b"") == before


def test_a_file_that_somebody_deletes_is_begun_anew(stores: Stores) -> None:
    """Nothing is written into what nobody can find any more, and nothing of the old one comes back."""
    store = stores()
    store.keep(ANSWER, "Q", "")
    store.check().result()
    stores.path.unlink()
    store.keep(numbered(2), "Q", "")
    store.check().result()

    assert [entry.id for entry in stores().entries()] == ["mollm-2"]


def test_threads_and_stores_share_a_file(stores: Stores) -> None:
    """Nothing is lost, and each sees what the others wrote."""
    first, second = stores(), stores()

    def work(store: SqliteStore, begin: int) -> None:
        for number in range(begin, begin + 50):
            store.keep(numbered(number), "Q", "")
            if number % 10 == 0:
                store.rate(f"mollm-{number}", GOOD).result()

    threads = [
        threading.Thread(target=work, args=(store, begin)) for begin, store in ((0, first), (100, second), (200, first))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second.check().result()

    assert len(list(first.entries())) == 150
    assert len(list(rated(second))) == 15


WRITES = """
import sys
from pathlib import Path
from mollm.feedback.sqlite import SqliteStore
from mollm.types import Answer, Route, Usage

store = SqliteStore(Path(sys.argv[1]))
beside = ("x", {}, "m", Route("m", {}, "fixed", ""), (), None, None, (), 1, Usage(), None, 0.0)
for number in range(int(sys.argv[2])):
    store.keep(Answer(f"mollm-{number}", *beside), "Q", "")
    if number == 100:
        store.check().result()
        print("kept", flush=True)
"""


def test_a_process_that_is_killed_loses_no_more_than_a_moment(stores: Stores) -> None:
    """What had been written is there, whole, and the file can be used."""
    writing = subprocess.Popen([sys.executable, "-c", WRITES, str(stores.path), "10000"], stdout=subprocess.PIPE)
    assert writing.stdout is not None
    assert writing.stdout.readline() == b"kept\n"
    writing.send_signal(signal.SIGKILL)
    writing.communicate()
    store = stores()
    found = [entry.id for entry in store.entries()]

    assert {f"mollm-{number}" for number in range(100)} <= set(found)
    store.rate("mollm-50", GOOD).result()


def test_a_script_that_closes_nothing_keeps_its_answers(stores: Stores) -> None:
    """What waits is written when the interpreter ends."""
    subprocess.run([sys.executable, "-c", WRITES, str(stores.path), "3"], check=True)

    assert len(list(stores().entries())) == 3


def test_closing_writes_what_waits_and_is_not_the_end(stores: Stores) -> None:
    """A store that is closed opens its file again when it has to."""
    store, before = stores(), set(threading.enumerate())
    for number in range(2000):
        store.keep(numbered(number), "Q", "")
    store.close()
    store.close()
    assert set(threading.enumerate()) == before
    store.keep(numbered(2000), "Q", "")
    store.close()

    assert len(list(stores().entries())) == 2001


def test_an_answer_with_something_odd_in_it_keeps_none_back(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """Numbers that no file holds are cut, and what cannot be laid out at all is left out."""
    store = stores()
    store.keep(replace(ANSWER, id="big", usage=Usage(0, 0, 10**30), cost_usd=float("nan")), "Q", "")
    store.keep(replace(ANSWER, id="bad", seconds="long"), "Q", "")  # type: ignore[arg-type] # an odd aggregator's
    store.keep(ANSWER, "Q", "")

    assert [entry.id for entry in store.entries()] == ["big", "mollm-1"]
    assert [record.getMessage() for record in caplog.records] == [
        "an answer is not kept: TypeError while it was laid out"
    ]


@pytest.mark.parametrize("value", [None, "junk", b"\xff", "{}", "[]", "[" * 9999, -1e308, 2.0], ids=repr)
def test_a_row_that_something_else_wrote_is_named_or_as_good_as_ours(value: object, stores: Stores) -> None:
    """Whatever stands in whichever column: it can be shown, or is an error with the id of the answer."""
    store = stores(keeps_proposals=True)
    store.keep(ANSWER, "Q", "")
    store.rate("mollm-1", GOOD).result()
    store.close()
    file = table.connected(stores.path, 1.0)

    refused: dict[str, str] = {}
    for column in table.COLUMNS[1:]:
        file.execute("SAVEPOINT ours")
        with contextlib.suppress(sqlite3.IntegrityError):
            file.execute(f"UPDATE answers SET {column} = ?", (value,))  # noqa: S608 - our own words
        for read in (partial(table.newest, file, 1, 0.0), partial(table.page, file, "rated", (0.0, ""), 0.0)):
            try:
                found = read()
                print_lines(found)
                print_entries(found)
            except FeedbackError as error:
                refused[column] = str(error)
        file.execute("ROLLBACK TO ours")
    file.close()

    assert "route" in refused or value in (None, "{}")
    assert all(text.startswith("the answer 'mollm-1' was changed by something else") for text in refused.values())


def test_a_row_that_something_else_wrote_keeps_nobody_from_keeping_answers(stores: Stores) -> None:
    """Nor from deleting it."""
    store = stores()
    store.keep(ANSWER, "Q", "")
    store.check().result()
    with contextlib.closing(sqlite3.connect(stores.path)) as file, file:
        file.execute("UPDATE answers SET route = 'junk'")

    with pytest.raises(FeedbackError, match="mollm feedback delete ID"):
        store.newest().result()
    assert not store.problem
    store.keep(numbered(2), "Q", "")
    store.delete("mollm-1").result()
    assert [entry.id for entry in store.newest().result()] == ["mollm-2"]


def test_a_folder_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    """With what to do, and not in the words of the system."""
    store = SqliteStore(tmp_path / "gone" / "f.sqlite")

    with pytest.raises(FeedbackError, match="its folder is not there; make it, or name another file"):
        store.check().result()
    store.close()
