"""A judge's verdicts are kept, and nobody pays twice for the same one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.errors import DataError, Unreachable
from mollm.evaluation.mixtures.gathering.ceiling import Ceiling
from mollm.evaluation.mixtures.scores.judge import LLMJudge
from mollm.evaluation.mixtures.scores.verdicts import Verdicts, beside
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.types import Usage
from tests.evaluation.mixtures.scores.asking import row
from tests.evaluation.mixtures.scores.test_llm_judge import CONFIG, preferring, verdict

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {"a": "four", "b": "fourteen", "c": "iv"}
LONGER = preferring(len)


def config(**referee: Any) -> dict[str, Any]:
    """The referee with other settings."""
    llms = CONFIG["llms"]
    return {**CONFIG, "llms": {**llms, "referee": {**llms["referee"], **referee}}}


async def judged(
    path: Path,
    script: Any = LONGER,
    *,
    most: int | None = None,
    name: str = "referee",
    reference: str = "4",
    **more: Any,
) -> tuple[dict[str, float | None], int, int]:
    """Judge with the verdicts of a file: the scores, calls of this start, and calls of all starts."""
    given = config(**more)
    llm = ScriptedLLM(script)
    judge = LLMJudge(MoLLM(given, llms={name: llm}), name, Ceiling(most), patience=2.0)
    judge.verdicts = Verdicts.open(path)
    try:
        scores = await judge.score(row(reference), TEXTS)
    finally:
        judge.verdicts.close()
    return dict(scores), len(llm.requests), judge.spent.calls


class Full(Verdicts):
    """A disk without room."""

    def add(self, *_: Any) -> None:
        raise DataError("v.jsonl: cannot be written")


async def test_a_verdict_that_cannot_be_kept_ends_it() -> None:
    """Else the judge would be paid for every further one, and none of them kept."""
    llm = ScriptedLLM(LONGER)
    judge = LLMJudge(MoLLM(config(), llms={"referee": llm}), "referee", Ceiling(None), patience=2.0)
    judge.verdicts = Full()

    with pytest.raises(DataError, match="cannot be written"):
        await judge.score(row("4"), TEXTS)

    assert len(llm.requests) <= 2 * len(TEXTS)


async def test_what_was_judged_is_not_judged_again(tmp_path: Path) -> None:
    """With the same scores, and what it took at all starts."""
    path = tmp_path / "v.jsonl"

    first = await judged(path)
    second = await judged(path)

    assert first == ({"a": 0.5, "b": 1.0, "c": 0.0}, 4, 4)
    assert second == ({"a": 0.5, "b": 1.0, "c": 0.0}, 0, 4)


async def test_a_ceiling_is_one_of_each_start_and_asks_for_what_is_missing_only(tmp_path: Path) -> None:
    """To the call: three of four, then the one that is left."""
    path = tmp_path / "v.jsonl"

    _, first, _ = await judged(path, most=3)
    scores, second, whole = await judged(path, most=1)

    assert (first, second, whole) == (3, 1, 4)
    assert scores == {"a": 0.5, "b": 1.0, "c": 0.0}


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({"reference": "5"}, 4),
        ({"temperature": 0.5}, 4),
        ({"extra_body": {"x": 1}}, 4),
        ({"model": "scripted/y"}, 4),
        ({"name": "a"}, 4),
        ({"price": {"input": 2, "output": 2}}, 0),
    ],
)
async def test_another_judge_and_another_reference_are_another_verdict(
    tmp_path: Path, changed: dict[str, Any], asked: int
) -> None:
    """In one file; what a verdict costs is no part of it, and the first judge's verdicts stay."""
    path = tmp_path / "v.jsonl"
    await judged(path)

    assert (await judged(path, **changed))[1] == asked
    assert (await judged(path))[1] == 0


async def test_another_prompt_asks_again(tmp_path: Path) -> None:
    """The file beside the configuration that replaces the prompt."""
    (tmp_path / "prompts" / "judge").mkdir(parents=True)
    (tmp_path / "mollm.yaml").write_text(json.dumps(CONFIG))
    calls = []
    for words in ("Judge", "Judge", "Weigh"):
        text = f"{words} {{{{ question }}}} {{{{ reference }}}} {{{{ answers }}}}"
        (tmp_path / "prompts" / "judge" / "default.md").write_text(text)
        llm = ScriptedLLM(LONGER)
        judge = LLMJudge(MoLLM(tmp_path / "mollm.yaml", llms={"referee": llm}), "referee")
        judge.verdicts = Verdicts.open(tmp_path / "v.jsonl")
        await judge.score(row("4"), TEXTS)
        judge.verdicts.close()
        calls.append(len(llm.requests))

    assert calls == [4, 0, 4]


