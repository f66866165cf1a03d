"""A calibration as a file: JSON that a person can read. Nothing in it is trusted."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from mollm.errors import DataError
from mollm.final.calibration import LARGEST, SIGNALS, VOTES, Calibration, Member

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 2
"""Raise it when a file of before would be read, or would judge, differently."""
MOST_BYTES = 1024 * 1024
"""Of a file; one of a hundred members has a hundredth of that."""
MAKE = "`mollm eval mixtures --calibrate --out FILE` writes one"


def text_of(calibration: Calibration) -> str:
    """Write a calibration as the text of its file."""
    whole = {
        "format": FORMAT,
        "digest": calibration.digest,
        "data": calibration.data,
        "data_digest": calibration.data_digest,
        "questions": calibration.questions,
        "error": calibration.error,
        "base": calibration.base,
        "weights": dict(calibration.weights),
        "members": {
            name: {
                "supports": member.supports,
                "contradicts": member.contradicts,
                "length": member.length,
                "logprob": member.logprob,
            }
            for name, member in calibration.members.items()
        },
    }
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises:
        DataError: It cannot be read, is none, or one of another format; names the file and the key.
    """
    whole = _Keys(path, "", _loaded(path))
    if (found := whole.value("format")) != FORMAT or isinstance(found, bool):
        raise DataError(f"{path}: format: must be {FORMAT}, not {found!r:.40}; {MAKE}")
    weights = whole.part("weights")
    members = whole.part("members")
    if not members.found:
        raise DataError(f"{path}: members: there are none")
    return Calibration(
        members={name: _member(members.part(name)) for name in members.found},
        base=whole.number("base", least=-LARGEST),
        weights={name: weights.number(name) for name in (*VOTES, *SIGNALS)},
        questions=int(whole.number("questions", most=1e12)),
        error=None if whole.value("error") is None else whole.number("error", most=1.0),
        digest=whole.text("digest"),
        data=whole.text("data"),
        data_digest=whole.text("data_digest"),
    )


def _loaded(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise DataError(f"{path}: has more than {MOST_BYTES >> 20} MiB, and is no calibration; {MAKE}")
            found = json.loads(file.read(MOST_BYTES + 1))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is not JSON, and no calibration; {MAKE}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: is not a JSON object, and no calibration; {MAKE}")
    return found


def _member(of: _Keys) -> Member:
    return Member(
        supports=of.number("supports"),
        contradicts=of.number("contradicts"),
        length=of.pair("length"),
        logprob=None if of.value("logprob") is None else of.pair("logprob"),
    )


class _Keys:
    """The keys of an object, each checked when it is read."""

    def __init__(self, path: Path, place: str, found: dict[str, Any]) -> None:
        self.found = found
        self._path, self._place = path, place

    def value(self, key: str) -> Any:
        if key not in self.found:
            raise self._wrong(key, "is missing")
        return self.found[key]

    def part(self, key: str) -> _Keys:
        found = self.value(key)
        if not isinstance(found, dict):
            raise self._wrong(key, "must be an object")
        return _Keys(self._path, f"{self._place}{key:.80}.", found)

    def text(self, key: str) -> str:
        found = self.value(key)
        if not isinstance(found, str):
            raise self._wrong(key, "must be text")
        return found

    def number(self, key: str, *, least: float = 0.0, most: float = LARGEST) -> float:
        return self._number(key, self.value(key), least, most)

    def pair(self, key: str) -> tuple[float, float]:
        """Mean and standard deviation."""
        found = self.value(key)
        if not isinstance(found, list) or len(found) != 2:
            raise self._wrong(key, "must be a mean and a standard deviation")
        return self._number(key, found[0], -LARGEST, LARGEST), self._number(key, found[1], 0.0, LARGEST)

    def _number(self, key: str, found: object, least: float, most: float) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
            raise self._wrong(key, f"must be a number, {least:g} to {most:g}")
        return float(found)

    def _wrong(self, key: str, text: str) -> DataError:
        place = repr(f"{self._place}{key:.80}")[1:-1]  # without a line break that a name may have
        return DataError(f"{self._path}: {place}: {text}; {MAKE}")
