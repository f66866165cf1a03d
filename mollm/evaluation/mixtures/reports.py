"""`report.json`: written, and read again."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from mollm import drafts
from mollm.errors import DataError
from mollm.evaluation.files import text_of
from mollm.evaluation.mixtures.report import FORMAT, Report

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import TypeAdapter

NAME = "report.json"


def to_json(report: Report) -> str:
    """Write a report as JSON in ASCII: also half a surrogate pair in a text comes back as it was.

    Raises:
        ValueError: A number in it is not finite.
    """
    return json.dumps(asdict(report), allow_nan=False, indent=1)


def write_report(folder: Path, report: Report) -> Path:
    """Write `report.json` into a folder, which is made if it is not there; what it held before is replaced at once.

    Raises:
        DataError: It cannot be written.
    """
    path = folder / NAME
    text = to_json(report)
    write_whole(path, text)
    return path


def write_whole(path: Path, text: str) -> None:
    """Write a text as a whole or not at all, and make its folder; what the file held before is replaced at once.

    Raises:
        DataError: It cannot be written.
    """
    content = text.encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drafts.write_whole(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def check_folder(folder: Path) -> None:
    """Make a folder, and find out whether files can be written into it, before what they hold is worked out.

    Raises:
        DataError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(f"{folder}: cannot be written to: {error.strerror}; name another place with --out") from error


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        DataError: It cannot be read, is no report, or is of another format; names the key.
    """
    from pydantic import ValidationError

    try:
        data: Any = json.loads(text_of(path), parse_constant=_no_number, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON: {error}") from None
    if not isinstance(data, dict) or "format" not in data or "mixtures" not in data:
        raise DataError(f"{path}: is no report of `mollm eval mixtures`: it has no `format` and `mixtures`")
    if data["format"] != FORMAT:
        raise DataError(
            f"{path}: format: is {str(data['format'])[:20]}, and {FORMAT} is read here; evaluate the mixtures again"
        )
    try:
        return _adapter().validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        what = "is missing" if first["type"] in ("missing", "missing_argument") else first["msg"]
        raise DataError(f"{path}: {key}: {what[:1].lower()}{what[1:]}") from None


@cache
def _adapter() -> TypeAdapter[Report]:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)
