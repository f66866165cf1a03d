"""Recorded answers instead of an LLM: the same reply to the same question, at once and at no cost.

A recording is a folder. `questions.jsonl` holds a question a line: `id`, and `prompt`, `question` or both.
`LLM.jsonl` holds the answers of one LLM: `id`, `output`, and where they were noted `finish_reason`, `seconds`, and
`prompt_tokens` with `completion_tokens` (also under `usage`). Any of the files may be gzipped (`.jsonl.gz`).

A question is known by its words: white space does not count, and further paragraphs may follow, since later layers
and aggregators add theirs. Nothing else of a request matters; the settings are those of the recording.
"""

from __future__ import annotations

import asyncio
import codecs
import gzip
import itertools
import math
import re
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from mollm.calling.base import Chunk, Completion, Request
from mollm.config.files import is_file, named_path
from mollm.errors import BadRequest, ConfigError
from mollm.messages import CHARACTERS_PER_TOKEN, text_of
from mollm.types import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from mollm.config.llms import PaceConfig

Pace: TypeAlias = "PaceConfig | Literal['recorded'] | None"

QUESTIONS = "questions"
SUFFIXES = (".jsonl", ".jsonl.gz")
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_BYTES = 256 * 1024 * 1024
"""Of one file, unpacked."""
MAX_LINES = 1_000_000
MAX_NAMES = 40
"""LLMs named in a message about one that is missing."""
WINDOW = 1_000_000
"""Tokens. A recording has no window, so what it is shown need not be shortened."""


class Questions:
    """The questions of a recording, read when one of its LLMs is first asked; LLMs of one folder share them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._ids: dict[str, str] | None = None
        self._lengths: frozenset[int] = frozenset()
        self._count = 0

    def load(self) -> None:
        """Read the file, if that was not done yet.

        Raises:
            ConfigError: It cannot be read; a line is named with its number.
        """
        with self._lock:
            if self._ids is not None:
                return
            ids: dict[str, str] = {}
            seen = set()
            for place, row in _rows(self._path):
                name = _id(row, place)
                if name in seen:
                    raise ConfigError(f"{place}: the id {name!r} stands here twice")
                seen.add(name)
                texts = [row[key] for key in ("prompt", "question") if isinstance(row.get(key), str)]
                if not any(map(str.strip, texts)):
                    raise ConfigError(f"{place}: neither `prompt` nor `question` holds text")
                for text in texts:
                    # A text that was asked twice keeps its first id.
                    ids.setdefault(" ".join(text.split()), name)
            ids.pop("", None)
            self._lengths = frozenset(map(len, ids))
            self._ids, self._count = ids, len(seen)

    def find(self, text: str) -> str:
        """Return the id of the longest recorded text that `text` is, or begins with up to the end of a paragraph.

        Raises:
            BadRequest: There is none.
        """
        ids = self._ids or {}
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
        whole = " ".join(paragraphs)
        ends = itertools.accumulate(len(part) + 1 for part in paragraphs)
        for end in sorted((end - 1 for end in ends if end - 1 in self._lengths), reverse=True):
            if whole[:end] in ids:
                return ids[whole[:end]]
        raise BadRequest(f"this question is not among the {self._count} recorded ones of {self._path.parent}")


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    finish_reason: str
    usage: Usage | None
    seconds: float | None


class ReplayLLM:
    """The recorded answers of one LLM, read on the first call."""

    def __init__(self, answers: Path, questions: Questions, *, pace: Pace = None) -> None:
        """Remember where the recording is.

        Args:
            answers: The LLM's file.
            questions: Those that it answers.
            pace: What an answer takes: nothing, the time that was recorded, or a simulated one.
        """
        self._path, self._questions, self._pace = answers, questions, pace
        self._lock = threading.Lock()
        self._answers: dict[str, _Answer] | None = None

    async def complete(self, request: Request) -> Completion:
        """Return what was recorded for the last user message."""
        answer = await self._find(request)
        await asyncio.sleep(self._times(answer)[1])
        return Completion({"role": "assistant", "content": answer.text}, answer.finish_reason, answer.usage)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Yield the same word by word, evenly over its time."""
        answer = await self._find(request)
        now = asyncio.get_running_loop().time
        (first, last), begun = self._times(answer), now()
        words = re.findall(r"\s*\S+|\s+", answer.text)
        yield Chunk({"role": "assistant"})
        for number, word in enumerate(words, 1):
            wait = begun + first + (last - first) * number / len(words) - now()
            if wait > 0:
                await asyncio.sleep(wait)
            yield Chunk({"content": word})
        yield Chunk(finish_reason=answer.finish_reason)
        if answer.usage:
            yield Chunk(usage=answer.usage)

    async def context_window(self) -> int:
        return WINDOW

    async def aclose(self) -> None:
        """Nothing to close."""

    def load(self) -> None:
        """Read the recording now instead of on the first call.

        Raises:
            ConfigError: A file cannot be read; a line is named with its number.
        """
        self._questions.load()
        with self._lock:
            if self._answers is not None:
                return
            answers: dict[str, _Answer] = {}
            for place, row in _rows(self._path):
                name = _id(row, place)
                if name in answers:
                    raise ConfigError(f"{place}: the id {name!r} stands here twice")
                answers[name] = _answer(row, place)
                if self._pace == "recorded" and answers[name].seconds is None:
                    raise ConfigError(f"{place}: no `seconds`, which `pace: recorded` needs")
            self._answers = answers

    def lacks(self, text: str) -> str | None:
        """Say why a question has no answer here; None if it has one. Raises as `load`."""
        self.load()
        try:
            self._answer_to(text)
        except BadRequest as error:
            return error.message
        return None

    async def _find(self, request: Request) -> _Answer:
        if self._answers is None:
            await asyncio.to_thread(self.load)
        users = (m.get("content") for m in reversed(request.messages) if m.get("role") == "user")
        return self._answer_to(text_of(next(users, "")))

    def _answer_to(self, text: str) -> _Answer:
        name = self._questions.find(text)
        answer = (self._answers or {}).get(name)
        if answer is None:
            raise BadRequest(f"{self._path} holds no answer to the question {name!r}")
        return answer

    def _times(self, answer: _Answer) -> tuple[float, float]:
        """Seconds until the answer begins and until it is complete."""
        if self._pace is None:
            return 0.0, 0.0
        if self._pace == "recorded":
            return 0.0, answer.seconds or 0.0
        tokens = answer.usage.completion_tokens if answer.usage else len(answer.text) / CHARACTERS_PER_TOKEN
        writing = tokens / self._pace.tokens_per_second if self._pace.tokens_per_second else 0.0
        return self._pace.latency, self._pace.latency + writing


