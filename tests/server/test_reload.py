"""Reading the configuration again while requests run."""

from __future__ import annotations

import asyncio
import logging
from collections import UserDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mollm.calling.base import Completion
from mollm.server.deployment import Deployment
from tests.server.served import config_of, served, until
from tests.upstream import Reply, Upstream, answer, stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator
    from pathlib import Path

    from mollm.calling.base import Chunk, Request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the configuration lies."""
    return tmp_path / "mollm.yaml"


def write(path: Path, upstream: Upstream, *, model: str = "old", **sections: dict[str, Any]) -> None:
    """Write a configuration whose LLMs are all `model`."""
    config = config_of(upstream, **sections)
    config["llms"] = {name: {**llm, "model": f"hosted_vllm/{model}"} for name, llm in config["llms"].items()}
    path.write_text(yaml.safe_dump(config))


def overwrite(path: Path, text: str | None) -> None:
    """Put `text` in the file's place, or nothing."""
    path.unlink()
    if text is not None:
        path.write_text(text + "llms:\n  a: {model: scripted/Four.}\n")


async def test_what_is_new_can_be_named_at_once(path: Path) -> None:
    """A mixture and a worker that were not there when the server started; and what was taken out is gone."""
    async with Upstream(answer("Four.")) as upstream:
        write(path, upstream)
        async with served(path) as server:
            before = await server.chat(model="sums")
            llm = config_of(upstream)["llms"]["a"]
            mixtures = {"sums": {"description": "Sums.", "workers": ["d"]}}
            write(path, upstream, model="expert", llms={"a": llm, "d": llm}, mixtures=mixtures, router={})
            is_good = await server.deployment.reload()
            after = await server.chat(model="sums")
            gone = await server.chat(model="one")
            listed = [model["id"] for model in (await server.get("/v1/models")).body["data"]]
            counted = await server.metric("reloads_total", outcome="good")

    assert is_good
    assert (before.status, after.status, gone.status) == (404, 200, 404)
    assert upstream.received[-1].body["model"] == "expert"
    assert {"sums", "d"} <= set(listed)
    assert "one" not in listed
    assert counted == 1


async def test_the_router_knows_what_is_new(path: Path) -> None:
    """A question goes to the mixture that came with the new configuration."""
    async with Upstream(answer("Four.")) as upstream:
        write(path, upstream)
        async with served(path) as server:
            mixtures = {"sums": {"description": "Sums.", "workers": ["b"]}}
            write(path, upstream, mixtures=mixtures, router={"kind": "fixed", "fallback": "sums"})
            await server.deployment.reload()
            reply = await server.chat(model="auto")

    assert reply.headers["x-mollm-mixture"] == "sums"


class Closing:
    """An LLM that notes how often it was closed; each call is answered when its event is set."""

    closed = 0

    def __init__(self, *go: asyncio.Event) -> None:
        self._go = list(go)

    async def complete(self, _: Request) -> Completion:
        """Answer when it may."""
        await self._go.pop(0).wait()
        return Completion({"role": "assistant", "content": "Four."})

    @property
    def waiting(self) -> int:
        """Calls that are still to come."""
        return len(self._go)

    def stream(self, _: Request) -> AsyncIterator[Chunk]:
        """Never asked for."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Note it."""
        self.closed += 1


async def test_what_runs_ends_as_it_began(path: Path) -> None:
    """A request in flight finishes with the LLMs it began with, also one that has calls to make; a new one does not."""
    go, more = asyncio.Event(), asyncio.Event()
    workers = [Reply(answer("A.").parts, before=go) for _ in range(3)]
    upstream = Upstream(stream("Fo", more, "ur."), *workers, answer("New."), stream("All."))
    async with upstream:
        write(path, upstream)
        async with served(path) as server, server.open(model="one") as first:
            await first.event()
            await first.event()
            second = asyncio.create_task(server.chat(model="three", stream=True))
            await upstream.request(4)
            write(path, upstream, model="new", mixtures={"one": {"description": "One.", "workers": ["a"]}}, router={})
            await server.deployment.reload()
            late = await server.chat(model="one")
            go.set()
            aggregated = await second
            more.set()
            rest = await first.rest()

    assert aggregated.text == "All."
    assert rest[-1] == "[DONE]"
    assert late.status == 200
    assert [received.body["model"] for received in upstream.received] == ["old"] * 4 + ["new", "old"]


class Keeping:
    """An upstream that takes one connection, answers one call on it, and keeps it until its client closes it."""

    base_url = ""

    def __init__(self) -> None:
        self.asked, self.go, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None, None]:
        """Listen while the block runs."""
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0) as server:
            self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        self.asked.set()
        await self.go.wait()
        body = answer("Four.").parts[0]
        assert isinstance(body, bytes)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await reader.read()
        self.closed.set()
        writer.close()


