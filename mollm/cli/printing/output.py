"""What goes out as it is: answers, messages, JSON, without what could steer a terminal."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from mollm.types import to_plain

if TYPE_CHECKING:
    from mollm.types import Answer

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, with which an LLM could rewrite a terminal; tab and newline are harmless."""


def clean(text: str) -> str:
    """Drop what could steer a terminal."""
    return CONTROL.sub("", text)


def say(text: str) -> None:
    """Print a line to standard error."""
    sys.stderr.write(f"{clean(text)}\n")
    sys.stderr.flush()


def print_answer(answer: Answer) -> None:
    """Print the text of an answer, and nothing else. It is not cleaned: a program may read it."""
    sys.stdout.write(answer.text.rstrip("\n") + "\n")


def print_json(value: Any) -> None:
    """Print values of `mollm.types` as JSON."""
    text = json.dumps(to_plain(value), ensure_ascii=False, indent=2)
    # JSON escapes the controls of ASCII only; half a surrogate pair cannot be written in UTF-8 at all.
    sys.stdout.write(re.sub(r"[\x7f-\x9f\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
