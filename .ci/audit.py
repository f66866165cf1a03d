"""Look up the dependencies, as they were resolved, among the known vulnerabilities (OSV).

    uv run .ci/audit.py [--service URL]

What is looked up is all that the lock file holds: every extra and group, for every platform. Exits with 1 where a
vulnerability is known that `IGNORED` does not name, and where the service could be reached but told nothing. Where
there is no network it says that nothing was audited, and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
SERVICE = "https://api.osv.dev/"
LONGEST_SECONDS = 180
CONNECT_SECONDS = 5
FOUND = 1
"""Exit code of `uv audit` where it knows of a vulnerability."""


@dataclass(frozen=True)
class Ignored:
    """A vulnerability that does not stop a build."""

    id: str
    """As the service names it, or one of its aliases."""
    since: str
    """Date of the decision."""
    reason: str


IGNORED: tuple[Ignored, ...] = ()


def judged(report: dict[str, Any], ignored: tuple[Ignored, ...]) -> tuple[list[str], bool]:
    """Return what to say of a report of `uv audit`, and whether nothing stands that is not ignored."""
    lines, is_clean, used = [], True, set()
    for found in report["vulnerabilities"]:
        entry = next((one for one in ignored if one.id in (found["id"], *found["aliases"])), None)
        package = f"{found['dependency']['name']} {found['dependency']['version']}"
        fixed = f"fixed in {', '.join(found['fix_versions'])}" if found["fix_versions"] else "no version without it"
        line = f"{package}: {', '.join([found['id'], *found['aliases']])}, {fixed}: {found['summary']}"
        if entry is None:
            is_clean = False
            lines.append(line)
        else:
            used.add(entry)
            lines.append(f"ignored since {entry.since}, {entry.reason}: {line}")
    lines += [
        f"{one.id} is ignored and not found any more; take it out of IGNORED" for one in ignored if one not in used
    ]
    count, known = report["summary"]["audited_packages"], len(report["vulnerabilities"])
    lines.append(f"audited {count} packages: {known} known vulnerabilities, {len(used)} of the ignored ones among them")
    return lines, is_clean and count > 0


def reason_unreachable(service: str) -> str:
    """Say why no connection to the service can be opened; nothing where one can."""
    address = urlsplit(service)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"{host} port {port}: {error}"
    return ""


def audit(service: str, ignored: tuple[Ignored, ...]) -> int:
    """Ask, print what came of it, and return the exit code."""
    command = ["uv", "audit", "--frozen", "--preview-features", "audit,json-output", "--output-format", "json"]
    try:
        done = subprocess.run(
            [*command, "--service-url", service], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
        code, out, said = done.returncode, done.stdout, done.stderr.strip()
    except subprocess.TimeoutExpired:
        code, out, said = -1, "", f"uv audit did not end within {LONGEST_SECONDS} s"
    if code in (0, FOUND):
        lines, is_clean = judged(json.loads(out), ignored)
        print("\n".join(lines))
        return int(not is_clean)
    if reason := reason_unreachable(service):
        print(f"NOT AUDITED: no network ({reason})")
        return 0
    print(f"NOT AUDITED, although {service} can be reached: uv audit ended with {code}:\n{said}")
    return 1


def main() -> int:
    """Audit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service", default=SERVICE, help="address of an OSV service; %(default)s")
    return audit(parser.parse_args().service, IGNORED)


if __name__ == "__main__":
    sys.exit(main())