def with_one_at(first: Keeping, rest: Upstream) -> dict[str, Any]:
    """The LLMs of a configuration, of which `a` is at the first address."""
    llms = config_of(rest)["llms"]
    return {**llms, "a": {**llms["a"], "api_base": first.base_url}}


async def test_what_was_replaced_is_closed_when_nobody_uses_it_any_more(path: Path) -> None:
    """Its connections are kept until its last request has ended, and no longer."""
    old = Keeping()
    async with old.listening(), Upstream() as new:
        write(path, new, llms=with_one_at(old, new))
        async with served(path) as server:
            running = asyncio.create_task(server.chat(model="one"))
            await old.asked.wait()
            write(path, new)
            await server.deployment.reload()
            old.go.set()
            reply = await running
            async with asyncio.timeout(5):
                await old.closed.wait()

    assert reply.status == 200


async def test_what_is_in_force_keeps_its_connections(path: Path) -> None:
    """Also after its only request has ended, and when a file that is wrong was read; the end closes them."""
    upstream = Keeping()
    upstream.go.set()
    async with upstream.listening(), Upstream() as other:
        write(path, other, llms=with_one_at(upstream, other))
        async with served(path) as server:
            reply = await server.chat(model="one")
            overwrite(path, None)
            is_good = await server.deployment.reload()
            await server.get("/health")
            was_closed = upstream.closed.is_set()
        async with asyncio.timeout(5):
            await upstream.closed.wait()

    assert reply.status == 200
    assert (is_good, was_closed) == (False, False)


async def test_an_llm_that_was_given_is_its_owners_to_close(path: Path) -> None:
    """It goes on answering under the new configuration when the old one is closed, and stays open at the end."""
    first_go, second_go = asyncio.Event(), asyncio.Event()
    llm = Closing(first_go, second_go)
    async with Upstream() as upstream:
        write(path, upstream)
        async with served(path, llms={"a": llm}) as server:
            first = asyncio.create_task(server.chat(model="one"))
            await until(lambda: llm.waiting == 1)
            await server.deployment.reload()
            second = asyncio.create_task(server.chat(model="one"))
            await until(lambda: llm.waiting == 0)
            first_go.set()
            replies = [await first]
            await server.get("/health")
            while_the_second_ran = llm.closed
            second_go.set()
            replies.append(await second)

    assert [reply.status for reply in replies] == [200, 200]
    assert (while_the_second_ran, llm.closed) == (0, 0)


BROKEN = [
    ("mixtures:\n  one: {description: One., workers: [nobody]}\n", "mollm.yaml:2", "nobody"),
    ("mixtures:\n  one: {description: One., workers: [a], colour: red}\n", "mollm.yaml:2", "colour"),
    ("mixtures: [\n", "mollm.yaml:3", "not valid YAML"),
    (None, "mollm.yaml", ""),
]


