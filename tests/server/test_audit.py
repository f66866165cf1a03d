"""The audit log: what a line says and does not say, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from mollm.errors import ConfigError
from mollm.server import audit as module
from mollm.server.audit import MOST_WAITING, Audit
from tests.server.served import HI, config_of, served
from tests.upstream import USAGE, Upstream, answer, error, stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "what-nobody-is-to-read"  # noqa: S105 - of a test
KEY = f"key-{SECRET}"


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, parsed."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


class Dropped:
    """How many lines nobody will read, and a way to wait for them."""

    def __init__(self) -> None:
        self.count = 0
        self.some = threading.Event()

    def __call__(self, lines: int) -> None:
        """Count."""
        self.count += lines
        self.some.set()


@pytest.fixture
def dropped() -> Dropped:
    """Counts what is dropped."""
    return Dropped()


def opened(target: object, dropped: Dropped) -> Audit:
    """A log that writes to `target`."""
    return Audit(str(target), place="server.audit", on_drop=dropped)


async def test_a_line_says_who_asked_what_was_called_and_what_it_took(tmp_path: Path) -> None:
    """Its id is the answer's, and the response's `x-request-id`."""
    path, script = tmp_path / "audit.jsonl", [*[answer(f"Proposal {n}.") for n in range(3)], answer("Four.")]
    async with Upstream(*script) as upstream:
        config = config_of(upstream, server={"audit": str(path), "api_keys": [KEY]})
        priced = {name: {**llm, "price": {"input": 1, "output": 2}} for name, llm in config["llms"].items()}
        async with served({**config, "llms": priced}) as server:
            reply = await server.post(
                "/v1/chat/completions", {"model": "three", "messages": HI}, authorization=f"Bearer {KEY}"
            )
    [line] = lines(path)
    assert line.pop("time").endswith("Z")
    assert 0 < line.pop("seconds") < 60
    assert line == {
        "id": reply.body["id"],
        "key": "key-1",
        "path": "/v1/chat/completions",
        "mixture": "three",
        "llms": {"a": 2, "b": 1, "c": 1},
        "status": 200,
        "outcome": "answered",
        "prompt_tokens": 4 * USAGE["prompt_tokens"],
        "completion_tokens": 4 * USAGE["completion_tokens"],
        "cost_usd": pytest.approx(4 * (USAGE["prompt_tokens"] + 2 * USAGE["completion_tokens"]) / 1e6),
    }
    assert reply.headers["x-request-id"] == line["id"]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_every_end_of_a_request_leaves_a_line(tmp_path: Path) -> None:
    """Answered, streamed, broken off, failed, not understood, refused: one line for each, under the response's id."""
    path = tmp_path / "audit.jsonl"
    broken = stream("Fo", finish_reason=None, done=False)
    script = [answer(), stream("Four."), broken, *[error(500)] * 4]
    async with Upstream(*script) as upstream, served(config_of(upstream, server={"audit": str(path)})) as server:
        replies = [
            await server.chat(model="one"),
            await server.chat(model="one", stream=True),
            await server.chat(model="one", stream=True),
            await server.chat(model="one"),
            await server.chat(model="nobody"),
            await server.post("/v1/chat/completions", b"{"),
            await server.post("/predict", {"query": "1"}),
            await server.post("/predict", {"query": "1"}, origin="https://elsewhere.example"),
        ]
    found = {line["id"]: (line["status"], line["outcome"]) for line in lines(path)}
    assert list(found.values()) == [
        (200, "answered"),
        (200, "answered"),
        (200, "aggregation"),
        (502, "provider"),
        (404, "request"),
        (400, "request"),
        (502, "quorum"),
        (403, "origin"),
    ]
    assert list(found) == [reply.headers["x-request-id"] for reply in replies]
    assert replies[1].events[0]["id"] == replies[1].headers["x-request-id"]


