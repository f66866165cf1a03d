"""Whether a question is one that can be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mollm.errors import RequestError
from mollm.options import COUNTED
from mollm.prompts import is_empty

if TYPE_CHECKING:
    from mollm.run import Context


def check_question(context: Context) -> None:
    """Raise `RequestError` if the question cannot be answered."""
    if is_empty(context.question.messages):
        raise RequestError("the question is empty")
    if taken := sorted(COUNTED & set(context.options.extra_body)):
        raise RequestError(f"extra_body cannot set {', '.join(taken)}: limits and the configuration do")
    if context.options.tools:
        _check_tools(context.options.tools)


def _check_tools(tools: Any) -> None:
    # The LLM that cannot be sent them would fail, and its mixture go on without any.
    if isinstance(tools, str) or not isinstance(tools, Sequence):
        raise RequestError("tools: must be a list, of dictionaries in OpenAI's form")
    for number, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            hint = "LangChain's `convert_to_openai_tool` makes one of a function or a tool"
            raise RequestError(f"tools[{number}]: must be a dictionary in OpenAI's form; {hint}")
