"""Lets clients that people already use talk to `mollm serve`, each in an environment of its own.

    bash clients/run [--direct] [--only NAME] [--verbose]

Prints a line for each client and what it asked, and exits with 1 if anything failed.
"""
# ruff: noqa: T201 - its lines are what it is for

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from processes import Failed, free_port, run, server, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE: Final = Path(__file__).resolve().parent
CLIENT_SECONDS: Final = 300
"""One client may take so long, and its installation as long again."""
INSTALL_TRIES: Final = 3
PYTEST: Final = ("pytest>=8", "pytest-asyncio>=1")
SCORE: Final = 0.9
"""What `task/sums.yaml` must come to."""

ANSWERED: Final = 20
"""So many made-up conversations have to be answered, or the fuzzing says nothing."""


@dataclass(frozen=True)
class Place:
    """What a client is pointed at, and where it may write."""

    address: str
    key: str
    model: str
    folder: Path

    @property
    def base_url(self) -> str:
        """As clients of OpenAI want it."""
        return f"{self.address}/v1"


@dataclass(frozen=True)
class Outcome:
    """How a client fared."""

    passed: int
    failed: int
    left_out: int = 0
    version: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Client:
    """One client: what to install, what to run, and how to read what came of it.

    Attributes:
        models: What it asks.
        direct: What it asks where there is no mollm between it and the scripted upstream; None: it cannot.
        home: Where it runs, if not in a folder of its own.
        script: For a client in JavaScript, whose `needs` come from npm: what node runs.
        outcome: Reads what it wrote and printed. Raises `LookupError` or `OSError` where it did not get so far.
    """

    name: str
    needs: tuple[str, ...]
    command: Callable[[Place], list[str]]
    outcome: Callable[[Place, str], Outcome]
    models: tuple[str, ...] = ("single", "council")
    direct: str | None = "scholar"
    home: Path | None = None
    script: str | None = None

    def installed(self, place: Place, env: dict[str, str]) -> list[str]:
        """Install what it needs, and return the beginning of every command that uses it."""
        if self.script:
            shutil.copy(HERE / self.script, place.folder)
            command, install = [], ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", *self.needs]
        else:
            needs = [part for need in self.needs for part in ("--with", need)]
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            command = ["uv", "run", "--quiet", "--isolated", "--no-project", "--python", python, *needs]
            install = [*command, "python", "-c", ""]
        for _ in range(INSTALL_TRIES):
            if run(install, env, place.folder if self.script else self.home or place.folder, CLIENT_SECONDS)[0] == 0:
                break
        return command


def pytest_command(*files: str) -> Callable[[Place], list[str]]:
    """Run test files of this folder."""
    paths = [str(path) for pattern in files for path in sorted(HERE.glob(pattern))]
    return lambda place: ["python", "-m", "pytest", *paths, f"--junitxml={place.folder / 'junit.xml'}"]


def pytest_outcome(place: Place, _: str) -> Outcome:
    """Count tests."""
    (suite,) = ET.parse(place.folder / "junit.xml").getroot().iter("testsuite")  # noqa: S314 - pytest's own
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    versions = [f"{found.attrib['name']} {found.attrib['value']}" for found in suite.iter("property")]
    return Outcome(count["tests"] - failed - count["skipped"], failed, count["skipped"], ", ".join(versions))


def node_command(script: str) -> Callable[[Place], list[str]]:
    """Run a script that was copied beside its packages."""
    return lambda _: ["node", script]


def node_outcome(_: Place, output: str) -> Outcome:
    """Count what passed, and tell what failed."""
    report = json.loads(output.strip().splitlines()[-1])
    failures: dict[str, str] = report["failures"]
    return Outcome(report["passed"], len(failures), version=f"ai {report['version']}", remark="; ".join(failures))


def comply_command(place: Place) -> list[str]:
    """Check the answers against OpenAI's schema."""
    return [
        *("llm-comply", "--base-url", place.base_url, "--api-key", place.key, "--model", place.model),
        *("--format", "openai-chat", "--json"),
    ]


def comply_outcome(_: Place, output: str) -> Outcome:
    """Count checks, and say what it only warns of."""
    report = json.loads(output[output.index("{") :])
    warnings = {warning for result in report["results"] for warning in result.get("warnings", ())}
    alike = sorted({re.sub(r" '[^']*\.\.\.'", "", warning) for warning in warnings})  # ids differ, warnings do not
    summary = report["summary"]
    remark = f"it warns: {'; '.join(alike)}" if alike else ""
    return Outcome(summary["passed"], summary["failed"], summary["skipped"], remark=remark)


