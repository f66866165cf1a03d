"""One system that asks a panel, in the environment that has it: questions come over standard input, a line each.

    python panelists.py NAME UPSTREAM      # a line of JSON in: what to ask; a line out: how it went

It needs nothing beside the system itself, since most of these environments have nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

QUESTION = "Is a heap of sand without one grain still a heap?"
SCHEMA = {"type": "object", "properties": {"verdict": {"type": "string"}}, "required": ["verdict"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
TOOL = {
    "type": "function",
    "function": {"name": "weigh", "description": "Weighs sand.", "parameters": {"type": "object", "properties": {}}},
}


class Mollm:
    """mollm, in process; `how` are further keys of the mixture."""

    def __init__(self, url: str, how: dict[str, Any]) -> None:
        self._url, self._how = url, how
        self._made: dict[tuple[str, ...], Any] = {}

    async def ask(self, workers: list[str], what: str) -> dict[str, Any]:
        mollm = self._made.get(tuple(workers)) or self._make(workers)
        self._made[tuple(workers)] = mollm
        settings: dict[str, dict[str, Any]] = {"format": {"response_format": FORMAT}, "tools": {"tools": [TOOL]}}
        options = settings.get(what, {})
        if what != "stream":
            answer = await mollm.aask(QUESTION, **options)
            return {"text": answer.text, "tools": bool(answer.message.get("tool_calls"))}
        first, text = 0.0, ""
        async for event in mollm.astream(QUESTION):
            if type(event).__name__ == "Token" and event.text:
                first, text = first or time.monotonic(), text + event.text
        return {"text": text, "first": first}

    def _make(self, workers: list[str]) -> Any:
        from mollm import MoLLM

        def llm(name: str) -> dict[str, Any]:
            return {"model": f"hosted_vllm/{name}", "api_base": self._url, "context_window": 32768, "retries": 0}

        aggregator = {"llm": "writer", **self._how.get("aggregator", {})}
        mixture = {"description": "A panel.", "workers": workers, **self._how, "aggregator": aggregator}
        llms = {name: llm(name) for name in [*workers, "writer"]}
        return MoLLM({"llms": llms, "mixtures": {"three": mixture}, "limits": {"calls": 16}})


class Council:
    """llm-council-core: answers, peer review, a chairman.

    Its tokens are asked for and do not come: its configuration cannot switch on the layer that streams, and the router
    of that layer has no `complete_stream` in 0.53.0.
    """

    def __init__(self, url: str, _: dict[str, Any]) -> None:
        folder = Path(tempfile.mkdtemp())
        provider = {"enabled": True, "base_url": f"{url}/chat/completions", "api_key": "k"}
        file = folder / "llm_council.yaml"  # JSON is YAML
        file.write_text(json.dumps({"gateways": {"providers": {"openrouter": provider}}}))
        os.environ |= {"LLM_COUNCIL_CONFIG": str(file), "OPENROUTER_API_KEY": "k", "LLM_COUNCIL_CHAIRMAN": "x/writer"}
        os.environ |= {"LLM_COUNCIL_CACHE": "false", "LLM_COUNCIL_SUPPRESS_WARNINGS": "1"}

    async def ask(self, workers: list[str], what: str) -> dict[str, Any]:
        from llm_council.council import run_council_with_fallback
        from llm_council.unified_config import reload_config

        os.environ["LLM_COUNCIL_MODELS"] = ",".join(f"x/{worker}" for worker in workers)  # who reviews
        reload_config()
        first = 0.0

        def on_event(event: Any) -> None:
            nonlocal first
            if not first and "delta" in str(event.event):
                first = time.monotonic()

        models = [f"x/{worker}" for worker in workers]
        streamed = {"stream_synthesis": True, "on_event": on_event} if what == "stream" else {}
        found = await run_council_with_fallback(QUESTION, models=models, bypass_cache=True, **streamed)
        return {"text": found.get("synthesis", ""), "first": first, "status": found.get("metadata", {}).get("status")}


class Pipeline:
    """mixture-llm: propose, aggregate; the client is the caller's."""

    def __init__(self, url: str, _: dict[str, Any]) -> None:
        import httpx

        self._http, self._url = httpx.AsyncClient(timeout=60), url

    async def ask(self, workers: list[str], _: str) -> dict[str, Any]:
        from mixture_llm import Aggregate, Propose, run

        text, _ = await run([Propose(workers), Aggregate("writer")], QUESTION, self._call)
        return {"text": text}

    async def _call(self, *, model: str, messages: Any, temp: float, max_tokens: int) -> tuple[str, int, int]:
        body = {"model": model, "messages": messages, "temperature": temp, "max_tokens": max_tokens}
        response = await self._http.post(f"{self._url}/chat/completions", json=body)
        found = response.raise_for_status().json()
        usage = found["usage"]
        return found["choices"][0]["message"]["content"], usage["prompt_tokens"], usage["completion_tokens"]


