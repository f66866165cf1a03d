"""`mollm eval mixtures --score judge`: one ceiling, one anchor, and what a judge takes stands in the report."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mollm.cli.gathering import Ways, interruptible, told_of_interruption
from mollm.cli.main import app
from mollm.cli.reporting import Wanted, reported
from mollm.errors import LimitError
from mollm.evaluation.mixtures.scores.base import spent_by
from mollm.evaluation.mixtures.scores.remembered import Remembered
from tests.command import MOLLM
from tests.evaluation.mixtures.scores.asking import row
from tests.evaluation.mixtures.scores.test_llm_judge import judge_of, preferring, shown
from tests.upstream import Upstream, answer, hang

if TYPE_CHECKING:
    from tests.upstream import Received, Reply

QUESTIONS = 4
SAID = {"a": "It may be four.", "b": "The answer is 4, since 2 + 2 = 4."}
ANSWERS = re.compile(r"number=\d>\n(.*?)\n</answer-", re.DOTALL)


def write(folder: Path, base_url: str, **judge: Any) -> None:
    """Two who answer, a referee who has no part in it, and answers that are kept for ratings."""
    rows = [{"id": n, "question": f"What is 2 + 2, {n}?", "reference": 4} for n in range(QUESTIONS)]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    llm = {"api_base": base_url, "api_key": "none", "retries": 0, "price": {"input": 1, "output": 1}}
    config = {
        "llms": {name: {"model": f"openai/{name}", **llm, **(judge if name == "referee" else {})} for name in NAMES},
        "mixtures": {"team": {"description": "d", "workers": ["a", "b"], "aggregator": {"method": "vote"}}},
        "feedback": {"kind": "sqlite"},
    }
    (folder / "mollm.yaml").write_text(json.dumps(config))


NAMES = ("a", "b", "referee")


def says(received: Received) -> Reply:
    """The referee prefers the longer one."""
    name = received.body["model"]
    if name != "referee":
        return answer(SAID[name])
    one, two = ANSWERS.findall(received.body["messages"][-1]["content"])
    return answer(json.dumps({"better": 1 if len(one) > len(two) else 2}))


async def run(folder: Path, upstream: Upstream, *options: str, **judge: Any) -> dict[str, Any]:
    """Evaluate in a thread, and read the report."""
    upstream.reply_to = says
    write(folder, upstream.base_url, **judge)
    words = ["eval", "mixtures", "data.jsonl", "--score", "judge", "--judge", "referee", "--out", "out", *options]
    await asyncio.to_thread(app, words, prog_name="mollm", standalone_mode=False)
    found: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLLM_CONFIG", raising=False)
    return tmp_path


async def test_further_answers_are_held_against_the_same_one() -> None:
    """Whoever asks again, of what is new, does not make that the anchor, which ties with itself."""
    judge, llm = judge_of(preferring(len))
    score = Remembered(judge)

    await score.score(row("4"), {"a": "four", "b": "fourteen"})
    found = await score.score(row("4"), {"a": "four", "b": "fourteen", "team": "iv", "team itself": "five!"})

    assert found == {"a": 0.5, "b": 1.0, "team": 0.0, "team itself": 1.0}
    assert all("four" in shown(request) for request in llm.requests)
    assert spent_by(score).calls == spent_by(judge).calls == len(llm.requests) == 6


async def test_what_the_judge_takes_stands_in_the_report_and_nothing_is_kept(folder: Path) -> None:
    """Its calls and its cost are part of the totals, and its prompts are no questions that people rate."""
    async with Upstream() as upstream:
        report = await run(folder, upstream, "--no-self")
        asked = [received.body["model"] for received in upstream.received]

    assert asked.count("referee") == 2 * QUESTIONS
    assert report["calls"] == len(asked) == 4 * QUESTIONS
    assert any(note.startswith(f"judging took {2 * QUESTIONS} calls, ") for note in report["notes"])
    scores = {arm["name"]: arm["score"] for arm in report["mixtures"][0]["arms"]}
    assert scores["b alone"] == 1.0
    assert scores["a alone"] == 0.5
    assert not (folder / "mollm-feedback.sqlite").exists()


async def test_the_judge_and_those_who_answer_share_a_ceiling(folder: Path) -> None:
    """What it does not let the judge read has no score, and the report says why."""
    async with Upstream() as upstream:
        report = await run(folder, upstream, "--no-self", "--calls", "12", "--concurrency", "1")
        asked = [received.body["model"] for received in upstream.received]

    assert len(asked) <= 12
    assert report["calls"] == len(asked)
    assert asked.count("referee") == 4
    assert "the ceiling of 12 calls was reached" in " ".join(report["notes"])
    # Which pairs were read in both orders hangs on whose turn it was; what was not is left out, or its member is.
    team = report["mixtures"][0]
    unscored = [arm["why"] for arm in team["arms"] if arm["kind"] == "member" and arm["score"] is None]
    assert team["questions"] <= 2 or unscored


async def test_a_ceiling_of_money_needs_the_price_of_the_judge(folder: Path) -> None:
    """Before anything is called."""
    async with Upstream() as upstream:
        with pytest.raises(LimitError, match=r"--cost cannot be kept: no price of referee, which judges"):
            await run(folder, upstream, "--cost", "1", price=None)
        assert not upstream.received


async def test_a_kill_in_the_middle_of_judging_loses_the_verdicts_that_were_under_way(folder: Path) -> None:
    """Those that are there are not asked for again, and the report counts what both starts took."""
    words = ["eval", "mixtures", "data.jsonl", "--score", "judge", "--judge", "referee", "--out", "out", "--no-self"]
    env = {key: value for key, value in os.environ.items() if key != "MOLLM_CONFIG"}
    stuck = asyncio.Event()
    judged: list[str] = []

    def sticks(received: Received) -> Reply:
        if received.body["model"] == "referee":
            if len(judged) == 3:
                stuck.set()
                return hang()
            judged.append(received.body["messages"][-1]["content"])
        return says(received)

    async with Upstream() as upstream:
        write(folder, upstream.base_url)
        upstream.reply_to = sticks
        process = await asyncio.create_subprocess_exec(*MOLLM, *words, cwd=folder, env=env, stderr=-1, stdout=-1)
        await stuck.wait()
        await asyncio.sleep(0.3)  # what was judged arrives
        process.kill()
        await process.communicate()
        kept = (folder / "out" / "journal.verdicts.jsonl").read_bytes()
        (folder / "out" / "journal.verdicts.jsonl").write_bytes(kept[:-5])  # in the middle of the last one
        upstream.received.clear()
        report = await run(folder, upstream, "--no-self", "--calls", str(2 * QUESTIONS - 2))
        asked = [received.body["model"] for received in upstream.received]

    assert kept.count(b"\n") == 1 + 3
    assert asked == ["referee"] * (2 * QUESTIONS - 2)
    assert report["calls"] == 4 * QUESTIONS
    assert {arm["name"]: arm["score"] for arm in report["mixtures"][0]["arms"]}["b alone"] == 1.0


async def test_recorded_answers_are_judged_once(folder: Path) -> None:
    """No journal holds what a recording says, and the judge is paid for all the same."""
    recorded = folder / "recorded"
    recorded.mkdir()
    rows = [{"id": str(n), "question": f"What is 2 + 2, {n}?"} for n in range(QUESTIONS)]
    (recorded / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, text in SAID.items():
        lines = [json.dumps({"id": str(n), "output": text}) for n in range(QUESTIONS)]
        (recorded / f"{name}.jsonl").write_text("\n".join(lines))
    async with Upstream() as upstream:
        reports = [await run(folder, upstream, "--replay", "recorded") for _ in range(2)]
        asked = [received.body["model"] for received in upstream.received]

    assert asked == ["referee"] * 2 * QUESTIONS
    assert {report["mixtures"][0]["verdict"]["sentence"] for report in reports}
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "journal.verdicts.jsonl",
        "report.html",
        "report.json",
    ]


async def test_starts_under_ceilings_add_up_to_one_without(folder: Path) -> None:
    """Members, self-mixture and judge: each start keeps to its ceiling to the call, and nothing is paid for twice."""
    sent = []
    async with Upstream() as upstream:
        for most in (7, 11, 1, 1000, 1000):
            upstream.received.clear()
            report = await run(folder, upstream, "--calls", str(most))
            sent.append(len(upstream.received))
            assert sent[-1] <= most
            assert report["calls"] == sum(sent)
        upstream.received.clear()
        whole = await run(folder, upstream, "--journal", "other.jsonl")

    assert sent[-1] == 0
    assert sum(sent) == whole["calls"] == len(upstream.received)


@pytest.mark.parametrize(
    ("stuck", "replied", "said"),
    [
        ("a", 0, "interrupted: nothing was answered yet; the same command begins anew"),
        ("b", 4, "data.mollm-eval.jsonl holds what was answered; the same command goes on from there"),
        (
            "referee",
            8,
            "data.mollm-eval.jsonl and data.mollm-eval.verdicts.jsonl hold what was answered; "
            "the same command goes on from there",
        ),
    ],
)
async def test_an_interruption_at_any_stage_says_what_is_kept(
    folder: Path, stuck: str, replied: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first answer, while it asks, and while a judge reads: whoever ends it has paid for the answers."""
    is_stuck, begun = asyncio.Event(), []

    def reply_to(received: Received) -> Reply:
        begun.append(received)
        if len(begun) > replied and received.body["model"] == stuck:
            is_stuck.set()
            return hang()
        return says(received)

    async with Upstream() as upstream:
        upstream.reply_to = reply_to
        write(folder, upstream.base_url)
        wanted = Wanted(Path("data.jsonl"), folder / "mollm.yaml", score="judge", judge="referee")
        running = asyncio.create_task(reported(wanted, Ways(None, concurrency=1, itself=False), None, calibrate=False))
        async with asyncio.timeout(20):
            await is_stuck.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert capsys.readouterr().err.splitlines()[-1] == said


def test_an_interruption_of_recorded_answers_and_of_a_search_say_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither has anything to go on from, or all of it; Ctrl-C ends also what never awaits."""
    journal = folder / "j.jsonl"
    journal.write_text('{"mollm": "journal", "format": 1}\n{"record": {}}\n')
    for path in (None, journal):
        with pytest.raises(KeyboardInterrupt), told_of_interruption(path, is_replayed=path is None), interruptible():
            signal.raise_signal(signal.SIGINT)

    assert capsys.readouterr().err.splitlines() == [
        "interrupted: nothing is kept of recorded answers; the same command begins anew",
        f"{journal} holds what was answered; the same command goes on from there",
    ]
