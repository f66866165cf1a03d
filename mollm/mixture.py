"""A mixture as a complete, frozen value that knows its plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mollm.aggregation.base import picks, plan_of
from mollm.formats import format_of
from mollm.messages import is_midway
from mollm.options import Settings
from mollm.prompts import FENCE_TOKENS
from mollm.types import PlannedCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.aggregation.base import Aggregator
    from mollm.aggregation.guarding import Guard
    from mollm.aggregation.keeping import Keeping
    from mollm.aggregation.rewriting import Rewriter
    from mollm.asking import Rules
    from mollm.comparing.analysis import Analyst
    from mollm.comparing.judge import Judge
    from mollm.comparing.review import Review
    from mollm.embeddings.alike import Alike
    from mollm.final.calibration import Calibration
    from mollm.mixing.base import Chooser
    from mollm.options import Options
    from mollm.prompts import Prompt
    from mollm.types import OnTools, Question
    from mollm.workers import Worker


@dataclass(frozen=True, slots=True)
class Mixture:
    """A named set of workers and an aggregator. It need not be part of a configuration."""

    name: str
    description: str
    workers: tuple[Worker, ...]
    """One per planned call of a layer, best first; where they are chosen for each question, all that may be."""
    rules: Rules
    method: str
    """The aggregator's method, as the YAML names it."""
    aggregator: Aggregator
    llm: str | None
    """The LLM that aggregates, if one can be called."""
    layer_prompt: Prompt
    """The prompt that shows the workers of a later layer the proposals of the one before."""
    on_tools: OnTools
    """What a question with tools gets."""
    tools_llm: str
    """The LLM that has the tools of a question."""
    acting: Aggregator
    """Lets that LLM act on the proposals."""
    max_tokens: Mapping[str, int]
    """By LLM, the most tokens that it writes unless something else is set."""
    rewriter: Rewriter
    """Writes an answer anew that is not in the caller's format."""
    guard: Guard | None = None
    """Holds an answer to the facts on which most proposals agree; None: nobody does."""
    alike: Alike | None = None
    """Compares open texts, for agreement; None: they agree with no other."""
    keeping: Keeping | None = None
    """Keeps an agreed proposal against an aggregator that contradicts it; None: nobody does."""
    shuffle: bool = True
    review: Review | None = None
    """Ranks the proposals; None: nobody does."""
    analyst: Analyst | None = None
    """Compares the proposals before the answer is written; None: nobody does."""
    calibration: Calibration | None = None
    """Says how probable it is that the answer which leads is right; None: nobody knows."""
    judge: Judge | None = None
    """Scores the proposals, unless an LLM acts on them with tools; None: nobody does."""
    chooser: Chooser | None = None
    """Picks the workers for each question; None: all are as listed, or picked already."""
    made_of: Mixture | None = None
    """The mixture whose workers were chosen for the question; None where they are listed."""
    panel: str = ""
    """What tells a panel for one request from every other; empty for a mixture of the file."""

    @property
    def planned(self) -> int:
        """Proposals in one layer when all of them are asked."""
        return self.chooser.most if self.chooser else len(self.workers)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The LLMs of its workers."""
        return tuple(dict.fromkeys(worker.llm for worker in self.workers))

    @property
    def is_bypass(self) -> bool:
        """Exactly one planned proposal in one layer: nothing to aggregate."""
        return self.planned == 1 and self.rules.layers == 1

    @property
    def compares(self) -> bool:
        """Whether the proposals are ranked, compared or scored before the answer is made of them."""
        return self.review is not None or self.analyst is not None or self.judge is not None

    @property
    def acts_as_worker(self) -> bool:
        """The LLM that has the tools is the only worker, and keeps its persona and settings."""
        return self.is_bypass and self.tools_llm == self.workers[0].llm and self.chooser is None

    def mode(self, question: Question, options: Options) -> OnTools | None:
        """Return what it does with the tools of `question`; None if there are none to be used."""
        if not question.has_tools:
            return None
        # A forced call asks for arguments and not for an answer, and several answers need one LLM.
        if self.on_tools == "alone" or options.forces_a_call or options.needs_one_llm:
            return "alone"
        if options.forbids_calls and question.messages and not is_midway(question.messages):
            return None
        return self.on_tools

    def is_bound(self, layer: int, on_tools: OnTools | None = None) -> bool:
        """Whether a proposal of this layer becomes the answer, word for word, if nothing fails."""
        if on_tools:
            return False  # the LLM that has the tools writes it
        return self.rules.may_agree or (picks(self.aggregator) and layer == self.rules.layers)

    def asked(self, layer: int, options: Options, on_tools: OnTools | None = None) -> tuple[Worker, ...]:
        """The workers of a layer, with what the caller asks of the form of the answer where they write it."""
        caller = options.writing
        form = Settings(stop=caller.stop, response_format=caller.response_format)
        if not self.is_bound(layer, on_tools) or (caller.max_tokens is None and form == Settings()):
            return self.workers
        # The caller's limit may be lower than what is planned for a worker, not higher.
        limits = [min(caller.max_tokens or own, own) for own in map(self._limit, self.workers)]
        return tuple(
            replace(worker, settings=replace(form, max_tokens=limit).over(worker.settings))
            for worker, limit in zip(self.workers, limits, strict=True)
        )

    def calibrated(self, workers: Sequence[Worker]) -> Calibration | None:
        """The calibration, where it holds for `workers` as they are asked; it was fitted on replies in no format."""
        if self.calibration is None or workers is self.workers:
            return self.calibration
        is_plain = all(format_of(worker.settings.response_format) is None for worker in workers)
        return self.calibration if is_plain else None

    def plan(self, question: Question, options: Options, kept: int | None = None) -> tuple[PlannedCall, ...]:
        """List every call that it may make, assuming that the workers never agree and every writing LLM fails.

        Args:
            question: The question.
            options: The options that the caller set.
            kept: Most tokens of the proposals, and of their analysis, if those of an earlier request are used again, so
                that no worker is asked; None: the workers are asked.
        """
        limit, n = options.writing.max_tokens, options.n or 1
        tokens, images = question.tokens, question.images
        mode = self.mode(question, options)
        if kept is not None:
            return plan_of(self.acting, question, kept, options.writing)
        if mode == "alone":
            alone = limit or self.max_tokens[self.tools_llm]
            persona = self.workers[0].prompt_tokens if self.acts_as_worker else 0
            return (PlannedCall("tools", self.tools_llm, alone, tokens + persona, n, images),)
        first = [
            PlannedCall("worker", w.llm, self._limit(w), tokens + w.prompt_tokens, images=images) for w in self.workers
        ]
        first = widest(first, self.planned) if self.chooser else first
        if self.is_bypass and mode is None:
            (call,) = first
            return (replace(call, role="bypass", max_tokens=limit or call.max_tokens, times=n),)
        read = sum(call.max_tokens + FENCE_TOKENS for call in first)
        shown = read + self.layer_prompt.tokens_with(question=tokens)
        times = self.rules.layers - 1
        later = [
            PlannedCall(c.role, c.llm, c.max_tokens, c.prompt_tokens + shown, times, images) for c in first if times
        ]
        longest = max(call.max_tokens for call in first) + FENCE_TOKENS
        comparing = self._comparing(question, read)
        read += self.analyst.adds if self.analyst and comparing else 0
        return (*first, *later, *comparing, *self._writing(question, read, longest, options))

    def arithmetic(self, question: Question, options: Options, *, is_kept: bool = False) -> str:
        """Say in words where the calls of the worst case come from; `is_kept`: the proposals are there already."""
        n = options.n or 1
        mode = self.mode(question, options)
        if mode == "alone":
            return f"{n} call{'s' if n > 1 else ''} with tools"
        if self.is_bypass and mode is None:
            return "1 worker" if n == 1 else f"1 worker x {n} answers"
        layers = f" x {self.rules.layers} layers" if self.rules.layers > 1 else ""
        planned = self.planned
        parts = [] if is_kept else [f"{planned} proposal{'s' if planned > 1 else ''}{layers}"]
        calls = [] if is_kept else self._comparing(question, 0)
        counts = Counter[str]()
        for call in (*calls, *self._writing(question, 0, 0, options)):
            counts[call.role] += call.times
        parts += [f"{times} {role}{'s' if times > 1 else ''}" for role, times in counts.items()]
        return " + ".join(parts)

    def _writing(self, question: Question, read: int, longest: int, options: Options) -> tuple[PlannedCall, ...]:
        caller = options.writing
        aggregator = self.acting if self.mode(question, options) else self.aggregator
        guarding = self.guard.plan(question, caller) if self.guard else ()
        return (*plan_of(aggregator, question, read, caller), *guarding, *self.rewriter.plan(question, longest, caller))

    def _comparing(self, question: Question, read: int) -> tuple[PlannedCall, ...]:
        if self.planned == 1:  # it may be made of one worker of several
            return ()
        reviews = self.review.plan(question, read) if self.review else ()
        if self.chooser and self.review and self.review.by_workers:
            reviews = tuple(widest(reviews, self.planned))
        return (*reviews, *(self.analyst.plan(question, read) if self.analyst else ()))

    def _limit(self, worker: Worker) -> int:
        return worker.settings.max_tokens or self.max_tokens[worker.llm]


def widest(calls: Sequence[PlannedCall], most: int) -> list[PlannedCall]:
    """So many calls, each of which may be any of `calls`: what any choice among them may take."""
    first, *others = dict.fromkeys(call.llm for call in calls)
    longest, prompt = max(call.max_tokens for call in calls), max(call.prompt_tokens for call in calls)
    any_of_them = replace(calls[0], llm=first, max_tokens=longest, prompt_tokens=prompt, others=tuple(others))
    return [any_of_them] * most
