"""`MoLLM`: ask, stream, batch and route, blocking or on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from mollm import flow
from mollm.catalog import Catalog
from mollm.catalogs import Catalogs
from mollm.config.load import load_config
from mollm.config.panels import OwnPanel
from mollm.errors import RequestError
from mollm.feedback.base import rating_of, settled
from mollm.feedback.stores import Stores, needed, usable
from mollm.graphs import Graphs
from mollm.loops import LoopThread, all_of
from mollm.messages import messages_of, question_of
from mollm.observing.channel import Channel, LastAnswer
from mollm.observing.observers import Guarded
from mollm.observing.watching import is_watched
from mollm.options import Options, RequestOptions
from mollm.plain import answer_from_plain
from mollm.pool import Pool
from mollm.routed import routed
from mollm.run import context_of, fresh
from mollm.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence
    from pathlib import Path

    from langchain_core.tools import StructuredTool

    from mollm.aggregation.base import Aggregator
    from mollm.config.config import Config
    from mollm.embeddings.own import EmbedderLike
    from mollm.events import Event, Observer
    from mollm.graph import Graph
    from mollm.limits import Budget
    from mollm.routing.base import Router, RouterLike
    from mollm.routing.explaining import Explanation
    from mollm.types import Answer, Message, Route

MOST_STEPS = 25
"""Of the graph: the nodes of the most layers, and some."""


class MoLLM:
    """A configuration, ready to answer.

    Safe to use from many tasks and threads at once. HTTP connections are kept per event loop. The blocking
    calls (those without `a` in front) run on a background loop of this object, so they also work in a notebook.

    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        llms: Mapping[str, Any] | None = None,
        router: RouterLike | None = None,
        embedder: EmbedderLike | None = None,
        aggregators: Mapping[str, Aggregator] | None = None,
        observers: Sequence[Observer] = (),
        engine: Literal["auto", "graph"] = "auto",
    ) -> None:
        """Build everything that the configuration describes; no LLM is called yet.

        Args:
            config: A YAML file, a dictionary of the same shape, or a `Config`; None: the default file, as for the
                command.
            llms: LLMs to use instead of configured ones, by name: LangChain chat models, or `LLM`s.
            router: A `Router`, a `Scorer` or a function to use instead of the configured router.
            embedder: An `Embedder`, or a function from texts to vectors, instead of the configured `embeddings`.
            aggregators: Your own aggregators, by the `method` that chooses them.
            observers: Receive the events of every question.
            engine: `auto` answers with a plain loop over the nodes, and with the LangGraph graph if somebody watches
                (see `mollm.observing.watching`); `graph` always uses the graph.

        Raises:
            ConfigError: The configuration has mistakes; all of them are listed.
        """
        if engine not in ("auto", "graph"):
            raise RequestError(f"engine is 'auto' or 'graph', not {engine!r}")
        self._router, self._embedder, self._aggregators = router, embedder, dict(aggregators or {})
        self._observers = tuple(Guarded(observer) for observer in observers)
        self._engine = engine
        self._pool = Pool(llms)
        self._loop_thread = LoopThread()
        self._stores = Stores()
        self._catalogs = Catalogs(self._built(config), self._pool)
        self._turns = Turns()
        self._graphs = Graphs(self._loop_thread, self._observers, self._turns)

    def __repr__(self) -> str:
        config = self.catalog.config
        source = str(config.path) if config.path else "a configuration without a file"
        counts = ((len(config.mixtures), "mixture"), (len(config.llms), "LLM"))
        counted = ", ".join(f"{count} {what}{'s' if count != 1 else ''}" for count, what in counts)
        return f"<MoLLM {source}: {counted}, {config.router_kind} router>"

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.catalog.config

    @property
    def catalog(self) -> Catalog:
        """Mixtures and router of the configuration in force."""
        return self._catalogs.current

    @property
    def graph(self) -> Graph:
        """The configuration in force as a LangGraph graph, compiled on first use; its LLMs stay open."""
        return self._graph(self._catalogs.lend())

    def use(self, config: str | Path | Mapping[str, Any] | Config | None = None) -> None:
        """Put another configuration in force; running questions finish with the one they started with.

        LLMs that did not change are kept, with their connections and breakers.

        Raises:
            ConfigError: The configuration has mistakes; the one in force stays.
        """
        self._loop_thread.run(self.ause(config))

    async def ause(self, config: str | Path | Mapping[str, Any] | Config | None = None) -> None:
        """Like `use`, on the running event loop, without blocking it: the router is built beforehand."""
        with self._catalogs.changing() as put:
            catalog = await asyncio.to_thread(self._built, config)
            await catalog.built_router()
            await usable(catalog.feedback, catalog.config)
            put(catalog)
        await self._catalogs.retire()

    async def prepare(self) -> None:
        """Do what the first question would otherwise wait for: build the router, open HTTP sessions.

        Raises:
            ConfigError: The router cannot be built, or the file in which answers are kept cannot be used.
        """
        catalog = self.catalog
        await catalog.built_router()
        await usable(catalog.feedback, catalog.config)
        await self._pool.prepare()

    def ask(self, question: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Answer:
        """Answer `question`: a string, or a conversation in OpenAI's format.

        Args:
            question: The question.
            options: `mixture`, `tools`, `tool_choice`, `seed`, `max_tokens`, `temperature`, `top_p`, `stop`,
                `response_format`, `n`, `logprobs`, `top_logprobs`, `extra_body`; see `Options`.

        Raises:
            UserError: The question or its options are invalid, or could exceed a limit.
            RunError: Too few workers answered, or a single LLM failed.
        """
        return self._loop_thread.run(self.aask(question, **options))

    async def aask(self, question: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Answer:
        """Like `ask`, on the running event loop."""
        return await self.arun(question, **options)

    def stream(
        self, question: str | Sequence[Message], **options: Unpack[RequestOptions]
    ) -> Generator[Event, None, None]:
        """Yield events as they happen: `Routed`, `Started`, `Arrived`, `Failed`, `Writing`, `Token`, `Done`.

        Where proposals are compared, `Comparing`, `Reviewed` and `Analyzed` stand before `Writing`.

        Closing the generator cancels all running calls. Arguments and errors are those of `ask`.
        """
        thread = self._loop_thread
        events = self.astream(question, **options)

        async def following() -> Event | None:
            return await anext(events, None)  # on the loop, which closes the generators that begin there

        try:
            while (event := thread.run(following())) is not None:
                yield event
        finally:
            # Not waited for: a generator that was forgotten is closed wherever the garbage is collected.
            thread.schedule(events.aclose())

    async def astream(
        self, question: str | Sequence[Message], **options: Unpack[RequestOptions]
    ) -> AsyncGenerator[Event, None]:
        """Like `stream`, on the running event loop."""
        channel = Channel()
        task = asyncio.create_task(self.arun(question, channel, stream=True, **options))
        task.add_done_callback(lambda _: channel.close())
        try:
            while (event := await channel.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])

    def batch(
        self, questions: Sequence[str | Sequence[Message]], *, concurrency: int = 8, **options: Unpack[RequestOptions]
    ) -> list[Answer]:
        """Answer many questions, `concurrency` at a time; the answers are in the order of the questions.

        The first error ends the batch: it cancels the questions that are still running, and is raised.
        """
        return self._loop_thread.run(self.abatch(questions, concurrency=concurrency, **options))

    async def abatch(
        self, questions: Sequence[str | Sequence[Message]], *, concurrency: int = 8, **options: Unpack[RequestOptions]
    ) -> list[Answer]:
        """Like `batch`, on the running event loop."""
        if concurrency < 1:
            raise RequestError("concurrency must be at least 1")
        slots = asyncio.Semaphore(concurrency)

        async def answer(question: str | Sequence[Message]) -> Answer:
            async with slots:
                return await self.aask(question, **options)

        return await all_of([answer(question) for question in questions])

    def as_tool(self, name: str = "auto", *, tool_name: str | None = None) -> StructuredTool:
        """Return a LangChain tool that asks `name`. Arguments and errors are those of `mollm.langchain.tool_of`."""
        from mollm.langchain import tool_of

        return tool_of(self, name, tool_name)

    def predict(self, text: str) -> str:
        """Answer `text` and return the text of the answer."""
        return self.ask(text).text

    def route(self, question: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Route:
        """Pick the mixture that suits `question`, within the limits; no LLM is called except the router's own.

        Raises:
            UserError: The question is invalid, or routing could exceed a limit.
            RoutingError: The router picked an unknown mixture, or took too long.
        """
        return self._loop_thread.run(self.aroute(question, **options))

    async def aroute(
        self,
        question: str | Sequence[Message],
        observer: Observer | None = None,
        *,
        budget: Budget | None = None,
        **options: Unpack[RequestOptions],
    ) -> Route:
        """Like `route`, on the running event loop; `observer` and `budget` are those of `arun`."""
        return await self._routed(question, Options(observer=observer, budget=budget, **options))

    def explain(self, question: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Explanation:
        """Like `route`, with what the members of the router said, their thresholds, and the nearest examples."""
        return self._loop_thread.run(self.aexplain(question, **options))

    async def aexplain(self, question: str | Sequence[Message], **options: Unpack[RequestOptions]) -> Explanation:
        """Like `explain`, on the running event loop."""
        from mollm.routing.explaining import Explaining

        explaining = Explaining()
        explanation = explaining.of(await self._routed(question, Options(**options), explaining.through))
        if explanation.nearest:
            return explanation
        nearest = await asyncio.to_thread(self.catalog.nearest, question_of(messages_of(question)).last)
        return replace(explanation, nearest=nearest)

    async def _routed(
        self, question: str | Sequence[Message], options: Options, through: Callable[[Router], Router] | None = None
    ) -> Route:
        observers = [*self._observers, *([options.observer] if options.observer else [])]
        with self._catalogs.using() as catalog:
            return await routed(catalog, question, options, observers, through)

    def feedback(
        self,
        id: str,
        score: float,
        better: str | None = None,
        note: str | None = None,
    ) -> None:
        """Rate an answer that is kept (`feedback.kind`); a rating that it has is replaced.

        Args:
            id: Of the answer.
            score: -1 (worst) to 1 (best).
            better: The text of a better answer, at most 100,000 characters.
            note: At most 10,000 characters.

        Raises:
            RequestError: The score or a text cannot be used, or no answer with this id is kept (`UnknownAnswer`).
            ConfigError: The configuration keeps no answers.
            FeedbackError: The file cannot be written now.
        """
        self._loop_thread.run(self.afeedback(id, score, better, note))

    async def afeedback(
        self,
        id: str,
        score: float,
        better: str | None = None,
        note: str | None = None,
        *,
        key: str | None = None,
    ) -> None:
        """Like `feedback`, on the running event loop; `key`: the answer must be of the server's key of that name."""
        await settled(needed(self.catalog.feedback, self.config).rate(id, rating_of(score, better, note), key))

    def delete_feedback(self, id: str) -> None:
        """Delete an answer that is kept, with its rating. Raises as `feedback`."""
        self._loop_thread.run(self.adelete_feedback(id))

    async def adelete_feedback(self, id: str, *, key: str | None = None) -> None:
        """Like `delete_feedback`, on the running event loop. Arguments are those of `afeedback`."""
        await settled(needed(self.catalog.feedback, self.config).delete(id, key))

    def close(self) -> None:
        """Close the background loop and its connections, free the memory of embedded LLMs, write what is to be kept."""
        self._loop_thread.close()
        self._pool.unload()
        self._stores.close()

    async def aclose(self) -> None:
        """Close everything that was opened on the running event loop, and everything that `close` closes."""
        await self._catalogs.aclose()
        await self._pool.aclose()
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def arun(
        self,
        question: str | Sequence[Message],
        observer: Observer | None = None,
        *,
        stream: bool = False,
        id: str | None = None,
        owner: str = "",
        key: str = "",
        budget: Budget | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Answer `question` for an `observer`, which is called in the task that awaits this.

        The observer receives every event. With `stream` the answer is written token by token. `id` becomes the id
        of the answer. `owner` says who asks: proposals that are kept for the result of a tool are used again for the
        same owner alone; `key`, under which name of a key the answer is kept for feedback. The question takes its
        worst case from the `budget` before an LLM is called, whose refusal it raises. Options and other errors are
        those of `ask`.
        """
        if isinstance(panel := options.get("mixture"), Mapping):
            options["mixture"] = OwnPanel(panel)
        given = Options(id=id, stream=stream, observer=observer, owner=owner, key=key, budget=budget, **options)
        with self._catalogs.using() as catalog:
            if self._engine == "graph" or is_watched():
                return await self._through_graph(catalog, question, given)
            asking = (observer,) if observer else ()
            context = context_of(catalog, question, given, self._observers, self._turns, asking)
            return flow.finish(await flow.walk(fresh(given), context), context)

    async def _through_graph(self, catalog: Catalog, question: str | Sequence[Message], options: Options) -> Answer:
        graph = self._graph(catalog) if catalog in self._graphs else await asyncio.to_thread(self._graph, catalog)
        from mollm.conversion import to_langchain

        messages, beside = to_langchain(messages_of(question))
        last = LastAnswer(options.observer)
        context = replace(options, observer=last, plain=beside)
        # A parent graph's own bound on its steps says nothing about ours.
        found = await graph.ainvoke({"messages": messages}, {"recursion_limit": MOST_STEPS}, context=context)
        # A parent graph that is resumed brings back the run that it has already seen through.
        return last.answer or context_of(catalog, question, options, ()).revealed(answer_from_plain(found["mollm"]))

    def _graph(self, catalog: Catalog) -> Graph:
        return self._graphs.of(catalog, self._catalogs.living)

    def _built(self, config: str | Path | Mapping[str, Any] | Config | None) -> Catalog:
        loaded = load_config(config, methods=self._aggregators, has_embedder=self._embedder is not None)
        return Catalog(
            loaded,
            self._pool,
            router=self._router,
            embedder=self._embedder,
            aggregators=self._aggregators,
            feedback=self._stores.of(loaded),
        )
