"""Whether somebody watches through LangChain or LangSmith; the compiled graph then runs."""

from __future__ import annotations

import os
import sys

_TRACING = tuple(f"{prefix}_TRACING{suffix}" for prefix in ("LANGSMITH", "LANGCHAIN") for suffix in ("", "_V2"))


def is_watched() -> bool:
    """Say whether a question has to run as a LangGraph graph because somebody watches.

    A question is watched if it is asked

    - inside another graph or runnable, also from a thread that it started;
    - with LangChain callbacks: `set_debug`, or a handler in a context variable that was registered by
      `register_configure_hook`, such as `get_usage_metadata_callback` and `tracing_v2_enabled`;
    - with LangSmith tracing: `LANGSMITH_TRACING`, `LANGCHAIN_TRACING` or either with `_V2` is `true`, or
      `tracing_context`, `langsmith.configure` or `@traceable` is in use, with or without LangChain.

    LangChain and LangSmith are asked themselves. If neither was imported and no variable is set, nobody can watch.
    """
    if any(os.environ.get(name, "").strip() == "true" for name in _TRACING):
        return True
    return _is_in_a_runnable() or _is_traced() or _has_handlers()


def _is_in_a_runnable() -> bool:
    if "langchain_core" not in sys.modules:
        return False
    from langchain_core.runnables.config import var_child_runnable_config

    return var_child_runnable_config.get() is not None


def _is_traced() -> bool:
    if "langsmith" not in sys.modules:
        return False
    from langsmith.run_helpers import get_current_run_tree
    from langsmith.utils import tracing_is_enabled

    return bool(tracing_is_enabled()) or get_current_run_tree() is not None


def _has_handlers() -> bool:
    if "langchain_core" not in sys.modules:
        return False
    from langchain_core.callbacks.manager import AsyncCallbackManager

    try:
        return bool(AsyncCallbackManager.configure().handlers)
    except RuntimeError:  # a variable of LangChain's first tracer, which is gone
        return False
