"""What a mixture of three workers and an aggregator costs beside the LLMs themselves.

    uv run python benchmarks/overhead.py [--runs 300] [--old REVISION] [--write benchmarks/overhead.md]

Every contestant makes the same four calls (three at once, then one that reads the three answers) against the
same loopback upstream that answers at once; upstream and contestants run on a core each, where there are two.
Rounds are interleaved, so a machine that slows down slows all of them. `added` is p50 minus the p50 of bare
`asyncio.gather` over aiohttp, which is the price of the four calls alone. With `--old` mollm as it was at a
revision takes its turns in the same rounds, in a process of its own on the same core.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import operator
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypedDict

from machine import shape
from revisions import revision

Contestant = Callable[[], Awaitable[object]]
Turn = Callable[[int], Awaitable[tuple[list[float], float]]]
"""Answers so many questions; returns the wall time of each in ms, and the CPU seconds of all."""

QUESTION = "Is a heap of sand without one grain still a heap? " * 4
WORKERS = 3
HERE = Path(__file__).parent


class State(TypedDict, total=False):
    """What the plain graphs hand on."""

    question: str
    answers: Annotated[list[str], operator.add]
    answer: str


def messages(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def merged(answers: list[str]) -> str:
    return QUESTION + "\n\nAnswers so far:\n" + "\n".join(answers) + "\n\nWrite the best answer."


def _aiohttp_call(base: str) -> Callable[[str], Awaitable[str]]:
    # One and the same call under `asyncio.gather` and under LangGraph, so that the difference is LangGraph.
    import aiohttp
    import orjson

    session = aiohttp.ClientSession()

    async def call(text: str) -> str:
        body = orjson.dumps({"model": "m", "messages": messages(text), "max_tokens": 256})
        headers = {"content-type": "application/json"}
        async with session.post(f"{base}/chat/completions", data=body, headers=headers) as response:
            found = orjson.loads(await response.read())
        return str(found["choices"][0]["message"]["content"])

    return call


async def bare(base: str) -> Contestant:
    """`asyncio.gather` over aiohttp, nothing else."""
    call = _aiohttp_call(base)

    async def run() -> str:
        answers = await asyncio.gather(*(call(QUESTION) for _ in range(WORKERS)))
        return await call(merged(list(answers)))

    return run


def _graph(call: Callable[[str], Awaitable[str]]) -> Any:
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Send

    async def route(state: State) -> State:
        return {}

    async def work(state: State) -> State:
        return {"answers": [await call(state["question"])]}

    async def aggregate(state: State) -> State:
        return {"answer": await call(merged(state["answers"]))}

    builder = StateGraph(State)
    builder.add_node("route", route)
    builder.add_node("work", work)
    builder.add_node("aggregate", aggregate)
    builder.add_edge(START, "route")
    builder.add_conditional_edges(
        "route", lambda state: [Send("work", {"question": state["question"]})] * WORKERS, ["work"]
    )
    builder.add_edge("work", "aggregate")
    builder.add_edge("aggregate", END)
    return builder.compile()


async def langgraph_aiohttp(base: str) -> Contestant:
    """A plain LangGraph of `Send` workers, each one aiohttp call."""
    graph = _graph(_aiohttp_call(base))
    return lambda: graph.ainvoke({"question": QUESTION})


async def langgraph_chatopenai(base: str) -> Contestant:
    """The same graph over `ChatOpenAI`."""
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    llm = ChatOpenAI(model="m", base_url=base, api_key=SecretStr("x"), max_retries=0)

    async def call(text: str) -> str:
        return str((await llm.ainvoke(messages(text))).content)

    graph = _graph(call)
    return lambda: graph.ainvoke({"question": QUESTION})


async def langgraph_litellm(base: str) -> Contestant:
    """The same graph over `litellm.acompletion`."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    async def call(text: str) -> str:
        reply = await litellm.acompletion(
            model="openai/m", messages=messages(text), api_base=base, api_key="x", max_retries=0, max_tokens=256
        )
        return str(reply.choices[0].message.content)

    graph = _graph(call)
    return lambda: graph.ainvoke({"question": QUESTION})


def config(base: str) -> dict[str, Any]:
    """Three workers and an aggregator on one LLM."""
    return {
        "llms": {"m": {"model": "hosted_vllm/m", "api_base": base, "max_tokens": 256, "context_window": 8192}},
        "mixtures": {
            "heap": {"description": "Heaps.", "workers": [{"llm": "m", "samples": WORKERS}]},
            "one": {"description": "One.", "workers": ["m"]},
        },
        "router": {"kind": "fixed", "fallback": "heap"},
    }


async def mollm_graph(base: str) -> Contestant:
    """mollm's graph: route, three workers, aggregator."""
    from mollm import create_graph

    graph = create_graph(config(base))
    return lambda: graph.ainvoke({"messages": [("user", QUESTION)]})


