"""What a node of the graph works with: the catalog, the request, and the plain state of the run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mollm.aggregation.base import in_order, show_proposals
from mollm.answering import assemble
from mollm.calling.base import text_of, tokens_at_most
from mollm.calling.calls import Calls
from mollm.errors import RequestError
from mollm.limits import check_limits, check_routing
from mollm.llms.langchain import to_openai
from mollm.observing.langchain import answer_message, wants_tokens, watch
from mollm.prompts import is_empty
from mollm.types import Done, Route, call_from_plain, new_id, proposal_from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig

    from mollm.aggregation.base import Written
    from mollm.catalog import Catalog, Mixture
    from mollm.routing.llm import LLMRouter
    from mollm.types import Call, Event, Message, Options, Proposal, Token

OURS = frozenset(("model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"))
"""Request fields that a caller could use to get around a limit."""


class Turn:
    """One node's part in answering one question.

    Attributes:
        catalog: What the configuration became.
        options: What the caller set.
        messages: The conversation in OpenAI's form.
        run: What the nodes before this one left, as plain data: `id`, `seconds` (used so far), `route`, `layer`
            (the latest that counts), `agreed`, `degraded`, `proposals`, `breakdown`.
        streams: Somebody wants the answer token by token.
        listener: Told of events.
        calls: Makes this node's calls.
    """

    def __init__(
        self,
        catalog: Catalog,
        messages: Sequence[Any],
        run: Mapping[str, Any],
        options: Options,
        config: RunnableConfig,
        writer: Callable[[Any], None],
    ) -> None:
        """Pick up where the node before left off; `writer` feeds LangGraph's custom stream."""
        self.catalog, self.options = catalog, options
        given = options.messages
        self.messages: Sequence[Message] = given if given is not None else to_openai(messages)
        self.run: dict[str, Any] = dict(run or _fresh(options.id or new_id()))
        # A clock of this process means nothing to one that resumes the run, so seconds are what is handed on.
        self._begun: float = asyncio.get_running_loop().time() - self.run["seconds"]
        self.streams = options.stream or wants_tokens(config)
        self.listener = _Relay(writer, options.listener)
        deadline = self._begun + catalog.config.limits.seconds
        self.calls = Calls(
            catalog.llms, deadline=deadline, watch=watch(config, self.run["id"]), account=self.listener.account
        )
        self._answer: dict[str, Any] | None = None

    @property
    def mixture(self) -> Mixture:
        """The mixture that was picked."""
        return self.catalog.mixture(self.run["route"]["mixture"])

    @property
    def has_tools(self) -> bool:
        """A request with tools, or with the result of one, goes to a single LLM, unchanged."""
        return bool(self.options.tools) or self.messages[-1].get("role") == "tool"

    def has_one_llm(self, mixture: Mixture) -> bool:
        """A single LLM answers, so there is nothing to aggregate."""
        return mixture.config.is_bypass or self.has_tools

    def check_request(self) -> None:
        """Refuse a request that cannot be answered. Raises `RequestError`."""
        if is_empty(self.messages):
            raise RequestError("the question is empty")
        if taken := sorted(OURS & set(self.options.extra_body)):
            raise RequestError(f"extra_body cannot set {', '.join(taken)}: limits and the configuration do")

    def check_routing(self, routers: Sequence[LLMRouter]) -> None:
        """Refuse what could exceed a limit before there is a mixture. Raises `LimitError`."""
        catalog = self.catalog
        check_routing(catalog.config.limits, routers, catalog.llms, prompt_tokens=self._prompt_tokens)

    def check_limits(self, mixture: Mixture, routers: Sequence[LLMRouter]) -> None:
        """Refuse what `mixture` cannot give (`RequestError`), or what could exceed a limit (`LimitError`)."""
        options = self.options
        if options.needs_one_llm and not self.has_one_llm(mixture):
            raise RequestError(f"n and logprobs need a single LLM, and {mixture.name!r} is a mixture of several")
        check_limits(
            self.catalog.config.limits,
            mixture,
            self.catalog.llms,
            routers=routers,
            prompt_tokens=self._prompt_tokens,
            max_tokens=options.writing.max_tokens,
            has_tools=self.has_tools,
            n=options.n or 1,
        )

    @cached_property
    def _prompt_tokens(self) -> int:
        tools = tokens_at_most(str(self.options.tools)) if self.options.tools else 0
        return tools + sum(tokens_at_most(text_of(m.get("content"))) for m in self.messages)

    @property
    def arrived(self) -> list[Proposal]:
        """Proposals of the latest layer that counts which brought an answer."""
        layer = self.run["layer"]
        return [proposal_from_plain(p) for p in self.run["proposals"] if p["layer"] == layer and not p["error"]]

    async def with_proposals(self) -> Sequence[Message]:
        """Return the conversation with the proposals of the layer so far, for the workers of the next."""
        mixture = self.mixture
        shown = in_order(mixture.aggregator, self.arrived, self.options.seed)
        readers = [(self.calls.llm(worker.llm), worker.settings.max_tokens) for worker in mixture.workers]
        prompt = mixture.aggregator.layer_prompt or mixture.aggregator.prompt
        messages, why = await show_proposals(prompt, self.messages, shown, readers)
        self.run["degraded"] = [*self.run["degraded"], *why]
        return self.messages if messages is None else messages

    @property
    def update(self) -> dict[str, Any]:
        """What this node changes in the graph's state."""
        if self._answer is not None:
            return self._answer
        self.run["seconds"] = self._seconds()
        self.run["breakdown"] = [*self.run["breakdown"], *map(to_plain, self.calls.spent)]
        return {"run": self.run}

    def finish(self, written: Written) -> None:
        """End the run with what was written."""
        run = self.run
        answer = assemble(
            replace(written, degraded=(*run["degraded"], *written.degraded)),
            id=run["id"],
            route=Route(**run["route"]),
            layer=run["layer"],
            proposals=[proposal_from_plain(p) for p in run["proposals"]],
            breakdown=[*map(call_from_plain, run["breakdown"]), *self.calls.spent],
            seconds=self._seconds(),
        )
        self._answer = {"messages": [answer_message(answer)], "mollm": to_plain(answer), "run": {}}
        self.listener.tell(Done(answer))

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._begun


def _fresh(id: str) -> dict[str, Any]:  # noqa: A002 - the field's name
    return {
        "id": id,
        "seconds": 0.0,
        "layer": 0,
        "agreed": False,
        "degraded": [],
        "proposals": [],
        "breakdown": [],
    }


class _Relay:
    """Tells LangGraph's custom stream and the caller's listener."""

    def __init__(self, writer: Callable[[Any], None], listener: Any) -> None:
        self._writer, self._listener = writer, listener

    def tell(self, event: Event) -> None:
        self._writer(event)
        if self._listener:
            self._listener.tell(event)

    async def show(self, token: Token) -> None:
        self._writer(token)
        if self._listener:
            await self._listener.show(token)

    def account(self, call: Call) -> None:
        if self._listener:
            self._listener.account(call)
