"""`MoLLM`: the six calls, from tasks, threads and notebooks."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from typing import Any

import pytest

from mollm import MoLLM
from mollm.errors import ProviderFailed, RequestError
from mollm.events import Arrived, Done, Event, Routed, Started, Token
from mollm.llms.scripted import Reply, ScriptedLLM
from tests.upstream import Received, Upstream, answer, hang, stream
from tests.upstream import Reply as Upstreams

CONFIG: dict[str, Any] = {
    "llms": {"a": {"model": "scripted/x"}, "b": {"model": "scripted/x"}},
    "router": {"kind": "fixed", "fallback": "pair"},
    "mixtures": {
        "pair": {"description": "Two.", "workers": ["a", "b"], "aggregator": {"llm": "a"}},
        "solo": {"description": "One.", "workers": ["b"]},
    },
}


def scripted(a: Any = "the whole answer", b: Any = "from b") -> dict[str, ScriptedLLM]:
    """Two LLMs."""
    return {"a": ScriptedLLM(a), "b": ScriptedLLM(b)}


def test_ask_takes_a_text_or_a_conversation() -> None:
    """Both forms are answered; the conversation goes out as it came in."""
    llms = scripted()
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "ann"}]

    with MoLLM(CONFIG, llms=llms) as mollm:
        assert mollm.ask("Hi").text == "the whole answer"
        assert mollm.ask(conversation, mixture="solo").text == "from b"

    assert list(llms["b"].requests[-1].messages) == conversation


async def test_the_asynchronous_calls_give_the_same() -> None:
    """`aask`, `astream` and `abatch` on the caller's loop."""
    async with MoLLM(CONFIG, llms=scripted()) as mollm:
        one = await mollm.aask("Hi")
        many = await mollm.abatch(["Hi", "Ho"])
        events = [event async for event in mollm.astream("Hi")]

    assert [one.text, *[a.text for a in many]] == ["the whole answer"] * 3
    assert isinstance(events[-1], Done)


def kinds(events: list[Event]) -> list[str]:
    """Names of events, runs of one kind told once."""
    names = [type(event).__name__ for event in events]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


def test_stream_tells_everything_in_order() -> None:
    """Routed, started, arrived, writing, tokens, done; the tokens are the answer."""
    with MoLLM(CONFIG, llms=scripted()) as mollm:
        events = list(mollm.stream("Hi"))

    assert kinds(events) == ["Routed", "Started", "Arrived", "Writing", "Token", "Done"]
    text = "".join(event.text for event in events if isinstance(event, Token))
    assert text == "the whole answer" == events[-1].answer.text  # type: ignore[union-attr]


async def test_whoever_is_not_needed_any_more_is_hung_up_on() -> None:
    """Two of three are enough: the third connection is closed, not only its task forgotten, over real sockets."""
    silent = asyncio.Event()

    def reply_to(received: Received) -> Upstreams:
        return hang(silent) if received.body["model"] == "c" else answer(f"From {received.body['model']}.")

    async with Upstream() as upstream:
        upstream.reply_to = reply_to
        llm = {"api_base": upstream.base_url, "context_window": 8192}
        llms = {name: {**llm, "model": f"hosted_vllm/{name}"} for name in "abc"}
        mixture = {"description": "Three.", "workers": ["a", "b", "c"], "enough": 2}
        async with MoLLM({"llms": llms, "mixtures": {"m": mixture}}) as mollm:
            found = await mollm.aask("Hi")
            (third,) = (received for received in upstream.received if received.body["model"] == "c")
            await asyncio.wait_for(third.closed_early.wait(), 5)

    assert found.text == "From a."
    assert [proposal.error and proposal.error.kind for proposal in found.proposals] == [None, None, "cancelled"]
    assert found.calls == 4


async def test_tokens_come_while_the_upstream_still_writes() -> None:
    """The first token is shown before the last one was sent, over real sockets."""
    rest = asyncio.Event()
    config = {"llms": {"m": {"model": "hosted_vllm/m", "api_base": "x"}}, "mixtures": {"solo": {"description": "One."}}}
    async with Upstream(stream("Fo", rest, "ur.")) as upstream:
        config["llms"]["m"]["api_base"] = upstream.base_url
        config["mixtures"]["solo"]["workers"] = ["m"]  # type: ignore[assignment]
        async with MoLLM(config) as mollm:
            texts = []
            async for event in mollm.astream("2 + 2?"):
                if isinstance(event, Token):
                    texts.append(event.text)
                    assert rest.is_set() or not upstream.received[0].done.is_set()
                    if event.text == "Fo":
                        rest.set()

    assert "".join(texts) == "Four."


