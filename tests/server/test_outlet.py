"""What is put in at one moment leaves in one write, in order, and no faster than the client reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mollm.errors import ClientGone
from mollm.server.outlet import MOST_HELD, Outlet
from tests.clock import run_virtual

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Client:
    """Takes messages, each when it may, and can fail to."""

    def __init__(self, *, seconds: float = 0.0, error: Exception | None = None) -> None:
        """Every message takes so many seconds; then it fails with `error`, if there is one."""
        self.sent: list[MutableMapping[str, Any]] = []
        self.ended: list[Exception] = []
        self.is_over = asyncio.Event()
        self.seconds, self._error = seconds, error
        self.outlet = Outlet(
            self._send,
            self,  # type: ignore[arg-type] # a slot is only told to end
            headers=lambda: {"x-begun": "yes"},
            sign_of_life=self._say_alive,
            patience=10.0,
        )

    def end(self, reason: Exception) -> None:
        """As a slot is told."""
        self.ended.append(reason)
        self.is_over.set()

    def _say_alive(self) -> None:
        self.outlet.put(b".")

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)
        await asyncio.sleep(self.seconds)
        if self._error:
            raise self._error

    @property
    def bodies(self) -> list[bytes]:
        """What was sent after the status, write by write."""
        assert not self.sent or self.sent[0]["type"] == "http.response.start"
        return [message["body"] for message in self.sent[1:]]


def test_what_is_put_in_at_one_moment_leaves_in_one_write() -> None:
    """And what comes at the next in another; the status goes before, the end with what is put in last."""

    async def main() -> Client:
        client = Client()
        for moment in ("ab", "cd"):
            for piece in moment:
                assert client.outlet.put(piece.encode())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        client.outlet.put(b"e")
        await client.outlet.end(b"f")
        return client

    client = run_virtual(main())

    assert client.bodies == [b"ab", b"cd", b"ef"]
    assert client.sent[0]["headers"] == [(b"x-begun", b"yes")]
    assert [message["more_body"] for message in client.sent[1:]] == [True, True, False]


def test_nothing_is_sent_before_something_is_put_in() -> None:
    """Until then the response may still become another."""

    async def main() -> Client:
        client = Client()
        await client.outlet.flush()
        begun = [client.outlet.has_begun]
        client.outlet.put(b"a")
        begun.append(client.outlet.has_begun)
        await client.outlet.flush()
        assert begun == [False, True]
        return client

    assert run_virtual(main()).bodies == [b"a"]


def test_a_slow_client_is_waited_for() -> None:
    """While a write is under way there is no room, and what is put in waits for its end."""

    async def main() -> Client:
        client = Client(seconds=5)
        loop = asyncio.get_running_loop()
        assert client.outlet.put(b"a")
        await asyncio.sleep(1)
        assert not client.outlet.put(b"b")
        await client.outlet.flush()
        assert loop.time() == 15, "status, then a, then b"
        await client.outlet.end(b"c")
        return client

    assert run_virtual(main()).bodies == [b"a", b"b", b"c"]


def test_a_burst_does_not_pile_up() -> None:
    """Beyond so many bytes it has to leave, however much comes at one moment."""

    async def main() -> Client:
        client = Client()
        while client.outlet.put(b"x" * 1000):
            pass
        await client.outlet.flush()
        return client

    (body,) = run_virtual(main()).bodies
    assert MOST_HELD < len(body) <= MOST_HELD + 1000


@pytest.mark.parametrize("is_inline", [True, False], ids=["by who flushes", "by itself"])
@pytest.mark.parametrize("error", [BrokenPipeError(), RuntimeError("odd")], ids=repr)
def test_a_write_that_fails_ends_the_slot(error: Exception, is_inline: bool) -> None:
    """An error of the operating system means that the client has gone; any other is what it is."""

    async def main() -> Client:
        client = Client(error=error)
        client.outlet.put(b"a")
        if is_inline and isinstance(error, OSError):
            await client.outlet.flush()
        await asyncio.sleep(1)
        client.outlet.close()
        return client

    (reason,) = run_virtual(main()).ended

    assert isinstance(reason, ClientGone) if isinstance(error, OSError) else reason is error


def test_nothing_is_sent_to_a_client_that_has_gone() -> None:
    """It is tried once."""

    async def main() -> Client:
        client = Client(error=BrokenPipeError())
        client.outlet.put(b"a")
        await client.outlet.flush()
        client.outlet.put(b"b")
        await client.outlet.end(b"c")
        return client

    assert len(run_virtual(main()).sent) == 1


def test_silence_is_broken_and_a_client_that_does_not_read_is_given_up() -> None:
    """Every ten seconds without a write a sign of life; a write that takes a minute ends the slot."""

    async def main() -> tuple[Client, float]:
        client = Client()
        with client.outlet:
            await asyncio.sleep(35)
            client.seconds = 1e6  # it reads no more
            client.outlet.put(b"a")
            await client.is_over.wait()
        client.outlet.close()
        return client, asyncio.get_running_loop().time()

    client, seconds = run_virtual(main())

    assert client.bodies == [b".", b".", b".", b"a"]
    assert [type(reason) for reason in client.ended] == [ClientGone]
    assert 95 <= seconds <= 105
