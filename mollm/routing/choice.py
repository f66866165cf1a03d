"""A reply that is one of several names, or some of them: how it is asked for, read, and weighed.

A server that can is held to the names: vLLM by `structured_outputs`, llama.cpp by a grammar. It then also tells
what else it might have written. Elsewhere nothing is asked for that a provider could reject, and the reply is
read strictly.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from mollm.messages import BYTES_PER_TOKEN_AT_LEAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mollm.config.llms import Dialect

ALTERNATIVES = 20
"""Tokens whose probability is asked for at each place; the most that vLLM allows unless it is told otherwise."""
DECORATION = " \t\r\n\"'`*_#.,:;!?()[]{}<>\u201c\u201d\u2018\u2019\u00ab\u00bb"
"""What may stand around a name: quotes, markdown, punctuation."""

NUMBERED = re.compile(r"^\s*(?:[-*+]|\d{1,2}[.)])\s+", re.MULTILINE)
"""What stands in front of an item of a list."""
EDGE = 1000
"""Characters kept at each end of a long message: a question is stated at its beginning or at its end."""
SHORTENED = " [...] "
BYTES_PER_CHARACTER_AT_MOST = 4


def ends(text: str) -> str:
    """Return `text`, without the middle if it is longer than two `EDGE`s."""
    return f"{text[:EDGE]}{SHORTENED}{text[-EDGE:]}" if len(text) > 2 * EDGE else text


def longest(texts: int) -> int:
    """The most tokens of so many texts that are shortened by `ends`."""
    return texts * (2 * EDGE + len(SHORTENED)) * BYTES_PER_CHARACTER_AT_MOST // BYTES_PER_TOKEN_AT_LEAST


def constraint(options: Sequence[str], dialect: Dialect | None, most: int = 1) -> dict[str, Any]:
    """Return the request fields that hold a server of `dialect` to `options`.

    Args:
        options: The names.
        dialect: Of the server.
        most: Of the names in a reply: with 1 their probabilities are asked for, else they stand with `, ` between them.
    """
    if dialect is None:
        return {}
    if most > 1:
        if dialect == "vllm":
            # No name holds anything else that has a meaning there, and not every server takes needless escapes.
            one = "|".join(re.sub(r"[.+]", r"\\\g<0>", option) for option in options)
            return {"structured_outputs": {"regex": f"({one})(, ({one})){{0,{most - 1}}}"}}
        one = " | ".join(f'"{option}"' for option in options)
        return {"grammar": f'root ::= name (", " name){{0,{most - 1}}}\nname ::= {one}'}
    weighed: dict[str, Any] = {"logprobs": True, "top_logprobs": ALTERNATIVES}
    if dialect == "vllm":
        return {"structured_outputs": {"choice": list(options)}, **weighed}
    # A mixture's name holds nothing that would have to be escaped in a grammar.
    return {"grammar": "root ::= " + " | ".join(f'"{option}"' for option in options), **weighed}


def read(reply: str, options: Sequence[str]) -> str | None:
    """Return the one option that `reply` is, whatever its case and decoration; None for anything else."""
    if reply in options:
        return reply
    found = [option for option in options if _bare(option) == _bare(reply)]
    return found[0] if len(found) == 1 else None


def read_several(reply: str, options: Sequence[str]) -> tuple[str, ...]:
    """Return the options that `reply` lists, in its order and each once; none if anything else is in the list."""
    parts = [part.strip() for part in re.split(r"[,;\n]", NUMBERED.sub("", reply)) if _bare(part)]
    found = [read(part, options) for part in parts]
    return () if None in found else tuple(dict.fromkeys(name for name in found if name))


def mentioned(reply: str, options: Sequence[str]) -> list[str]:
    """Return the options that occur in `reply` as words of their own."""
    text = reply.casefold()
    return [o for o in options if re.search(rf"(?<![\w/-]){re.escape(o.casefold())}(?![\w/-])", text)]


def shares(options: Sequence[str], chosen: str, logprobs: Any) -> dict[str, float] | None:
    """Work out the probability of every option from the tokens of a reply that is `chosen`.

    The reply is followed token by token until it can only become `chosen`. At each place, what the LLM would
    have given to a token that begins another option is that option's (in equal parts, where it begins several),
    and what it would have given to anything else says nothing: all options still possible share it equally.

    Returns:
        Probabilities with the sum 1; None where `logprobs`, in OpenAI's form, cannot be read as this reply.
    """
    try:
        places = [_place(entry) for entry in logprobs["content"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    found = dict.fromkeys(options, 0.0)
    alive, written, left = list(options), "", 1.0
    for token, probability, others in places:
        if len(alive) == 1:
            break
        if not (written + token).strip():
            continue
        spoken = 0.0
        for other, likely in others.items():
            possible = _beginning(alive, written + other)
            for option in possible:
                found[option] += left * likely / len(possible)
            spoken += likely if possible else 0.0
        for option in alive:
            found[option] += left * max(0.0, 1.0 - probability - spoken) / len(alive)
        left *= probability
        written = (written + token).lstrip()
        alive = _beginning(alive, written)
        if chosen not in alive:
            return None
    found[chosen] += left
    total = sum(found.values())
    return {option: share / total for option, share in found.items()}


def _place(entry: dict[str, Any]) -> tuple[str, float, dict[str, float]]:
    """Read the token at one place, its probability, and those of the tokens that could have stood there."""
    token, probability = str(entry["token"]), _probability(entry)
    others = {str(other["token"]): _probability(other) for other in entry.get("top_logprobs") or ()}
    return token, probability, {other: likely for other, likely in others.items() if other != token and other}


def _probability(entry: dict[str, Any]) -> float:
    return math.exp(min(0.0, float(entry["logprob"])))


def _beginning(options: Sequence[str], text: str) -> list[str]:
    """Those of `options` that `text` may become; white space in front and case do not count."""
    start = text.lstrip().casefold()
    return [option for option in options if start and option.casefold().startswith(start)]


def _bare(text: str) -> str:
    return text.strip(DECORATION).casefold()
