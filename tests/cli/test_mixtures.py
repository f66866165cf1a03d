"""`mollm eval mixtures`, as a process: killed, interrupted, gone on with, limited."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from mollm.cli.gathering import notes_of_failures
from mollm.cli.main import app
from mollm.errors import DataError, LimitError, RunError
from tests.command import MOLLM, in_terminal, plain
from tests.upstream import Upstream, hang
from tests.upstream import answer as reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.upstream import Received, Reply

QUESTIONS = 12
SECRET = "sk-never-to-be-seen"  # noqa: S105 - it is what is looked for


def call(*arguments: str) -> None:
    """Run the command in this process."""
    app(list(arguments), prog_name="mollm", standalone_mode=False)


def write(folder: Path, base_url: str | None = None, **settings: Any) -> None:
    """Write questions, and a configuration of a team and one alone."""
    rows = [{"id": n, "question": f"What is {n} + 0?", "reference": n} for n in range(QUESTIONS)]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = {"model": "openai/m", "api_base": base_url, "api_key": SECRET} if base_url else {"model": "scripted/1"}
    vote = {"workers": ["a", "b"], "aggregator": {"method": "vote"}}
    mixtures = {"team": {"description": "Two.", **vote}, "solo": {"description": "One.", "workers": ["a"]}}
    config = {
        "llms": {name: {**model, "retries": 0, **settings} for name in "ab"},
        "router": {"kind": "fixed", "fallback": "team"},
        "mixtures": mixtures,
    }
    (folder / "mollm.yaml").write_text(json.dumps(config))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with what is asked."""
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLLM_CONFIG", raising=False)
    return tmp_path


async def test_what_was_answered_before_a_kill_is_not_asked_again(tmp_path: Path) -> None:
    """A process that is killed loses what it was being asked, one that is interrupted exits with 130 and says so."""
    arguments = [*MOLLM, "eval", "mixtures", "data.jsonl", "-m", "team", "--no-self", "--concurrency", "2"]
    env = {key: value for key, value in os.environ.items() if key != "MOLLM_CONFIG"}
    answered: list[str] = []
    most = 0
    is_stuck = asyncio.Event()

    def answers(received: Received) -> Reply:
        if len(answered) == most:
            is_stuck.set()
            return hang()
        answered.append(received.body["messages"][-1]["content"])
        return reply("The answer is 1.")

    async with Upstream() as upstream:
        write(tmp_path, upstream.base_url)
        upstream.reply_to = answers
        codes, journals = [], []
        for end, most in ((signal.SIGKILL, 8), (signal.SIGINT, 16), (None, 1000)):  # noqa: B007 - read above
            is_stuck.clear()
            process = await asyncio.create_subprocess_exec(*arguments, cwd=tmp_path, env=env, stderr=-1, stdout=-1)
            if end is not None:
                async with asyncio.timeout(60):  # one that has ended says nothing more
                    await is_stuck.wait()
                await asyncio.sleep(0.3)  # what was answered arrives
                process.send_signal(end)
            said = b"".join(await process.communicate())
            codes.append(process.returncode)
            journals.append((tmp_path / "data.mollm-eval.jsonl").read_text())
            if end is signal.SIGINT:
                assert b"data.mollm-eval.jsonl holds what was answered; the same command goes on from there" in said
    assert codes == [-signal.SIGKILL, 130, 0], said
    assert SECRET not in "".join(journals)
    done = [{str(json.loads(line)["record"]["id"]) for line in text.splitlines()[1:]} for text in journals]
    assert len(done[0]) >= 3  # of four questions, each answered by two
    # Only a question that was being asked is asked again, of both if one had answered.
    again = {number for number in done[2] if answered.count(f"What is {number} + 0?") > 2}
    assert len(again) <= 4
    assert not again & done[0]
    records = [json.loads(line)["record"] for line in journals[-1].splitlines()[1:]]
    assert sorted(int(record["id"]) for record in records) == list(range(QUESTIONS))
    assert all(journals[2].startswith(journal) for journal in journals[:2])


