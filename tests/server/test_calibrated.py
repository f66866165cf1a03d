"""A server whose answers say how probable they are: its file changes, callers leave, and panels name no file."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.calibrations import written
from tests.server.served import config_of, served, until
from tests.upstream import Reply, Upstream, answer, error

if TYPE_CHECKING:
    from pathlib import Path

    from tests.upstream import Received

FOUR = answer("The answer is 4.")


def prepared(folder: Path, upstream: Upstream, *, base: float = 0.0, **mixture: Any) -> tuple[Path, Path]:
    """A configuration on a disk, with a calibration beside it by which the first worker may be sure alone."""
    config = config_of(upstream, server={"panels": True})
    three = config["mixtures"]["three"]
    three |= {"aggregator": {"method": "vote"}, "ask_first": 1, "agree": 0.9, **mixture}
    calibration = written(folder / "c.json", config, "three", {"a": 4.0})
    three["calibration"] = calibration.name
    path = folder / "mollm.yaml"
    path.write_text(yaml.safe_dump(config))
    rebased(calibration, base)
    return path, calibration


def rebased(calibration: Path, base: float) -> None:
    """State other odds."""
    calibration.write_text(calibration.read_text("utf-8").replace('"base": 0.0', f'"base": {base}'), "utf-8")


BROKEN = {
    "gone": (None, "no file 'c.json'"),
    "cut off": (lambda text: text[:200], "is not JSON"),
    "large": (lambda text: text + " " * (1 << 20), "has more than 1 MiB"),
    "deep": (lambda _: "[" * 100_000, "is not JSON"),
    "no number": (lambda text: text.replace('"base": 0.0', '"base": NaN'), "base: must be a number"),
    "infinite": (lambda text: text.replace('"supports": 4.0', '"supports": 1e999'), "members.a.supports: must be a"),
    "huge": (lambda text: text.replace('"base": 0.0', f'"base": {"9" * 4000}'), "base: must be a number"),
    "text": (lambda text: text.replace('"leader": 2.0', '"leader": "2"'), "weights.leader: must be a number"),
    "of others": (lambda text: text.replace('"c": {', '"x\\n2026 ERROR forged": {'), r"and with x\n2026 ERROR forged;"),
}


async def test_a_broken_calibration_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one before it serves on, and the log names the key, the file and what is wrong with it."""
    async with Upstream() as upstream:
        upstream.reply_to = lambda _: FOUR
        path, calibration = prepared(tmp_path, upstream)
        good = calibration.read_text("utf-8")
        async with served(path) as server:
            for name, (broken, why) in BROKEN.items():
                calibration.unlink(missing_ok=True)
                if broken:
                    calibration.write_text(broken(good), "utf-8")
                caplog.clear()
                with caplog.at_level(logging.ERROR, logger="mollm.server"):
                    is_good = await server.deployment.reload()
                reply = await server.chat(model="three")

                assert not is_good, name
                assert reply.headers["x-mollm-confidence"] == "0.9820", name
                (said,) = [record.getMessage() for record in caplog.records]
                assert "the configuration stays as it was" in said, name
                assert "mixtures.three.calibration: " in said, name
                assert why in said, name

    assert len(upstream.received) == len(BROKEN), "a sure answer costs one call"


async def test_a_question_in_flight_keeps_the_calibration_that_it_began_with(tmp_path: Path) -> None:
    """The next one has the new one."""
    go = asyncio.Event()
    async with Upstream(Reply(FOUR.parts, before=go), FOUR, FOUR, FOUR) as upstream:
        path, calibration = prepared(tmp_path, upstream)
        async with served(path) as server:
            began = asyncio.create_task(server.chat(model="three"))
            await upstream.request(1)
            rebased(calibration, -2.0)
            is_good = await server.deployment.reload()
            new = await server.chat(model="three")
            go.set()
            old = await began

    assert is_good
    assert old.headers["x-mollm-confidence"] == "0.9820"
    assert new.headers["x-mollm-confidence"] == "0.9672", "surer by a second vote, as it was not sure alone"
    assert len(upstream.received) == 3


@pytest.mark.parametrize(
    ("panel", "key"),
    [
        ({"calibration": "c.json"}, "mollm.calibration: cannot be set here"),
        ({"calibration": "/etc/passwd", "agree": 0.9}, "mollm.calibration: cannot be set here"),
        ({"aggregator": {"calibration": "c.json"}}, "mollm.aggregator.calibration: cannot be set here"),
        ({"agree": 0.9}, "mollm.agree: a probability needs `calibration`"),
    ],
    ids=["relative", "absolute", "inside", "none"],
)
async def test_a_panel_from_a_network_names_no_calibration(panel: dict[str, Any], key: str, tmp_path: Path) -> None:
    """So neither can it read a file here, nor ask for a probability that nobody knows."""
    async with Upstream() as upstream:
        path, _ = prepared(tmp_path, upstream)
        async with served(path) as server:
            reply = await server.chat(model="panel", mollm={"workers": ["a", "b", "c"], **panel})

    assert reply.status == 400
    assert reply.body["error"]["message"].startswith(key)
    assert not upstream.received


ASKED, LEAVES = 80, 4
"""Questions at once, and that every so manieth caller leaves."""


def reply_to(number: int, go: asyncio.Event) -> Reply:
    """A reply to a question: none yet where its caller is to leave, a failure, another answer, or the usual one."""
    if number % LEAVES == 0:
        return Reply(FOUR.parts, before=go)
    if number % 7 == 0:
        return error(500)
    return answer("The answer is 5.") if number % 5 == 0 else FOUR


async def test_callers_that_leave_take_nothing_from_the_others(tmp_path: Path) -> None:
    """Of many questions at once some are given up; all others end, and each answer says how probable it is."""
    go = asyncio.Event()
    async with Upstream() as upstream:
        upstream.reply_to = lambda received: reply_to(number_of(received), go)
        path, _ = prepared(tmp_path, upstream)
        async with served(path) as server:

            async def ask(number: int) -> Any:
                return await server.chat(model="three", messages=[{"role": "user", "content": str(number)}])

            asking = [asyncio.create_task(ask(number)) for number in range(ASKED)]
            await until(lambda: sum(number_of(received) % LEAVES == 0 for received in upstream.received) == 20)
            for task in asking[::LEAVES]:
                task.cancel()
            replies = {n: await task for n, task in enumerate(asking) if n % LEAVES}
            async with asyncio.timeout(5):
                for received in upstream.received:
                    if number_of(received) % LEAVES == 0:
                        await received.closed_early.wait()
            await until(lambda: not server.deployment.admission.in_flight)
            count = await server.metric("confidence_count", mixture="three")

    answered = {n: reply for n, reply in replies.items() if n % 7}
    assert {reply.status for reply in answered.values()} == {200}
    assert {reply.status for n, reply in replies.items() if n not in answered} == {502}
    assert {reply.headers["x-mollm-confidence"] for reply in answered.values()} == {"0.9820"}
    assert count == len(answered)


def number_of(received: Received) -> int:
    """Which question it was."""
    return int(received.body["messages"][-1]["content"])
