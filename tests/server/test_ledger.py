"""What keys have used, in a file: nothing is lost, nothing waits for it, and what is wrong with it is said."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mollm import load_config
from mollm.errors import ConfigError
from mollm.server.deployment import Deployment
from mollm.server.ledger import Ledger, ledger_of

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.config.config import Config

TODAY, LONG_AGO = "2999-01-01", "2001-01-01"


def config(path: Path, *, limits: dict[str, Any] | None = None, **server: Any) -> Config:
    """A configuration from a file at `path`, with one key."""
    keys = f"api_keys: [{json.dumps({'name': 'anna', 'key': 'k', 'limits': limits or {}})}]"
    told = "".join(f"\n  {name}: {value}" for name, value in server.items())
    text = "llms: {a: {model: scripted/x, price: {input: 1, output: 1}}}\nmixtures: {m: {description: x, workers: [a]}}"
    (path / "my.yaml").write_text(f"{text}\nserver:\n  {keys}{told}\n")
    return load_config(path / "my.yaml")


def test_what_is_added_is_there_after_a_restart(tmp_path: Path) -> None:
    """Summed by day and name; what is more than a year old is gone."""
    first = Ledger(tmp_path / "u.sqlite")
    for _ in range(1000):
        first.add(TODAY, "anna", 3, 1 / 1024)
    first.add(TODAY, "bert", 1, 0.0)
    first.add(LONG_AGO, "anna", 1, 0.0)
    assert first.used()[TODAY, "anna"][0] == 3000
    first.close()
    second = Ledger(tmp_path / "u.sqlite")
    found = second.used()
    second.close()

    assert found == {(TODAY, "anna"): (3000, 1000 / 1024), (TODAY, "bert"): (1, 0.0)}


def test_two_servers_on_one_file_add_up(tmp_path: Path) -> None:
    """Neither writes over what the other wrote."""
    path = tmp_path / "u.sqlite"
    both = [Ledger(path), Ledger(path)]

    def add(ledger: Ledger) -> None:
        for _ in range(200):
            ledger.add(TODAY, "anna", 1, 1 / 128)
            ledger.write()

    threads = [threading.Thread(target=add, args=(ledger,)) for ledger in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in both:
        ledger.close()
    last = Ledger(path)
    found = last.used()
    last.close()

    assert found == {(TODAY, "anna"): (400, 400 / 128)}


def test_a_file_that_cannot_be_written_loses_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is added while another process holds it waits, and is written afterwards."""
    path = tmp_path / "u.sqlite"
    ledger = Ledger(path, patience=0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with caplog.at_level(logging.INFO, "mollm.server"):
        ledger.add(TODAY, "anna", 5, 0.5)
        assert not ledger.write()
        ledger.add(TODAY, "anna", 2, 0.0)
        assert not ledger.write()
        other.execute("COMMIT")
        assert ledger.write()
    found = ledger.used()
    ledger.close()
    other.close()

    assert found == {(TODAY, "anna"): (7, 0.5)}
    assert [(record.levelname, "is written again" in record.message) for record in caplog.records] == [
        ("ERROR", False),
        ("INFO", True),
    ]
    assert str(path) in caplog.text


def no_database(path: Path) -> None:
    """Something else."""
    path.write_text("llms: {}\n" * 1000)


def damaged(path: Path) -> None:
    """What was a good file once."""
    ledger = Ledger(path)
    for number in range(3000):
        ledger.add(TODAY, f"key-{number}", 1, 0.0)
    ledger.close()
    whole = bytearray(path.read_bytes())
    whole[5000 : len(whole) - 4096] = b"\x07" * (len(whole) - 9096)
    path.write_bytes(whole)


def of_others(path: Path) -> None:
    """A database in which a table of that name is something else."""
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE usage (disk TEXT)")
    file.close()


def folder(path: Path) -> None:
    """No file at all."""
    path.mkdir()


@pytest.mark.parametrize("spoil", [no_database, damaged, of_others, folder])
def test_a_file_that_cannot_be_used_keeps_the_server_from_starting(tmp_path: Path, spoil: Any) -> None:
    """The error says where it is named, and which it is."""
    spoil(tmp_path / "u.sqlite")

    with pytest.raises(ConfigError) as caught:
        Deployment(config(tmp_path, usage="u.sqlite"))

    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'my.yaml'}:5: server.usage: the file {tmp_path / 'u.sqlite'}, for what ")


def test_a_file_that_another_process_holds_is_said_to_be_locked(tmp_path: Path) -> None:
    """After a short while."""
    Ledger(tmp_path / "u.sqlite").close()
    other = sqlite3.connect(tmp_path / "u.sqlite", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(ConfigError, match="database is locked"):
        ledger_of(config(tmp_path, usage="u.sqlite"))
    other.close()


def test_no_file_is_made_where_nothing_has_to_be_kept(tmp_path: Path) -> None:
    """Only a limit of a day needs one, beside the configuration where none is named; whoever wants one names it."""
    assert ledger_of(config(tmp_path)) is None
    assert ledger_of(config(tmp_path, limits={"at_once": 2, "per_minute": 9})) is None
    assert sorted(found.name for found in tmp_path.iterdir()) == ["my.yaml"]
    for given, name in (({"limits": {"tokens_per_day": 9}}, "mollm-usage.sqlite"), ({"usage": "u.sqlite"}, "u.sqlite")):
        ledger = ledger_of(config(tmp_path, **given))
        assert ledger
        assert ledger.path == tmp_path / name
        ledger.close()
