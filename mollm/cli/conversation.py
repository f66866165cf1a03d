"""A conversation, and what a line does to it: answers to standard output, everything else to standard error.

Questions that were answered are kept with their answers and sent with the next one. A question that failed or was
stopped is forgotten, with what was shown of its answer: an LLM would take half an answer for a whole one.
"""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rich.text import Text

from mollm.cli.printing.explanation import print_explanation, print_summary
from mollm.cli.printing.layout import print_rows
from mollm.cli.printing.output import print_answer, say
from mollm.cli.printing.progress import print_streamed
from mollm.errors import ContextTooLong, LimitError, MollmError, QuorumError, RequestError
from mollm.printable import printable

if TYPE_CHECKING:
    import asyncio

    from mollm.api import MoLLM
    from mollm.types import Answer, Message

COMMANDS = {
    "mixture": "NAME: ask this mixture from now on; auto: route again; alone: list them",
    "explain": "explain how the last answer came about",
    "rate": "SCORE: rate the last answer, from -1 to 1",
    "new": "forget the conversation",
    "help": "list this",
    "quit": "leave, as Ctrl-D does",
}
KEYS = {
    "Ctrl-C": "stop an answer; its question is not kept",
    "space": "in front of a question that begins with a slash",
}


class Conversation:
    """What was said so far, and what a line does to it.

    Attributes:
        mixture: The one to ask; None lets the router pick.
        ended: The user has left.
    """

    def __init__(self, mollm: MoLLM, runner: asyncio.Runner) -> None:
        """Begin with nothing said."""
        self._mollm, self._runner = mollm, runner
        self._messages: list[Message] = []
        self._last: Answer | None = None
        self.mixture: str | None = None
        self.ended = False

    def take(self, line: str) -> bool:
        """Answer a question or follow a command; False where that failed, and why was said.

        Raises:
            KeyboardInterrupt: The user stopped it. Its calls are cancelled, and nothing of it is kept.
        """
        command = re.fullmatch(r"/([^\s/]*)(\s.*)?", line, re.DOTALL)
        try:
            if command:
                self._follow(command[1], (command[2] or "").strip())
            elif question := line.strip():
                self._ask(question)
        except MollmError as error:
            say(f"mollm: {_in_one_line(error)}{self._advice(error)}")
            return False
        return True

    def use(self, mixture: str) -> None:
        """Ask this mixture from now on; `auto` lets the router pick. Raises `RequestError`."""
        self.mixture = None if mixture == "auto" else self._mollm.catalog.mixture(mixture).name

    def _ask(self, question: str) -> None:
        messages = [*self._messages, {"role": "user", "content": question}]
        answer = self._runner.run(self._answer(messages))
        # The text alone: some providers turn down their own reasoning when it comes back.
        self._messages = [*messages, {"role": "assistant", "content": answer.text}]
        self._last = answer

    async def _answer(self, messages: list[Message]) -> Answer:
        if sys.stdout.isatty():
            answer = await print_streamed(self._mollm.astream(messages, mixture=self.mixture))
            print_summary(answer, self._mollm.config)
            return answer
        answer = await self._mollm.aask(messages, mixture=self.mixture)
        print_answer(answer)
        sys.stdout.flush()  # a program at the other end may wait for it before it asks again
        return answer

    def _follow(self, command: str, argument: str) -> None:
        match command:
            case "mixture" if argument:
                self.use(argument)
                say(f"mixture: {self.mixture or 'auto'}")
            case "mixture":
                self._list_mixtures()
            case "explain":
                if self._last is None:
                    raise RequestError("there is no answer yet to explain")
                print_explanation(self._last, self._mollm.config)
            case "rate":
                self._rate(argument)
            case "new":
                self._messages, self._last = [], None
                say("a new conversation")
            case "help":
                named = {f"/{name}": text for name, text in COMMANDS.items()}
                print_rows([(name, Text(text)) for name, text in (named | KEYS).items()])
            case "quit" | "exit":
                self.ended = True
            case _:
                raise RequestError(_unknown(command))

    def _rate(self, score: str) -> None:
        if self._last is None:
            raise RequestError("there is no answer yet to rate")
        if not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+", score):
            raise RequestError("/rate takes a number from -1 to 1")
        self._runner.run(self._mollm.afeedback(self._last.id, float(score)))
        say(f"rated {float(score):g}")

    def _list_mixtures(self) -> None:
        texts = {name: mixture.description for name, mixture in self._mollm.catalog.mixtures.items()}
        asked = self.mixture or "auto"
        rows = {**texts, "auto": "the router picks one for each question"}.items()
        print_rows([("* " * (name == asked) + name, Text(printable(text))) for name, text in rows])

    def _advice(self, error: MollmError) -> str:
        causes = [p.error.kind for p in error.proposals if p.error] if isinstance(error, QuorumError) else []
        is_too_long = isinstance(error, ContextTooLong | LimitError) or ContextTooLong.kind in causes
        return "; /new begins a shorter conversation" if is_too_long and self._messages else ""


def _in_one_line(error: MollmError) -> str:
    head, *causes = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
    return f"{head}: {'; '.join(causes)}" if causes else head


def _unknown(command: str) -> str:
    likely = [name for name in COMMANDS if command and name.startswith(command)]
    likely += get_close_matches(command, COMMANDS, n=1)
    return f"no command '/{command}'; " + (f"did you mean '/{likely[0]}'?" if likely else "/help lists them")
