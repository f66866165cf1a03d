"""A mixture as a tool of a LangChain agent, which decides when a question is worth it."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Annotated

from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, Field

from mollm.catalog import unknown_mixture
from mollm.config.names import ROUTED
from mollm.conversion import sent_name
from mollm.errors import ConfigError, MollmError, PromptError, RequestError
from mollm.types import Answer  # noqa: TC001 - LangGraph evaluates the annotations of a tool's functions

if TYPE_CHECKING:
    from mollm.api import MoLLM
    from mollm.config.config import Config

log = logging.getLogger("mollm")

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What every provider takes."""
LONGEST_DESCRIPTION = 1024
"""Characters that OpenAI takes of the description of a tool."""


class Asked(BaseModel):
    """What the tool is called with."""

    question: Annotated[
        str, Field(description="The whole question, with all that is needed to answer it: nothing else is passed on.")
    ]


def tool_of(mollm: MoLLM, name: str, tool_name: str | None = None) -> StructuredTool:
    """Make a tool of a mixture, for agents with and without an event loop.

    It returns the text of the answer, and the `Answer` as artifact. A question that fails is a `ToolException` that
    LangChain hands to the agent as the content of the message.

    Args:
        mollm: Answers.
        name: A mixture, an LLM, or `auto`, where the router picks. Its description is the tool's.
        tool_name: 1 to 64 letters, digits, `_` and `-`; None: `name`, with `_` in place of what is none of these.

    Raises:
        UnknownMixture: There is neither a mixture nor an LLM of this name.
        RequestError: `tool_name` is not a name that providers take.
    """
    config = mollm.config
    named = sent_name(name) if tool_name is None else tool_name
    if named is None or not TOOL_NAME.fullmatch(named):
        raise RequestError(f"{named or name!r}: the name of a tool is 1 to 64 letters, digits, '_' and '-'")

    def ask(question: str) -> tuple[str, Answer]:
        try:
            return _told(mollm.ask(question, mixture=name))
        except MollmError as error:
            raise _failure(name, error) from error

    async def aask(question: str) -> tuple[str, Answer]:
        try:
            return _told(await mollm.aask(question, mixture=name))
        except MollmError as error:
            raise _failure(name, error) from error

    return StructuredTool(
        name=named,
        description=description_of(config, name),
        args_schema=Asked,
        func=ask,
        coroutine=aask,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def description_of(config: Config, name: str) -> str:
    """What a mixture or an LLM is good for, and for the router which mixtures there are, in 1024 characters at most.

    Raises:
        UnknownMixture: There is none of this name.
    """
    if name in config.mixtures:
        found = config.mixtures[name].description
    elif name in config.llms:
        llm = config.llms[name]
        found = llm.description or f"{llm.model}, alone."
    elif name in ROUTED:
        listed = [name for name in config.mixtures if name not in config.standing_in]
        shares = (LONGEST_DESCRIPTION - len(_WHOEVER_SUITS)) // len(listed) - len("; : ")
        told = (f"{name}: {_cut(config.mixtures[name].description, shares - len(name))}" for name in listed)
        found = f"{_WHOEVER_SUITS}{'; '.join(told)}"
    else:
        raise unknown_mixture(config, name)
    return _cut(found, LONGEST_DESCRIPTION)


_WHOEVER_SUITS = "Answers a question with whoever suits it. There are "


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(0, most - 3)]}..."


def _told(answer: Answer) -> tuple[str, Answer]:
    return answer.text, answer


def _failure(name: str, error: MollmError) -> ToolException:
    """What the agent's model is told: our own words, and nothing of files and variables, which are the operator's."""
    if isinstance(error, ConfigError | PromptError):
        log.error("%s, asked as a tool, needs what the configuration does not give: %s", name, error)
        return ToolException(f"{name} cannot be asked: its configuration is not complete")
    return ToolException(f"{name} did not answer: {error}")
