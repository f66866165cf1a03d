"""`mollm tune`: from a file of questions to a YAML that `mollm check` accepts."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from mollm.cli.checks import check_config
from mollm.cli.gathering import Ways
from mollm.cli.main import USAGE_ERROR, app
from mollm.cli.reporting import Wanted
from mollm.cli.tuning import Search, tuned
from mollm.cli.tuning_files import Files, check_files
from mollm.config.load import load_config
from mollm.config.places import parse_yaml
from mollm.errors import DataError, UserError
from mollm.evaluation.tuning.calibrated import told
from mollm.final.calibration import Calibration
from mollm.final.calibration_file import read_calibration
from tests.upstream import Upstream, answer, error, hang

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.upstream import Received, Reply

CONFIG = """\
llms:
  a: {model: openai/a, api_key: "${LETTERS}"}   # mine
  b: {model: openai/b}
  c: {model: openai/c}
mixtures:
  general: {description: Anything., workers: [a]}
"""


TUNE = ["tune", "data.jsonl", "--replay", "recording"]


def recorded(folder: Path, shares: dict[str, float], count: int = 80) -> None:
    """Write questions, and answers of LLMs that are right as often, by chance; and a configuration."""
    draw, right = random.Random(1), [str(number) for number in range(count)]  # noqa: S311 - nothing secret
    lines(folder / "data.jsonl", [{"id": n, "question": f"What is {n}?", "reference": n} for n in right])
    recording = folder / "recording"
    recording.mkdir()
    lines(recording / "questions.jsonl", [{"id": n, "question": f"What is {n}?"} for n in right])
    for name, share in shares.items():
        said = [n if draw.random() < share else f"{n}.{draw.randrange(1, 99)}" for n in right]
        lines(
            recording / f"{name}.jsonl", [{"id": n, "output": f"It is {s}."} for n, s in zip(right, said, strict=True)]
        )
    (folder / "mollm.yaml").write_text(CONFIG)


def lines(path: Path, rows: Sequence[object]) -> None:
    """Write JSON lines."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_it_writes_a_mixture_that_check_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equals with errors of their own: with its evidence, the variable as it stands, and never over a file."""
    recorded(tmp_path, {"a": 0.7, "b": 0.7, "c": 0.7}, 160)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETTERS", "sesame")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.argv", ["mollm", *TUNE])

    app(TUNE, standalone_mode=False)

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
    text = (tmp_path / "tuned.yaml").read_text()
    assert re.search(r"^# Made on \S+ by:\n#   mollm tune data.jsonl --replay recording$", text, re.MULTILINE)
    assert "better than" in text
    assert '  a: {model: openai/a, api_key: "${LETTERS}"}   # mine\n' in text
    assert "sesame" not in text
    mixture = load_config(tmp_path / "tuned.yaml").mixtures["tuned"]
    assert len(mixture.listed) == 3
    assert (mixture.ask_first, mixture.agree) == (2, 2)
    assert not check_config(tmp_path / "tuned.yaml").problems
    with pytest.raises(DataError, match="is there already"):
        check_files(Files(tmp_path / "tuned.yaml"), None)


def test_one_strong_llm_is_written_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into the whole file, with the reason; and the same as JSON."""
    recorded(tmp_path, {"a": 0.3, "b": 0.95, "c": 0.3})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETTERS", "sesame")

    app([*TUNE, "--into", "sums", "--out", "new.yaml", "--json"], standalone_mode=False)

    found = json.loads(capsys.readouterr().out)
    assert not found["is_mixture"]
    assert found["best"]["llm"] == "b"
    assert found["questions"] == {"searched": 40, "held_out": 40, "excluded": {}}
    config = load_config(tmp_path / "new.yaml")
    assert [worker.llm for worker in config.mixtures["sums"].listed] == ["b"]
    assert config.fallback == "general"
    assert "since no mixture was better" in " ".join((tmp_path / "new.yaml").read_text().replace("#", "").split())
    assert not check_config(tmp_path / "new.yaml").problems


def test_without_a_configuration_all_recorded_llms_are_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written can be loaded, asks the recording, has no other LLM, and says what to replace."""
    recorded(tmp_path, {"a": 0.7, "b": 0.7, "c": 0.7, "d": 0.1}, 160)
    (tmp_path / "mollm.yaml").unlink()
    monkeypatch.chdir(tmp_path)

    app([*TUNE, "--json"], standalone_mode=False)

    assert json.loads(capsys.readouterr().out)["is_mixture"]
    report = check_config(tmp_path / "tuned.yaml")
    assert (report.problems, report.warnings) == ((), ())
    config = load_config(tmp_path / "tuned.yaml")
    assert set(config.llms) == {"a", "b", "c"}
    assert config.llms["a"].model == f"replay/{tmp_path}/recording/a"
    assert "each needs the `model` that it stands for" in (tmp_path / "tuned.yaml").read_text()
    with pytest.raises(USAGE_ERROR, match="there is none without a configuration"):
        app([*TUNE, "--into", "sums", "--force"], standalone_mode=False)


