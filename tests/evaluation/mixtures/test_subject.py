"""What is evaluated: mixtures of a file, of LLMs that are named, or of a recording."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.catalog import Catalog
from mollm.config.load import load_config
from mollm.config.members import mixture_digest
from mollm.errors import ConfigError, DataError
from mollm.evaluation.mixtures.gathering.asking import Asker
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.gathering.gather import Gathering, gather
from mollm.evaluation.mixtures.gathering.journal import Journal
from mollm.evaluation.mixtures.gathering.members import mixtures_digest
from mollm.evaluation.mixtures.rows import read_rows
from mollm.evaluation.mixtures.subject import lacking, subject_of

if TYPE_CHECKING:
    from mollm.evaluation.mixtures.gathering.gather import Found
    from mollm.evaluation.mixtures.subject import Subject

QUESTIONS = {"q1": "What is 2 + 2?", "q2": "What is 3 + 3?", "q3": "What is 4 + 4?"}
ANSWERS = {
    "small": {"q1": "4", "q2": "7", "q3": "8"},
    "big": {"q1": "4", "q2": "6"},
    "other": {"q1": "5", "q2": "6", "q3": "9"},
}
CONFIG = """
llms:
  tiny: {model: hosted_vllm/org/small, api_base: "http://127.0.0.1:9/v1", api_key: "${NOT_SET_ANYWHERE}"}
  big: {model: openai/gpt, api_key: "${NOT_SET_ANYWHERE}"}
  boss: {model: openai/boss, api_key: "${NOT_SET_ANYWHERE}"}