def test_what_it_may_take_is_said_first_and_a_ceiling_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What there is then is reported, with a warning, and the exit code is that of success."""
    call("eval", "mixtures", "data.jsonl", "--calls", "9", "--concurrency", "1", "--no-self")

    said = capsys.readouterr()
    # Two for the team, one for the one alone, and each member once more where it was not waited for.
    assert said.err.splitlines()[0] == "12 questions, 2 mixtures: 60 calls at most, 36 if nobody is late"
    words = " ".join(f"{said.err} {said.out}".split())
    assert "the ceiling of 9 calls was reached: 9 questions of 12 were not asked of all" in words
    assert len((folder / "data.mollm-eval.jsonl").read_text().splitlines()) == 1 + 3 * 2


@pytest.mark.parametrize(
    ("options", "arithmetic"),
    [
        (
            ("--calls", "4"),
            r"takes up to 5 calls \(3 if nobody is late\), and the ceiling is 4 calls; give more, or ask",
        ),
        (("--cost", "0.000001"), r".* and 0.005145 USD, and the ceiling is 1e-06 USD; give more"),
    ],
)
def test_a_ceiling_below_one_question_is_refused_before_anything_is_asked(
    folder: Path, options: tuple[str, str], arithmetic: str
) -> None:
    """It would be paid for, and count for nothing; what is in the journal already needs none."""
    write(folder, price={"input": 1, "output": 1})
    command = ("eval", "mixtures", "data.jsonl", "--yes", "--no-self")

    with pytest.raises(LimitError, match=rf"nothing is asked: one question {arithmetic}"):
        call(*command, *options)

    assert len((folder / "data.mollm-eval.jsonl").read_text().splitlines()) == 1
    call(*command)
    call(*command, *options)


def test_for_how_many_questions_a_ceiling_is_sure_to_be_enough_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Which is less than it will probably be, and nothing where it is enough for all."""
    for calls in ("14", "60"):
        call("eval", "mixtures", "data.jsonl", "--no-self", "--calls", calls, "--journal", f"{calls}.jsonl")

    (line,) = [line for line in capsys.readouterr().err.splitlines() if "sure" in line]
    assert line.startswith(
        "the ceiling of 14 calls is sure to be enough for 2 of 12 questions: one question takes up to 5"
    )


def test_a_ceiling_of_money_needs_prices() -> None:
    """Before anything is called."""
    with pytest.raises(LimitError, match=r"--cost cannot be kept: no price of a, b; give `price`, or --calls"):
        call("eval", "mixtures", "data.jsonl", "--cost", "1")


def test_a_journal_of_another_configuration_is_refused(folder: Path) -> None:
    """With what to do; the answers in it are worth something."""
    call("eval", "mixtures", "data.jsonl", "--limit", "2", "--no-self")
    write(folder, temperature=0.5)

    with pytest.raises(DataError, match=r"is the journal of another configuration.*--journal, or delete this one"):
        call("eval", "mixtures", "data.jsonl")


def test_a_calibration_leaves_the_journal_of_an_evaluation_alone(folder: Path) -> None:
    """It asks for log-probabilities, so the answers in that one are none to its requests."""
    call("eval", "mixtures", "data.jsonl", "--no-self", "-m", "team")

    call("eval", "mixtures", "data.jsonl", "-m", "team", "--calibrate", "--out", "team.json")

    call("eval", "mixtures", "data.jsonl", "--no-self", "-m", "team")
    assert (folder / "team.json").exists()
    assert sorted(path.name for path in folder.glob("*.mollm-*")) == [
        "data.mollm-calibrate.jsonl",
        "data.mollm-eval.jsonl",
    ]


@pytest.mark.parametrize(
    ("questions", "error"), [(12, "no calibration error can be told: that takes 20 questions or more"), (20, "points")]
)
def test_a_calibration_says_how_far_it_is_off_and_where_it_goes(
    folder: Path, capsys: pytest.CaptureFixture[str], questions: int, error: str
) -> None:
    """A number that nobody is told is not looked at; the line that loads it names the file from the configuration."""
    rows = [{"id": n, "question": f"What is {n} + 0?", "reference": n % 2} for n in range(questions)]
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))

    call("eval", "mixtures", "data.jsonl", "-m", "team", "--calibrate", "--out", "sub/team.json")

    *_, fitted, told, where = capsys.readouterr().err.splitlines()
    score = "the mean score of team is 50.0 %"
    assert fitted == f"sub/team.json is written: fitted on {questions} questions, on which {score}"
    assert error in told
    assert where.startswith("put `calibration: sub/team.json` into `mixtures.team` in mollm.yaml; ")


