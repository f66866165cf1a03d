"""Recorded answers: found by their question, in their time, from files that may hold anything."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.calling.base import LLM, Chunk, Request
from mollm.cli.checks import check_config, check_online
from mollm.config.llms import PaceConfig
from mollm.config.load import load_config
from mollm.errors import BadRequest, ConfigError, EmptyReply
from mollm.llms.replay import MAX_BYTES, MAX_LINE_BYTES, MAX_LINES, Questions, ReplayLLM, find_recording
from mollm.types import Usage
from tests.clock import run_virtual

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.llms.replay import Pace

Row = dict[str, Any]

ASKED: list[Row] = [
    {"id": "q1", "question": "What is 2 + 2?", "prompt": "## Question\n\nWhat is 2 + 2?\n\nAnswer with a number.\n"},
    {"id": 2, "question": "What is 3 x 3?", "gold": "9"},
    {"id": "q3", "prompt": "Name a prime\tabove\n10."},
]
SAID: list[Row] = [{"id": "q1", "output": "It is 4."}, {"id": 2, "output": "The answer is 9."}]


def write(path: Path, rows: list[Row] | bytes) -> Path:
    """Write a file of lines, gzipped where its name says so."""
    raw = rows if isinstance(rows, bytes) else b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def recorded(folder: Path, said: list[Row] | bytes = SAID, *, pace: Pace = None, gz: str = "") -> ReplayLLM:
    """One LLM of a small recording, read already: a thread cannot be waited for on a virtual clock."""
    questions = Questions(write(folder / f"questions.jsonl{gz}", ASKED))
    llm = ReplayLLM(write(folder / f"m.jsonl{gz}", said), questions, pace=pace)
    llm.load()
    return llm


def ask(text: Any, *before: Row) -> Request:
    """A request whose last message is this one of the user."""
    return Request([*before, {"role": "user", "content": text}])


async def answer(llm: ReplayLLM, text: Any, *before: Row) -> str:
    """What it says to `text`."""
    return (await llm.complete(ask(text, *before))).text


@pytest.mark.parametrize("gz", ["", ".gz"])
async def test_a_question_gets_its_recorded_answer(tmp_path: Path, gz: str) -> None:
    """Whole and streamed, from plain and from gzipped files; usage is for the caller to estimate."""
    llm = recorded(tmp_path, gz=gz)

    completion = await llm.complete(ask("What is 2 + 2?"))
    chunks = [chunk async for chunk in llm.stream(ask("What is 3 x 3?"))]

    assert isinstance(llm, LLM)
    assert (completion.text, completion.finish_reason, completion.usage) == ("It is 4.", "stop", None)
    assert [chunk.text for chunk in chunks] == ["", "The", " answer", " is", " 9.", ""]
    assert chunks[-1] == Chunk(finish_reason="stop")
    await llm.aclose()


@pytest.mark.parametrize(
    "text",
    [
        "What is 2 + 2?",
        "  What is\n2 +  2?\n",
        "## Question What is 2 + 2? Answer with a number.",
        ASKED[0]["prompt"],
        ASKED[0]["prompt"] + "\n\nSeveral answers follow.\n\nWhat is 3 x 3?",
        "What is 2 + 2?\n \t\nThink step by step.",
        [{"type": "text", "text": "What is 2 + 2?"}, {"type": "text", "text": "\n\nSeveral answers follow."}],
    ],
)
async def test_a_question_is_known_by_its_words(tmp_path: Path, text: Any) -> None:
    """White space does not count, and paragraphs may follow, as an aggregator adds them."""
    assert await answer(recorded(tmp_path), text) == "It is 4."


async def test_the_last_message_of_the_user_is_the_question(tmp_path: Path) -> None:
    """Whatever was said before it, or by somebody else after it."""
    llm = recorded(tmp_path)
    before = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 3 x 3?"}]
    after = Request([*ask("What is 2 + 2?", *before).messages, {"role": "assistant", "content": "What is 3 x 3?"}])

    assert (await llm.complete(after)).text == "It is 4."


@pytest.mark.parametrize(
    "text", ["", "What is 2", "What is 2 + 2? And 3 x 3?", "Please: What is 2 + 2?", None, [{"type": "image_url"}]]
)
async def test_an_unknown_question_is_refused(tmp_path: Path, text: Any) -> None:
    """It is the request that is wrong: not retried, and no sign of an outage."""
    llm = recorded(tmp_path)

    with pytest.raises(BadRequest, match="not among the 3 recorded ones") as caught:
        await llm.complete(ask(text))
    with pytest.raises(BadRequest):
        await llm.complete(Request([]))

    assert (caught.value.is_retryable, caught.value.trips_breaker) == (False, False)


async def test_the_longest_recorded_text_wins(tmp_path: Path) -> None:
    """One question may be the beginning of another."""
    write(tmp_path / "questions.jsonl", [{"id": 1, "question": "Why?"}, {"id": 2, "question": "Why?\n\nBe brief."}])
    write(tmp_path / "m.jsonl", [{"id": 1, "output": "long"}, {"id": 2, "output": "short"}])
    llm = ReplayLLM(tmp_path / "m.jsonl", Questions(tmp_path / "questions.jsonl"))

    texts = [await answer(llm, text) for text in ("Why?\n\nBe brief.\n\nPlease.", "Why?\n\nBe bold.", "Why?")]

    assert texts == ["short", "long", "long"]


async def test_a_question_that_stands_twice_keeps_its_first_answer(tmp_path: Path) -> None:
    """Public sets of questions repeat some."""
    write(tmp_path / "questions.jsonl", [{"id": 1, "question": "Why?"}, {"id": 2, "question": "Why? "}])
    write(tmp_path / "m.jsonl", [{"id": 2, "output": "second"}, {"id": 1, "output": "first"}])

    assert await answer(ReplayLLM(tmp_path / "m.jsonl", Questions(tmp_path / "questions.jsonl")), "Why?") == "first"


async def test_a_question_this_llm_was_not_asked_is_refused(tmp_path: Path) -> None:
    """The message names the file and the question."""
    with pytest.raises(BadRequest, match=r"m\.jsonl holds no answer to the question 'q3'"):
        await answer(recorded(tmp_path), "Name a prime above 10.")


async def test_what_was_noted_of_an_answer_comes_back(tmp_path: Path) -> None:
    """Tokens, beside the text or under `usage`, and why it ended; the whole and the streamed reply agree."""
    said: list[Row] = [
        {"id": "q1", "output": "It is", "finish_reason": "length", "prompt_tokens": 9, "completion_tokens": 2},
        {"id": 2, "output": "9", "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 20}},
        {"id": "q3", "output": "11", "usage": None, "completion_tokens": 1, "finish_reason": None},
    ]
    llm = recorded(tmp_path, said)

    first, second, third = [await llm.complete(ask(row.get("question") or row["prompt"])) for row in ASKED]
    chunks = [chunk async for chunk in llm.stream(ask("What is 2 + 2?"))]

    assert (first.finish_reason, first.usage) == ("length", Usage(9, 2, 11))
    assert (second.finish_reason, second.usage) == ("stop", Usage(7, 1, 20))
    assert (third.finish_reason, third.usage) == ("stop", None)
    assert chunks[-2:] == [Chunk(finish_reason="length"), Chunk(usage=Usage(9, 2, 11))]


@pytest.mark.parametrize("text", ["", " \n ", "  a\n\n b  ", "word", "x" * 100_000, " " * 100_000])
async def test_the_pieces_of_a_streamed_answer_are_the_answer(tmp_path: Path, text: str) -> None:
    """Nothing is lost between the words."""
    llm = recorded(tmp_path, [{"id": "q1", "output": text}])

    assert "".join([chunk.text async for chunk in llm.stream(ask("What is 2 + 2?"))]) == text


@pytest.mark.parametrize(
    ("pace", "arrivals"),
    [
        (None, [0, 0, 0]),
        ("recorded", [2, 4, 6]),
        (PaceConfig(latency=3), [3, 3, 3]),
        (PaceConfig(tokens_per_second=2), [2, 4, 6]),
        (PaceConfig(latency=1, tokens_per_second=4), [2, 3, 4]),
    ],
)
def test_an_answer_takes_its_time(tmp_path: Path, pace: Pace, arrivals: list[float]) -> None:
    """None, the recorded one, or a latency and 12 tokens at a rate; its three words come evenly."""
    row = {"id": "q1", "output": "It is 4.", "seconds": 6, "prompt_tokens": 1, "completion_tokens": 12}
    llm = recorded(tmp_path, [row], pace=pace)

    async def run() -> tuple[list[float], float]:
        now = asyncio.get_running_loop().time
        times = [now() async for chunk in llm.stream(ask("What is 2 + 2?")) if chunk.text]
        begun = now()
        await llm.complete(ask("What is 2 + 2?"))
        return times, now() - begun

    times, whole = run_virtual(run())

    assert times == pytest.approx(arrivals)
    assert whole == pytest.approx(arrivals[-1])


def test_without_a_count_four_characters_are_a_token(tmp_path: Path) -> None:
    """As everywhere where tokens are estimated."""
    llm = recorded(tmp_path, [{"id": "q1", "output": "x" * 40}], pace=PaceConfig(tokens_per_second=5))

    async def run() -> float:
        await llm.complete(ask("What is 2 + 2?"))
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(2)


LINE = b'{"id": "q1", "output": "4"}\n'


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (LINE + b"{\n", "m.jsonl:2: not a JSON object"),
        (LINE + b"\n[1]\n", "m.jsonl:3: not a JSON object"),
        (b"[" * 100_000, "m.jsonl:1: not a JSON object"),
        (b'{"id": 1, "output": "\xff"}', "m.jsonl:1: not a JSON object"),
        (b"\x00" * 1000, "m.jsonl:1: not a JSON object"),
        (LINE * 2, "m.jsonl:2: the id 'q1' stands here twice"),
        (b'{"output": "4"}', "m.jsonl:1: `id` must be text or a whole number"),
        (b'{"id": true, "output": "4"}', "m.jsonl:1: `id` must be text or a whole number"),
        (b'{"id": [1], "output": "4"}', "m.jsonl:1: `id` must be text or a whole number"),
        (b'{"id": 1}', "m.jsonl:1: `output` must be text"),
        (b'{"id": 1, "output": ["4"]}', "m.jsonl:1: `output` must be text"),
        (b'{"id": 1, "output": "4", "finish_reason": 0}', "m.jsonl:1: `finish_reason` must be text"),
        (b'{"id": 1, "output": "4", "seconds": -1}', "m.jsonl:1: `seconds` must be a number of at least 0"),
        (b'{"id": 1, "output": "4", "seconds": true}', "m.jsonl:1: `seconds` must be a number of at least 0"),
        (b'{"id": 1, "output": "4", "prompt_tokens": -1}', "m.jsonl:1: tokens must be whole numbers of at least 0"),
        (
            b'{"id": 1, "output": "4", "usage": {"completion_tokens": 1.5}}',
            "m.jsonl:1: tokens must be whole numbers of at least 0",
        ),
        (LINE + b" " * (MAX_LINE_BYTES + 1), "m.jsonl:2: longer than 4 MiB, the most a line may be"),
    ],
)
async def test_a_bad_line_is_named(tmp_path: Path, raw: bytes, message: str) -> None:
    """By file and number; it is the file's fault, and of its text nothing is quoted."""
    path = write(tmp_path / "m.jsonl", raw)
    llm = ReplayLLM(path, Questions(write(tmp_path / "questions.jsonl", ASKED)))

    with pytest.raises(ConfigError) as caught:
        await llm.complete(ask("What is 2 + 2?"))

    assert str(caught.value) == f"{tmp_path}/{message}"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"id": 1}', "questions.jsonl:1: neither `prompt` nor `question` holds text"),
        (b'{"id": 1, "prompt": " ", "question": 3}', "questions.jsonl:1: neither `prompt` nor `question` holds text"),
        (b'{"id": 1, "prompt": "a"}\n{"id": "1", "prompt": "b"}', "questions.jsonl:2: the id '1' stands here twice"),
        (b'"Why?"', "questions.jsonl:1: not a JSON object"),
    ],
)
def test_a_bad_question_is_named(tmp_path: Path, raw: bytes, message: str) -> None:
    """By file and number."""
    with pytest.raises(ConfigError) as caught:
        Questions(write(tmp_path / "questions.jsonl", raw)).load()

    assert str(caught.value) == f"{tmp_path}/{message}"


