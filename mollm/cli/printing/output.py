"""What goes out as it is: answers, messages, JSON, without what could steer a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from mollm.plain import to_plain
from mollm.printable import STEERING, printable

if TYPE_CHECKING:
    from mollm.types import Answer


def say(text: str) -> None:
    """Print a line to standard error."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def print_answer(answer: Answer) -> None:
    """Print the text of an answer, and nothing else. It is not cleaned: a program may read it."""
    sys.stdout.write(answer.text.rstrip("\n") + "\n")


def print_json(value: Any) -> None:
    """Print values of `mollm.types` as JSON."""
    text = json.dumps(to_plain(value), ensure_ascii=False, indent=2)
    # JSON escapes the controls of ASCII only; half a surrogate pair cannot be written in UTF-8 at all.
    sys.stdout.write(STEERING.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")