async def test_a_list_that_was_answered_in_part_says_so(tmp_path: Path) -> None:
    """The calls of all its questions are in its one line."""
    path = tmp_path / "audit.jsonl"
    config = {"audit": str(path)}
    async with (
        Upstream(answer(), error(500)) as upstream,
        served({**config_of(upstream, server=config), "router": {"fallback": "one"}}) as server,
    ):
        reply = await server.post("/predict", [{"query": "1"}, {"query": "2"}])
    [line] = lines(path)
    assert reply.status == 200
    assert (line["outcome"], line["mixture"], line["llms"]) == ("partly_answered", "one", {"a": 2})


async def test_a_client_that_left_is_in_the_log(tmp_path: Path) -> None:
    """With the call that was made for it."""
    path, never = tmp_path / "audit.jsonl", asyncio.Event()
    async with Upstream(stream("Fo", never)) as upstream:
        async with served(config_of(upstream, server={"audit": str(path)})) as server:
            async with server.open(model="one") as events:
                await events.event()
            await (await upstream.request(1)).closed_early.wait()
        never.set()
    [line] = lines(path)
    assert (line["outcome"], line["llms"]) == ("client_gone", {"a": 1})


async def test_neither_key_nor_question_nor_answer_is_in_the_log(tmp_path: Path) -> None:
    """Whoever may read who asked when may not read what: not in a good request, and in no bad one."""
    path = tmp_path / "audit.jsonl"
    script = [answer(SECRET), error(500, SECRET), error(400, SECRET)]
    config = {"audit": str(path), "api_keys": [KEY]}
    async with Upstream(*script) as upstream, served(config_of(upstream, server=config)) as server:
        for key in (KEY, KEY, KEY, f"wrong-{SECRET}"):
            await server.post(
                f"/v1/chat/completions?key={SECRET}",
                {"model": "one", "messages": [{"role": "user", "content": SECRET}], "user": SECRET},
                authorization=f"Bearer {key}",
                x_request_id=SECRET,
            )
        await server.post("/v1/chat/completions", {"model": SECRET, "messages": HI}, authorization=f"Bearer {KEY}")
    assert [line["status"] for line in lines(path)] == [200, 502, 400, 401, 404]
    assert SECRET not in path.read_text()


async def test_a_sink_that_hangs_delays_nobody(tmp_path: Path, dropped: Dropped) -> None:
    """What is more than it may hold is dropped and counted, and the rest is written once it is read."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    audit = opened(path, dropped)
    filler = "x" * 1000
    sent = 0
    while not dropped.count:  # until the pipe, the writer and the queue are full
        audit.write({"filler": filler, "number": sent})
        sent += 1
    assert sent <= MOST_WAITING + module.AT_ONCE + 200

    os.set_blocking(reader, True)
    received = bytearray()

    def read_all() -> None:
        while part := os.read(reader, 1 << 20):
            received.extend(part)

    thread = threading.Thread(target=read_all)
    thread.start()
    await asyncio.to_thread(audit.close)
    thread.join(20)
    os.close(reader)
    assert [json.loads(line)["number"] for line in received.splitlines()] == list(range(sent - dropped.count))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")  # noqa: PTH110
async def test_a_full_disk_drops_lines_counts_them_and_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, not for every line."""
    statuses = []
    async with (
        Upstream(answer(), answer(), answer()) as upstream,
        served(config_of(upstream, server={"audit": "/dev/full"})) as server,
    ):
        for number in range(1, 4):
            statuses.append((await server.chat(model="one")).status)
            async with asyncio.timeout(20):
                while await server.metric("audit_dropped_total") < number:  # noqa: ASYNC110 - nothing to wait for
                    await asyncio.sleep(0.01)
    assert statuses == [200, 200, 200]
    said = [record.message for record in caplog.records if "audit" in record.message]
    assert said == ["audit: lines are lost, since /dev/full cannot be written: No space left on device"]


def test_half_a_line_of_an_earlier_server_is_ended(tmp_path: Path, dropped: Dropped) -> None:
    """One that was killed, or whose disk was full, costs its own last line and none of those that follow."""
    path = tmp_path / "audit.jsonl"
    path.write_text('{"half":')
    audit = opened(path, dropped)
    audit.write({"number": 1})
    audit.close()
    half, line = path.read_text().splitlines()
    assert half == '{"half":'
    assert json.loads(line)["number"] == 1


