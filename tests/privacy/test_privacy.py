"""What leaves, what is kept and what comes back, over real sockets."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM, create_graph
from mollm.errors import ConfigError, LimitError, RequestError
from mollm.events import Done, Token
from mollm.llms.scripted import ScriptedLLM
from mollm.plain import to_plain
from tests.server.served import served
from tests.upstream import Upstream, answer, error, stream

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.callbacks import BaseCallbackHandler

    from mollm.events import Event
    from mollm.types import Message, Question
    from tests.upstream import Received
    from tests.upstream import Reply as Sent

MAIL, CARD, KEY, PHONE = "anna.berg@corp.io", "4111 1111 1111 1111", "sk-proj-abcdefghij0123456789", "+49 30 901820"
SECRETS = (MAIL, CARD, KEY, PHONE)
QUESTION = f"Mail {MAIL} that {CARD} is charged with {KEY}, or call {PHONE}. Is {MAIL} right?"
MASKED = "Mail [EMAIL_1] that [CARD_1] is charged with [KEY_1], or call [PHONE_1]. Is [EMAIL_1] right?"
WRITTEN = f"Sent to {MAIL}, for {CARD} and {PHONE}."
CONCEALED = "Sent to [EMAIL_1], for [CARD_1] and [PHONE_1]."
TOOL = {
    "type": "function",
    "function": {"name": "send", "description": f"Sends, also to {MAIL}.", "parameters": {"type": "object"}},
}
SYSTEM: Message = {"role": "system", "content": f"Speak for {MAIL}."}


def reply(received: Received) -> Sent:
    """Write what was asked, with the values as they were read; a stream is cut wherever that hurts."""
    body = received.body
    read = json.dumps(body, ensure_ascii=False)
    text = WRITTEN if MAIL in read else CONCEALED
    if body["model"] == "lone":
        text = text.replace("Sent to", "Sent to rita@corp.io and")
    if body.get("tools") and body["messages"][-1]["role"] != "tool":
        to = MAIL if MAIL in read else "[email_1]"
        call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": json.dumps({"to": to})}}
        if not body.get("stream"):
            return answer(None, tool_calls=[call], finish_reason="tool_calls")
        start = {**call, "index": 0, "function": {"name": "send", "arguments": '{"to": "'}}
        rest = [{"index": 0, "function": {"arguments": piece}} for piece in (to[:4], to[4:8], to[8:] + '"}')]
        return stream(*({"tool_calls": [piece]} for piece in (start, *rest)), finish_reason="tool_calls")
    return stream(*(text[at : at + 3] for at in range(0, len(text), 3))) if body.get("stream") else answer(text)


class Hears:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def tell(self, event: Event) -> None:
        self.heard.append(event)

    async def show(self, token: Token) -> None:
        self.heard.append(token)


def tracer(heard: list[Any]) -> BaseCallbackHandler:
    """LangChain callbacks that keep what models are sent and say."""
    from langchain_core.callbacks import BaseCallbackHandler

    class Traces(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            heard.extend([args, kwargs])

        def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
            heard.extend([args, kwargs])

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            heard.extend([args, kwargs])

    return Traces()


class Stage:
    """A mixture of two workers and an aggregator at an upstream, of which `private` ones read the values."""

    def __init__(self, upstream: Upstream, *private: str, **sections: Any) -> None:
        self.upstream = upstream
        upstream.reply_to = reply
        self.hears = Hears()
        self.config: dict[str, Any] = {
            "llms": {
                name: {
                    "model": f"hosted_vllm/{name}",
                    "api_base": upstream.base_url,
                    "retries": 0,
                    "context_window": 8192,
                    **({"private": name in private} if private else {}),
                }
                for name in ("one", "two", "boss", "lone")
            },
            "mixtures": {
                "m": {"description": "d", "workers": ["one", "two"], "aggregator": {"llm": "boss"}},
                "alone": {"description": "d", "workers": ["lone"]},
            },
            "router": {"kind": "fixed", "fallback": "m"},
            "privacy": {"mask": ["email", "card", "key", "phone"], **({"for": "remote"} if private else {})},
            **sections,
        }

    def sent(self, *models: str) -> str:
        """Every byte of every request to these models, or to any."""
        found = [r for r in self.upstream.received if not models or (r.body or {}).get("model") in models]
        return "".join(f"{r.path}{r.query}{r.headers}{json.dumps(r.body, ensure_ascii=False)}" for r in found)


def assert_nothing_in(*texts: Any) -> None:
    """None of the values stands in any of these."""
    for text in map(str, texts):
        for secret in (*SECRETS, "901820", "anna.berg"):
            assert secret not in text


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize("private", [(), ("one",), ("one", "boss"), ("one", "two")])
async def test_nothing_but_the_answer_has_the_values(
    engine: Any, private: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither remote LLMs nor events, trace, logs or what is kept for feedback, whole or streamed, by loop or graph."""
    caplog.set_level(logging.DEBUG)
    kept = tmp_path / "kept.sqlite"
    async with Upstream() as upstream:
        stage = Stage(upstream, *private, feedback={"kind": "sqlite", "path": str(kept), "keep": "all"})
        async with MoLLM(stage.config, observers=[stage.hears], engine=engine) as mollm:
            found = await mollm.aask([SYSTEM, {"role": "user", "content": QUESTION}])
            told = [event async for event in mollm.astream(QUESTION)]

    done = told[-1]
    assert isinstance(done, Done)
    for got in (found, done.answer):
        assert got.text == got.message["content"] == WRITTEN
        assert [p.text for p in got.proposals] == [CONCEALED] * 2
        assert_nothing_in(to_plain(got) | {"text": "", "message": {}})
    assert "".join(event.text for event in told if isinstance(event, Token)) == WRITTEN
    assert_nothing_in(*(event for event in told if not isinstance(event, Done | Token)))
    assert "[EMAIL_1]" in str(stage.hears.heard)
    assert_nothing_in(*stage.hears.heard, caplog.text, *(r.__dict__ for r in caplog.records))
    assert_nothing_in(*files_in(tmp_path))
    for name in ("one", "two", "boss"):
        if name in private:
            assert MAIL in stage.sent(name)
            assert "[EMAIL_1]" not in stage.sent(name)
        else:
            assert MASKED in stage.sent(name)
            assert_nothing_in(stage.sent(name))