def test_leaving_a_stream_stops_the_calls() -> None:
    """`break` is enough: what runs is cancelled."""
    llms = scripted(a=Reply("x", delay=3600))

    with MoLLM(CONFIG, llms=llms) as mollm:
        events = mollm.stream("Hi")
        for event in events:
            if isinstance(event, Arrived):
                break
        events.close()

    assert llms["a"].cancelled == 1


async def test_a_slow_reader_holds_back_the_upstream() -> None:
    """Unread tokens do not pile up without end: the LLM is read no further than 256 tokens ahead."""
    sent = 0

    class Endless(ScriptedLLM):
        async def stream(self, request: Any) -> Any:
            nonlocal sent
            async for chunk in super().stream(request):
                sent += 1
                yield chunk

    llms = scripted() | {"b": Endless("word " * 2000)}
    async with MoLLM(CONFIG, llms=llms) as mollm:
        events = mollm.astream("Hi", mixture="solo")
        assert isinstance(await anext(events), Routed)
        for _ in range(5000):
            await asyncio.sleep(0)
        held_at = sent
        rest = [event async for event in events]

    assert 200 <= held_at <= 300
    assert isinstance(rest[-1], Done)


def test_a_batch_keeps_its_order() -> None:
    """Answers come in the order of the questions, whatever finished first."""
    llms = scripted(b=lambda request: Reply(request.messages[-1]["content"], delay=0.01))

    with MoLLM(CONFIG, llms=llms) as mollm:
        answers = mollm.batch([f"question {n}" for n in range(20)], concurrency=5, mixture="solo")

    assert [a.text for a in answers] == [f"question {n}" for n in range(20)]


async def test_the_first_error_ends_a_batch() -> None:
    """What still runs is cancelled and the error is raised."""

    def say(request: Any) -> Reply:
        fails = request.messages[-1]["content"] == "bad"
        return Reply(error=ProviderFailed("down")) if fails else Reply("x", delay=3600)

    llms = scripted(b=say)
    async with MoLLM(
        {**CONFIG, "llms": {**CONFIG["llms"], "b": {"model": "scripted/x", "retries": 0}}}, llms=llms
    ) as m:
        with pytest.raises(ProviderFailed):
            await m.abatch(["good", "bad", "good"], mixture="solo")

    assert llms["b"].cancelled == 2


def test_many_threads_share_one_object() -> None:
    """Sixteen threads asking at once get their own answers."""
    llms = scripted(b=lambda request: request.messages[-1]["content"])
    found: dict[int, str] = {}

    with MoLLM(CONFIG, llms=llms) as mollm:

        def work(n: int) -> None:
            found[n] = mollm.ask(f"question {n}", mixture="solo").text

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == {n: f"question {n}" for n in range(16)}


async def test_the_plain_calls_work_where_a_loop_runs() -> None:
    """As in a notebook."""
    with MoLLM(CONFIG, llms=scripted()) as mollm:
        assert mollm.ask("Hi").text == "the whole answer"
        assert [type(e) for e in mollm.stream("Hi")][-1] is Done


def test_nothing_is_left_open() -> None:
    """Several loops, a close, and no warning about an open session or a task that was lost."""

    async def ask(mollm: MoLLM) -> str:
        return (await mollm.aask("2 + 2?")).text

    async def run() -> None:
        async with Upstream(*[answer()] * 3) as upstream:
            llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url}
            config = {"llms": {"m": llm}, "mixtures": {"solo": {"description": "One.", "workers": ["m"]}}}
            mollm = MoLLM(config)
            assert await ask(mollm) == "Four."
            assert await asyncio.to_thread(asyncio.run, ask(mollm)) == "Four."
            assert (await asyncio.to_thread(mollm.ask, "2 + 2?")).text == "Four."
            await mollm.aclose()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(run())
        gc.collect()


def test_a_program_that_forgets_to_close_ends_quietly() -> None:
    """No hang and no warning at exit."""
    program = (
        "from mollm import MoLLM\n"
        "llms = {'a': {'model': 'scripted/hello'}}\n"
        "config = {'llms': llms, 'mixtures': {'m': {'description': 'x', 'workers': ['a']}}}\n"
        "print(MoLLM(config).ask('Hi').text)\n"
    )

    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