router: {kind: fixed, fallback: pair}
mixtures:
  pair: {description: Two., workers: [tiny, big], aggregator: {method: vote}}
  written: {description: Two and a writer., workers: [tiny, big], aggregator: {llm: big}, layers: 2}
  bossy: {description: Two and a boss., workers: [tiny, big], aggregator: {llm: boss}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording, questions and a configuration, in the working directory."""
    recording = tmp_path / "recorded"
    recording.mkdir()
    lines = [json.dumps({"id": name, "question": text}) for name, text in QUESTIONS.items()]
    (recording / "questions.jsonl").write_text("\n".join(lines))
    for llm, answers in ANSWERS.items():
        text = "\n".join(json.dumps({"id": name, "output": said}) for name, said in answers.items())
        (recording / f"{llm}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    rows = [{"id": name, "question": text, "reference": "4"} for name, text in QUESTIONS.items()]
    rows.append({"id": "q4", "question": "Never asked?", "reference": "4"})
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "mine.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLLM_CONFIG", raising=False)
    return tmp_path


async def asked(subject: Subject, folder: Path) -> Found:
    """Ask a subject the questions of the folder."""
    rows = read_rows(folder / "data.jsonl")
    async with MoLLM(subject.config) as mollm:
        without = lacking(mollm.catalog, subject.mixtures, rows)
        what = Gathering(rows, subject.mixtures, subject.digests, without)
        return await gather(Asker(mollm, Journal(), Ceiling()), what)


async def test_recorded_answers_take_the_place_of_llms(folder: Path) -> None:
    """By the name of the LLM or the last part of its model; keys that are not set matter to nobody."""
    subject = subject_of(folder / "mine.yaml", folder / "recorded", ["pair"])

    (one,) = (await asked(subject, folder)).gathered

    assert [record.text for record in one.alone["tiny"][:2]] == ["4", "7"]
    assert [record.text for record in one.alone["big"][:2]] == ["4", "6"]
    assert one.answers[0].agreement == 1.0


async def test_what_a_recording_lacks_is_named_by_row_and_asked_of_nobody(folder: Path) -> None:
    """An answer that is missing, and a question that it does not have; a recorded reply is never taken for it."""
    subject = subject_of(folder / "mine.yaml", folder / "recorded", ["pair"])

    (one,) = (await asked(subject, folder)).gathered

    assert list(one.unasked) == ["q3", "q4"]
    assert one.unasked["q3"].endswith("big.jsonl.gz holds no answer to the question 'q3'")
    assert one.unasked["q4"].startswith("this question is not among the 3 recorded ones of ")
    for records in (one.answers, *one.alone.values()):
        assert [record.error is None for record in records] == [True, True, False, False]
        assert [record.text for record in records[2:]] == ["", ""]


async def test_what_the_recording_of_a_writer_lacks_is_asked_of_nobody_either(folder: Path) -> None:
    """It is held against its mixture, and a missing answer is not a wrong one."""
    text = CONFIG.replace("openai/boss", "openai/big").replace(
        "workers: [tiny, big], aggregator: {llm: boss}", "workers: [tiny, tiny2], aggregator: {llm: boss}"
    )
    text = text.replace("  boss:", '  tiny2: {model: openai/other, api_key: "${NOT_SET_ANYWHERE}"}\n  boss:')
    (folder / "mine.yaml").write_text(text)

    (one,) = (await asked(subject_of(folder / "mine.yaml", folder / "recorded", ["bossy"]), folder)).gathered

    assert one.unasked["q3"].endswith("big.jsonl.gz holds no answer to the question 'q3'")
    assert [record.text for record in one.readers["boss"]] == ["4", "6", "", ""]


async def test_data_of_which_nothing_is_recorded_are_an_error(folder: Path) -> None:
    """A report on nothing helps nobody."""
    (folder / "data.jsonl").write_text('{"id": "q1", "question": "Never asked?", "reference": "4"}')

    with pytest.raises(
        DataError, match=r"no question of the data has recorded answers; .*data\.jsonl:1: this question"
    ):
        await asked(subject_of(folder / "mine.yaml", folder / "recorded", ["pair"]), folder)


def test_an_llm_without_a_recording_is_named_with_those_there_are(folder: Path) -> None:
    """And with the mixtures that ask it; those that do not can be evaluated without it."""
    with pytest.raises(ConfigError) as caught:
        subject_of(folder / "mine.yaml", folder / "recorded")

    first, second = caught.value.problems
    assert first == f"--replay {folder / 'recorded'}: no answers of boss, which bossy asks: there is no boss.jsonl"
    assert second == "recorded are: big, other, small; --mixture leaves out mixtures that ask others"


def test_what_cannot_be_replayed_is_told(folder: Path) -> None:
    """Who writes, and later layers, return what their LLM said to the question."""
    subject = subject_of(folder / "mine.yaml", folder / "recorded", ["pair", "written"])

    (written,) = [note for note in subject.notes if note.startswith("written: ")]
    assert "what big writes as aggregator, later layers cannot be replayed" in written
    assert not any(note.startswith("pair") for note in subject.notes)


def test_a_digest_is_that_of_the_file_and_not_of_its_recording(folder: Path) -> None:
    """So that `mollm check` knows the mixture in a report on recorded answers."""
    subject = subject_of(folder / "mine.yaml", folder / "recorded", ["pair"])
    config = load_config(folder / "mine.yaml")

    assert subject.digests == {"pair": mixture_digest(config, config.mixtures["pair"])}


@pytest.mark.parametrize("workers", [[], ["small", "big"]])
async def test_a_recording_alone_is_a_vote(folder: Path, workers: list[str]) -> None:
    """Of all its LLMs, or of those that are named, in that order; no configuration is needed."""
    subject = subject_of(None, folder / "recorded", workers=workers)

    (one,) = (await asked(subject, folder)).gathered

    assert subject.is_replayed
    assert list(one.alone) == (workers or ["big", "other", "small"])
    assert list(one.unasked) == ["q3", "q4"]


def test_a_configuration_of_ones_own_comes_before_a_vote_of_all(folder: Path) -> None:
    """As for any other command, it is found where it lies."""
    (folder / "mollm.yaml").write_text(CONFIG)

    subject = subject_of(None, folder / "recorded", ["pair"])

    assert subject.name == "mollm.yaml"
    assert subject.mixtures == ("pair",)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"workers": ["small", "nobody"]}, "no answers of nobody; there are: big, other, small"),
        ({"config": "mine.yaml", "replay": None, "workers": ["tiny", "nobody"]}, "nobody"),
        (
            {"config": "mine.yaml", "mixtures": ["trio"]},
            "--mixture trio: there is none; there are: pair, written, bossy",
        ),
        ({"replay": "nowhere"}, "--replay nowhere: holds no recording"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_not_there_is_named(arguments: dict[str, Any], problem: str) -> None:
    """With what there is, where that is known."""
    given = {"config": None, "replay": "recorded", **arguments}
    paths = {key: Path(given[key]) if given[key] else None for key in ("config", "replay")}

    with pytest.raises(ConfigError, match=problem):
        subject_of(**{**given, **paths})


def test_some_llms_of_a_configuration_vote(folder: Path) -> None:
    """In place of its mixtures, and whatever its router is."""
    subject = subject_of(folder / "mine.yaml", None, workers=["tiny", "big", "tiny"])

    section = subject.config.mixtures["vote"]
    assert [worker.llm for worker in section.listed] == ["tiny", "big", "tiny"]
    assert section.aggregator.method == "vote"
    assert subject.mixtures == ("vote",)
    assert not subject.routes


def test_mixtures_answer_for_themselves_and_nothing_is_kept_for_ratings(folder: Path) -> None:
    """A test of arms would let another one answer, and ratings are for answers that somebody wanted."""
    arms = "arms: {current: 0.5, written: 0.5}"
    text = CONFIG.replace("description: Two.,", f"description: Two., {arms},") + "feedback: {kind: sqlite}\n"
    (folder / "mine.yaml").write_text(text)

    subject = subject_of(folder / "mine.yaml")

    assert subject.config.mixtures["pair"].arms == {}
    assert subject.config.feedback.kind == "none"
    assert "pair: asked itself, without the mixtures that share its questions" in subject.notes
    assert subject.original.mixtures["pair"].arms


def test_a_journal_is_of_the_prompts_that_are_read(folder: Path) -> None:
    """A prompt that was changed makes other answers, also where only the aggregator or a worker reads it."""
    digests = []
    for changed in (None, "worker.md", "writer.md"):
        for name in ("worker.md", "writer.md"):
            ending = " Be terse." if name == changed else ""
            (folder / name).write_text(
                f"Look at {{{{ proposals }}}}.{ending}" if name == "writer.md" else f"Hi.{ending}"
            )
        workers = [{"llm": "a", "prompt": "worker.md"}, {"llm": "a"}]
        mixture = {"description": "d", "workers": workers, "aggregator": {"prompt": "writer.md"}}
        plain = {"llms": {"a": {"model": "scripted/x"}}, "mixtures": {"m": mixture}}
        digests.append([mixtures_digest(Catalog(load_config(plain))) for _ in range(2)])

    assert all(first == second for first, second in digests)
    assert len({first for first, _ in digests}) == 3