def files_in(folder: Path) -> list[str]:
    """What the files of a folder hold, one of which a store of answers has written."""
    found = [path.read_bytes().decode("latin-1") for path in folder.iterdir()]
    assert any("[EMAIL_1]" in text for text in found)
    return found


async def test_tools_get_the_values_and_a_turn_finds_its_proposals_again() -> None:
    """Arguments are restored whole and streamed, and the next request of the turn has the same placeholders."""
    call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": json.dumps({"to": MAIL})}}
    step: list[Message] = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": f"sent to {MAIL}, copy to bert@corp.io"},
    ]
    async with Upstream() as upstream:
        stage = Stage(upstream)
        async with MoLLM(stage.config) as mollm:
            first = await mollm.aask(step[:1], tools=[TOOL])
            told = [event async for event in mollm.astream(step[:1], tools=[TOOL])]
            before = len(upstream.received)
            last = await mollm.aask(step, tools=[TOOL])
            asked = [r.body for r in upstream.received[before:]]

    assert first.message["tool_calls"][0]["function"] == {"name": "send", "arguments": json.dumps({"to": MAIL})}
    done = told[-1]
    assert isinstance(done, Done)
    assert done.answer.message["tool_calls"] == first.message["tool_calls"]
    deltas = [call for event in told if isinstance(event, Token) for call in event.delta.get("tool_calls", ())]
    assert json.loads("".join(delta["function"]["arguments"] for delta in deltas)) == {"to": MAIL}
    assert (last.reused, last.text, [body["model"] for body in asked]) == (True, WRITTEN, ["boss"])
    assert asked[0]["messages"][-1]["content"] == "sent to [EMAIL_1], copy to [EMAIL_2]"
    assert json.loads(asked[0]["messages"][-2]["tool_calls"][0]["function"]["arguments"]) == {"to": "[EMAIL_1]"}
    assert asked[0]["tools"][0]["function"]["description"] == "Sends, also to [EMAIL_1]."
    assert_nothing_in(stage.sent())
    assert "bert" not in stage.sent()


async def test_a_value_that_a_private_llm_brings_up_reaches_no_other() -> None:
    """It is concealed in its proposal, and revealed in the answer."""
    async with Upstream() as upstream:
        stage = Stage(upstream, "lone")
        stage.config["mixtures"]["m"]["workers"] = ["lone", "one"]
        upstream.reply_to = lambda r: answer("Ask [EMAIL_R1].") if r.body["model"] == "boss" else reply(r)
        for engine in ("auto", "graph"):
            async with MoLLM(stage.config, engine=engine) as mollm:
                found = await mollm.aask(QUESTION)
            assert found.text == "Ask rita@corp.io."
            assert found.proposals[0].text.startswith("Sent to [EMAIL_R1] and [EMAIL_1]")
    assert "rita" not in stage.sent("one", "boss")