def lm_eval_command(place: Place) -> list[str]:
    """Evaluate a mixture on a task of ours, which is read from this folder."""
    arguments = f"model={place.model},base_url={place.base_url}/chat/completions,num_concurrent=4,max_retries=1"
    return [
        *("lm-eval", "run", "--model", "local-chat-completions", "--model_args", arguments, "--apply_chat_template"),
        *("--include_path", str(HERE / "task"), "--tasks", "sums", "--output_path", str(place.folder / "lm-eval")),
    ]


def lm_eval_outcome(place: Place, _: str) -> Outcome:
    """Compare the score with what it must be."""
    (written,) = (place.folder / "lm-eval").rglob("results_*.json")
    report = json.loads(written.read_text())
    score = report["results"]["sums"]["exact_match,last-number"]
    is_right = score == SCORE and report["n-samples"]["sums"]["effective"] == 10
    version = f"lm-eval {report.get('lm_eval_version', '')}"
    return Outcome(int(is_right), int(not is_right), version=version, remark=f"score {score}, expected {SCORE}")


def fuzz_command(place: Place) -> list[str]:
    """Fuzz every operation of the OpenAPI document; every check reports, and server errors count."""
    return [
        *("schemathesis", "run", f"{place.address}/openapi.json", "-H", f"Authorization: Bearer {place.key}"),
        *("--checks", "all", "--max-examples", "100", "--seed", "1", "--continue-on-failure", "--no-shrink"),
        *("--report", "json", "--report-json-path", str(place.folder / "fuzz.json")),
    ]


def fuzz_outcome(place: Place, _: str) -> Outcome:
    """Fail on a server error, and where hardly any made-up conversation was answered; tell the rest."""
    report: dict[str, Any] = json.loads((place.folder / "fuzz.json").read_text())
    failures = [f for f in report["failures"] if f["type"] == "ServerError"]
    failed = sum(f["count"] for f in failures) + len(report["errors"])
    others = [f"{f['title']} ({', '.join(f['operations'])})" for f in report["failures"] if f not in failures]
    rates = report["valid_rates"].get("POST /v1/chat/completions", {})
    answered = sum(phase["accepted"] for phase in rates.values())
    if answered < ANSWERED or not report["complete"]:
        failed, others = failed + 1, [f"fewer than {ANSWERED} made-up conversations were answered", *others]
    generated = report["test_cases"]["generated"]
    remark = f"{answered} made-up conversations answered; other checks: {'; '.join(others) or 'nothing found'}"
    return Outcome(generated - failed, failed, version=f"schemathesis {report['schemathesis_version']}", remark=remark)


CLIENTS: Final = (
    Client("openai SDK 2", ("openai>=2,<3", *PYTEST), pytest_command("test_sdk_*.py"), pytest_outcome),
    Client("openai SDK 3", ("openai>=3,<4", *PYTEST), pytest_command("test_sdk_*.py"), pytest_outcome),
    Client("ChatOpenAI", ("langchain-openai>=1", *PYTEST), pytest_command("test_chat_openai.py"), pytest_outcome),
    Client(
        "langchain-tests",
        ("langchain-tests>=1.1.9", "langchain-openai>=1", *PYTEST),
        pytest_command("test_langchain_standard.py"),
        pytest_outcome,
    ),
    Client(
        "pydantic-ai", ("pydantic-ai-slim[openai]>=1", *PYTEST), pytest_command("test_pydantic_ai.py"), pytest_outcome
    ),
    Client("openai-agents", ("openai-agents>=0.4", *PYTEST), pytest_command("test_openai_agents.py"), pytest_outcome),
    Client("instructor", ("instructor>=1.12", *PYTEST), pytest_command("test_instructor.py"), pytest_outcome),
    Client(
        "LlamaIndex",
        ("llama-index-llms-openai-like>=0.5", *PYTEST),
        pytest_command("test_llama_index.py"),
        pytest_outcome,
    ),
    Client("llm", ("llm>=0.27", *PYTEST), pytest_command("test_llm.py"), pytest_outcome),
    Client(
        "AI SDK",
        ("ai", "@ai-sdk/openai-compatible", "zod"),
        node_command("ai_sdk.mjs"),
        node_outcome,
        script="ai_sdk.mjs",
    ),
    Client(
        "llm-comply",
        ("llm-comply>=0.5",),
        comply_command,
        comply_outcome,
        models=("deepseek-r", "single", "council"),
        direct="deepseek-r",
    ),
    Client("lm-eval", ("lm-eval[api]>=0.4.13",), lm_eval_command, lm_eval_outcome, models=("council",), home=HERE),
    Client("schemathesis", ("schemathesis>=4.32",), fuzz_command, fuzz_outcome, models=("all",), direct=None),
)


