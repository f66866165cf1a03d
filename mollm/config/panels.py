"""A panel for one request: workers and an aggregator that a question brings, checked as a mixture of the file is.

It comes from somebody who asks, maybe through a network. So it is plain data of bounded size, no variable in it is
filled in, and where it was not written by whoever runs this process, it names no file and no function and holds no
template.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mollm.config.fields import keys_of
from mollm.config.mixtures import MixtureConfig, PanelConfig
from mollm.config.names import PANEL
from mollm.config.parsing import MOVED, parse
from mollm.config.places import MAX_DEPTH, Places
from mollm.config.problem import MIXTURES, Problem, nearest
from mollm.config.problems import mixture_problems
from mollm.errors import LimitError, RequestError

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.config.places import KeyPath

HERE: KeyPath = (*MIXTURES, PANEL)
"""Where a panel stands in the configuration that has it in place of its mixtures."""
ROOT: KeyPath = ("mixture",)
"""The option that holds it, for messages."""
DESCRIPTION = "A panel for one request."
KEYS = tuple(keys_of(PanelConfig))
FORM = '{"workers": ["a", "b"], "aggregator": {"llm": "a"}}'
NOT_REMOTE = {
    **dict.fromkeys(("prompt", "path", "calibration"), "only the configuration may name files and prompts"),
    **dict.fromkeys(("score", "python"), "only the configuration may name functions"),
}
"""Keys that cannot be set, at any depth, by who may not read the files and run the code of this process; and why."""

OF_THE_PROVIDER = "extra_body"
"""Its names and texts are no names of ours."""
TEXTS = frozenset(("system", "prompt", "criteria", "stop"))
"""Keys whose texts are read by LLMs, and may be as long as a panel; any other text is a name."""
MOST_BYTES = 256 * 1024
"""Of a panel, as JSON: it is kept with the state of a question."""
MOST_KEYS = 300
"""Keys and items of lists in a panel, but for those of `extra_body`: each may be held against every key there is."""
LONGEST_NAME = 128
"""Characters."""
MOST_TOLD = 20
"""Problems that are told; who sends more has to mend these first."""


class OwnPanel(dict[str, Any]):
    """A panel that the program itself wrote. It may name files and functions; no document from elsewhere is one."""


def plain_panel(given: Any, most: int) -> dict[str, Any]:
    """Copy a panel to plain data.

    Args:
        given: A mapping, as for a mixture of the file.
        most: Workers at most, since each takes a call.

    Raises:
        LimitError: It has more workers.
        RequestError: It is none, or is larger than a panel may be.
    """
    if not isinstance(given, Mapping):
        text = f"must be the name of a mixture, or a panel for one request, as {FORM}, not {type(given).__name__}"
        raise RequestError(f"mixture: {text}")
    workers = given.get("workers")
    if isinstance(workers, list | tuple) and len(workers) > most:
        raise too_many(len(workers), most)
    found: dict[str, Any] = _Copying().copy(given)
    try:
        size = len(_encoded(found))
    except (TypeError, ValueError):
        raise RequestError("a panel is plain data: mappings, lists, texts, finite numbers, truth values") from None
    if size > MOST_BYTES:
        raise _too_large()
    if _keys(found) > MOST_KEYS:
        raise RequestError(f"a panel of more than {MOST_KEYS} keys")
    for text in _names(found):
        if len(text) > LONGEST_NAME:
            text = f"{text[:20]!r}... has more"
            raise RequestError(f"a name in a panel has {LONGEST_NAME} characters at most, and {text}")
    return found


def too_many(proposals: int, most: int) -> LimitError:
    """Say that a panel has more workers, or samples of workers, than there may be calls."""
    return LimitError(f"the panel is not asked: it takes {proposals} proposals alone, and limits.calls is {most}")


def _too_large() -> RequestError:
    return RequestError(f"a panel of more than {MOST_BYTES // 1024} KiB")


def panel_id(panel: Mapping[str, Any]) -> str:
    """A digest of a panel of plain data: the same for the same one, and another for every other."""
    return hashlib.sha256(_encoded(panel).encode()).hexdigest()


def _encoded(panel: Mapping[str, Any]) -> str:
    return json.dumps(panel, sort_keys=True, allow_nan=False)


class _Copying:
    """Copies as far as a panel may go, and no further: what comes may be a hundred times as large."""

    def __init__(self) -> None:
        self._left = MOST_BYTES

    def copy(self, value: Any, depth: int = 0) -> Any:
        self._left -= len(value) if isinstance(value, str) else 1
        if self._left < 0:
            raise _too_large()
        if depth > MAX_DEPTH:
            raise RequestError(f"a panel of more than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return {self._key(name): self.copy(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.copy(inner, depth + 1) for inner in value]
        return value

    def _key(self, name: Any) -> str:
        if not isinstance(name, str):
            raise RequestError("a key in a panel must be text")
        self._left -= len(name)
        return name


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        return sum(1 + (name != OF_THE_PROVIDER and _keys(inner)) for name, inner in value.items())
    return sum(1 + _keys(inner) for inner in value) if isinstance(value, list) else 0


def _names(value: Any) -> Iterator[str]:
    """The texts that can only be names: keys, and what stands under no key of `TEXTS`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name != OF_THE_PROVIDER and not (name in TEXTS and isinstance(inner, str | list)):
                yield from _names(inner)