@pytest.mark.parametrize(("text", "place", "key"), BROKEN, ids=["unknown worker", "unknown key", "no YAML", "no file"])
async def test_a_broken_file_changes_nothing(
    text: str | None, place: str, key: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The old configuration goes on answering, and the log names file, line and key."""
    async with Upstream(answer("Four.")) as upstream:
        write(path, upstream)
        async with served(path) as server:
            overwrite(path, text)
            with caplog.at_level(logging.ERROR, logger="mollm.server"):
                is_good = await server.deployment.reload()
            reply = await server.chat(model="one")
            counted = await server.metric("reloads_total", outcome="refused")

    assert not is_good
    assert reply.status == 200
    assert counted == 1
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "the configuration stays as it was" in said
    assert place in said
    assert key in said


HIDDEN = "sk-of-the-library"


class Treacherous(UserDict[str, Any]):
    """A configuration that fails, from a moment on, as a library does that nobody foresaw."""

    is_broken = False

    def __iter__(self) -> Iterator[str]:
        if self.is_broken:
            raise OSError(HIDDEN)
        return super().__iter__()


async def test_whatever_goes_wrong_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An error of no known kind is logged by its place, without what it says."""
    async with Upstream(answer("Four.")) as upstream:
        config = Treacherous(config_of(upstream))
        async with served(config) as server:
            config.is_broken = True
            is_good = await server.deployment.reload()
            reply = await server.chat(model="one")

    assert not is_good
    assert reply.status == 200
    assert "OSError while the configuration was read again, at" in caplog.text
    assert HIDDEN not in caplog.text


async def test_a_broken_file_keeps_the_keys_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A key whose variable is not set refuses the whole file; the log does not show the others."""
    async with Upstream(answer("Four.")) as upstream:
        write(path, upstream, server={"api_keys": ["the-first-key-of-all"]})
        async with served(path) as server:
            write(path, upstream, server={"api_keys": ["another-secret-key", "${NO_SUCH_VARIABLE_HERE}"]})
            is_good = await server.deployment.reload()
            replies = [
                await server.get("/v1/models", authorization=f"Bearer {key}")
                for key in ("the-first-key-of-all", "another-secret-key")
            ]

    assert not is_good
    assert [reply.status for reply in replies] == [200, 401]
    assert "NO_SUCH_VARIABLE_HERE" in caplog.text
    assert "another-secret-key" not in caplog.text


async def test_keys_rotate(path: Path) -> None:
    """Both are let in while both are in the file; then the old one is out."""
    old, new = "the-old-key-of-many", "the-new-key-of-many"
    seen = []
    async with Upstream() as upstream:
        write(path, upstream, server={"api_keys": [old]})
        async with served(path) as server:
            for keys in ([old], [old, new], [new]):
                write(path, upstream, server={"api_keys": keys})
                await server.deployment.reload()
                replies = [await server.get("/v1/models", authorization=f"Bearer {key}") for key in (old, new)]
                seen.append([reply.status for reply in replies])

    assert seen == [[200, 401], [200, 200], [401, 200]]


WORLD = "0.0.0.0"  # noqa: S104 - not bound


@pytest.mark.parametrize("host", ["127.0.0.1", None], ids=["loopback", "no host"])
async def test_a_file_that_moves_to_loopback_does_not_open_what_is_bound_to_the_world(
    host: str | None, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The socket stays where it is, so a file without keys is refused and the old key is still needed."""
    key = "a-key-for-the-whole-world"
    async with Upstream() as upstream:
        write(path, upstream, server={"host": WORLD, "api_keys": [key]})
        async with served(path) as server:
            write(path, upstream, server={"host": host} if host else {})
            is_good = await server.deployment.reload()
            without = await server.get("/v1/models")
            with_key = await server.get("/v1/models", authorization=f"Bearer {key}")

    assert not is_good
    assert (without.status, with_key.status) == (401, 200)
    assert f"{WORLD} is not loopback, so a key of 16 characters or more is needed" in caplog.text


async def test_the_commands_host_outlasts_the_files(path: Path) -> None:
    """Bound to loopback by the command, a file for the world needs no keys, also when it is read again."""
    async with Upstream() as upstream:
        write(path, upstream)
        deployment = Deployment(path, host="127.0.0.1")
        write(path, upstream, server={"host": WORLD})

        is_good = await deployment.reload()

    assert is_good
    assert not deployment.keys


async def test_the_bounds_change(path: Path) -> None:
    """More room lets in who waits; the queue, the longest body and the keep-alive follow as well."""
    go = asyncio.Event()
    held = [stream("Fo", go, "ur.") for _ in range(2)]
    async with Upstream(*held) as upstream:
        write(path, upstream, server={"max_in_flight": 1, "queue": 1})
        async with served(path) as server:
            admission = server.deployment.admission
            running = [asyncio.create_task(server.chat(model="one", stream=True)) for _ in range(2)]
            await until(lambda: admission.waiting == 1)
            write(path, upstream, server={"max_in_flight": 2, "queue": 0, "max_body": 1000})
            await server.deployment.reload()
            await upstream.request(2)
            refused = await server.chat(model="one")
            large = await server.chat(model="one", user="x" * 1000)
            go.set()
            replies = await asyncio.gather(*running)

    assert [reply.text for reply in replies] == ["Four.", "Four."]
    assert (refused.status, large.status) == (503, 413)


async def test_less_room_ends_nobody(path: Path) -> None:
    """Who is inside stays; the next waits until there is room by the new bounds."""
    go, second_go = asyncio.Event(), asyncio.Event()
    upstream = Upstream(stream("Fo", go, "ur."), stream("Fi", second_go, "ve."), answer("Six."))
    async with upstream:
        write(path, upstream, server={"max_in_flight": 2})
        async with served(path) as server:
            first = asyncio.create_task(server.chat(model="one", stream=True))
            await upstream.request(1)
            second = asyncio.create_task(server.chat(model="one", stream=True))
            await upstream.request(2)
            write(path, upstream, server={"max_in_flight": 1})
            await server.deployment.reload()
            third = asyncio.create_task(server.chat(model="one"))
            await until(lambda: server.deployment.admission.waiting)
            go.set()
            texts = [(await first).text]
            waiting = server.deployment.admission.waiting
            second_go.set()
            texts.append((await second).text)
            reply = await third

    assert texts == ["Four.", "Five."]
    assert waiting == 1
    assert reply.status == 200


async def test_an_address_changes_with_a_restart_only(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so, and the rest of the file holds."""
    async with Upstream() as upstream:
        write(path, upstream)
        deployment = Deployment(path)
        write(path, upstream, model="new", server={"port": 1})

        is_good = await deployment.reload()

    assert is_good
    assert "server.host and server.port change with a restart only" in caplog.text
    assert deployment.mollm.catalog.config.llms["a"].model == "hosted_vllm/new"