async def test_a_graph_keeps_placeholders_and_shows_values(caplog: pytest.LogCaptureFixture) -> None:
    """Its streams show the answer to whoever reads them; tracers and its own part of the state have placeholders."""
    caplog.set_level(logging.DEBUG)
    from langgraph.checkpoint.memory import InMemorySaver

    saver, traced = InMemorySaver(), list[Any]()
    async with Upstream() as upstream:
        stage = Stage(upstream)
        graph = create_graph(stage.config, checkpointer=saver, observers=[stage.hears])
        config: Any = {"configurable": {"thread_id": "t"}, "callbacks": [tracer(traced)]}
        asked: Any = {"messages": [("user", QUESTION)]}
        shown: dict[str, list[Any]] = {"messages": [], "custom": []}
        async for mode, item in graph.astream(asked, config, stream_mode=["messages", "custom"]):
            shown[str(mode)].append(item)
        found = await graph.ainvoke({"messages": [("user", f"And {MAIL}?")]}, config)
        state = (await graph.aget_state(config)).values

    assert "".join(chunk.text for chunk, _ in shown["messages"]) == WRITTEN
    assert "".join(e.text for e in shown["custom"] if isinstance(e, Token)) == WRITTEN
    assert shown["custom"][-1].answer.text == WRITTEN
    assert found["messages"][-1].text == WRITTEN
    assert found["mollm"]["text"] == CONCEALED
    assert "[EMAIL_1]" in str(state["run"])
    assert "[EMAIL_1]" in str(traced)
    assert_nothing_in(state["run"], state["mollm"], state["beside"], traced, stage.hears.heard, caplog.text)
    assert_nothing_in(stage.sent())
    for entry in saver.list(config):
        channels = entry.checkpoint["channel_values"]
        assert_nothing_in(*(value for name, value in channels.items() if name not in ("messages", "__start__")))


async def test_a_run_that_is_resumed_elsewhere_has_the_same_placeholders() -> None:
    """The values are kept nowhere: whoever resumes it finds them in the conversation again."""
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.memory import InMemorySaver

    saver, config = InMemorySaver(), RunnableConfig(configurable={"thread_id": "t"})
    asked: Any = {"messages": [("user", QUESTION)]}
    async with Upstream() as upstream:
        stage = Stage(upstream)
        begun = create_graph(stage.config, checkpointer=saver)
        await begun.ainvoke(asked, config, interrupt_after=["propose"])
        before = len(upstream.received)
        resumed = create_graph(stage.config, checkpointer=saver)
        found = await resumed.ainvoke(None, config)

    assert [r.body["model"] for r in upstream.received[before:]] == ["boss"]
    assert found["messages"][-1].text == WRITTEN
    assert_nothing_in(stage.sent(), found["mollm"])


async def test_what_was_concealed_is_counted_for_whoever_reads_it() -> None:
    """A key is longer than its placeholder, and a private LLM is sent the key: limits count the longer form."""
    long = f"-----BEGIN PRIVATE KEY-----\n{'MIIEpAIBAAKCAQEA1234' * 80}\n-----END PRIVATE KEY-----"
    async with Upstream() as upstream:
        stage = Stage(upstream, "lone", limits={"cost_usd": 0.001})
        for llm in stage.config["llms"].values():
            llm |= {"price": {"input": 1, "output": 1}, "max_tokens": 100}
        async with MoLLM(stage.config) as mollm:
            await mollm.aask("Hi there", mixture="alone")
            with pytest.raises(LimitError):
                await mollm.aask(f"{long} {long}", mixture="alone")


async def test_a_server_answers_with_values_and_traces_placeholders() -> None:
    """Whole and streamed, with `mollm.trace`; further fields of a request are concealed too."""
    async with Upstream() as upstream:
        stage = Stage(upstream)
        body = {"messages": [{"role": "user", "content": QUESTION}], "user": MAIL, "mollm": {"trace": True}}
        async with served(stage.config) as server:
            whole = await server.chat(model="m", **body)
            parts = await server.chat(model="m", stream=True, **body)

    assert whole.body["choices"][0]["message"]["content"] == parts.text == WRITTEN
    for trace in (whole.body["mollm"], parts.events[-2]["mollm"]):
        assert trace["text"] == WRITTEN
        assert [p["text"] for p in trace["proposals"]] == [CONCEALED] * 2
        assert_nothing_in({**trace, "text": "", "message": {}})
    assert_nothing_in(stage.sent())