def test_what_is_written_has_no_llm_that_nothing_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is no member is left out, so that nobody is warned of it."""
    recorded(tmp_path, {"a": 0.95, "b": 0.3, "c": 0.3}, 40)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETTERS", "sesame")

    app(TUNE, standalone_mode=False)

    assert check_config(tmp_path / "tuned.yaml").warnings == ()
    assert '  a: {model: openai/a, api_key: "${LETTERS}"}   # mine\n' in (tmp_path / "tuned.yaml").read_text()


def test_the_command_can_be_copied_out_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands on one line, however long it is, and a shell reads it as it was typed."""
    recorded(tmp_path, {"a": 0.9, "b": 0.5, "c": 0.5}, 6)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ("a folder - with-a-rather-long-name " * 4)
    folder.mkdir()
    tune = [*TUNE, "--out", str(folder / "tuned-it.yaml")]
    monkeypatch.setattr("sys.argv", ["/usr/bin/mollm", *tune])

    app(tune, standalone_mode=False)

    commands = re.findall(r"^#   (mollm .*)$", (folder / "tuned-it.yaml").read_text(), re.MULTILINE)
    assert [shlex.split(command) for command in commands] == [["mollm", *tune]]


def test_too_few_questions_tell_no_calibration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and so it is where nothing that was taken needs a calibration."""
    recorded(tmp_path, {"a": 0.9, "b": 0.5, "c": 0.5}, 12)
    monkeypatch.chdir(tmp_path)

    app([*TUNE, "--calibrate"], standalone_mode=False)

    assert "No calibration: nothing that stops at a probability" in capsys.readouterr().out
    few = told(Calibration({}, 0.0, {}, 6, None))
    assert few == "No calibration error can be told from the 6 questions that were searched; it takes 20."


def test_the_workers_of_a_mixture_are_written_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their prompts, samples apart, and under a name that no LLM has."""
    recorded(tmp_path, {"a": 0.7, "b": 0.7, "c": 0.7, "tuned": 0.1}, 12)
    workers = "[{llm: a, system: 'Be ${LETTERS}.', samples: 2}, b]"
    mixtures = f"  tuned: {{model: openai/tuned}}\nmixtures:\n  general: {{description: All., workers: {workers}}}\n"
    (tmp_path / "mollm.yaml").write_text(CONFIG[: CONFIG.index("mixtures:")] + mixtures)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETTERS", "sesame")

    app([*TUNE, "--mixture", "general"], standalone_mode=False)

    data = parse_yaml((tmp_path / "tuned.yaml").read_bytes(), "tuned.yaml").data
    assert list(data["mixtures"]) == ["tuned-2"]
    assert data["mixtures"]["tuned-2"]["workers"] in ([{"llm": "a", "system": "Be ${LETTERS}."}], ["b"])


