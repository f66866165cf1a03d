"""Ask the workers of a layer: in order, no more than needed, within the deadline.

`asking.py` holds the rules and nothing else: it takes events and returns which calls to start, so that it can be
tested against a plain specification. `ask` is its engine: tasks, timers and cancellation.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.asking import Asking
from mollm.calling.base import Request
from mollm.calling.logprobs import mean_logprob
from mollm.errors import ContextTooLong, Exhausted
from mollm.events import Arrived, Failed, Started
from mollm.final.calibration import Said
from mollm.final.replies import final_answer
from mollm.formats import format_of, value_of
from mollm.messages import tokens_at_most
from mollm.observing.observers import NOBODY
from mollm.options import Settings
from mollm.prompts import with_persona
from mollm.types import Failure, Proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mollm.asking import Rules
    from mollm.calling.calls import Calls, Outcome
    from mollm.embeddings.alike import Alike
    from mollm.events import Observer
    from mollm.final.calibration import Calibration
    from mollm.types import Ended, Message


FIRST = 1e-6
"""Seconds by which a layer ends before the calls that have the same deadline: what is late is always told alike."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One planned call of a layer: a sample of an LLM with its persona and settings."""

    name: str
    """The LLM's name, with `#2`, `#3` ... if a mixture asks the LLM more than once."""
    llm: str
    persona: str | None = None
    system: str | None = None
    settings: Settings = Settings()
    sample: int = 0
    """0 for the first sample; each gets a seed of its own if the caller sets one."""
    wants_logprobs: bool = False
    """It is asked for the log-probabilities of its tokens, where its LLM tells them."""

    @property
    def prompt_tokens(self) -> int:
        """The most tokens that its persona adds to the caller's messages."""
        return tokens_at_most((self.persona or "") + (self.system or ""))

    def request(self, messages: Sequence[Message], *, seed: int | None = None, over: Settings = Settings()) -> Request:
        """Build the request for this worker; settings in `over` override its own."""
        settings = over.over(self.settings)
        if seed is not None:
            settings = replace(settings, seed=seed + self.sample)
        shown = with_persona(messages, system=self.system, persona=self.persona)
        return Request(shown, settings, wants_logprobs=self.wants_logprobs)


@dataclass(frozen=True, slots=True)
class Layer:
    """How a layer ended."""

    proposals: tuple[Proposal, ...]
    """One per call that was started, in listed order."""
    ended: Ended | None
    """Why it ended; None where it was sure enough, until a reply came that makes it less sure."""
    confidence: float | None = None
    """Probability that the answer which leads is right, 0 to 1; None without a calibration, or a final answer."""
    degraded: tuple[str, ...] = ()
    """Why agreement could not be told as planned."""

    @property
    def agreed(self) -> bool:
        """It ended because `agree` proposals have the same final answer, or the one that leads is probable enough."""
        return self.ended == "agreed"

    @property
    def is_too_long_for_all(self) -> bool:
        """The conversation did not fit the window of anybody who was asked."""
        kinds = {proposal.error.kind if proposal.error else None for proposal in self.proposals}
        return kinds == {ContextTooLong.kind}


async def ask(
    workers: Sequence[Worker],
    messages: Sequence[Message],
    rules: Rules,
    calls: Calls,
    *,
    layer: int = 1,
    seed: int | None = None,
    observer: Observer = NOBODY,
    instead: Mapping[str, Sequence[Message]] | None = None,
    alike: Alike | None = None,
    calibration: Calibration | None = None,
) -> Layer:
    """Ask `workers` by `rules` and return the proposals that arrive in time.

    Args:
        workers: The planned calls, best first.
        messages: The conversation.
        rules: When to start calls and when to stop.
        calls: Makes the calls.
        layer: Number of this layer, from 1.
        seed: The caller's seed.
        observer: Receives `Started`, `Arrived` and `Failed`.
        instead: By name of the worker, the conversation as it is shown to that one alone.
        alike: Compares texts without a final answer; None: these agree with no other.
        calibration: Tells after each arrival how probable it is that the answer which leads is right.

    Returns:
        One proposal for every call that was started. Calls that were still running when the layer ended are
        cancelled, their connections closed, and recorded as failures.
    """
    engine = _Engine(workers, messages, rules, calls, layer, seed, observer, instead or {}, alike, calibration)
    return await engine.run()


