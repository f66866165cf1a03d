"""One line of a file of questions: an object with the keys of a question, or what is wrong with it and what to do."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from mollm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_LINE = 4 * 1024 * 1024
"""Characters: what is longer is no question, but a file of another kind."""
KEYS = ("id", "question", "reference", "kind")
"""Of a question; all but the last one have to be there."""
NEAR = 0.8
"""How near a key is to one that is missing (`difflib`'s ratio) where it was probably meant."""
INSTEAD = {
    "id": ("qid", "uid", "question_id", "index", "number"),
    "question": ("prompt", "problem", "query", "input", "instruction", "messages", "text"),
    "reference": ("gold", "answer", "target", "label", "expected", "solution", "output"),
}
"""Keys under which other data hold the same."""
TEXT = "must be text, or a number"
QUESTION = "must be text, or a list of messages that the user's ends"


class Written(str):
    """A number as it is written."""

    __slots__ = ()


class NoNumber(Written):
    """`NaN` or `Infinity`, which Python writes and JSON has not."""

    __slots__ = ()


class Object(dict[str, Any]):
    """An object that remembers the keys which stand in it twice."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = Counter(name for name, _ in pairs)
        self.twice = [name for name, count in names.items() if count > 1]


def object_of(line: str) -> Object:
    """Read a line.

    Raises:
        DataError: It is no JSON object, or one of its keys is not what it should be, or probably not what was meant.
    """
    if len(line) > LONGEST_LINE:
        raise DataError(f"has {len(line):,} characters, and a line may have {LONGEST_LINE:,}")
    try:
        found = json.loads(
            line, object_pairs_hook=Object, parse_int=Written, parse_float=Written, parse_constant=NoNumber
        )
        line.encode()
        json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        hint = "; each line has to be one object" if line.strip() in ("[", "{") else ""
        raise DataError(f"is not JSON (column {error.colno}: {error.msg}){hint}") from None
    except UnicodeEncodeError:
        raise DataError("holds half of a character (an escape such as \\ud800)") from None
    except RecursionError:
        raise DataError("is nested too deeply") from None
    if not isinstance(found, Object):
        raise DataError("is not a JSON object; each line has to be one")
    if found.twice:
        raise DataError(f"`{found.twice[0][:60]}` stands there twice")
    for key in KEYS:
        if key not in found:
            _check_missing(found, key)
    return found


def text_at(found: Object, key: str) -> str:
    """A text, or a number as it is written. Raises `DataError` where there is neither."""
    value = found[key]
    wanted = QUESTION if key == "question" else TEXT
    if isinstance(value, NoNumber):
        raise DataError(f"`{key}` is {value}, which is no number; {_remedy(key)}")
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"`{key}` is {'null' if value is None else 'empty'}; {_remedy(key)}")
    if not isinstance(value, str):
        if isinstance(value, bool):
            word = str(value).lower()
            raise DataError(f'`{key}` is {word}, and {wanted}; write it in quotes: "{word}"')
        raise DataError(f"`{key}` is {'a list' if isinstance(value, list) else 'an object'}, and {wanted}")
    if key == "question" and isinstance(value, Written):
        raise DataError(f'`question` is a number, and {wanted}; write it in quotes: "{value[:60]}"')
    return str(value)


def _remedy(key: str) -> str:
    if key == "id":
        return 'give each question one of its own, such as "1"'
    if key == "kind":
        return "name it, or leave the key out"
    return {
        "question": "write what is to be asked, or leave the line out",
        "reference": "write what an answer is to be held against, or leave the line out",
    }[key]


def _check_missing(found: Object, key: str) -> None:
    """Refuse a line that lacks a key which it has to have, or has one that is probably meant for it."""
    others = [name for name in found if name not in KEYS]
    near = _nearest(key, others)
    if key == "kind":
        if near is not None:
            raise DataError(f"`{near[:60]}` is no key that is read; is it `kind`? rename that")
        return
    meant = near or next((name for name in INSTEAD[key] if name in others), None)
    hint = f"is it `{meant[:60]}`? rename that" if meant else f"there are {_listed(found)}"
    raise DataError(f"`{key}` is missing; {hint}")


def _nearest(key: str, others: Sequence[str]) -> str | None:
    """The key that was meant, if one is: `refrence` or `Kind`, but not `question_id`."""
    folded = {name.strip().casefold(): name for name in others}
    short = [name for name in folded if not (name.startswith(key) and len(name) > len(key) + 1)]
    near = difflib.get_close_matches(key, short, n=1, cutoff=NEAR)
    return folded[near[0]] if near else None


def _listed(found: Object) -> str:
    return ", ".join(f"`{key[:60]}`" for key in list(found)[:20]) or "no keys at all"


def other_format(line: str) -> str | None:
    """Of which format the file is that begins with this line, and how to make JSON lines of it; None if of no other."""
    start = line.strip()
    if re.match(r"\[\s*(\{|$)", start):
        return f"is a JSON array, and each line has to be one object; {_converted('json.load(sys.stdin)')}"
    cells = {cell.strip(" \"'").casefold() for cell in re.split(r"[,;\t]", start[:10_000])}
    if (
        not start.startswith("{")
        and len(cells) > 1
        and cells & {*KEYS, *(n for names in INSTEAD.values() for n in names)}
    ):
        delimiter = max(",;\t", key=start.count)
        rows = f"csv.DictReader(sys.stdin, delimiter={delimiter!r})"
        return f"is CSV, and each line has to be a JSON object; {_converted(rows)}"
    return None


def _converted(rows: str) -> str:
    program = f"import csv, json, sys; [print(json.dumps(row)) for row in {rows}]"
    return f"""make it so: python3 -c "{program}" < FILE > FILE.jsonl"""
