"""mollm: mixtures of LLMs, routed, asked together, answered once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mollm.api import MoLLM
    from mollm.config.load import load_config
    from mollm.errors import MollmError
    from mollm.graph import create_graph
    from mollm.options import Options
    from mollm.types import Answer

__all__ = ["Answer", "MoLLM", "MollmError", "Options", "create_graph", "load_config"]

_HOMES = {
    "Answer": "types",
    "MoLLM": "api",
    "MollmError": "errors",
    "Options": "options",
    "create_graph": "graph",
    "load_config": "config.load",
}


def __getattr__(name: str) -> Any:
    # LangGraph alone takes half a second to import, so a name is loaded when it is first asked for.
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'mollm' has no attribute {name!r}")
    return getattr(import_module(f"mollm.{_HOMES[name]}"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mollm")
    except PackageNotFoundError:  # a checkout that was not installed
        import tomllib
        from pathlib import Path

        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
        return str(project["project"]["version"])


def __dir__() -> list[str]:
    return sorted(__all__)
