"""File descriptors: as many as the system gives, what fits into them, and what happens where something does not."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mollm.calling.bounds import CONNECTIONS
from mollm.calling.shortage import SAID_AGAIN, descriptor_limit, no_descriptor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from mollm.config.config import Config
    from mollm.server.clients import Clients

log = logging.getLogger("mollm.server")

PLENTY = 65_536
"""What is asked for where less would do: no more than a program can be expected to want."""
SPARE = 32
"""For name look-ups, files that are read again, threads, and connections that are being closed."""
LEAST_FOR_LLMS = 8
"""One in so many is for connections to LLMs, however many clients there are: without them no client is answered."""


class Needs(NamedTuple):
    """Descriptors that a configuration can need at once."""

    own: int
    """For files, sockets that listen, and the like."""
    clients: int
    """Connections of clients whose HTTP requests are worked on or wait."""
    requests: int
    """HTTP requests that are worked on at once."""
    calls: int
    """Calls that one of them may have out at once, each with a connection."""
    llms: int
    """Connections that all LLMs may have."""

    @classmethod
    def of(cls, config: Config, own: int) -> Needs:
        """Add up what `config` allows; an LLM that runs in this process takes no connection."""
        remote = {
            name: CONNECTIONS * max(1, len(llm.api_base or ())) for name, llm in config.llms.items() if llm.is_remote
        }
        layers = [(m.planned, [w.llm for w in m.listed for _ in range(w.samples)]) for m in config.mixtures.values()]
        remotes = [min(most, sum(name in remote for name in layer)) for most, layer in layers]
        calls = max([*remotes, int(bool(remote))])
        server = config.server
        llms = min(server.max_in_flight * calls, sum(remote.values()))
        return cls(own, server.max_in_flight + server.queue, server.max_in_flight, calls, llms)

    @property
    def total(self) -> int:
        """All of them."""
        return self.own + self.clients + self.llms

    def fitting(self, limit: int) -> str:
        """Say which `server.max_in_flight` fits `limit`, with the same queue where one does."""
        left = limit - self.own
        if (most := (left - (self.clients - self.requests)) // (1 + self.calls)) >= 1:
            return f"`server.max_in_flight` to {most}"
        return f"`server.max_in_flight` and `server.queue` to {max(1, left // (2 + self.calls))}"


class Descriptors:
    """What a server may have open: some for itself, then the connections of its clients, and the rest for LLMs.

    Calls wait where connections to LLMs would not fit, so that descriptors do not run out.

    Attributes:
        limit: How many there are; None: any number.
    """

    def __init__(self, clients: Clients) -> None:
        """Take those of clients."""
        self._clients = clients
        self._own = _open_now() + SPARE
        self._kept = 0
        self.limit: int | None = None

    def fit(self, config: Config) -> None:
        """Raise the limit as far as it may be, and warn where a configuration does not fit it even so."""
        needs = Needs.of(config, self._own)
        self.limit = raise_limit(needs.total)
        if self.limit is None:
            return
        left = self.limit - self._own
        self._kept = min(needs.clients, left // 2)
        self._clients.most = max(1, left - left // LEAST_FOR_LLMS)
        if needs.total > self.limit:
            log.warning(
                "%s, and the limit is %d: calls will wait for connections, of which LLMs have %d; set `ulimit -n %d`, "
                "or %s",
                *(_arithmetic(needs), self.limit, self.for_llms(), needs.total, needs.fitting(self.limit)),
            )

    def for_llms(self) -> int:
        """How many connections LLMs may have now."""
        if self.limit is None:
            return sys.maxsize
        left = self.limit - self._own
        return max(1, left // LEAST_FOR_LLMS, left - max(self._kept, self._clients.count))


def raise_limit(needed: int) -> int | None:
    """Raise the limit of this process to what is needed or plenty, as far as the system lets it; return what it is."""
    limit, wanted = descriptor_limit(), max(needed, PLENTY)
    if limit is None or limit >= wanted:
        return limit
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (wanted, 10_240):  # macOS takes no more, whatever it calls the hard limit
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            if soft > limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (ValueError, OSError) as error:
            log.info("the limit of file descriptors stays %d, %d was refused: %s", limit, soft, error)
        else:
            break
    return descriptor_limit()


def _open_now() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return sum(1 for _ in Path(folder).iterdir())
        except OSError:
            continue
    return SPARE


def _arithmetic(needs: Needs) -> str:
    clients = f"{needs.clients} connections of clients (server.max_in_flight + server.queue)"
    calls = f"{needs.calls} call{'s' if needs.calls > 1 else ''}"
    llms = f"{needs.llms} to LLMs ({needs.requests} requests with up to {calls} at once)"
    return f"{needs.own} files, {clients} and {llms} are {needs.total} file descriptors"


class QuietAboutDescriptors:
    """An event loop's handler of exceptions that says once in a while that no connection could be accepted.

    asyncio tells of each connection it could not accept, with a traceback, as often as its backlog is long. It
    goes on by itself a second later.
    """

    def __init__(self) -> None:
        self._said = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """Take what the event loop tells."""
        if "out of system resource" not in str(context.get("message")):
            loop.default_exception_handler(dict(context))
        elif loop.time() >= self._said + SAID_AGAIN:
            self._said = loop.time()
            number = getattr(context.get("exception"), "errno", None)
            log.warning("%s: new connections wait", no_descriptor(number) if number else context["message"])