def test_more_questions_go_on_with_the_journal_of_a_few(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A first try of some is not lost."""
    call("eval", "mixtures", "data.jsonl", "--limit", "2", "--no-self", "-m", "team")
    said = capsys.readouterr()
    assert "the first 2 of 12 questions" in f"{said.err} {said.out}"

    call("eval", "mixtures", "data.jsonl", "--no-self", "-m", "team")

    assert "in the journal already: 2 answers" in capsys.readouterr().err.splitlines()
    assert len((folder / "data.mollm-eval.jsonl").read_text().splitlines()) == 1 + QUESTIONS


def test_a_terminal_of_sixty_columns_shows_one_line_and_is_asked_where_it_costs_money(folder: Path) -> None:
    """Nobody is asked with --yes, nor of LLMs without a price in this process."""
    write(folder, price={"input": 1, "output": 1})
    shown = ("eval", "mixtures", "data.jsonl", "--no-self")

    code, screen = in_terminal(*shown, "--yes", cwd=folder, columns=60)

    assert code == 0
    assert "Go on?" not in screen
    assert "12/12 36 calls" in plain(screen)
    lines = [line for line in plain(screen).replace("\r", "\n").splitlines() if "calls" in line and "/12" in line]
    assert max(map(len, lines)) <= 60
    (folder / "data.mollm-eval.jsonl").unlink()
    code, screen = in_terminal(*shown, cwd=folder, columns=60, interrupt_at=b"Go on?")
    assert code == 130
    assert "interrupted: nothing was answered yet; the same command begins anew" in " ".join(plain(screen).split())
    assert (folder / "data.mollm-eval.jsonl").read_text().count("\n") == 1


def test_a_dead_upstream_is_named_and_nothing_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report of zeros would look like an answer."""
    write(folder, "http://127.0.0.1:9/v1")

    with pytest.raises(
        RunError, match=r"given up: 25 questions in a row were answered by nobody; the last: "
    ) as caught:
        call("eval", "mixtures", "data.jsonl", "--no-self")

    assert "a: the connection was refused" in str(caught.value)
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(r"^warning: a: \d+ calls? failed: the connection was refused", said.err, re.MULTILINE)


def test_the_cause_of_failures_is_named_and_not_what_came_of_it() -> None:
    """One call in thirty fails by itself where the others are not made for its sake."""
    waits, cause = "not called: its last 8 calls failed; next try in 15 s", "the provider failed (HTTP 500)"

    (both,) = notes_of_failures(Counter({("a", waits): 29, ("a", cause): 1}))
    (alone,) = notes_of_failures(Counter({("a", waits): 2}))

    assert both.startswith(f"30 calls to a failed ({cause}):")
    assert alone.startswith(f"2 calls to a failed ({waits}):")


def test_a_judge_takes_of_the_same_ceiling_as_what_it_judges(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the report counts its calls among those that were made."""
    base = ("eval", "mixtures", "data.jsonl", "--score", "judge", "--judge", "b", "-m", "team", "--no-self", "--yes")

    with pytest.raises(LimitError, match="--cost cannot be kept: no price of "):
        call(*base, "--cost", "1")
    llms = {name: {"model": f"scripted/{text}"} for name, text in (("a", "x"), ("b", '{"better": 2}'))}
    plain_config = json.loads((folder / "mollm.yaml").read_text())
    (folder / "mollm.yaml").write_text(json.dumps({**plain_config, "llms": llms}))
    call(*base, "--calls", "40", "--json", "--journal", "other.jsonl")

    written = capsys.readouterr()
    report = json.loads(written.out)
    assert "b judges: two calls for each answer" in written.err
    assert QUESTIONS * 2 < report["calls"] <= 40
    assert any("no verdict: the ceiling of 40 calls was reached" in note for note in report["notes"])