def environment(place: Place, served: str) -> dict[str, str]:
    """What a client finds in its environment; nothing of ours but where to ask."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT")
    return {
        **{name: value for name, value in os.environ.items() if name not in ours},
        "CLIENTS_SERVED": served,
        "CLIENTS_BASE_URL": place.base_url,
        "CLIENTS_KEY": place.key,
        "CLIENTS_MODEL": place.model,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONDONTWRITEBYTECODE": "1",
        # For lm-eval, which reads its task here and fetches nothing.
        "OPENAI_API_KEY": place.key,
        "HF_HOME": str(place.folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        # For schemathesis, which finds its hooks so.
        "SCHEMATHESIS_HOOKS": "fuzzing",
        **({"PYTHONPATH": str(HERE)} if place.model == "all" else {}),
    }


def try_client(client: Client, place: Place, served: str, *, is_verbose: bool) -> bool:
    """Run one client on one model and print its line; returns whether all is well."""
    place.folder.mkdir(parents=True)
    env, home = environment(place, served), client.home or place.folder
    command = client.installed(place, env)
    begun = time.monotonic()
    status, output = run([*command, *client.command(place)], env, home, CLIENT_SECONDS)
    seconds = time.monotonic() - begun
    try:
        outcome = client.outcome(place, output)
    except (LookupError, OSError, ValueError) as error:
        said = f"took more than {CLIENT_SECONDS} s" if status is None else f"came to nothing, exit status {status}"
        outcome = Outcome(0, 1, remark=f"{said} ({type(error).__name__})")
    is_good = outcome.passed > 0 and not outcome.failed and (status == 0 or client.name == "schemathesis")
    counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.left_out} left out"
    told = "; ".join(filter(None, (counts, f"{seconds:.0f} s", outcome.version, outcome.remark)))
    print(f"{'ok  ' if is_good else 'FAIL'} {client.name:16} {place.model:11} {told}", flush=True)
    if is_verbose or not is_good:
        print(output if is_verbose else tail(output), flush=True)
    return is_good


def check_log(log: Path, keys: Sequence[str]) -> bool:
    """Say whether the server's log is free of keys and of failures that nobody foresaw."""
    text = log.read_text()
    is_good = not any(found in text for found in (*keys, "Traceback"))
    if not is_good:
        print(f"FAIL the server's log holds a key or a traceback:\n{tail(text)}", flush=True)
    return is_good


def try_model(client: Client, model: str, upstream: str, key: str, folder: Path, *, is_verbose: bool) -> bool:
    """Run one client against a server of its own: what one client made fail, another does not find failing."""
    port, own_key = free_port(), f"sk-{secrets.token_hex(16)}"
    command = [sys.executable, "-m", "mollm", "serve", "--config", str(HERE / "server.yaml"), "--port", str(port)]
    keys = {"CLIENTS_UPSTREAM_KEY": key, "CLIENTS_KEY": own_key}
    log = folder.with_suffix(".log")
    try:
        with server(command, port, log, {**os.environ, "CLIENTS_UPSTREAM": f"{upstream}/v1", **keys}):
            place = Place(f"http://127.0.0.1:{port}", own_key, model, folder)
            is_good = try_client(client, place, "mollm", is_verbose=is_verbose)
    except Failed as failure:
        print(f"FAIL {client.name:16} {model:11} {failure}", flush=True)
        return False
    return check_log(log, tuple(keys.values())) and is_good


def main(arguments: list[str]) -> int:
    """Start the upstream, run the clients, stop the upstream; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--direct", action="store_true", help="ask the scripted upstream itself, without mollm")
    parser.add_argument("--only", action="append", default=[], help="a client whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="print what every client prints")
    given = parser.parse_args(arguments)
    wanted = [c for c in CLIENTS if not given.only or any(name in c.name for name in given.only)]
    if not wanted:
        parser.error(f"no client is called so; there are: {', '.join(client.name for client in CLIENTS)}")
    port, key, begun = free_port(), f"sk-{secrets.token_hex(16)}", time.monotonic()
    command = [sys.executable, str(HERE / "upstream.py"), "--port", str(port), "--key", key]
    address = f"http://127.0.0.1:{port}"
    went: list[bool] = []
    with tempfile.TemporaryDirectory() as name, server(command, port, Path(name) / "upstream.log", os.environ):
        for client in wanted:
            for model in (client.direct,) if given.direct else client.models:
                folder = Path(name) / f"{client.name}-{model}".replace(" ", "-")
                if given.direct and model:
                    place = Place(address, key, model, folder)
                    went.append(try_client(client, place, "upstream", is_verbose=given.verbose))
                elif model:
                    went.append(try_model(client, model, address, key, folder, is_verbose=given.verbose))
    print(f"{went.count(True)} of {len(went)} went well, {time.monotonic() - begun:.0f} s")
    return 0 if went and all(went) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