def test_a_sure_setting_is_written_with_its_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below two calls no count is enough; what is written is loaded, and no file is written over."""
    recorded(tmp_path, {"a": 0.6, "b": 0.6, "c": 0.6}, 160)
    for path in (tmp_path / "recording").glob("[abc].jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            if "." in row["output"].removesuffix("."):  # who is wrong talks much
                row["output"] = "Let me think.\n" * 20 + f"The answer {row['output'][3:]}"
        lines(path, rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETTERS", "sesame")
    tune = [*TUNE, "--calibrate", "--calls-at-most", "1.95", "--most", "3"]

    app([*tune, "--json"], standalone_mode=False)

    found = json.loads(capsys.readouterr().out)
    assert found["is_mixture"]
    assert found["calibration"] == "tuned.calibration.json"
    assert 0 < found["calibration_error"] < 0.5
    error = f"# Calibration error: {100 * found['calibration_error']:.1f} points, cross-validated on the 80 questions"
    assert error in (tmp_path / "tuned.yaml").read_text()
    mixture = load_config(tmp_path / "tuned.yaml").mixtures["tuned"]
    assert (mixture.ask_first, mixture.calibration) == (1, "tuned.calibration.json")
    assert mixture.sure is not None
    assert not check_config(tmp_path / "tuned.yaml").problems
    assert read_calibration(tmp_path / "tuned.calibration.json").questions == 80
    (tmp_path / "tuned.yaml").unlink()
    with pytest.raises(DataError, match=r"tuned\.calibration\.json: is there already"):
        app(tune, standalone_mode=False)
    assert not list(tmp_path.glob(".*"))


def six_questions(folder: Path, upstream: Upstream) -> None:
    """Write data, and a configuration of two LLMs behind an address."""
    lines(folder / "data.jsonl", [{"id": n, "question": f"What is {n}?", "reference": n} for n in range(6)])
    llms = {name: {"model": f"openai/{name}", "api_base": upstream.base_url} for name in "ab"}
    config = {"llms": llms, "mixtures": {"m": {"description": "M.", "workers": ["a"]}}}
    (folder / "mollm.yaml").write_text(json.dumps(config))


async def test_what_was_answered_before_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ceiling leaves whole questions in the journal, and the next start goes on behind them."""
    monkeypatch.chdir(tmp_path)
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: answer("It is 3.")
        six_questions(tmp_path, upstream)
        for options in (("--calls", "9"), ("--force",)):
            await asyncio.to_thread(app, ["tune", "data.jsonl", *options], standalone_mode=False)

    assert len(upstream.received) == 12
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "6 questions, 1 mixture: 24 calls at most, 12 if nobody is late"
    assert "the ceiling of 9 calls was reached: 2 questions of 6 were not asked of all" in said
    assert "in the journal already: 4 answers" in said


async def test_ctrl_c_says_that_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was answered by then is in the journal; who was down is named, and asked once to find out whether it is."""
    monkeypatch.chdir(tmp_path)
    async with Upstream() as upstream:
        third = asyncio.Event()

        def reply(received: Received) -> Reply:
            if "What is 2?" in json.dumps(received.body) and not third.is_set():
                third.set()
                return hang()
            return answer("It is 3.") if received.body["model"] == "a" else error(401)

        upstream.reply_to = reply
        six_questions(tmp_path, upstream)
        wanted, ways = Wanted(tmp_path / "data.jsonl"), Ways(None, concurrency=1, itself=False)
        asked = asyncio.create_task(tuned(wanted, ways, Search()))
        await third.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert "data.mollm-tune.jsonl holds what was answered" in capsys.readouterr().err
        before = len(upstream.received)
        await asyncio.to_thread(app, ["tune", "data.jsonl", "--concurrency", "1"], standalone_mode=False)

    of_a = [one.body["messages"][-1]["content"] for one in upstream.received[before:] if one.body["model"] == "a"]
    assert sorted(of_a) == [f"What is {n}?" for n in (0, 2, 3, 4, 5)]
    assert re.search(
        r"^# b: 6 of 6 calls failed \(the key was refused", (tmp_path / "tuned.yaml").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--llms", "a,nobody"), "no LLM 'nobody'"),
        (("--mixture", "nothing"), "no mixture 'nothing'"),
        (("--aggregators", "synthesize"), "no recording holds"),
        (("--into", "a"), "is an LLM"),
        (("--into", "two words"), "cannot be a mixture"),
        (("--out", "nowhere/tuned.yaml"), "there is no folder"),
        (("--out", "recording", "--force"), "recording: is a folder"),
        (("--out", "/proc/tuned.yaml"), "tuned.yaml: cannot be written in /proc"),
        (("--cost-at-most", "0.1"), "without a price"),
        (
            ("--calls", "2"),
            "a ceiling of 2 calls: recorded answers call nobody; leave out --calls and --cost",
        ),
        (("--score", "exakt"), "did you mean 'exact'"),
        (("--judge", "a"), "has no effect with --score exact"),
    ],
)
def test_a_mistake_is_named(options: Sequence[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written, and it is the user's."""
    recorded(tmp_path, {"a": 0.7, "b": 0.7, "c": 0.7}, 6)
    monkeypatch.chdir(tmp_path)

    with pytest.raises((UserError, USAGE_ERROR)) as caught:
        app([*TUNE, *options], standalone_mode=False)

    assert said in str(caught.value)
    assert not (tmp_path / "tuned.yaml").exists()