FILLS_UP = """
import resource, signal, sys
from mollm.server.audit import Audit

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
dropped = []
audit = Audit(sys.argv[1], place="server.audit", on_drop=dropped.append)
for number in range(100):
    audit.write({"number": number})
audit.close()
print(sum(dropped))
"""


def test_what_was_written_before_the_disk_was_full_is_not_counted_as_dropped(tmp_path: Path) -> None:
    """Lines in the file and lines counted are all that there were."""
    path = tmp_path / "audit.jsonl"
    done = subprocess.run([sys.executable, "-c", FILLS_UP, str(path)], check=True, capture_output=True, timeout=60)
    whole = path.read_bytes().count(b"\n")
    assert whole > 10
    assert whole + int(done.stdout) == 100


async def test_refusals_leave_room_for_those_who_have_a_key(tmp_path: Path, dropped: Dropped) -> None:
    """Whoever has none could else fill the log with nothing but attempts while the disk is slow."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    audit = opened(path, dropped)
    while not dropped.count:
        audit.refused("id", "", "x" * 1000, 401, "auth")
    before = dropped.count
    for number in range(MOST_WAITING // 4):
        audit.write({"number": number})
    assert dropped.count == before
    os.close(reader)  # what is left goes nowhere
    await asyncio.to_thread(audit.close)


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path, dropped: Dropped) -> None:
    """As programs that rotate logs do it; no signal is needed and no line is lost."""
    path = tmp_path / "audit.jsonl"
    audit = opened(path, dropped)
    for number in range(3):
        audit.write({"number": number})
        while not path.exists() or len(lines(path)) < 1:
            pass
        path.rename(tmp_path / f"audit.jsonl.{number}")
    audit.write({"number": 3})
    audit.close()
    found = [lines(tmp_path / f"audit.jsonl.{number}") for number in range(3)] + [lines(path)]
    assert [line["number"] for part in found for line in part] == [0, 1, 2, 3]
    assert not dropped.count


@pytest.mark.parametrize("where", ["no/such/folder/audit.jsonl", "."])
def test_a_log_that_cannot_be_written_keeps_the_server_from_starting(tmp_path: Path, where: str) -> None:
    """Somebody who needs a record does not find out later that there is none."""
    with pytest.raises(ConfigError, match=r"server\.audit: .* cannot be written: "):
        opened(tmp_path / where, Dropped())


async def test_a_standard_output_that_is_closed_keeps_the_server_from_starting(tmp_path: Path) -> None:
    """What has its number by then, the file of usage maybe, is something else; the lines would be lost, or worse."""
    path = tmp_path / "mollm.yaml"
    path.write_text(
        "llms: {a: {model: scripted/x}}\nmixtures: {one: {description: All., workers: [a]}}\n"
        "server: {port: 0, audit: '-', usage: usage.sqlite}\n"
    )
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "mollm", "serve", "-c", str(path)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr
    try:
        line = await asyncio.wait_for(process.stderr.readline(), 60)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()
    assert line.decode().endswith("server.audit: standard output cannot be written: Bad file descriptor\n")


async def test_a_reload_moves_the_log_and_one_that_fails_does_not(tmp_path: Path) -> None:
    """A file that cannot be written leaves the log where it was, and all the rest of the configuration too."""
    yaml = tmp_path / "mollm.yaml"

    def write(audit: str, upstream: Upstream) -> None:
        yaml.write_text(json.dumps(config_of(upstream, server={"audit": audit})))

    async with Upstream(*[answer() for _ in range(3)]) as upstream:
        write("first.jsonl", upstream)
        async with served(yaml) as server:
            await server.chat(model="one")
            write("second.jsonl", upstream)
            assert await server.deployment.reload()
            await server.chat(model="one")
            write("no/folder.jsonl", upstream)
            assert not await server.deployment.reload()
            await server.chat(model="one")
    assert len(lines(tmp_path / "first.jsonl")) == 1
    assert len(lines(tmp_path / "second.jsonl")) == 2


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    names = [thread.name for thread in threading.enumerate() if thread.name == "mollm-audit"]
    assert not names, "whoever opened a log closes it"