@pytest.mark.parametrize("question", ["", "   ", [], [{"role": "user", "content": ""}]])
def test_an_empty_question_is_refused(question: Any) -> None:
    """Nothing asked, nothing called."""
    llms = scripted()

    with MoLLM(CONFIG, llms=llms) as mollm, pytest.raises(RequestError, match="empty"):
        mollm.ask(question)

    assert not llms["a"].requests


def test_what_is_no_message_is_refused_by_name() -> None:
    """A list of strings is a likely slip."""
    with MoLLM(CONFIG, llms=scripted()) as mollm, pytest.raises(RequestError, match="not str"):
        mollm.ask(["Hi"])  # type: ignore[list-item]


def test_max_tokens_of_minus_one_means_the_llm_s_own() -> None:
    """Clients of the systems before this one send it."""
    llms = scripted()

    with MoLLM(CONFIG, llms=llms) as mollm:
        mollm.ask("Hi", mixture="solo", max_tokens=-1)

    assert llms["b"].requests[0].settings.max_tokens == 1024


def test_events_name_their_workers() -> None:
    """The same LLM twice is told apart."""
    config = {**CONFIG, "mixtures": {"pair": {"description": "x", "workers": [{"llm": "a", "samples": 2}]}}}

    with MoLLM(config, llms=scripted()) as mollm:
        events = list(mollm.stream("Hi"))

    assert [event.worker for event in events if isinstance(event, Started)] == ["a", "a#2"]


def test_a_call_on_its_own_loop_is_refused_instead_of_waiting_for_ever() -> None:
    """An LLM that asks the same object in the plain way would wait for itself."""
    found: list[str] = []

    class Nested(ScriptedLLM):
        async def complete(self, request: Any) -> Any:
            try:
                mollm.ask("Hi")
            except RuntimeError as error:
                found.append(str(error))
            return await super().complete(request)

    with MoLLM(CONFIG, llms=scripted() | {"b": Nested("from b")}) as mollm:
        assert mollm.ask("Hi", mixture="solo").text == "from b"

    assert "event loop" in found[0]


def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    """Threads do not survive a fork; the child asks on a new one."""
    program = (
        "import os\n"
        "from mollm import MoLLM\n"
        "llms = {'a': {'model': 'scripted/hello'}}\n"
        "m = MoLLM({'llms': llms, 'mixtures': {'m': {'description': 'x', 'workers': ['a']}}})\n"
        "m.ask('Hi')\n"
        "if not (pid := os.fork()):\n"
        "    print(m.ask('Hi').text, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.stdout == "hello\n"


def test_a_forgotten_stream_is_cleaned_up_without_waiting() -> None:
    """A generator that nobody closes is closed when it is collected, wherever that happens."""
    llms = scripted(a=Reply("x", delay=3600))

    with MoLLM(CONFIG, llms=llms) as mollm:
        events = mollm.stream("Hi")
        assert isinstance(next(events), Routed)
        del events
        gc.collect()
        assert mollm.ask("Hi", mixture="solo").text == "from b"


def test_closing_while_a_question_is_answered_says_so() -> None:
    """The thread that waits gets an error of ours."""
    llms = scripted(b=Reply("x", delay=3600))
    mollm = MoLLM(CONFIG, llms=llms)
    found: list[BaseException] = []

    def work() -> None:
        try:
            mollm.ask("Hi", mixture="solo")
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not llms["b"].requests:
        thread.join(0.01)
    mollm.close()
    thread.join(10)

    assert [type(error).__name__ for error in found] == ["RunError"]


@pytest.mark.parametrize("question", [None, 7, [{"role": "user", "content": [1]}]])
def test_what_is_no_question_is_refused(question: Any) -> None:
    """A slip in a program is told as one."""
    with MoLLM(CONFIG, llms=scripted()) as mollm, pytest.raises(RequestError):
        mollm.ask(question)


async def test_a_batch_needs_a_place() -> None:
    """No concurrency at all would never end."""
    async with MoLLM(CONFIG, llms=scripted()) as mollm:
        with pytest.raises(RequestError, match="at least 1"):
            await mollm.abatch(["Hi"], concurrency=0)