def test_a_file_of_too_many_lines_is_given_up(tmp_path: Path) -> None:
    """Even if nothing stands in them."""
    path = write(tmp_path / "questions.jsonl.gz", b"\n" * (MAX_LINES + 1))

    with pytest.raises(ConfigError, match=r"questions\.jsonl\.gz:1000001: the file is larger than .* 1,000,000 lines"):
        Questions(path).load()


def test_a_file_that_unpacks_to_too_much_is_given_up(tmp_path: Path) -> None:
    """A few hundred kilobytes can become gigabytes: reading ends at the bound."""
    block = gzip.compress((b" " * (MAX_LINE_BYTES - 1) + b"\n") * 8)
    path = tmp_path / "questions.jsonl.gz"
    path.write_bytes(block * (MAX_BYTES // MAX_LINE_BYTES // 8 + 1))

    with pytest.raises(ConfigError, match=r"questions\.jsonl\.gz:65: the file is larger than 256 MiB"):
        Questions(path).load()


@pytest.mark.parametrize(
    "cut",
    [b"no gzip at all", gzip.compress(LINE * 100)[:30], gzip.compress(LINE)[:10] + b"\xff"],
    ids=["no gzip", "cut short", "broken"],  # the bytes hold the time, and names must not
)
def test_broken_compression_is_named(tmp_path: Path, cut: bytes) -> None:
    """A file that was not gzipped, or not wholly copied."""
    path = tmp_path / "m.jsonl.gz"
    path.write_bytes(cut)

    with pytest.raises(ConfigError, match=r"m\.jsonl\.gz: cannot be read: the compressed data are broken"):
        ReplayLLM(path, Questions(write(tmp_path / "questions.jsonl", ASKED))).load()


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    """Files are read on the first call, and much may have happened by then."""
    with pytest.raises(ConfigError, match=r"gone\.jsonl: cannot be read: No such file"):
        Questions(tmp_path / "gone.jsonl").load()


def test_a_byte_order_mark_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    """Some editors leave them."""
    llm = recorded(tmp_path, b"\xef\xbb\xbf\n" + b"\n \r\n" + b"\xef\xbb\xbf" + LINE)

    assert run_virtual(answer(llm, "What is 2 + 2?")) == "4"


def test_recorded_time_must_have_been_recorded(tmp_path: Path) -> None:
    """Otherwise an answer would come at once, and nobody would notice."""
    with pytest.raises(ConfigError, match=r"m\.jsonl:1: no `seconds`, which `pace: recorded` needs"):
        recorded(tmp_path, pace="recorded")


async def test_files_are_read_once_and_not_before_the_first_call(tmp_path: Path) -> None:
    """Thirty calls at once read them once; later changes go unseen."""
    questions = Questions(write(tmp_path / "questions.jsonl", b"not yet"))
    llm = ReplayLLM(write(tmp_path / "m.jsonl", b"not yet"), questions)
    write(tmp_path / "questions.jsonl", ASKED)
    write(tmp_path / "m.jsonl", SAID)

    texts = await asyncio.gather(*(answer(llm, "What is 2 + 2?") for _ in range(30)))
    write(tmp_path / "m.jsonl", b"not any more")

    assert set(texts) == {"It is 4."}
    assert await answer(llm, "What is 3 x 3?") == "The answer is 9."


def test_a_recording_is_found_beside_the_file(tmp_path: Path) -> None:
    """By the folder and the LLM's name in the YAML, or by the folder and the LLM's name in the recording."""
    questions = write(tmp_path / "rec" / "questions.jsonl.gz", ASKED)
    plain, packed = write(tmp_path / "rec" / "a-1.5.jsonl", SAID), write(tmp_path / "rec" / "b.jsonl.gz", SAID)

    assert find_recording("rec", tmp_path, "a-1.5") == (questions, plain)
    assert find_recording("rec/b", tmp_path, "a-1.5") == (questions, packed)
    assert find_recording(f"{tmp_path}/rec/", tmp_path / "elsewhere", "b") == (questions, packed)


def config(folder: Path, **llms: Any) -> str:
    """A file whose one mixture asks these LLMs and votes."""
    path = folder / "my.yaml"
    mixture = {"description": "d", "workers": list(llms), "aggregator": {"method": "vote"}}
    path.write_text(json.dumps({"llms": llms, "mixtures": {"votes": {**mixture, "ask_first": 2, "agree": 2}}}))
    return str(path)


def test_what_is_missing_of_a_recording_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    """The folder, its questions, or the LLM: all at once, with those that there are."""
    write(tmp_path / "rec" / "questions.jsonl", ASKED)
    write(tmp_path / "rec" / "x.jsonl", SAID)
    write(tmp_path / "rec" / "y.jsonl.gz", SAID)
    write(tmp_path / "bare" / "m.jsonl", SAID)
    write(tmp_path / "alone" / "questions.jsonl", ASKED)
    models = ["replay/rec", "replay/rec/z", "replay/bare/m", "replay/none", "replay/alone", "replay/rec/questions"]

    found = check_config(config(tmp_path, **{f"m{n}": {"model": model} for n, model in enumerate(models)})).problems

    there_are = "name the LLM as recorded, or write replay/FOLDER/LLM; there are: x, y"
    needs = "a recording is a folder with that and an LLM.jsonl per LLM"
    assert [problem.partition(".model: ")[2].replace(f"{tmp_path}/", "") for problem in found] == [
        f"replay/rec: no answers of 'm0' in rec; {there_are}",
        f"replay/rec/z: no answers of 'z' in rec; {there_are}",
        f"replay/bare/m: no questions.jsonl in bare/m; {needs}",
        f"replay/none: no questions.jsonl in none; {needs}",
        "replay/alone: no answers of 'm4' in alone; there are none at all",
        f"replay/rec/questions: no answers of 'questions' in rec; {there_are}",
    ]


def test_a_recording_of_many_names_some(tmp_path: Path) -> None:
    """A message stays readable."""
    write(tmp_path / "questions.jsonl", ASKED)
    for number in range(50):
        write(tmp_path / f"m{number:02}.jsonl", SAID)

    with pytest.raises(ConfigError, match=r"m38, m39 and 10 more\Z"):
        find_recording(str(tmp_path), tmp_path, "other")


@pytest.mark.parametrize(
    ("pace", "said"),
    [
        ("fast", "must be 'recorded'"),
        ({"latency": -1}, "must be greater than or equal to 0"),
        ({"tokens_per_second": 0}, "must be greater than 0"),
        ({"tokens_per_secnd": 9}, "unknown key; did you mean 'tokens_per_second'?"),
    ],
)
def test_a_pace_is_checked(tmp_path: Path, pace: Any, said: str) -> None:
    """In words, and before anything is read."""
    with pytest.raises(ConfigError) as caught:
        load_config(config(tmp_path, m={"model": "replay/rec", "pace": pace}, n={"model": "replay/rec"}))

    assert "llms.m.pace" in str(caught.value)
    assert said in str(caught.value)


def test_only_recorded_answers_have_a_pace(tmp_path: Path) -> None:
    """An LLM that is called takes as long as it takes."""
    with pytest.raises(ConfigError, match=r"llms\.m\.pace: only recorded answers \(replay/\.\.\.\) have a pace"):
        load_config(config(tmp_path, m={"model": "scripted/x", "pace": {"latency": 1}}, n={"model": "scripted/x"}))


def votes(folder: Path, **pace: Any) -> str:
    """Three recorded LLMs that vote: the third disagrees on q1, the second on 2."""
    write(folder / "rec" / "questions.jsonl", ASKED)
    for name, first, second in (("a", "4", "9"), ("b", "4", "6"), ("c", "5", "9")):
        said: list[Row] = [
            {"id": "q1", "output": f"So it is {first}.\n\nAnswer: {first}"},
            {"id": 2, "output": f"Answer: {second}"},
        ]
        write(folder / "rec" / f"{name}.jsonl{'.gz' if name == 'b' else ''}", said)
    price = {"price": {"input": 1, "output": 1}, **pace}
    return config(
        folder,
        a={"model": "replay/rec", **price},
        b={"model": "replay/rec/b", **price},
        second={"model": "replay/rec/c", **price},
    )


def test_recorded_llms_vote(tmp_path: Path) -> None:
    """Two that agree are enough; where they do not, the third decides; usage and cost are estimated."""
    with MoLLM(votes(tmp_path)) as mollm:
        agreed = mollm.ask(ASKED[0]["prompt"])
        widened = mollm.ask("What is 3 x 3?")

    assert (agreed.text, agreed.calls, agreed.agreement) == ("So it is 4.\n\nAnswer: 4", 2, 1.0)
    assert (widened.text, widened.calls) == ("Answer: 9", 3)
    assert widened.agreement == pytest.approx(2 / 3)
    assert agreed.usage.estimated
    assert agreed.cost_usd is not None
    assert agreed.cost_usd > 0


def test_a_recorded_llm_may_aggregate(tmp_path: Path) -> None:
    """It knows the question although the proposals follow it, and nothing is shortened for it."""
    write(tmp_path / "rec" / "questions.jsonl", ASKED)
    for name in ("a", "b"):
        write(tmp_path / "rec" / f"{name}.jsonl", [{"id": "q1", "output": f"{name} " * 40_000}])
    mixture = {"description": "d", "workers": ["a", "b"], "layers": 2, "aggregator": {"llm": "b"}}
    llms = {name: {"model": f"replay/{tmp_path}/rec"} for name in ("a", "b")}

    with MoLLM({"llms": llms, "mixtures": {"m": mixture}}) as mollm:
        found = mollm.ask("What is 2 + 2?")

    assert (found.text, found.calls, found.degraded) == ("b " * 40_000, 5, ())


def test_unknown_questions_and_empty_answers_fail_as_calls_do(tmp_path: Path) -> None:
    """A single LLM's failure is the request's, by the LLM's name."""
    write(tmp_path / "rec" / "questions.jsonl", ASKED)
    write(tmp_path / "rec" / "a.jsonl", [{"id": 2, "output": ""}])
    llms = {"a": {"model": f"replay/{tmp_path}/rec"}}

    with MoLLM({"llms": llms, "mixtures": {"m": {"description": "d", "workers": ["a"]}}}) as mollm:
        with pytest.raises(BadRequest, match=r"\Aa: this question is not among the 3 recorded ones"):
            mollm.ask("What is 5 + 5?")
        with pytest.raises(EmptyReply):
            mollm.ask("What is 3 x 3?")


def test_a_vote_takes_the_time_of_the_calls_it_needed(tmp_path: Path) -> None:
    """Two side by side, then the third: two latencies, on a clock that jumps."""
    mollm = MoLLM(votes(tmp_path, pace={"latency": 7}))
    asyncio.run(_warm(mollm))

    found = run_virtual(mollm.aask("What is 3 x 3?"))

    assert found.seconds == pytest.approx(14)


async def _warm(mollm: MoLLM) -> None:
    # The files are read in a thread, which a virtual clock does not wait for; an unknown question reads them.
    for llm in mollm.catalog.llms.values():
        with pytest.raises(BadRequest):
            await llm.complete(ask("?"))


def test_checking_online_reads_the_recording(tmp_path: Path) -> None:
    """That nobody recorded the question of the check is no fault; a broken line is one."""
    path = votes(tmp_path)
    fine = asyncio.run(check_online(check_config(path)))
    write(tmp_path / "rec" / "c.jsonl", b"{")
    broken = asyncio.run(check_online(check_config(path)))

    assert fine.problems == ()
    assert broken.problems == (f"second: {tmp_path}/rec/c.jsonl:1: not a JSON object",)
