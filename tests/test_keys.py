"""Every key of a configuration has an effect, and each is shown here."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from pydantic import BaseModel

from mollm import MoLLM, load_config
from mollm.config.config import Config
from mollm.config.fields import keys_of as section_keys
from mollm.errors import ConfigError, LimitError, MollmError, ProviderFailed, QuorumError
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.routing.learned import LearnedScorer
from tests.calibrations import written
from tests.clock import run_virtual
from tests.upstream import Upstream, answer, error, hang, stream

if TYPE_CHECKING:
    from mollm.types import Answer

Check: TypeAlias = Callable[[], None]
CHECKS: dict[str, Check] = {}


def key(*names: str) -> Callable[[Check], Check]:
    """Register a check as the one that shows the effect of these keys."""

    def register(check: Check) -> Check:
        for name in names:
            CHECKS[name] = check
        return check

    return register


def config(mixture: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """Three scripted LLMs and one mixture, with what is given put in its place."""
    whole = {"description": "x", "workers": ["a", "b", "c"], **(mixture or {})}
    base: dict[str, Any] = {"llms": {n: {"model": "scripted/x", "retries": 0} for n in "abc"}, "mixtures": {"m": whole}}
    return {**base, **sections}


def ask(
    configuration: dict[str, Any], question: str = "Hi", *, options: Any = None, **scripts: Any
) -> tuple[Answer, dict[str, ScriptedLLM], float]:
    """Ask on a virtual clock; returns the answer, the LLMs, and the seconds it took."""
    fakes = {name: ScriptedLLM(scripts.get(name, f"from {name}")) for name in configuration["llms"]}

    mollm = MoLLM(configuration, llms=fakes)
    assert mollm.catalog.router, "fitted before: a virtual clock does not wait for threads"

    async def run() -> tuple[Answer, float]:
        found = await mollm.aask(question, **(options or {}))
        return found, asyncio.get_running_loop().time()

    found, seconds = run_virtual(run())
    return found, fakes, seconds


def called(fakes: dict[str, ScriptedLLM]) -> dict[str, int]:
    """How often each LLM was called."""
    return {name: len(fake.requests) for name, fake in fakes.items()}


def upstream(llm: dict[str, Any], *script: Any, streamed: bool = False) -> tuple[list[Any], Exception | None]:
    """Ask one LLM over real sockets; returns what the server received, and the error if there was one."""

    async def run() -> tuple[list[Any], Exception | None]:
        failure = None
        async with Upstream(*script) as server:
            whole = {"model": "hosted_vllm/m", "api_base": server.base_url, "retries": 0, **llm}
            one = {"description": "x", "workers": ["a"]}
            async with MoLLM({"llms": {"a": whole}, "mixtures": {"m": one}}) as mollm:
                try:
                    if streamed:
                        async for _ in mollm.astream("Hi"):
                            pass
                    else:
                        await mollm.aask("Hi")
                except MollmError as found:
                    failure = found
            return server.received, failure

    return asyncio.run(run())


@key("version")
def version() -> None:
    """Another version is refused."""
    with pytest.raises(ConfigError, match="version"):
        load_config(config(version=2))


@key("llms", "mixtures", "router", "limits", "mixtures.NAME.description", "mixtures.NAME.workers")
def required() -> None:
    """What has to be there is asked for."""
    for missing in ("llms", "mixtures"):
        with pytest.raises(ConfigError, match=f"{missing}: is required"):
            load_config({k: v for k, v in config().items() if k != missing})
    for name in ("description", "workers"):
        whole = config()
        del whole["mixtures"]["m"][name]
        with pytest.raises(ConfigError, match=f"mixtures.m.{name}: is required"):
            load_config(whole)
    for section in ("router", "limits"):
        with pytest.raises(ConfigError, match=section):
            load_config({**config(), section: 7})


@key("llms.NAME.model", "llms.NAME.api_base", "llms.NAME.api_key")
def address() -> None:
    """The model's name, the address and the key are those of the call."""
    received, _ = upstream({"api_key": "k3y"}, answer())

    assert received[0].body["model"] == "m"
    assert received[0].headers["Authorization"] == "Bearer k3y"


@key("llms.NAME.proxy")
def proxy() -> None:
    """Nothing is called past it."""
    received, failure = upstream({"proxy": "http://127.0.0.1:1"}, answer())

    assert received == []
    assert "check `proxy`" in str(failure)


@key("llms.NAME.client")
def client() -> None:
    """Another client calls the same address."""
    received, _ = upstream({"client": "langchain-openai", "api_key": "k"}, answer())

    assert "OpenAI" in received[0].headers["User-Agent"]


