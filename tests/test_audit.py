"""The audit of the dependencies says what it found, and never passes over that it found out nothing."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.upstream import Received, Reply, Upstream, document, error

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
BAD = "jinja2"
KNOWN = {
    "id": "PYSEC-2099-1",
    "aliases": ["CVE-2099-1"],
    "modified": "2099-01-01T00:00:00Z",
    "published": "2099-01-01T00:00:00Z",
    "summary": "It does what it should not.",
    "details": "",
    "affected": [
        {
            "package": {"name": BAD, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


def osv(bad: str) -> Any:
    """Answer as the service does that knows of one vulnerability, of the package `bad`."""

    def reply(received: Received) -> Reply:
        if received.method == "GET":
            return document(KNOWN)
        found = {"vulns": [{"id": KNOWN["id"], "modified": KNOWN["modified"]}]}
        names = [query["package"]["name"] for query in received.body["queries"]]
        return document({"results": [found if name == bad else {} for name in names]})

    return reply


async def audited(service: str) -> tuple[int | None, str]:
    """Run the script; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), "--service", service),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "UV_HTTP_RETRIES": "0"},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode()


@pytest.mark.parametrize(("bad", "code"), [("no such package", 0), (BAD, 1)])
async def test_known_vulnerability_fails_the_step(bad: str, code: int) -> None:
    """It names package, version and vulnerability; where there is none, how many packages were looked up."""
    async with Upstream() as service:
        service.reply_to = osv(bad)
        ended, said = await audited(f"http://127.0.0.1:{service.port}/")
    assert ended == code, said
    assert f"{code} known vulnerabilities" in said
    assert ("fixed in 99.0: It does what it should not." in said) is bool(code)
    looked_up = [query["package"]["name"] for query in service.received[0].body["queries"]]
    assert {"aiohttp", "litellm", "scikit-learn"} <= {*looked_up}, "the extras are among them"


async def test_no_network_is_said() -> None:
    """Where the service cannot be reached nothing was audited, and the output says it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        ended, said = await audited(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    assert (ended, said.startswith("NOT AUDITED: no network (127.0.0.1 port ")) == (0, True), said


async def test_a_service_that_tells_nothing_fails_the_step() -> None:
    """A service that is there and fails is no excuse."""
    async with Upstream() as service:
        service.reply_to = lambda _: error(500)
        ended, said = await audited(f"http://127.0.0.1:{service.port}/")
    assert (ended, "can be reached" in said) == (1, True), said


def test_ignored_vulnerability_is_shown_with_its_reason() -> None:
    """An entry lets a build pass, by any of the names of what it ignores, and is asked for no longer than needed."""
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec
    assert spec.loader
    audit: Any = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = audit  # where a dataclass looks for its annotations
    spec.loader.exec_module(audit)
    dependency = {"name": BAD, "version": "3.1.6"}
    found = {**KNOWN, "dependency": dependency, "fix_versions": []}
    report = {"summary": {"audited_packages": 9}, "vulnerabilities": [found]}
    ignored = [audit.Ignored(id, "2099-01-02", "not used here") for id in ("CVE-2099-1", "CVE-2098-7")]  # noqa: A001
    (first, stale, last), is_clean = audit.judged(report, tuple(ignored))
    assert is_clean
    assert first.startswith(
        "ignored since 2099-01-02, not used here: jinja2 3.1.6: PYSEC-2099-1, CVE-2099-1, no version"
    )
    assert stale.startswith("CVE-2098-7 is ignored and not found any more")
    assert last == "audited 9 packages: 1 known vulnerabilities, 1 of the ignored ones among them"
    assert not audit.judged(report, ())[1]
