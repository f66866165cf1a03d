"""The addresses at which one LLM is served: which of them a call goes to, and how it fared there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.calling.health import Breaker, Standing
from mollm.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from mollm.calling.base import LLM


class Address:
    """One place where an LLM is served.

    Attributes:
        llm: Calls it there.
        name: Host and port, as events name it; empty where the client names none.
        in_flight: Calls that are out.
        breaker: What its last calls say about it.
    """

    __slots__ = ("breaker", "in_flight", "llm", "name")

    def __init__(self, llm: LLM, breaker: Breaker) -> None:
        self.llm = llm
        self.name = str(getattr(llm, "address", ""))
        self.in_flight = 0
        self.breaker = breaker

    def begin(self, now: float) -> Attempt:
        """Begin a call here; whoever begins it ends it."""
        self.in_flight += 1
        return Attempt(self, self.breaker.begin(now))


class Attempt:
    """One try of a call at one address. It ends once; what is said of it later changes nothing."""

    __slots__ = ("_is_over", "_is_probe", "address")

    def __init__(self, address: Address, is_probe: bool) -> None:
        self.address = address
        self._is_probe = is_probe
        self._is_over = False

    def answered(self) -> None:
        """A reply has begun, and may take minutes: meanwhile another call may find out about the address as well."""
        self.address.breaker.release(was_probe=self._is_probe)
        self._is_probe = False

    def succeeded(self) -> None:
        """It brought a reply."""
        if self._ends():
            self.address.breaker.success(was_probe=self._is_probe)

    def failed(self, now: float, retry_after: float = 0.0) -> bool:
        """It failed in a way that speaks against the address; returns whether that opened the breaker."""
        if not self._ends():
            return False
        return self.address.breaker.failure(now, was_probe=self._is_probe, retry_after=retry_after)

    def abandoned(self) -> None:
        """It ended in a way that says nothing about the address: the caller left, or asked what cannot be."""
        if self._ends():
            self.address.breaker.release(was_probe=self._is_probe)

    def _ends(self) -> bool:
        if self._is_over:
            return False
        self._is_over = True
        self.address.in_flight -= 1
        return True


class Addresses:
    """Where one LLM is served, at one address or several.

    The next call goes to the address with the best standing (see `Breaker`), among those to the one with the
    fewest calls in flight, among those to each in turn. So an address that failed a moment ago never attracts
    calls by being idle, as a server that refuses always is. When its time is over it gets one call as if nothing
    had happened, and all others go elsewhere until that one is answered. A call that failed once is not used to
    find out.
    """

    def __init__(self, llms: Sequence[LLM], breaker: Callable[[], Breaker] = Breaker) -> None:
        """Take one client for each address, and what makes the breaker of each."""
        self._all = [Address(llm, breaker()) for llm in llms]
        self._turn = 0

    def __iter__(self) -> Iterator[Address]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def begin(self, now: float, tried: Collection[Address] = ()) -> Attempt | None:
        """Begin a call at the address that `pick` returns."""
        address = self.pick(now, tried)
        if address is None:
            return None
        self._turn = (self._turn + 1) % len(self._all)
        return address.begin(now)

    def pick(self, now: float, tried: Collection[Address] = ()) -> Address | None:
        """The best address for a call that was `tried` at others; None where all that are left are open."""
        if len(self._all) == 1 and not tried and not self._all[0].breaker.failures:
            return self._all[0]
        best, least = None, (Standing.OPEN, 0)
        for address in (*self._all[self._turn :], *self._all[: self._turn]):
            if address not in tried:
                standing = address.breaker.standing(now)
                if standing is Standing.DUE and not tried:
                    standing = Standing.READY
                if (standing, address.in_flight) < least:
                    best, least = address, (standing, address.in_flight)
        return best

    def opens_in(self, now: float) -> float:
        """Seconds until the first of them is called again; 0 where one may be called, or one call is finding out."""
        if self.pick(now) is not None:
            return 0.0
        return min(address.breaker.opens_in(now) for address in self._all)

    def unavailable(self, now: float, llm: str) -> Unreachable:
        """The error for a call to `llm` when every address is open."""
        wait = self.opens_in(now)
        failed = f"its last {self._all[0].breaker.failures} calls failed"
        if len(self._all) > 1:
            failed = f"all its {len(self._all)} addresses keep failing"
        message = f"not called: {failed}; next try in {wait:.0f} s"
        return Unreachable(message, llm=llm, code="breaker_open", retry_after_seconds=wait)

    def asked_to_wait(self, now: float, tried: Collection[Address] = ()) -> float:
        """Seconds for which every address that `pick` would choose from asked to be left alone."""
        asked = [
            address.breaker.not_before
            for address in self._all
            if address not in tried and address.breaker.standing(now) < Standing.OPEN
        ]
        return max(0.0, min(asked, default=now) - now)