class _Engine:
    def __init__(
        self,
        workers: Sequence[Worker],
        messages: Sequence[Message],
        rules: Rules,
        calls: Calls,
        layer: int,
        seed: int | None,
        observer: Observer,
        instead: Mapping[str, Sequence[Message]],
        alike: Alike | None,
        calibration: Calibration | None,
    ) -> None:
        self._workers, self._messages, self._rules = workers, messages, rules
        self._calls, self._layer, self._seed, self._observer = calls, layer, seed, observer
        self._instead, self._calibration = instead, calibration
        self._texts = alike.texts() if alike else None
        self._asking = Asking(len(workers), rules)
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._until = self._loop.time() + rules.deadline
        if calls.deadline is not None:
            self._until = min(self._until, calls.deadline)
        self._seconds = round(self._until - self._loop.time(), 3)
        self._tasks: list[asyncio.Task[None]] = []
        self._proposals: dict[int, Proposal] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_grace = False
        self._is_late = False

    async def run(self) -> Layer:
        clock = self._loop.call_at(self._until - FIRST, self._time_is_up)
        half = self._loop.call_at((self._loop.time() + self._until) / 2 - FIRST, self._waited, self._asking.half_over)
        try:
            self._start(self._asking.begin())
            await self._ended
        finally:
            clock.cancel()
            half.cancel()
            if self._timer:
                self._timer.cancel()
            running = [task for task in self._tasks if not task.done()]
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
        ordered = tuple(self._proposals[index] for index in sorted(self._proposals))
        failed = self._texts.failed if self._texts else None
        if failed and not self._asking.agreed:
            # Of some it is known what they agree with, and of others not: a share of all would be too low.
            ordered = tuple(replace(proposal, alike=None) for proposal in ordered)
        confidence = self._confidence()
        return Layer(ordered, self._why(confidence, bool(running)), confidence, (failed,) if failed else ())

    def _why(self, confidence: float | None, is_cut_short: bool) -> Ended | None:
        """Why it ended, by what is known now that all have settled; `is_cut_short`: some had to be cancelled."""
        # What arrived together with the reply that was sure enough counts as well, and may say something else.
        rules = self._rules
        is_counted = rules.agree is not None or rules.majority
        is_sure = rules.sure is not None and confidence is not None and confidence >= rules.sure
        if self._asking.agreed and (is_counted or is_sure):
            return "agreed"
        if not is_cut_short and len(self._tasks) == len(self._workers):
            return "all"
        if self._asking.agreed:
            return None
        return "late" if self._is_late or self._loop.time() >= self._until else "enough"

    def _time_is_up(self) -> None:
        self._is_late = True
        self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _start(self, indices: range) -> None:
        if self._asking.ended or self._is_late or self._loop.time() >= self._until:
            self._end()
            return
        for index in indices:
            worker = self._workers[index]
            self._observer.tell(Started(worker.name, worker.llm, self._layer))
            task = self._loop.create_task(self._ask_one(index, worker))
            task.add_done_callback(self._on_done)
            self._tasks.append(task)
        if self._asking.is_in_grace and not self._is_in_grace:
            self._is_in_grace = True
            self._wait(self._rules.grace, self._asking.grace_over)
        elif indices and self._rules.widen_after is not None:
            self._wait(self._rules.widen_after if self._asking.has_more else None, self._asking.waited)

    def _wait(self, seconds: float | None, then: Callable[[], range]) -> None:
        """Report `then` after so many seconds, in place of what was waited for so far; None: nothing."""
        if self._timer:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._waited, then)

    def _waited(self, then: Callable[[], range]) -> None:
        if not self._ended.done():
            self._start(then())

    def _on_done(self, task: asyncio.Task[None]) -> None:
        # Only a bug ends a task with an exception; without this it would go unnoticed until the deadline.
        if not task.cancelled() and task.exception() and not self._ended.done():
            self._ended.set_exception(task.exception() or RuntimeError())

    async def _ask_one(self, index: int, worker: Worker) -> None:
        messages = self._instead.get(worker.name, self._messages)
        request = worker.request(messages, seed=self._seed)
        try:
            outcome = await self._calls.attempt("worker", worker.llm, request, deadline=self._until)
        except asyncio.CancelledError:
            # Cancelled by `run`: this is the outermost frame of its task, so the cancellation may end here. Or a
            # library below cancelled itself, which is an ordinary failure.
            proposal = self._unfinished(worker)
            self._proposals[index] = proposal
            self._observer.tell(Failed(proposal))
            if not self._ended.done():
                self._start(self._asking.failed())
            return
        proposal = await self._compared(proposal_of(worker, self._layer, outcome))
        self._proposals[index] = proposal
        if proposal.error is None:
            self._observer.tell(Arrived(proposal))
            starts = self._asking.arrived(proposal.said, self._confidence())
        else:
            self._observer.tell(Failed(proposal))
            starts = self._asking.failed()
        if not self._ended.done():
            self._start(starts)

    async def _compared(self, proposal: Proposal) -> Proposal:
        """Say which open texts a proposal agrees with. One that has arrived counts even where that is cancelled."""
        if self._texts is None or proposal.error is not None or proposal.final is not None:
            return proposal
        try:
            return replace(proposal, alike=await self._texts.group(proposal.worker, proposal.text))
        except asyncio.CancelledError:
            if self._is_late:
                self._texts.give_up(f"the layer had no time left for it after {self._seconds:g} s")
            return proposal

    def _confidence(self) -> float | None:
        if self._calibration is None:
            return None
        # In listed order: of several groups of the same size, the one that is listed first leads.
        ordered = (self._proposals[index] for index in sorted(self._proposals))
        arrived = [proposal for proposal in ordered if proposal.error is None]
        return self._calibration.confidence([Said(p.worker, p.final, p.logprob, len(p.text)) for p in arrived])

    def _unfinished(self, worker: Worker) -> Proposal:
        call = self._calls.spent[-1]  # entered on the way here, and nothing else ran in between
        error = call.error
        if self._is_late and (error is None or error.kind != Exhausted.kind):
            error = Failure("timed_out", None, f"no answer within the {self._seconds:g} s there were")
        return Proposal(
            worker.name, worker.llm, self._layer, "", None, error, False, call.usage, call.cost_usd, call.seconds
        )


def proposal_of(worker: Worker, layer: int, outcome: Outcome) -> Proposal:
    """Make a proposal of the outcome of a call to `worker`."""
    call, completion = outcome.call, outcome.completion
    text = completion.text if completion else ""
    logprobs = completion.logprobs if completion else None
    return Proposal(
        worker.name,
        worker.llm,
        layer,
        text,
        _final(text, worker.settings) if text else None,
        call.error,
        completion is not None and completion.finish_reason == "length",
        call.usage,
        call.cost_usd,
        call.seconds,
        logprob=None if logprobs is None else mean_logprob(logprobs),
    )


def _final(text: str, settings: Settings) -> str | None:
    """What replies are compared by: all of a reply in JSON that was asked for, else what it says last."""
    if format_of(settings.response_format):
        try:
            return value_of(text)
        except ValueError:
            pass  # a reply in words, although JSON was asked for
    return final_answer(text)
