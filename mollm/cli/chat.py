"""`mollm chat`: a conversation, typed in a terminal or read from a pipe."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import typer

from mollm.cli.options import ConfigOption, MixtureOption  # noqa: TC001 - typer evaluates annotations
from mollm.cli.printing.output import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from mollm.cli.conversation import Conversation

FAILED = 1
"""Exit code where a line from a pipe was not answered."""


def chat(config: ConfigOption = None, mixture: MixtureOption = None) -> None:
    """Hold a conversation. Through a pipe, every line is a question."""
    from mollm.api import MoLLM
    from mollm.cli.conversation import Conversation
    from mollm.cli.keeping import settle

    mollm = MoLLM(config)
    with asyncio.Runner() as runner:  # one event loop throughout, so that connections are reused
        conversation = Conversation(mollm, runner)
        if mixture is not None:
            conversation.use(mixture)
        try:
            code = _typed(conversation) if sys.stdin.isatty() else _piped(conversation)
        finally:
            settle(mollm)
    raise typer.Exit(code)


class _Prompt:
    """Reads what a person types, with line editing and a history where the platform has readline."""

    def __init__(self) -> None:
        try:
            import readline
        except ImportError:
            self._half_typed: Callable[[], str] = str
        else:
            if os.environ.get("TERM", "dumb") != "dumb":
                readline.parse_and_bind("set enable-bracketed-paste on")  # several pasted lines are one question
            self._half_typed = readline.get_line_buffer

    def read(self, prompt: str) -> str | None:
        """Return the next line; None where the user leaves."""
        leaves = False
        while True:
            try:
                return _input(prompt)
            except EOFError:
                say("")
                return None
            except KeyboardInterrupt:
                say("")
                if self._half_typed():
                    continue
                if leaves:
                    return None
                leaves = True
                say("Ctrl-C again or Ctrl-D leaves")


def _input(prompt: str) -> str:
    if sys.stdout.isatty():
        return input(prompt)
    sys.stderr.write(prompt)  # `input` would write it among the answers
    sys.stderr.flush()
    return input()


def _typed(conversation: Conversation) -> int:
    prompt = _Prompt()
    say("Ask a question. /help lists the commands, Ctrl-D leaves.")
    while not conversation.ended:
        line = prompt.read(f"{conversation.mixture or ''}> ")
        if line is None:
            break
        try:
            conversation.take(line)
        except KeyboardInterrupt:
            say("stopped; this question is not kept")
    return 0


def _piped(conversation: Conversation) -> int:
    code = 0
    for line in sys.stdin:
        if not conversation.take(line.rstrip("\n")):
            code = FAILED
        if conversation.ended:
            break
    return code
