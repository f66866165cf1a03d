"""Which answers are kept while `feedback` is on, and what becomes of them when the configuration changes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, create_graph, load_config
from mollm.errors import ConfigError, ProviderFailed, RequestError, RunError, UnknownAnswer
from mollm.events import Done
from mollm.feedback.base import MOST_NOTE, MOST_TEXT, Rating, Store, rating_of
from mollm.feedback.sqlite import DAY, SqliteStore
from mollm.feedback.stores import opened
from mollm.llms.scripted import Reply, ScriptedLLM

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "sk-very-secret-0123456789"  # noqa: S105 - a made-up one


def config(path: Path | None, mixture: dict[str, Any] | None = None, **feedback: Any) -> dict[str, Any]:
    """Two workers and an aggregator, answers kept at `path`."""
    whole: dict[str, Any] = {
        "llms": {n: {"model": "scripted/x", "retries": 0, "api_key": SECRET} for n in "ab"},
        "mixtures": {"m": {"description": "x", "workers": ["a", "b"], **(mixture or {})}},
    }
    if path is not None:
        whole["feedback"] = {"kind": "sqlite", "path": str(path / "f.sqlite"), **feedback}
    return whole


def asked(configuration: dict[str, Any], **scripts: Any) -> MoLLM:
    """What answers with scripted LLMs."""
    return MoLLM(configuration, llms={n: ScriptedLLM(scripts.get(n, f"from {n}")) for n in "ab"})


def store_in(mollm: MoLLM) -> Store:
    """Where it keeps answers."""
    found = mollm.catalog.feedback
    assert found is not None
    return found


@pytest.mark.parametrize("engine", ["auto", "graph"])
def test_an_answer_can_be_rated_as_soon_as_it_is_there(tmp_path: Path, engine: Any) -> None:
    """Streamed or not, by the loop and by the graph; the last message of the user is its question."""
    said = [("user", "One?"), ("assistant", "Yes."), ("user", "Two?")]
    llms = {"a": ScriptedLLM("from a"), "b": ScriptedLLM("from b")}
    with MoLLM(config(tmp_path), llms=llms, engine=engine) as mollm:
        mollm.feedback(mollm.ask([{"role": role, "content": text} for role, text in said]).id, 1)
        for event in mollm.stream("Three?"):
            if isinstance(event, Done):
                mollm.feedback(event.answer.id, -0.5, better="Four.", note="wrong")
        mollm.route("Five?")
        found = list(store_in(mollm).entries())

    assert [(entry.question, entry.rating) for entry in found] == [
        ("Two?", Rating(1.0)),
        ("Three?", Rating(-0.5, "Four.", "wrong")),
    ]


def test_a_stream_that_its_reader_left_is_not_kept(tmp_path: Path) -> None:
    """There is no answer."""
    with asked(config(tmp_path), a=Reply("from a", delay=60)) as mollm:
        events = mollm.stream("Hi")
        next(events)
        events.close()
        assert list(store_in(mollm).entries()) == []


def test_a_failed_question_is_not_kept(tmp_path: Path) -> None:
    """Neither before nor after its first token."""
    with asked(config(tmp_path), a=ProviderFailed("no"), b=ProviderFailed("no")) as mollm:
        with pytest.raises(RunError):
            mollm.ask("Hi")
        assert list(store_in(mollm).entries()) == []


def test_no_key_and_no_header_is_in_the_file(tmp_path: Path) -> None:
    """The name of a key is, and what was asked and answered."""
    with asked(config(tmp_path, keep="all")) as mollm:
        asyncio.run(mollm.arun("Hi", key="anna", owner="0123456789abcdef", extra_body={"token": SECRET}))
    written = (tmp_path / "f.sqlite").read_bytes()

    assert b"anna" in written
    assert b"from b" in written
    assert SECRET.encode() not in written
    assert b"0123456789abcdef" not in written


def test_a_graph_keeps_answers_as_well(tmp_path: Path) -> None:
    """Also where no `MoLLM` is there to close the file."""
    graph = create_graph(config(tmp_path))
    graph.invoke({"messages": [("user", "Hi")]})
    store = opened(load_config(config(tmp_path)))
    for _ in range(500):
        if found := list(store.entries()):
            break
    store.close()

    assert [entry.question for entry in found] == ["Hi"]


def test_without_feedback_nothing_is_made_and_it_is_said_how_to_turn_it_on() -> None:
    """By who wants to rate an answer, or to read what is rated."""
    with asked(config(None)) as mollm:
        answer = mollm.ask("Hi")
        assert mollm.catalog.feedback is None
        with pytest.raises(ConfigError, match=r"add `feedback: \{kind: sqlite\}`"):
            mollm.feedback(answer.id, 1)
        with pytest.raises(ConfigError, match=r"add `feedback: \{kind: sqlite\}`"):
            mollm.delete_feedback(answer.id)
    with pytest.raises(ConfigError, match="no answers are kept"):
        opened(load_config(config(None)))


def test_the_file_lies_beside_the_configuration(tmp_path: Path) -> None:
    """As what keys use does; `days` and `keep` are those of the section."""
    path = tmp_path / "my.yaml"
    path.write_text(
        "llms: {a: {model: scripted/x}}\nmixtures: {m: {description: x, workers: [a]}}\nfeedback: {kind: sqlite}\n"
    )
    with MoLLM(path) as mollm:
        mollm.ask("Hi")
    assert (tmp_path / "mollm-feedback.sqlite").is_file()


def test_days_and_proposals_are_kept_as_the_file_says(tmp_path: Path) -> None:
    """A day ago is too long, where a day is what it says."""
    for keep, days in (("questions", 1), ("all", 2)):
        (tmp_path / keep).mkdir()
        with asked(config(tmp_path / keep, keep=keep, days=days)) as mollm:
            store = store_in(mollm)
            assert isinstance(store, SqliteStore)
            store._clock = lambda: time.time() - 1.5 * DAY  # noqa: SLF001 - it was asked the day before yesterday
            mollm.ask("Hi")
            store.check().result()
            store._clock = time.time  # noqa: SLF001
            found = list(store.entries())
            assert len(found) == days - 1
            assert [len(entry.proposals or ()) for entry in found] == [2] * (days - 1)


def test_another_configuration_may_keep_answers_elsewhere(tmp_path: Path) -> None:
    """Nothing that waits is lost; what did not change goes on; a file that cannot be used changes nothing."""
    first, second = config(tmp_path), config(tmp_path / "other")
    with asked(first) as mollm:
        store = mollm.catalog.feedback
        mollm.ask("One?")
        mollm.use(config(tmp_path, mixture={"description": "changed"}))
        assert mollm.catalog.feedback is store
        with pytest.raises(ConfigError, match=r"feedback\.path: .*cannot be used"):
            mollm.use(second)
        (tmp_path / "other").mkdir()
        mollm.use(second)
        mollm.ask("Two?")
        mollm.use(config(None))
        mollm.ask("Three?")

    for whole, question in ((first, "One?"), (second, "Two?")):
        found = opened(load_config(whole))
        assert [entry.question for entry in found.entries()] == [question]
        found.close()


@pytest.mark.parametrize("score", [2, -1.01, float("nan"), float("inf"), "1", None, True, [1]])
def test_a_score_is_a_number_from_minus_one_to_one(score: Any) -> None:
    """Anything else is refused, and nothing is rated."""
    with pytest.raises(RequestError, match="score: must be a number from -1 to 1"):
        rating_of(score)


def test_texts_of_a_rating_are_bounded(tmp_path: Path) -> None:
    """A megabyte is no note, and a number none either."""
    for name, most in (("better", MOST_TEXT), ("note", MOST_NOTE)):
        rating_of(1, **{name: "x" * most})
        with pytest.raises(RequestError, match=rf"{name}: 1,000,000 characters, and {most:,} are the most"):
            rating_of(1, **{name: "x" * 1_000_000})
        with pytest.raises(RequestError, match=f"{name}: must be text, not int"):
            rating_of(1, **{name: 7})  # type: ignore[arg-type]
    with asked(config(tmp_path)) as mollm:
        for odd in ("", "last", "'; --", "\ud800", 7):
            with pytest.raises(UnknownAnswer):
                mollm.feedback(odd, 1)  # type: ignore[arg-type]