async def mollm_api(base: str) -> Contestant:
    """The same through `MoLLM.aask`."""
    from mollm import MoLLM

    mollm = MoLLM(config(base))
    return lambda: mollm.aask(QUESTION)


BARE = "asyncio.gather + aiohttp"
OURS: dict[str, Callable[[str], Awaitable[Contestant]]] = {"MoLLM.aask": mollm_api, "graph.ainvoke": mollm_graph}
OTHERS: dict[str, Callable[[str], Awaitable[Contestant]]] = {
    "LangGraph + aiohttp": langgraph_aiohttp,
    "LangGraph + ChatOpenAI": langgraph_chatopenai,
    "LangGraph + LiteLLM": langgraph_litellm,
}
BUDGETS = {"mollm, MoLLM.aask": 2.5, "mollm, graph.ainvoke": 5.0}
"""CPU against the bare calls."""


def here(run: Contestant) -> Turn:
    """Take turns in this process."""

    async def turn(runs: int) -> tuple[list[float], float]:
        times, before = [], time.process_time()
        for _ in range(runs):
            begun = time.perf_counter()
            await run()
            times.append((time.perf_counter() - begun) * 1e3)
        return times, time.process_time() - before

    return turn


@contextmanager
def elsewhere(python: str, base: str) -> Iterator[Callable[[str], Turn]]:
    """Take turns in a process with another mollm, by name."""
    command = [python, str(HERE / "overhead.py"), "--inside", base]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    talk, listen = process.stdin, process.stdout

    def named(name: str) -> Turn:
        async def turn(runs: int) -> tuple[list[float], float]:
            talk.write(f"{name} {runs}\n")
            talk.flush()
            times, cpu = json.loads(listen.readline())
            return times, cpu

        return turn

    try:
        yield named
    finally:
        talk.close()
        process.wait()
        listen.close()


async def inside(base: str) -> None:
    """Take the turns that standard input asks for."""
    turns = {name: here(await make(base)) for name, make in OURS.items()}
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, runs = line.rsplit(maxsplit=1)
        print(json.dumps(await turns[name](int(runs))), flush=True)


async def measure(base: str, runs: int, old: dict[str, Turn], rounds: int = 10) -> dict[str, tuple[list[float], float]]:
    """Return per contestant the wall times in ms, and the CPU ms per request."""
    made = {BARE: bare, **{f"mollm, {name}": make for name, make in OURS.items()}, **OTHERS}
    turns = {**{name: here(await make(base)) for name, make in made.items()}, **old}
    times: dict[str, list[float]] = {name: [] for name in turns}
    cpu = dict.fromkeys(turns, 0.0)
    for turn in turns.values():
        await turn(20)
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for name, turn in turns.items():
            taken, used = await turn(max(1, runs // rounds))
            times[name] += taken
            cpu[name] += used
    return {name: (times[name], cpu[name] / len(times[name]) * 1e3) for name in turns}


def table(found: dict[str, tuple[list[float], float]]) -> str:
    """Print the figures side by side, with ratios to the bare calls."""
    floor, least = statistics.median(found[BARE][0]), found[BARE][1]
    lines = [
        "| 3 workers + aggregator | p50 ms | p99 ms | added p50 ms | CPU ms | p50 / bare | CPU / bare | budget |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (times, cpu) in found.items():
        p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        budget = f"<= {BUDGETS[name]:g}" if name in BUDGETS else ""
        figures = f"{p50:.2f} | {p99:.2f} | {p50 - floor:.2f} | {cpu:.2f} | {p50 / floor:.1f} | {cpu / least:.1f}"
        lines.append(f"| {name} | {figures} | {budget} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--old", metavar="REVISION", help="measure mollm as it was there too")
    parser.add_argument("--inside", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.inside:
        asyncio.run(inside(arguments.inside))
        return
    cores = sorted(os.sched_getaffinity(0))
    upstream = subprocess.Popen(
        [sys.executable, str(HERE / "upstream.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert upstream.stdout
    assert upstream.stdin
    if len(cores) > 1:
        os.sched_setaffinity(upstream.pid, {cores[0]})
        os.sched_setaffinity(0, {cores[1]})
    try:
        base = upstream.stdout.readline().strip()
        with ExitStack() as stack:
            old: dict[str, Turn] = {}
            if arguments.old:
                commit, python = revision(arguments.old)
                named = stack.enter_context(elsewhere(str(python), base))
                old = {f"mollm {commit}, {name}": named(name) for name in OURS}
            found = asyncio.run(measure(base, arguments.runs, old))
    finally:
        upstream.stdin.close()
        upstream.wait()
    text = f"{table(found)}\n\n{arguments.runs} requests each, {shape()}, {date.today().isoformat()}.\n"
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
