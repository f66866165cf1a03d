"""What is lacking here is told as that, whatever library finds it, and holds nothing against the LLM."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest

from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import Request
from mollm.calling.health import RetryBudget
from mollm.calling.shortage import NO_DESCRIPTOR, NO_RESOURCE
from mollm.calling.translate import translate
from mollm.errors import Exhausted, Unreachable
from mollm.llms.langchain import chat_openai
from mollm.llms.litellm import LiteLLM
from mollm.llms.openai_compatible import OpenAICompatibleLLM
from mollm.llms.scripted import ScriptedLLM
from tests.clock import run_virtual
from tests.lacking import no_descriptors
from tests.upstream import Reply, Upstream, answer, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.calling.base import LLM

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance is deprecated"),
]

ASK = Request([{"role": "user", "content": "2 + 2?"}])
CLOSING = {"content-type": "application/json", "connection": "close"}
CLIENTS: dict[str, Callable[[str], LLM]] = {
    "ours": lambda base: OpenAICompatibleLLM("m", api_base=base),
    "ours by name": lambda base: OpenAICompatibleLLM("m", api_base=base.replace("127.0.0.1", "localhost")),
    "langchain-openai": lambda base: chat_openai("m", api_base=base),
    "litellm": lambda base: LiteLLM("openai/m", api_base=base, api_key="sk-1"),
}


class Untouched(RetryBudget):
    """A budget that nothing may be taken from."""

    def take(self) -> bool:
        raise AssertionError("a retry was taken from the budget")


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_call_without_a_descriptor_waits_for_one(client: str, caplog: pytest.LogCaptureFixture) -> None:
    """It says so in one line, takes no retry, blames nobody, and is made as soon as there is a descriptor."""
    caplog.set_level(logging.WARNING)
    reply = answer("Four.")
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: Reply(reply.parts, headers=CLOSING)
        llm = ReliableLLM("a", CLIENTS[client](upstream.base_url), budget=Untouched())
        await llm.complete(ASK)
        with no_descriptors() as descriptors:
            await descriptors.settle()
            with pytest.raises(Exhausted) as caught:
                await llm.complete(ASK, deadline=asyncio.get_running_loop().time() + 0.4)
            calls = asyncio.gather(*(llm.complete(ASK) for _ in range(3)))
            await asyncio.sleep(0)
            descriptors.give(12)
            replies = await calls
        failures = [address.breaker.failures for address in llm.addresses]
        await llm.aclose()

    assert [reply.text for reply in replies] == ["Four."] * 3
    assert "this process has no file descriptor left (limit " in caught.value.message
    assert (caught.value.code, failures) == (NO_DESCRIPTOR, [0])
    assert caught.value.retry_after_seconds
    lines = [record.getMessage() for record in caplog.records if "its calls wait" in record.getMessage()]
    assert len(lines) == 1


async def test_a_stream_waits_for_a_descriptor_too() -> None:
    """Before its first token, which is not late because of it."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: Reply(
            stream("Fo", "ur.").parts, headers={"content-type": "text/event-stream", "connection": "close"}
        )
        llm = ReliableLLM("a", OpenAICompatibleLLM("m", api_base=upstream.base_url), budget=Untouched())
        first = "".join([chunk.text async for chunk in llm.stream(ASK)])
        with no_descriptors() as descriptors:
            await descriptors.settle()
            asyncio.get_running_loop().call_later(0.2, descriptors.give, 12)
            second = "".join([chunk.text async for chunk in llm.stream(ASK)])
        await llm.aclose()

    assert (first, second) == ("Four.", "Four.")


def wrapped(inner: BaseException, *around: BaseException) -> BaseException:
    """Each as the cause of the next."""
    for outer in around:
        outer.__cause__ = inner
        inner = outer
    return inner


CONNECTION = aiohttp.client_reqrep.ConnectionKey("h", 80, False, True, None, None, None)
LACKING: dict[str, tuple[BaseException, str, str]] = {
    "descriptor": (OSError(errno.EMFILE, "x"), NO_DESCRIPTOR, "this process has no file descriptor left"),
    "machine's": (OSError(errno.ENFILE, "x"), NO_DESCRIPTOR, "this machine has no file descriptor left"),
    "buffers": (OSError(errno.ENOBUFS, "x"), NO_RESOURCE, "no buffer"),
    "memory": (OSError(errno.ENOMEM, "x"), NO_RESOURCE, "no memory"),
    "ports": (OSError(errno.EADDRNOTAVAIL, "x"), NO_RESOURCE, "no port"),
    "aiohttp": (
        aiohttp.ClientConnectorError(CONNECTION, OSError(errno.EMFILE, "x")),
        NO_DESCRIPTOR,
        "no file descriptor",
    ),
    "httpx": (
        wrapped(OSError(errno.EMFILE, "x"), OSError("All connection attempts failed"), httpx.ConnectError("x")),
        NO_DESCRIPTOR,
        "no file descriptor",
    ),
    "several addresses": (
        wrapped(
            ExceptionGroup("x", [OSError(errno.EMFILE, "x"), OSError(errno.EMFILE, "x")]),
            OSError("All connection attempts failed"),
            httpx.ConnectError("x"),
        ),
        NO_DESCRIPTOR,
        "no file descriptor",
    ),
    "resolver": (socket.gaierror(socket.EAI_MEMORY, "x"), NO_RESOURCE, "no memory"),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_is_lacking_here_is_found_in_any_error(case: str) -> None:
    """By its number, wherever in the chain of causes it stands."""
    error, code, words = LACKING[case]

    ours = translate(error, "a")

    assert isinstance(ours, Exhausted)
    assert (ours.code, ours.trips_breaker) == (code, False)
    assert words in ours.message


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ECONNREFUSED, "x"),
        OSError("Multiple exceptions: [Errno 99] ..., [Errno 111] ..."),
        socket.gaierror(socket.EAI_NONAME, "x"),
        wrapped(
            ExceptionGroup("x", [OSError(errno.EADDRNOTAVAIL, "x"), OSError(errno.ECONNREFUSED, "x")]),
            OSError("All connection attempts failed"),
        ),
    ],
    ids=["refused", "several", "no such host", "of several addresses one was refused"],
)
def test_what_the_server_does_is_still_its_doing(error: Exception) -> None:
    """A refused connection, a name that nobody has."""
    assert type(translate(error, "a")) is Unreachable


def test_a_port_is_not_waited_for_for_ever() -> None:
    """An address that this machine cannot have looks the same: five seconds, and other addresses are tried at once."""
    lacking = OSError(errno.EADDRNOTAVAIL, "x")
    alone = ReliableLLM("a", ScriptedLLM(lambda _: lacking))
    beside = ReliableLLM("a", [ScriptedLLM(lambda _: lacking), ScriptedLLM("yes")])

    async def run() -> tuple[float, float]:
        now = asyncio.get_running_loop().time
        with pytest.raises(Exhausted):
            await alone.complete(ASK)
        ended = now()
        for _ in range(4):
            assert (await beside.complete(ASK)).text == "yes"
        return ended, now() - ended

    ended, more = run_virtual(run())
    assert 3 < ended <= 6
    assert more == 0