async def test_what_a_private_llm_repeats_in_an_error_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A server quotes what it was sent; the values are taken out of that."""
    caplog.set_level(logging.DEBUG)
    async with Upstream() as upstream:
        stage = Stage(upstream, "one")
        upstream.reply_to = lambda r: error(400, f"cannot read {MAIL} there") if r.body["model"] == "one" else reply(r)
        async with MoLLM(stage.config) as mollm:
            found = await mollm.aask(QUESTION)
    assert MAIL in stage.sent("one")
    assert found.text == WRITTEN
    assert "cannot read" in caplog.text
    assert_nothing_in(caplog.text, to_plain(found.proposals))


def scripted(script: Any, **sections: Any) -> tuple[MoLLM, ScriptedLLM]:
    """One LLM that answers alone."""
    llm = ScriptedLLM(script)
    config = {
        "llms": {"a": {"model": "x/y", "retries": 0}},
        "mixtures": {"m": {"description": "d", "workers": ["a"]}},
        "privacy": {"mask": ["email", "key"]},
        **sections,
    }
    return MoLLM(config, llms={"a": llm}), llm


def test_values_of_several_lines_come_back_as_json_where_json_was_asked_for() -> None:
    """A private key in a JSON answer is a string of it."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234\n-----END PRIVATE KEY-----"
    mollm, llm = scripted('{"key": "[KEY_1]"}')
    with mollm:
        found = mollm.ask(f"Repeat {key}", response_format={"type": "json_object"})
        told = [*mollm.stream(f"Repeat {key}", response_format={"type": "json_object"})]

    assert json.loads(found.text) == {"key": key}
    assert json.loads("".join(e.text for e in told if isinstance(e, Token))) == {"key": key}
    assert llm.requests[0].messages[-1]["content"] == "Repeat [KEY_1]"


def test_every_part_of_a_conversation_is_concealed_and_pictures_are_not_touched() -> None:
    """Texts, parts, names, thoughts and arguments, but no ids, and nothing in base64."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,c2stYWJjQGNvcnAuaW8="}}
    messages: list[Message] = [
        {"role": "user", "name": MAIL, "content": [{"type": "text", "text": f"I am {MAIL}"}, picture]},
        {"role": "assistant", "content": f"Hello {MAIL}", "reasoning_content": f"{MAIL} it is"},
        {"role": "user", "content": "Who am I?"},
    ]
    mollm, llm = scripted("You are [EMAIL_1].")
    with mollm:
        assert mollm.ask(messages, stop=[MAIL], extra_body={"metadata": {"by": MAIL}}).text == f"You are {MAIL}."
    request = llm.requests[0]
    assert request.messages[0] == {
        "role": "user",
        "name": "[EMAIL_1]",
        "content": [{"type": "text", "text": "I am [EMAIL_1]"}, picture],
    }
    assert_nothing_in(request)


def test_a_text_that_begins_like_a_data_url_is_concealed() -> None:
    """The events of a stream do, as a tool brings them; only what is base64 from end to end is no text."""
    picture = "data:image/png;base64,c2stYWJjQGNvcnAuaW8="
    mollm, llm = scripted("Fine.")
    with mollm:
        mollm.ask([{"role": "user", "content": f"data: {MAIL}"}], extra_body={"metadata": [f"data:{MAIL}", picture]})
        mollm.ask(f"data:text/plain;base64,{MAIL}")
    assert llm.requests[0].messages[0]["content"] == "data: [EMAIL_1]"
    assert llm.requests[0].settings.extra_body["metadata"] == ["data:[EMAIL_1]", picture]
    assert_nothing_in(*llm.requests)


def test_a_parameter_that_is_called_as_a_keyword_of_schemas_is_concealed() -> None:
    """Its name is the operator's own, as all names are, and what is said of it is not."""
    properties = {name: {"type": "string", "description": f"Of {MAIL}."} for name in ("name", "type", "format")}
    schema = {"type": "object", "properties": properties, "required": ["name"], "$defs": {"x": {"const": MAIL}}}
    mollm, llm = scripted("Fine.")
    with mollm:
        mollm.ask("Hi", tools=[{"type": "function", "function": {"name": "send", "parameters": schema}}])
    assert_nothing_in(*llm.requests)
    assert llm.requests[0].settings.tools[0]["function"]["parameters"]["required"] == ["name"]  # type: ignore[index]