class Plain:
    """A LangGraph fan-out as tutorials write it: a node for each worker, and one that writes."""

    def __init__(self, url: str, _: dict[str, Any]) -> None:
        self._url = url
        self._made: dict[tuple[str, ...], Any] = {}

    async def ask(self, workers: list[str], what: str) -> dict[str, Any]:
        graph = self._made.get(tuple(workers)) or self._graph(workers)
        self._made[tuple(workers)] = graph
        if what != "stream":
            found = await graph.ainvoke({"question": QUESTION, "proposals": []})
            return {"text": found["answer"]}
        first, text = 0.0, ""
        async for chunk, about in graph.astream({"question": QUESTION, "proposals": []}, stream_mode="messages"):
            if about["langgraph_node"] == "write" and chunk.content:
                first, text = first or time.monotonic(), text + chunk.content
        return {"text": text, "first": first}

    def _graph(self, workers: list[str]) -> Any:
        import operator
        from typing import Annotated

        from langchain_openai import ChatOpenAI
        from langgraph.graph import END, START, StateGraph
        from typing_extensions import TypedDict

        State = TypedDict("State", {"question": str, "proposals": Annotated[list[str], operator.add], "answer": str})  # noqa: UP013

        def chat(name: str) -> Any:
            return ChatOpenAI(model=name, base_url=self._url, api_key="k", streaming=name == "writer")

        def worker(name: str) -> Any:
            llm = chat(name)

            async def propose(state: Any) -> Any:
                return {"proposals": [(await llm.ainvoke(state["question"])).content]}

            return propose

        writer = chat("writer")

        async def write(state: Any) -> Any:
            answers = "\n\n".join(f"Answer {n}: {text}" for n, text in enumerate(state["proposals"], 1))
            prompt = f"Question: {state['question']}\n\n{answers}\n\nWrite one better answer."
            return {"answer": (await writer.ainvoke(prompt)).content}

        graph = StateGraph(State)
        graph.add_node("write", write)
        for name in workers:
            graph.add_node(name, worker(name))
            graph.add_edge(START, name)
        graph.add_edge(workers, "write")
        graph.add_edge("write", END)
        return graph.compile()


SYSTEMS: dict[str, Any] = {"mollm": Mollm, "council": Council, "pipeline": Pipeline, "plain": Plain}


async def main(name: str, url: str, how: dict[str, Any]) -> None:
    """Answer the lines of standard input."""
    system = SYSTEMS[name](url, how)
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        began = time.monotonic()
        try:
            async with asyncio.timeout(asked["seconds"]):
                found = await system.ask(asked["workers"], asked["what"])
        except TimeoutError:
            found = {"error": f"no answer in {asked['seconds']:g} s"}
        except Exception as error:  # noqa: BLE001 - that is the result
            found = {"error": f"{type(error).__name__}: {error}"[:200]}
        found["seconds"] = time.monotonic() - began
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}))