def remote_problems(panel: Mapping[str, Any]) -> list[Problem]:
    """What somebody may not set who may not read the files and run the code of this process."""
    return [Problem(key, f"cannot be set here: {NOT_REMOTE[str(key[-1])]}", [key]) for key in _forbidden(panel, ())]


def _forbidden(value: Any, key: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _forbidden(inner, (*key, index))
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in NOT_REMOTE:
                yield (*key, name)
            elif name != OF_THE_PROVIDER:
                yield from _forbidden(inner, (*key, name))


def forwarding_problems(panel: Mapping[str, Any], forward: Collection[str]) -> Iterator[Problem]:
    """Fields of a worker's `extra_body` that are not among those that a server hands on."""
    workers = panel.get("workers")
    for index, worker in enumerate(workers if isinstance(workers, list) else ()):
        extra = worker.get(OF_THE_PROVIDER) if isinstance(worker, dict) else None
        for name in extra if isinstance(extra, dict) else ():
            if name not in forward:
                key = ("workers", index, OF_THE_PROVIDER, name)
                yield Problem(key, "this server hands on no such field (`server.forward`)", [key])


def read_panel(
    config: Config, panel: Mapping[str, Any], methods: Iterable[str] = ()
) -> tuple[MixtureConfig, list[Problem]]:
    """Read a panel of plain data.

    Args:
        config: Has the LLMs.
        panel: As `plain_panel` returns it.
        methods: Names that `aggregator.method` may have beside those of the built-in aggregators.

    Returns:
        The section, which is to be used only where nothing is wrong; and everything that is wrong, by its key in the
        panel.
    """
    unknown = [_unknown(name) for name in panel if name not in KEYS]
    known = {name: value for name, value in panel.items() if name in KEYS}
    if isinstance(panel.get("workers"), dict):
        text = "must be a list; workers are chosen for each question only in a mixture of the file"
        unknown.append(Problem(("workers",), text, []))
        known["workers"] = [""]
    whole = {"description": DESCRIPTION, **known}
    parsed, found, gaps = parse({"llms": {"": {"model": "-/-"}}, "mixtures": {PANEL: whole}})
    section = parsed.mixtures.get(PANEL) or next(iter(parsed.mixtures.values()))
    gaps |= {(*HERE, *problem.key) for problem in unknown}
    wrong = [] if () in gaps else mixture_problems(with_panel(config, section), methods)
    found += [problem for problem in wrong if not problem.follows_from(gaps)]
    return section, [*unknown, *(problem._replace(key=problem.key[len(HERE) :]) for problem in found)]


def _unknown(name: str) -> Problem:
    if name in keys_of(MixtureConfig):
        return Problem((name,), "a panel for one request has no such key; a mixture of the file has", [])
    return Problem((name,), MOVED.get((*MIXTURES, "*", name)) or f"unknown key{nearest(name, KEYS)}", [])


def told(problems: Sequence[Problem], root: KeyPath = ROOT) -> str:
    """Say what is wrong, a line each; `root` is where the panel stands."""
    lines = list(dict.fromkeys(f"{place(problem, root)}: {problem.text}" for problem in problems))
    more = [f"and {len(lines) - MOST_TOLD} more"] if len(lines) > MOST_TOLD else []
    return "\n".join([*lines[:MOST_TOLD], *more])


def place(problem: Problem, root: KeyPath = ROOT) -> str:
    """Name the key of a problem, below `root`."""
    return Places().name(*root, *problem.key)


class _PanelPlaces(Places):
    """The places of a configuration, and of the panel that stands in it."""

    def name(self, *key: str | int) -> str:
        if key[: len(HERE)] == HERE:
            return Places().name(*ROOT, *key[len(HERE) :])
        return super().name(*key)


def with_panel(config: Config, section: MixtureConfig) -> Config:
    """The configuration with a panel in place of its mixtures; keys of the panel are named as those of a request."""
    places = _PanelPlaces(config.path)
    return config.model_copy(update={"mixtures": {PANEL: section}}).located(places)
