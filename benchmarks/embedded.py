"""TensorZero's embedded mixture-of-n under load, from inside: it is a library here, so the loop that asks is its own.

    python benchmarks/embedded.py CONFIG.toml        # in an environment with tensorzero

Reads `CONCURRENCY SECONDS` lines and answers each with one line of JSON. Its CPU includes the asking.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from tensorzero import AsyncTensorZeroGateway  # type: ignore[import-not-found] # in an environment of its own

QUESTION = "Is a heap of sand without one grain still a heap? " * 4


async def load(gateway: Any, concurrency: int, seconds: float) -> dict[str, Any]:
    """Keep so many requests in flight for so long."""
    times: list[float] = []
    errors: dict[str, int] = {}
    cpu, begun = time.process_time(), time.perf_counter()

    async def ask() -> None:
        while True:
            at = time.perf_counter()
            try:
                reply = await gateway.inference(
                    function_name="ask",
                    variant_name="mixture",
                    input={"messages": [{"role": "user", "content": QUESTION}]},
                )
                fault = "" if "heap of sand" in reply.content[0].text else "another answer"
            except Exception as error:  # noqa: BLE001 - counted, and a cell with errors is no result
                fault = str(error)[:300]
            now = time.perf_counter()
            if fault:
                errors[fault] = errors.get(fault, 0) + 1
            else:
                times.append((now - at) * 1e3)
            if now >= begun + seconds:
                return

    await asyncio.gather(*(ask() for _ in range(concurrency)))
    wall = time.perf_counter() - begun
    return {"times": times, "errors": errors, "wall": wall, "cpu": time.process_time() - cpu}


async def main() -> None:
    """Serve the lines of standard input."""
    # The library logs to standard output, which is ours to talk on.
    talk = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    built = AsyncTensorZeroGateway.build_embedded(config_file=sys.argv[1])
    async with await built as gateway:
        print("ready", file=talk, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            concurrency, seconds = line.split()
            print(json.dumps(await load(gateway, int(concurrency), float(seconds))), file=talk, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
