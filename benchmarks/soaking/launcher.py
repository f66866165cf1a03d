"""Runs `mollm serve` as the command does, and tells how many asyncio tasks there are whenever SIGUSR1 comes.

    python -m soaking.launcher CONFIG PORT TASKS [DESCRIPTORS]

What is counted goes to the file TASKS, by the name of the coroutine. With DESCRIPTORS the process may open no more.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
from collections import Counter
from pathlib import Path

from mollm.server.process import serve


def main() -> int:
    """Serve."""
    config, port, tasks, *descriptors = sys.argv[1:]

    def tell(*_: object) -> None:
        names = (getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
        part = Path(f"{tasks}.part")
        part.write_text(json.dumps(Counter(names)))
        part.replace(tasks)

    signal.signal(signal.SIGUSR1, tell)
    if descriptors:
        most = int(descriptors[0])
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return serve(config, port=int(port))


if __name__ == "__main__":
    sys.exit(main())