@pytest.mark.parametrize("private", [(), ("one",)])
async def test_the_panel_of_a_request_is_concealed(private: tuple[str, ...]) -> None:
    """It is the caller's words as much as the question is; a private LLM reads its values, and names stay."""
    async with Upstream() as upstream:
        stage = Stage(upstream, *private)
        panel = {
            "workers": [{"llm": "one", "system": f"You are {MAIL}. Not [EMAIL_1].", "stop": [KEY]}, "two"],
            "aggregator": {"llm": "boss", "analysis": {"llm": "two", "criteria": [f"as {MAIL} likes it"]}},
        }
        async with MoLLM(stage.config) as mollm:
            found = await mollm.arun("Who am I?", stage.hears, mixture=panel)
            with pytest.raises(RequestError, match="levels"):
                panel["workers"] = [panel]
                await mollm.arun("Who am I?", mixture=panel)

        others = [name for name in ("one", "two", "boss") if name not in private]
        assert_nothing_in(stage.sent(*others), to_plain(found.proposals), *stage.hears.heard[:1])
        assert "as [EMAIL_P1] likes it" in stage.sent("two")
        assert (f"You are {MAIL}." if private else "You are [EMAIL_P1].") in stage.sent("one")


def test_routers_and_choosers_read_placeholders() -> None:
    """What is asked first of all is asked with the question as everybody reads it."""
    asked: list[str] = []

    def router(question: Question) -> str:
        asked.append(question.last)
        return "m"

    llm = ScriptedLLM("Fine.")
    config = {
        "llms": {"a": {"model": "x/y"}},
        "mixtures": {"m": {"description": "d", "workers": ["a"]}},
        "privacy": {"mask": "email"},
    }
    with MoLLM(config, llms={"a": llm}, router=router) as mollm:
        mollm.ask(f"Who is {MAIL}?")
        mollm.route(f"Who is {MAIL}?")
    assert asked == ["Who is [EMAIL_1]?"] * 2


@pytest.mark.parametrize(
    ("llm", "is_private"),
    [
        ({"model": "scripted/x"}, True),
        ({"model": "hosted_vllm/m", "api_base": "http://localhost:8000/v1"}, True),
        ({"model": "hosted_vllm/m", "api_base": ["http://10.0.0.7/v1", "http://[fd00::1]:80/v1"]}, True),
        ({"model": "hosted_vllm/m", "api_base": ["http://10.0.0.7/v1", "http://8.8.8.8/v1"]}, False),
        ({"model": "hosted_vllm/m", "api_base": "http://vllm:8000/v1"}, False),
        ({"model": "hosted_vllm/m", "api_base": "http://127.0.0.1/v1", "proxy": "http://10.0.0.1:3128"}, False),
        ({"model": "hosted_vllm/m", "api_base": "http://127.0.0.1/v1", "private": False}, False),
        ({"model": "hosted_vllm/m", "api_base": "http://vllm:8000/v1", "private": True}, True),
        ({"model": "openai/gpt"}, False),
    ],
)
def test_an_llm_is_private_by_where_it_is_called(llm: dict[str, Any], is_private: bool) -> None:
    """In this process, at an address of this machine or of a private network, or where the file says so."""
    config = {
        "llms": {"a": llm, "b": {"model": "openai/other"}},
        "mixtures": {"m": {"description": "d", "workers": ["a", "b"]}},
        "privacy": {"mask": ["email"], "for": "remote"},
    }
    with MoLLM(config) as mollm:
        assert mollm.catalog.privacy is not None
        assert mollm.catalog.privacy.is_private("a") is is_private
        assert not mollm.catalog.privacy.is_private("b")


def test_an_llm_that_was_brought_is_private_only_where_the_file_says_so() -> None:
    """Nobody knows where it sends what it gets."""
    for said, is_private in ((None, False), (True, True)):
        llm = {"model": "scripted/x"} | ({} if said is None else {"private": said})
        sections = {"llms": {"a": llm}, "privacy": {"mask": ["email"], "for": "remote"}}
        mollm, fake = scripted("[EMAIL_1]", **sections)
        with mollm:
            mollm.ask(f"Hi {MAIL}")
        assert (MAIL in str(fake.requests[0].messages)) is is_private


def test_a_region_that_is_none_is_refused_by_its_place() -> None:
    """Two letters are not a country by themselves."""
    with pytest.raises(ConfigError, match=r"privacy\.region: 'QQ' is no country"):
        scripted("", privacy={"mask": ["phone"], "region": "QQ"})
