"""What an LLM that compares proposals is asked: conversation, proposals, criteria, and the form of its reply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mollm.aggregation.showing import show_proposals
from mollm.calling.base import Request
from mollm.comparing.times import latest
from mollm.fitting import Reader
from mollm.messages import tokens_at_most
from mollm.options import Settings
from mollm.prompts import with_persona
from mollm.types import PlannedCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mollm.aggregation.base import Brief
    from mollm.calling.calls import Calls
    from mollm.prompts import Prompt
    from mollm.types import Proposal, Question, Role

SHARE_OF_TIME = 0.5
"""Of what is left of a question's time, so much is there to compare in: the answer is still to be written."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Asks LLMs, on behalf of a role, for JSON about proposals."""

    role: Role
    prompt: Prompt
    """Takes `question`, `proposals` and `criteria`."""
    criteria: tuple[str, ...] = ()
    """What the proposals are compared by, beside the question."""
    settings: Settings = Settings()
    max_tokens: Mapping[str, int] | None = None
    """By LLM, the most tokens of its reply unless `settings` say otherwise."""
    shuffle: bool = True
    """Shuffle the proposals before they are shown."""
    deadline: float = 120.0
    """Seconds for all calls together; and no more than a share of what the question has left."""

    def until(self, calls: Calls) -> float:
        """When to wait no longer, on the event loop's clock."""
        return latest(calls.deadline, SHARE_OF_TIME, self.deadline)

    @property
    def _listed(self) -> str:
        return "\n".join(f"- {criterion}" for criterion in self.criteria)

    def limit(self, llm: str) -> int:
        """The most tokens that an LLM writes."""
        return self.settings.max_tokens or (self.max_tokens or {}).get(llm, 0)

    def plan(self, llm: str, question: Question, proposal_tokens: int) -> PlannedCall:
        """One call, which reads proposals of at most so many tokens together."""
        own = self.prompt.tokens_with(question=question.tokens, criteria=tokens_at_most(self._listed))
        prompt = question.tokens + own + proposal_tokens
        return PlannedCall(self.role, llm, self.limit(llm), prompt, images=question.images)

    async def request(
        self, llm: str, proposals: Sequence[Proposal], schema: Mapping[str, Any], brief: Brief, calls: Calls
    ) -> tuple[Request | None, tuple[str, ...]]:
        """Lay out what an LLM is asked.

        Args:
            llm: Who is asked. Its server is held to `schema` if it is known to take one, and sent none otherwise.
            proposals: In the order in which they are shown.
            schema: Of the reply, in JSON Schema.
            brief: Has the conversation, and the caller's seed.
            calls: Know the LLM.

        Returns:
            The request, and what it had to leave out. None instead of a request if nothing would fit.

        Raises:
            PromptError: The prompt cannot be filled in.
        """
        facts = calls.llm(llm)
        form = None
        if facts.dialect is not None:
            named = {"name": self.role, "schema": dict(schema), "strict": True}
            form = {"type": "json_schema", "json_schema": named}
        settings = replace(self.settings, seed=brief.caller.seed, response_format=form)
        plain = with_persona(brief.messages, system=None, persona=None)
        readers = [Reader(llm, facts, settings.max_tokens)]
        values = {"criteria": self._listed}
        messages, short = await show_proposals(self.prompt, plain, proposals, readers, values=values)
        return (Request(messages, settings) if messages is not None else None), short
