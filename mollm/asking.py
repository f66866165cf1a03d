"""When calls of a layer start, and when it ends: a state machine over events, without a clock or a call."""

from __future__ import annotations

from dataclasses import dataclass

from mollm.final.tally import Tally


@dataclass(frozen=True, slots=True)
class Rules:
    """When to start calls and when to stop. Counts are numbers of calls, times are in seconds."""

    ask_first: int
    agree: int | None = None
    majority: bool = False
    """More than half of those asked are enough, and two at least; one that failed counts as not asked."""
    sure: float | None = None
    """Probability that the leading answer is right, above 0 and below 1, from which on nobody else is asked."""
    widen: int = 1
    widen_after: float | None = None
    enough: int = 1
    grace: float = 0.0
    """How much longer the calls that run are waited for once `enough` have arrived."""
    quorum: int = 1
    deadline: float = 120.0
    layers: int = 1

    @property
    def may_agree(self) -> bool:
        """Whether proposals may end a layer by what they say."""
        return self.agree is not None or self.majority or self.sure is not None


class Asking:
    """The rules of asking, as a state machine over the planned calls 0 to `planned` - 1.

    Every method that reports an event returns the calls to start now, in listed order.

    Attributes:
        ended: No call is to be started or waited for any more.
        agreed: It ended because enough proposals have the same final answer, or one is probable enough.
        is_in_grace: Enough have arrived, and those that run are waited for, until `grace_over` is reported at the
            latest; none is started any more.
    """

    def __init__(self, planned: int, rules: Rules) -> None:
        """Create it with no call started."""
        self._planned = planned
        self._rules = rules
        self._started = 0
        self._settled = 0
        self._failed = 0
        self._tally = Tally()
        self.ended = False
        self.agreed = False
        self.is_in_grace = False

    @property
    def has_more(self) -> bool:
        """Whether a planned call has not been started yet."""
        return self._started < self._planned

    def begin(self) -> range:
        """Start the first calls."""
        return self._start(self._rules.ask_first)

    def arrived(self, final: str | None, confidence: float | None = None) -> range:
        """A call returned a proposal.

        Args:
            final: Its final answer in canonical form, if it has one.
            confidence: Probability that the answer which leads now is right, if that is known.
        """
        if self.ended:
            return self._start(0)
        votes = self._tally.add(self._settled, final)
        self._settled += 1
        is_sure = self._rules.sure is not None and confidence is not None and confidence >= self._rules.sure
        is_agreed = self._rules.agree is not None and votes >= self._rules.agree
        self.agreed = is_sure or is_agreed or self._has_majority
        is_enough = len(self._tally.answered) >= self._rules.enough
        self.is_in_grace = is_enough and not self.agreed and self._rules.grace > 0
        self.ended = self.agreed or (is_enough and not self.is_in_grace)
        return self._start(0) if self.ended else self._after_settling()

    def failed(self) -> range:
        """A call failed: the next planned call replaces it at once."""
        if self.ended:
            return self._start(0)
        self._settled += 1
        self._failed += 1
        if self._has_majority:
            self.agreed = self.ended = True
            return self._start(0)
        if self.has_more and not self.is_in_grace:
            return self._start(1)
        return self._after_settling()

    def waited(self) -> range:
        """`widen_after` has passed since the last start."""
        return self._start(0 if self.is_in_grace else self._rules.widen)

    def half_over(self) -> range:
        """Half of the time is over. If too few have arrived to go on with, who has not been asked yet is.

        Else one that hangs would cost the answer where it was asked alone.
        """
        return self._start(self._planned if len(self._tally.answered) < self._rules.quorum else 0)

    def grace_over(self) -> range:
        """`grace` has passed since enough have arrived."""
        self.ended = True
        return self._start(0)

    @property
    def _has_majority(self) -> bool:
        if not self._rules.majority:
            return False
        votes = len(self._tally.leading)
        return votes > 1 and 2 * votes > self._started - self._failed

    def _after_settling(self) -> range:
        if self._settled < self._started:
            return self._start(0)
        if self.is_in_grace or not self.has_more:
            self.ended = True
            return self._start(0)
        # Workers cannot agree on open text, so waiting for agreement would only take longer.
        is_open_text = self._rules.may_agree and bool(self._tally.answered) and not self._tally.has_finals
        return self._start(self._planned if is_open_text else self._rules.widen)

    def _start(self, count: int) -> range:
        first = self._started
        self._started = min(self._planned, first + count)
        return range(first, self._started)
