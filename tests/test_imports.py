"""What a name costs to import, and which names there are."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mollm

ROOT = Path(__file__).parent.parent
HEAVY = {"aiohttp", "fastapi", "httpx", "jinja2", "langchain_core", "langgraph", "litellm", "numpy", "openai"}
HEAVY |= {"pydantic", "safetensors", "sklearn", "torch", "uvicorn", "xllamacpp", "yaml"}


def loaded_by(code: str) -> set[str]:
    """Names of top-level modules in a fresh interpreter after `code`."""
    program = f"import sys\n{code}\nimport json; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("code", ["import mollm", "import mollm.types, mollm.errors, mollm.calling.base"])
def test_import_loads_nothing_heavy(code: str) -> None:
    """`import mollm` loads no third party at all."""
    assert not loaded_by(code) & HEAVY


def test_help_loads_nothing_heavy() -> None:
    """`mollm --help` needs the command line library and no more."""
    code = "from mollm.cli.main import app\n"
    code += "try:\n    app(['--help'], standalone_mode=False)\nexcept SystemExit:\n    pass"

    assert not loaded_by(code) & HEAVY


def test_a_graph_loads_neither_litellm_nor_scikit_learn() -> None:
    """Each heavy library is loaded by what needs it."""
    code = (
        "from mollm import create_graph\n"
        "llms = {'a': {'model': 'scripted/x'}}\n"
        "create_graph({'llms': llms, 'mixtures': {'m': {'description': 'x', 'workers': ['a']}}})"
    )

    assert not loaded_by(code) & {"litellm", "sklearn", "openai", "fastapi", "torch", "xllamacpp"}


def test_a_server_loads_no_more_than_it_serves_with() -> None:
    """Scikit-learn fits routers, LiteLLM calls its providers, an SDK serves agents; a server of none stays small."""
    code = (
        "from mollm.server import create_app\n"
        "llms = {'a': {'model': 'hosted_vllm/x', 'api_base': 'http://127.0.0.1:1/v1'}}\n"
        "create_app({'llms': llms, 'mixtures': {'m': {'description': 'x', 'workers': ['a']}}})"
    )

    assert not loaded_by(code) & {"litellm", "mcp", "sklearn", "openai", "torch", "xllamacpp"}


def imported_by(node: ast.stmt) -> set[str]:
    """Names of the top-level modules that a statement imports when its module is."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {(node.module or "").partition(".")[0]} if isinstance(node, ast.ImportFrom) else set()


def test_collecting_the_tests_loads_nothing_that_takes_seconds() -> None:
    """A test imports LangChain, LiteLLM, an SDK or scikit-learn itself, so that another need not wait for it."""
    slow = {"langchain_core", "langchain_openai", "langgraph", "langsmith", "litellm", "mcp", "mcp_types", "openai"}
    slow |= {"sklearn", "xllamacpp"}
    found = {
        path.name: imports
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if (imports := imported_by(node) & slow)
    }

    assert found == {}


def test_public_names_are_those_that_are_listed() -> None:
    """Ten at most, each of them there, and nothing else promised."""
    assert len(mollm.__all__) <= 10
    assert sorted(mollm.__all__) == dir(mollm)
    for name in mollm.__all__:
        assert getattr(mollm, name)


def test_a_wrong_name_is_an_attribute_error() -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="no attribute 'Mollm'"):
        _ = mollm.Mollm


def test_the_version_is_that_of_the_project() -> None:
    """Installed, and in a checkout that nobody installed (`-S` hides what is)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert mollm.__version__ == project["version"]
    command = [sys.executable, "-S", "-c", "import mollm; print(mollm.__version__)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == project["version"]