@key(
    "llms.NAME.max_tokens",
    "llms.NAME.temperature",
    "llms.NAME.top_p",
    "llms.NAME.stop",
    "llms.NAME.seed",
    "llms.NAME.extra_body",
)
def writing() -> None:
    """Settings go out with the call; `max_tokens` always does."""
    settings = {"max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "seed": 3, "extra_body": {"top_k": 2}}

    received, _ = upstream(settings, answer())
    plain, _ = upstream({}, answer())

    sent = {k: v for k, v in received[0].body.items() if k not in ("model", "messages")}
    assert sent == {**{k: v for k, v in settings.items() if k != "extra_body"}, "top_k": 2}
    assert {k: v for k, v in plain[0].body.items() if k not in ("model", "messages")} == {"max_tokens": 1024}


@key("llms.NAME.max_tokens_field")
def max_tokens_field() -> None:
    """The token limit is sent under that name."""
    for llm, name in (({}, "max_tokens"), ({"max_tokens_field": "max_completion_tokens"}, "max_completion_tokens")):
        received, _ = upstream({**llm, "max_tokens": 7}, answer())

        assert {k: v for k, v in received[0].body.items() if "tokens" in k} == {name: 7}


@key("llms.NAME.stream_usage")
def stream_usage() -> None:
    """A stream is asked for its usage, or not."""
    for llm, is_asked in (({}, True), ({"stream_usage": True}, True), ({"stream_usage": False}, False)):
        received, _ = upstream(llm, stream("Hi"), streamed=True)

        assert ("stream_options" in received[0].body) == is_asked


@key("llms.NAME.context_window")
def context_window() -> None:
    """Proposals that do not fit the aggregator's window are shortened, and the answer says so."""
    small = config(llms={n: {"model": "scripted/x", "context_window": 600, "max_tokens": 50} for n in "abc"})
    large = config(llms={n: {"model": "scripted/x", "context_window": 9000, "max_tokens": 50} for n in "abc"})
    long = dict.fromkeys("bc", "word " * 400)

    shortened, _, _ = ask(small, **long, a=lambda r: "whole" if "<answer" in str(r.messages) else "word " * 400)
    whole, _, _ = ask(large, **long)

    assert any("shortened" in reason for reason in shortened.degraded)
    assert whole.degraded == ()


@key("llms.NAME.timeout", "llms.NAME.timeout.total")
def total() -> None:
    """A call is given up after `total` seconds."""
    llms = {"a": {"model": "scripted/x", "retries": 0, "timeout": {"total": 7}}}

    _, _, seconds = ask_failing(config({"workers": ["a"]}, llms=llms), a=Reply(delay=1000))

    assert seconds == pytest.approx(7)


@key("llms.NAME.timeout.connect")
def connect() -> None:
    """A host that does not take the connection is given up after `connect` seconds, not after `total`."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # a queue that is full leaves further connections unanswered
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        llm = {"api_base": f"http://127.0.0.1:{full.getsockname()[1]}/v1", "timeout": {"connect": 0.1}}

        _, failure = upstream(llm)

    assert type(failure).__name__ == "TimedOut"


@key("llms.NAME.timeout.first_token")
def first_token() -> None:
    """A streamed call without a first token is given up after `first_token` seconds."""
    _, failure = upstream({"timeout": {"first_token": 0.05}}, hang(), streamed=True)

    assert type(failure).__name__ == "TimedOut"


@key("llms.NAME.timeout.idle")
def idle() -> None:
    """A stream that falls silent is given up after `idle` seconds."""
    _, failure = upstream({"timeout": {"idle": 0.05}}, stream("Fo", asyncio.Event()), streamed=True)

    assert type(failure).__name__ == "AggregationError"


@key("llms.NAME.retries")
def retries() -> None:
    """So many attempts more than one."""
    for count in (0, 2):
        received, _ = upstream({"retries": count}, *[error(500, retry_after_ms="1")] * 3)
        assert len(received) == 1 + count


@key("llms.NAME.max_in_flight")
def max_in_flight() -> None:
    """Samples of one LLM wait for one another."""
    mixture = {"workers": [{"llm": "a", "samples": 3}], "aggregator": {"method": "vote"}}
    bound = {"a": {"model": "scripted/x", "max_in_flight": 1}}

    _, _, free = ask(config(mixture, llms={"a": {"model": "scripted/x"}}), a=Reply("x y z w", delay=2))
    _, _, queued = ask(config(mixture, llms=bound), a=Reply("x y z w", delay=2))

    assert (free, queued) == pytest.approx((2, 6))


@key("llms.NAME.stream")
def stream_always() -> None:
    """A call that wants the whole reply is streamed and collected."""
    received, failure = upstream({"stream": "always"}, stream("Fo", "ur."))

    assert failure is None
    assert received[0].body["stream"] is True


@key("llms.NAME.think_tags")
def think_tags() -> None:
    """Thoughts between tags are no part of the answer, or are left in it."""
    text = "<think>Hm.</think>Four."
    for setting, expected in (({}, "Four."), ({"think_tags": "move"}, "Four."), ({"think_tags": "leave"}, text)):
        llms = {"a": {"model": "scripted/x", **setting}}

        found, _, _ = ask(config({"workers": ["a"]}, llms=llms), a=text)

        assert found.text == expected


@key("llms.NAME.price", "llms.NAME.price.input", "llms.NAME.price.output")
def price() -> None:
    """Input and output tokens are priced apart."""
    llms = {"a": {"model": "scripted/x", "price": {"input": 1e6, "output": 10e6}}}

    found, _, _ = ask(config({"workers": ["a"]}, llms=llms), a="12345678")

    assert found.cost_usd == found.usage.prompt_tokens * 1 + found.usage.completion_tokens * 10


TWO = {"description": "x", "workers": ["a"]}, {"description": "y", "workers": ["b"]}


@key("router.kind", "router.fallback")
def fixed() -> None:
    """The fixed router sends everything to the fallback."""
    mixtures = {"one": {**TWO[0], "examples": ["Hi"]}, "two": {**TWO[1], "examples": ["Ho"]}}
    router = {"kind": "fixed", "fallback": "two"}

    assert ask(config(mixtures=mixtures, router=router))[0].mixture == "two"


CATS = [f"my cat {verb} the sofa again" for verb in ("scratched", "climbed", "left", "likes", "bit", "hates")]
SHIPS = [f"the ship {verb} the harbour at noon" for verb in ("leaves", "enters", "passes", "blocks", "fills", "saw")]


@key("router.threshold", "mixtures.NAME.examples")
def threshold() -> None:
    """Examples decide; below the threshold the fallback answers."""
    mixtures = {"cats": {**TWO[0], "examples": CATS}, "ships": {**TWO[1], "examples": SHIPS}}
    low = {"fallback": "ships", "threshold": 0.0}
    high = {"fallback": "ships", "threshold": 1.0}

    assert ask(config(mixtures=mixtures, router=low), "my cat likes me")[0].mixture == "cats"
    assert ask(config(mixtures=mixtures, router=high), "my cat likes me")[0].mixture == "ships"


@key("router.familiarity", "router.members.familiarity")
def familiarity() -> None:
    """What a question must be known by: with 1, one that is known in part is left to the fallback."""
    mixtures = {"cats": {**TWO[0], "examples": CATS}, "ships": {**TWO[1], "examples": SHIPS}}
    for bound, mixture in ((0.0, "cats"), (1.0, "ships")):
        member = {"kind": "learned", "threshold": 0.0, "familiarity": bound}
        for router in (member, {"kind": "chain", "members": [member]}):
            whole = config(mixtures=mixtures, router={"fallback": "ships", **router})
            assert ask(whole, "my cat likes xylophones")[0].mixture == mixture


@key("router.llm", "router.prompt")
def llm_router() -> None:
    """The LLM that is named picks the mixture, and is asked with the prompt that is named."""
    mixtures = {"one": TWO[0], "two": TWO[1]}
    router = {"kind": "llm", "llm": "c", "prompt": "Pick: {{ mixtures }} {{ question }}", "fallback": "one"}

    found, fakes, _ = ask(config(mixtures=mixtures, router=router), c="two")

    assert found.mixture == "two"
    assert fakes["c"].requests[0].messages[0]["content"].startswith("Pick: one: x\ntwo: y <question-")


@key("router.members", *(f"router.members.{name}" for name in ("kind", "threshold", "llm", "prompt")))
def chain() -> None:
    """A member that is not sure enough leaves the question to the next, each with keys of its own."""
    mixtures = {"cats": {**TWO[0], "examples": CATS}, "ships": {**TWO[1], "examples": SHIPS}}
    guide = {"kind": "llm", "llm": "c", "prompt": "Pick: {{ mixtures }} {{ question }}"}

    for threshold, mixture, asked in ((0.0, "cats", 0), (1.0, "ships", 1)):
        members = [{"kind": "learned", "threshold": threshold}, guide]
        router = {"kind": "chain", "fallback": "cats", "members": members}
        found, fakes, _ = ask(config(mixtures=mixtures, router=router), "my cat likes me", c="ships")
        assert found.mixture == mixture
        assert called(fakes)["c"] == asked
        assert all(r.messages[0]["content"].startswith("Pick: ") for r in fakes["c"].requests)


def ask_failing(
    configuration: dict[str, Any], **scripts: Any
) -> tuple[MollmError | None, dict[str, ScriptedLLM], float]:
    """As `ask`, for a request that fails."""
    fakes = {name: ScriptedLLM(scripts.get(name, f"from {name}")) for name in configuration["llms"]}
    failure: list[MollmError] = []

    async def run() -> float:
        try:
            await MoLLM(configuration, llms=fakes).aask("Hi")
        except MollmError as found:
            failure.append(found)
        return asyncio.get_running_loop().time()

    seconds = run_virtual(run())
    return failure[0] if failure else None, fakes, seconds


@key("mixtures.NAME.workers.llm", "mixtures.NAME.workers.samples")
def samples() -> None:
    """The LLM that is named is asked so many times."""
    _, fakes, _ = ask(config({"workers": [{"llm": "b", "samples": 3}], "aggregator": {"method": "vote"}}))

    assert called(fakes) == {"a": 0, "b": 3, "c": 0}


@key(
    "llms.NAME.description",
    *(f"mixtures.NAME.workers.choose{name}" for name in ("", ".most", ".from", ".by", ".llm")),
)
def choosing() -> None:
    """An LLM that reads what the others are good at picks some of them for the question."""
    choose = {"most": 2, "from": ["a", "c"], "by": "router_llm", "llm": "b"}
    llms = {n: {"model": "scripted/x", "retries": 0, "description": f"knows {n}"} for n in "abc"}
    found, fakes, _ = ask(config({"workers": {"choose": choose}, "aggregator": {"method": "vote"}}, llms=llms), b="c")

    assert called(fakes) == {"a": 0, "b": 1, "c": 1}
    assert "a: knows a\nc: knows c" in fakes["b"].requests[0].messages[0]["content"]
    assert found.text == "from c"


@key("mixtures.NAME.workers.prompt", "mixtures.NAME.workers.system")
def persona() -> None:
    """`system` replaces the caller's system message, and the prompt follows it."""
    worker = {"llm": "a", "prompt": "You know {{ description }}.", "system": "Be brief."}
    _, fakes, _ = ask(config({"description": "ships", "workers": [worker]}))

    assert fakes["a"].requests[0].messages[0] == {"role": "system", "content": "Be brief.\n\nYou know ships."}


@key(
    "mixtures.NAME.workers.max_tokens",
    "mixtures.NAME.workers.temperature",
    "mixtures.NAME.workers.top_p",
    "mixtures.NAME.workers.stop",
    "mixtures.NAME.workers.seed",
    "mixtures.NAME.workers.extra_body",
)
def worker_settings() -> None:
    """A worker's settings win over its LLM's."""
    own = {"max_tokens": 5, "temperature": 1.0, "top_p": 0.5, "stop": "x", "seed": 9, "extra_body": {"k": 1}}
    llms = {"a": {"model": "scripted/x", "max_tokens": 50, "temperature": 0.0, "seed": 1}}

    _, fakes, _ = ask(config({"workers": [{"llm": "a", **own}]}, llms=llms))

    sent = fakes["a"].requests[0].settings.payload()
    assert sent == {"max_tokens": 5, "temperature": 1.0, "top_p": 0.5, "stop": ["x"], "seed": 9, "k": 1}


@key("mixtures.NAME.aggregator", "mixtures.NAME.aggregator.method", "mixtures.NAME.aggregator.llm")
def method() -> None:
    """`vote` needs no LLM where two agree, `best` names one, `synthesize` writes."""
    said = {"a": "The answer is 4.", "b": "The answer is 5.", "c": "I get 5. The answer is 5."}
    for name, text, calls in (("vote", said["b"], 3), ("best", said["a"], 4), ("synthesize", "written", 4)):
        script: dict[str, Any] = {**said, "boss": "1" if name == "best" else "written"}
        aggregator = {"method": name, **({} if name == "vote" else {"llm": "boss"})}
        llms = {n: {"model": "scripted/x"} for n in ("a", "b", "c", "boss")}
        found, _, _ = ask(config({"aggregator": aggregator, "shuffle": False}, llms=llms), **script)
        assert (found.text, found.calls) == (text, calls)


@key(
    "mixtures.NAME.aggregator.prompt",
    "mixtures.NAME.aggregator.max_tokens",
    "mixtures.NAME.aggregator.temperature",
)
def aggregator_settings() -> None:
    """The aggregator has a prompt and settings of its own."""
    own = {"llm": "c", "prompt": "Merge: {{ proposals }}", "max_tokens": 5, "temperature": 0.1}

    _, fakes, _ = ask(config({"workers": ["a", "b"], "aggregator": own}))

    request = fakes["c"].requests[0]
    assert "Merge: <answer-" in request.messages[-1]["content"]
    assert (request.settings.max_tokens, request.settings.temperature) == (5, 0.1)


@key("mixtures.NAME.aggregator.fallback_llm")
def fallback_llm() -> None:
    """A failed aggregator gives way to it."""
    mixture = {"workers": ["a", "b"], "aggregator": {"llm": "c", "fallback_llm": "b"}}

    found, fakes, _ = ask(config(mixture), c=ProviderFailed("down"))

    assert found.text == "from b"
    assert called(fakes) == {"a": 1, "b": 2, "c": 1}


@key("mixtures.NAME.ask_first", "mixtures.NAME.agree")
def agree() -> None:
    """Two that agree spare the third and the aggregator."""
    four: dict[str, Any] = dict.fromkeys("abc", "The answer is 4.")

    _, few, _ = ask(config({"ask_first": 2, "agree": 2}), **four)
    _, most, _ = ask(config({"ask_first": 2, "agree": "majority"}), **four)
    _, all_, _ = ask(config({"ask_first": 2}), **four)

    assert called(few) == called(most) == {"a": 1, "b": 1, "c": 0}
    assert called(all_) == {"a": 2, "b": 1, "c": 1}


@key("mixtures.NAME.calibration")
def calibration() -> None:
    """One that is sure enough alone spares all others, and the answer says how probable it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "c.json", config(), supports={"a": 4.0})
        four: dict[str, Any] = dict.fromkeys("abc", "The answer is 4.")

        found, fakes, _ = ask(config({"ask_first": 1, "agree": 0.9, "calibration": str(path)}), **four)
        without, _, _ = ask(config({"ask_first": 1}), **four)

    assert called(fakes) == {"a": 1, "b": 0, "c": 0}
    assert found.confidence == pytest.approx(0.982, abs=1e-3)
    assert without.confidence is None


@key("mixtures.NAME.aggregator.keep_above")
def keep_above() -> None:
    """What two say and is probable enough is kept against an aggregator that says otherwise."""
    said: dict[str, Any] = {"a": ["The answer is 4.", "The answer is 7."], "b": "It is 4.", "c": "The answer is 5."}
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "c.json", config(), supports={"a": 4.0})

        kept, _, _ = ask(config({"aggregator": {"keep_above": 0.6}, "calibration": str(path)}), **said)
        left, _, _ = ask(config({"calibration": str(path)}), **said)

    assert (kept.text, left.text) == ("The answer is 4.", "The answer is 7.")


@key("mixtures.NAME.logprobs")
def logprobs() -> None:
    """Workers are asked for them, and their mean stands in the proposals."""
    told = {"content": [{"token": "4", "logprob": -0.25}, {"token": ".", "logprob": -0.75}]}
    four: dict[str, Any] = dict.fromkeys("abc", Reply("The answer is 4.", logprobs=told))

    with_them, fakes, _ = ask(config({"logprobs": True}), **four)
    without, bare, _ = ask(config(), **four)

    assert fakes["a"].requests[0].settings.extra_body == {"logprobs": True}
    assert bare["a"].requests[0].settings.extra_body == {}
    assert with_them.proposals[0].logprob == pytest.approx(-0.5)
    assert without.proposals[0].text == with_them.proposals[0].text


@key("mixtures.NAME.widen")
def widen() -> None:
    """So many start when those before have settled without agreement."""
    differ: dict[str, Any] = {n: Reply(f"The answer is {i}.", delay=1) for i, n in enumerate("abc")}
    vote = {"ask_first": 1, "agree": 2, "aggregator": {"method": "vote"}}

    _, _, one_by_one = ask(config({**vote, "widen": 1}), **differ)
    _, _, together = ask(config({**vote, "widen": "all"}), **differ)

    assert (one_by_one, together) == pytest.approx((3, 2))


@key("mixtures.NAME.widen_after")
def widen_after() -> None:
    """The next starts without waiting for a slow one."""
    mixture = {"ask_first": 1, "enough": 1, "aggregator": {"method": "vote"}}

    _, _, waiting = ask(config(mixture), a=Reply("slow", delay=50))
    _, _, widened = ask(config({**mixture, "widen_after": 2}), a=Reply("slow", delay=50))

    assert (waiting, widened) == pytest.approx((50, 2))


@key("mixtures.NAME.enough")
def enough() -> None:
    """The layer goes on with so many and cancels the rest."""
    _, fakes, seconds = ask(config({"enough": 2, "aggregator": {"method": "vote"}}), c=Reply("slow", delay=99))

    assert seconds == pytest.approx(0)
    assert fakes["c"].cancelled == 1


@key("mixtures.NAME.alike")
def alike() -> None:
    """Open texts agree where their vectors do."""
    said = {"a": "A storm it was, and it sank her.", "b": "Bread needs flour.", "c": "She sank in a storm, they say."}
    mixture = {"aggregator": {"method": "vote"}, "alike": 0.9}
    vectors = {"kind": "python", "path": "tests.vectors:by_storm"}

    llms = {name: ScriptedLLM(text) for name, text in said.items()}
    with MoLLM(config(mixture, embeddings=vectors), llms=llms) as mollm:  # it runs in a thread
        assert mollm.ask("What happened?").agreement == pytest.approx(2 / 3)


@key("mixtures.NAME.grace")
def grace() -> None:
    """Those that run when enough have arrived have so many seconds more, and one that arrives then counts."""
    late: dict[str, Any] = {"b": Reply("late", delay=1), "c": Reply("slow", delay=99)}
    mixture = {"enough": 1, "aggregator": {"method": "vote"}}

    without, _, at_once = ask(config(mixture), **late)
    with_grace, fakes, later = ask(config({**mixture, "grace": 2}), **late)
    _, _, in_each_layer = ask(config({**mixture, "grace": 2, "layers": 2}), **late)

    assert (at_once, later, in_each_layer) == pytest.approx((0, 2, 4))
    assert [p.text for p in without.proposals] == ["from a", "", ""]
    assert [p.text for p in with_grace.proposals] == ["from a", "late", ""]
    assert fakes["c"].cancelled == 1


@key("mixtures.NAME.aggregator.guard")
def guard() -> None:
    """A fact that most proposals have is asked for where the answer lacks it."""
    said: dict[str, Any] = dict.fromkeys("ab", "Surveyors found 8,849 of them there.") | {"c": ["Many.", "8,849."]}
    mixture = {"workers": ["a", "b"], "aggregator": {"llm": "c"}}

    without, _, _ = ask(config(mixture), **said)
    guarded, _, _ = ask(config({**mixture, "aggregator": {"llm": "c", "guard": "facts"}}), **said)

    assert (without.text, without.calls) == ("Many.", 3)
    assert (guarded.text, guarded.calls) == ("8,849.", 4)


@key("mixtures.NAME.quorum")
def quorum() -> None:
    """Fewer arrivals than that are an error, however good they are."""
    down: dict[str, Any] = {"c": ProviderFailed("down")}

    failure, _, _ = ask_failing(config({"quorum": 3}), **down)
    passed, _, _ = ask_failing(config({"quorum": 2}), **down)

    assert isinstance(failure, QuorumError)
    assert passed is None


@key("mixtures.NAME.deadline")
def deadline() -> None:
    """A layer ends after so many seconds with what arrived."""
    found, _, seconds = ask(config({"deadline": 3, "aggregator": {"method": "vote"}}), c=Reply("slow", delay=99))

    assert seconds == pytest.approx(3)
    assert [p.error.kind if p.error else None for p in found.proposals] == [None, None, "timed_out"]


@key("mixtures.NAME.layers")
def layers() -> None:
    """Each worker answers once a layer."""
    found, fakes, _ = ask(config({"layers": 3}))

    assert [p.layer for p in found.proposals] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert called(fakes) == {"a": 4, "b": 3, "c": 3}


@key("mixtures.NAME.shuffle")
def shuffle() -> None:
    """Shuffled by the seed, or in listed order."""

    def order(mixture: dict[str, Any], seed: int) -> list[str]:
        llms = {n: {"model": "scripted/x"} for n in "abcde"}
        whole = config({"workers": list("abcd"), "aggregator": {"llm": "e"}, **mixture}, llms=llms)
        _, fakes, _ = ask(whole, options={"seed": seed})
        return re.findall(r"^from (\w)$", fakes["e"].requests[0].messages[-1]["content"], re.M)

    assert order({"shuffle": False}, 1) == ["a", "b", "c", "d"]
    assert order({}, 1) == order({}, 1)
    assert len({tuple(order({}, seed)) for seed in range(8)}) > 1


@key("mixtures.NAME.on_tools", "mixtures.NAME.tools_llm")
def tools() -> None:
    """Who is asked for a request with tools, and who has them."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}

    def who(mixture: dict[str, Any]) -> tuple[dict[str, int], list[str]]:
        _, fakes, _ = ask(config(mixture), options={"tools": [tool]})
        has = [name for name, fake in fakes.items() if any(r.settings.tools for r in fake.requests)]
        return called(fakes), has

    assert who({"on_tools": "alone", "tools_llm": "b"}) == ({"a": 0, "b": 1, "c": 0}, ["b"])
    assert who({"tools_llm": "b"}) == ({"a": 1, "b": 2, "c": 1}, ["b"])
    assert who({"on_tools": "every"}) == ({"a": 2, "b": 1, "c": 1}, ["a"])
    with pytest.raises(ConfigError, match=r"mixtures\.m\.tools: unknown key; `tools_llm` names"):
        load_config(config({"tools": "b"}))


@key("limits.calls", "limits.output_tokens", "limits.cost_usd")
def ceilings() -> None:
    """What could exceed one is refused before the first call."""
    priced = {n: {"model": "scripted/x", "max_tokens": 100, "price": {"input": 1, "output": 1}} for n in "abc"}
    refused: list[dict[str, Any]] = [{"calls": 3}, {"output_tokens": 399}, {"cost_usd": 1e-6}]
    for limit in refused:
        failure, fakes, _ = ask_failing(config(llms=priced, limits=limit))
        assert isinstance(failure, LimitError)
        assert next(iter(limit)) in str(failure)
        assert sum(called(fakes).values()) == 0


@key("limits.seconds")
def seconds() -> None:
    """The whole request ends after so many seconds, with the best there is."""
    slow: dict[str, Any] = {name: Reply(f"from {name}", delay=3) for name in "abc"}

    found, _, took = ask(config(limits={"seconds": 5}), **slow)

    assert took == pytest.approx(5), "three seconds for the workers, two of three for the aggregator"
    assert found.text == "from a"
    assert found.degraded


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_key_has_its_effect(name: str) -> None:
    """Setting the key changes what is done, and the change is the one it is there for."""
    CHECKS[name]()


def test_a_router_can_be_loaded_from_a_folder(tmp_path: Path) -> None:
    """`path` takes the place of examples, also that of a chain's member."""
    LearnedScorer.fit({"cats": CATS, "ships": SHIPS}, fallback="ships").save(tmp_path)
    mixtures = {"cats": TWO[0], "ships": TWO[1]}
    loaded = {"path": str(tmp_path), "threshold": 0.0}
    members = [{"kind": "learned", **loaded}]

    for router in ({"fallback": "ships", **loaded}, {"kind": "chain", "fallback": "ships", "members": members}):
        found, _, _ = ask(config(mixtures=mixtures, router=router), "my cat likes me")
        assert found.mixture == "cats"


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every key below `model`, with NAME for what the user names."""
    found: set[str] = set()
    for name, field in section_keys(model).items():
        path = f"{prefix}{name}"
        found.add(path)
        is_named = name in ("llms", "mixtures") and not prefix
        for inner in _models_in(field.annotation):
            found |= keys_of(inner, f"{path}.NAME." if is_named else f"{path}.")
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


MOVING = ("fallback_rate", "bounds", "recent")
EMBEDDER = ("", ".kind", ".path", ".api_base", ".api_key", ".model")
KEY_LIMITS = ("", ".at_once", ".per_minute", ".tokens_per_day", ".cost_usd_per_day")
ELSEWHERE = {
    **dict.fromkeys(("router.multi",), "routing/test_joined.py::test_the_file_says_whether_two_may_answer"),
    **dict.fromkeys(("router.weights",), "routing/test_ensemble.py::test_weights_are_given_fitted_or_all_the_same"),
    **dict.fromkeys((f"router.{key}" for key in MOVING), "routing/test_recent.py"),
    **dict.fromkeys((f"router.members.{key}" for key in MOVING), "routing/test_recent.py"),
    **dict.fromkeys(("router.path", "router.members.path"), "test_a_router_can_be_loaded_from_a_folder"),
    **dict.fromkeys(
        (
            f"{section}{key}"
            for section in ("embeddings", "router.embedder", "router.members.embedder")
            for key in EMBEDDER
        ),
        "config/test_embeddings.py",
    ),
    **dict.fromkeys(
        ("llms.NAME.pace", "llms.NAME.pace.latency", "llms.NAME.pace.tokens_per_second"),
        "llms/test_replay.py::test_an_answer_takes_its_time",
    ),
    **dict.fromkeys(("router.arms", "mixtures.NAME.arms"), "test_arms.py"),
    **dict.fromkeys(("privacy", "privacy.mask", "privacy.for", "llms.NAME.private"), "privacy/test_privacy.py"),
    **dict.fromkeys(("privacy.region",), "privacy/test_finding.py"),
    **dict.fromkeys(
        ("mixtures.NAME.aggregator.score", *(f"mixtures.NAME.aggregator.score.{key}" for key in ("python", "seconds"))),
        "comparing/test_judge.py",
    ),
    **dict.fromkeys(("feedback", "feedback.kind", "feedback.path"), "feedback/test_keeping.py"),
    **dict.fromkeys(("feedback.keep", "feedback.days"), "feedback/test_keeping.py, feedback/test_sqlite.py"),
    **dict.fromkeys(
        tuple(f"mixtures.NAME.workers.choose.{name}" for name in ("path", "quality_weight")),
        "mixing/test_choosing.py",
    ),
    **dict.fromkeys(
        (f"mixtures.NAME.aggregator.analysis{name}" for name in ("", ".llm", ".prompt", ".criteria")),
        "comparing/test_analysis.py",
    ),
    **dict.fromkeys(("mixtures.NAME.aggregator.analysis.max_tokens",), "comparing/test_analysis_kept.py"),
    **dict.fromkeys(
        (
            "mixtures.NAME.review",
            *(f"mixtures.NAME.review.{key}" for key in ("by", "criteria", "prompt", "max_tokens")),
        ),
        "comparing/test_review.py",
    ),
    "mixtures.NAME.review.keep": "comparing/test_review_everywhere.py",
    **dict.fromkeys(("server", "server.host", "server.port"), "server/test_process.py"),
    **dict.fromkeys(("server.api_keys", "server.max_body"), "server/test_auth.py"),
    **dict.fromkeys(("server.api_keys.name", "server.api_keys.key"), "config/test_api_keys.py"),
    **dict.fromkeys(("server.api_keys.sha256",), "config/test_api_keys.py"),
    **dict.fromkeys((f"server.api_keys.limits{key}" for key in KEY_LIMITS), "server/test_key_limits.py"),
    **dict.fromkeys(("server.usage",), "server/test_ledger.py"),
    **dict.fromkeys(("server.hosts", "server.origins"), "server/test_origins.py"),
    **dict.fromkeys(("server.forward",), "server/chat/test_endpoint.py"),
    **dict.fromkeys(("llms.NAME.headers",), "llms/test_headers.py"),
    **dict.fromkeys(("server.max_in_flight", "server.queue"), "server/test_admission.py"),
    **dict.fromkeys(("server.queue_seconds",), "server/test_overload.py"),
    **dict.fromkeys(("server.keep_alive",), "server/test_streaming.py"),
    **dict.fromkeys(("server.drain",), "server/test_process.py"),
    **dict.fromkeys(("server.audit",), "server/test_audit.py"),
    **dict.fromkeys(("server.mcp",), "server/test_mcp.py"),
    **dict.fromkeys(("server.panels",), "server/chat/test_panels.py"),
}
"""Keys whose effect a test of its own shows."""


def test_no_key_is_without_a_check() -> None:
    """A key that is added to the models must be shown to do something."""
    assert keys_of(Config) - set(CHECKS) - set(ELSEWHERE) == set()
    assert (set(CHECKS) | set(ELSEWHERE)) - keys_of(Config) == set(), "and no check is for a key that is gone"


@pytest.mark.parametrize("place", ["llm", "worker"])
def test_extra_body_cannot_get_around_a_limit(place: str) -> None:
    """What limits count has a key of its own, and is refused when the file is read."""
    extra = {"extra_body": {"max_tokens": 9999, "n": 8, "top_k": 5}}
    whole = config(mixture={"workers": [{"llm": "a", **(extra if place == "worker" else {})}]})
    whole["llms"]["a"] |= extra if place == "llm" else {}

    with pytest.raises(ConfigError, match=r"extra_body: cannot set max_tokens, n: limits count them"):
        load_config(whole)


def test_agreement_cannot_end_a_layer_below_its_quorum() -> None:
    """Two that agree would be too few for a quorum of three."""
    with pytest.raises(ConfigError, match=r"quorum: 3 is more than `agree` \(2\)"):
        load_config(config(mixture={"agree": 2, "quorum": 3}))