def find_recording(reference: str, folder: Path, name: str) -> tuple[Path, Path]:
    """Find the files that `replay/REFERENCE` means: those of the questions and of the LLM's answers.

    Args:
        reference: The recording's folder, or that and the recorded LLM: `FOLDER/LLM`.
        folder: Where a relative path begins.
        name: The LLM whose answers are meant where the reference is a folder alone.

    Raises:
        ConfigError: There is no such recording, or the LLM is not in it.
    """
    path = folder / named_path(reference)
    for place, llm in ((path, name), (path.parent, path.name)):
        questions = _file(place, QUESTIONS)
        if questions:
            answers = _file(place, llm) if llm != QUESTIONS else None
            if answers:
                return questions, answers
            raise ConfigError(f"replay/{reference}: no answers of {llm!r} in {place}; {_choice(place)}")
    raise ConfigError(
        f"replay/{reference}: no questions.jsonl in {path}; a recording is a folder with that and an LLM.jsonl per LLM"
    )


def _file(folder: Path, stem: str) -> Path | None:
    return next((path for suffix in SUFFIXES if is_file(path := folder / f"{stem}{suffix}")), None)


def recorded_llms(folder: Path) -> list[str]:
    """The LLMs of which a folder has answers, by the names of their files."""
    found = {path.name.removesuffix(".gz").removesuffix(".jsonl") for path in folder.glob("*.jsonl*") if is_file(path)}
    return sorted(found - {QUESTIONS}) if QUESTIONS in found else []


def _choice(folder: Path) -> str:
    names = recorded_llms(folder)
    if not names:
        return "there are none at all"
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"name the LLM as recorded, or write replay/FOLDER/LLM; there are: {', '.join(names[:MAX_NAMES])}{more}"


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield file and number of each line, and the object it holds."""
    total = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number in itertools.count(1):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                place, total = f"{path}:{number}", total + len(line)
                if len(line) > MAX_LINE_BYTES:
                    raise ConfigError(f"{place}: longer than {MAX_LINE_BYTES // 1024**2} MiB, the most a line may be")
                if total > MAX_BYTES or number > MAX_LINES:
                    most = f"{MAX_BYTES // 1024**2} MiB or {MAX_LINES:,} lines"
                    raise ConfigError(f"{place}: the file is larger than {most}, the most a recording may be")
                line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    yield place, _object(line, place)
    except (OSError, EOFError, zlib.error) as error:
        what = getattr(error, "strerror", None) or "the compressed data are broken"
        raise ConfigError(f"{path}: cannot be read: {what}") from error


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{place}: not a JSON object")
    return found


def _id(row: dict[str, Any], place: str) -> str:
    found = row.get("id")
    if type(found) not in (str, int):
        raise ConfigError(f"{place}: `id` must be text or a whole number")
    return str(found)


def _answer(row: dict[str, Any], place: str) -> _Answer:
    output, reason, seconds = row.get("output"), row.get("finish_reason"), row.get("seconds")
    if not isinstance(output, str):
        raise ConfigError(f"{place}: `output` must be text")
    if not isinstance(reason, str | None):
        raise ConfigError(f"{place}: `finish_reason` must be text")
    if seconds is not None and not (type(seconds) in (int, float) and seconds >= 0 and math.isfinite(seconds)):
        raise ConfigError(f"{place}: `seconds` must be a number of at least 0")
    return _Answer(output, reason or "stop", _usage(row, place), seconds)


def _usage(row: dict[str, Any], place: str) -> Usage | None:
    told = row["usage"] if isinstance(row.get("usage"), dict) else row
    prompt, completion, total = (told.get(f"{kind}_tokens") for kind in ("prompt", "completion", "total"))
    for count in (prompt, completion, total):
        if count is not None and not (type(count) is int and count >= 0):
            raise ConfigError(f"{place}: tokens must be whole numbers of at least 0")
    if prompt is None or completion is None:
        return None
    return Usage(prompt, completion, prompt + completion if total is None else total)