@pytest.mark.parametrize("bad", [Reply("It is the second.", usage=Usage(1, 1, 2)), Unreachable("is down")])
async def test_what_brought_no_verdict_is_asked_again_at_the_next_start(tmp_path: Path, bad: Any) -> None:
    """Prose as well as a failure; what it took is counted, and the order that was judged is not judged again."""
    path = tmp_path / "v.jsonl"

    def fails(request: Any) -> Any:
        return bad if "fourteen" in request.messages[0]["content"].split("</answer-")[0] else LONGER(request)

    scores, calls, _ = await judged(path, fails, retries=0)
    again, more, whole = await judged(path, retries=0)

    assert scores == {"a": 0.5, "b": None, "c": 0.0}
    assert again == {"a": 0.5, "b": 1.0, "c": 0.0}
    assert more == 1
    assert whole == calls + 1


async def test_a_file_that_is_cut_in_a_verdict_loses_that_one_alone(tmp_path: Path) -> None:
    """Wherever a kill has cut it."""
    path = tmp_path / "v.jsonl"
    await judged(path)
    whole = path.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 40, whole.rindex(b"\n", 0, -1) + 1, whole.rindex(b"\n", 0, -1)):
        path.write_bytes(whole[:cut])
        missing = 4 + 1 - whole[:cut].count(b"\n")

        scores, asked, _ = await judged(path)

        assert asked == missing
        assert scores["b"] == 1.0


def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    """A journal is none of verdicts; a value that no judge gives is named by line; two at once are refused."""
    path = tmp_path / "v.jsonl"
    path.write_text('{"mollm": "journal", "format": 1}\n')
    with pytest.raises(DataError, match=r"v\.jsonl: is no journal of verdicts; name another file with --journal"):
        Verdicts.open(path)
    assert path.read_text() == '{"mollm": "journal", "format": 1}\n'

    path.write_text('{"mollm": "verdicts", "format": 1}\n{"judge": "x", "key": "y", "better": 5}\n')
    with pytest.raises(DataError, match=r"v\.jsonl:2: is no record"):
        Verdicts.open(path)

    path.unlink()
    first = Verdicts.open(path)
    with pytest.raises(DataError, match="another evaluation writes to it"):
        Verdicts.open(path)
    first.close()
    assert beside(tmp_path / "a.b.jsonl").name == "a.b.verdicts.jsonl"


async def test_a_judge_that_is_away_for_a_while_is_waited_for() -> None:
    """And its failures cost no verdict; one that never answered is not waited for."""
    calls = 0

    def script(request: Any) -> Any:
        nonlocal calls
        calls += 1
        return Unreachable("is down") if 3 <= calls <= 4 else LONGER(request)

    judge = LLMJudge(MoLLM(config(retries=0), llms={"referee": ScriptedLLM(script)}), "referee")
    assert await judge.score(row("4"), {"a": "four", "b": "fourteen"}) == {"a": 0.5, "b": 1.0}
    assert await judge.score(row("4"), TEXTS) == {"a": 0.5, "b": 1.0, "c": 0.0}
    dead = LLMJudge(
        MoLLM(config(retries=0), llms={"referee": ScriptedLLM(lambda _: Unreachable("is down"))}), "referee"
    )
    assert await dead.score(row("4"), TEXTS) == {"a": 0.5, "b": None, "c": None}
    assert any("is down" in note for note in dead.notes())


async def test_a_judge_that_contradicts_itself_is_kept_as_it_said(tmp_path: Path) -> None:
    """A tie now is a tie at the next start, and its two orders still disagree."""
    path = tmp_path / "v.jsonl"
    await judged(path, lambda _: verdict(1))

    judge = LLMJudge(MoLLM(config(), llms={"referee": ScriptedLLM(LONGER)}), "referee")
    judge.verdicts = Verdicts.open(path)
    assert await judge.score(row("4"), TEXTS) == {"a": 0.5, "b": 0.5, "c": 0.5}
    judge.verdicts.close()
    assert any("disagree on 2 of 2 pairs" in note for note in judge.notes())
