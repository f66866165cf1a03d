"""The learned router: what it decides, and how it is kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from mollm.calling.calls import Calls
from mollm.errors import ConfigError
from mollm.routing.base import Router
from mollm.routing.learned import ARRAYS, KEPT, MANIFEST, LearnedRouter

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = {
    "car": [
        "My car does not start in the morning.",
        "How do I change a tyre?",
        "Why do my brakes squeak?",
        "Which oil does the engine need?",
        "The car battery is dead.",
        "How often do I change the oil of my car?",
    ],
    "sleep": [
        "Why can't I sleep at night?",
        "How long should a nap be?",
        "What helps against snoring?",
        "I wake up tired every morning.",
        "How many hours of sleep does a child need?",
        "Why do I have nightmares when I sleep?",
    ],
    "general": ["Hello there!", "Who was Napoleon?", "How do I bake bread?", "What is the capital of Peru?"],
}


@pytest.fixture(scope="module")
def router() -> LearnedRouter:
    """A small router that knows two subjects."""
    return LearnedRouter.fit(EXAMPLES, fallback="general")


def same(one: LearnedRouter, other: LearnedRouter) -> bool:
    """Whether two routers are equal to the last bit."""
    for field in fields(LearnedRouter):
        if field.name in ("blocks", "weights", "intercept"):
            continue
        if getattr(one, field.name) != getattr(other, field.name):
            return False
    arrays = [
        [*r.weights, r.intercept, *(b.idf for b in r.blocks), *(np.array(list(b.index)) for b in r.blocks)]
        for r in (one, other)
    ]
    return all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


# --- deciding


async def test_a_question_goes_to_the_mixture_that_it_resembles(router: LearnedRouter) -> None:
    """The route names the mixture, a probability for each mixture, the router and a reason."""
    route = await router.route("why does my car not start?", Calls({}))

    assert route.mixture == "car"
    assert set(route.probabilities) == {"car", "sleep", "general"}
    assert sum(route.probabilities.values()) == pytest.approx(1.0)
    assert max(route.probabilities, key=lambda name: route.probabilities[name]) == "car"
    assert route.router == "learned"
    assert "car" in route.reason
    assert route.seconds > 0.0


def test_it_is_a_router(router: LearnedRouter) -> None:
    """It satisfies the interface of all routers."""
    assert isinstance(router, Router)


def test_below_the_threshold_the_fallback_answers() -> None:
    """A mixture that does not reach the threshold loses the question; the reason has both figures."""
    careful = LearnedRouter.fit(EXAMPLES, fallback="general", threshold=1.0)

    route = careful.decide("why does my car not start?")

    assert route.mixture == "general"
    assert "below the threshold 1.00" in route.reason
    assert f"{route.probabilities['car']:.2f}" in route.reason


def test_threshold_zero_never_rejects() -> None:
    """With threshold 0 the likeliest mixture always answers."""
    bold = LearnedRouter.fit(EXAMPLES, fallback="general", threshold=0.0)

    route = bold.decide("Do cats sleep in a cold engine bay?")

    assert route.probabilities[route.mixture] == max(route.probabilities.values())


@pytest.mark.parametrize("query", ["", " \n\t ", "\U0001f680\U0001f680", "ქართული ენა", "\ud800\udfff"])
def test_what_no_example_has_goes_to_the_fallback(router: LearnedRouter, query: str) -> None:
    """Without a single known n-gram the fallback answers, all mixtures are equally likely, and the reason says so."""
    route = router.decide(query)

    assert route.mixture == "general"
    assert set(route.probabilities.values()) == {1 / 3}
    assert "nothing in it is known" in route.reason


def test_a_fallback_without_examples_takes_part() -> None:
    """The fallback needs no examples; it still has a probability and still gets what is below the threshold."""
    router = LearnedRouter.fit({"car": EXAMPLES["car"], "sleep": EXAMPLES["sleep"]}, fallback="general", threshold=0.99)

    route = router.decide("Who invented the wheel?")

    assert route.mixture == "general"
    assert set(route.probabilities) == {"car", "sleep", "general"}
    assert sum(route.probabilities.values()) == pytest.approx(1.0)


@given(query=st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_it_raise(router: LearnedRouter, query: str) -> None:
    """Any text gets one of the mixtures and probabilities from 0 to 1 that sum to 1."""
    route = router.decide(query)

    assert route.mixture in EXAMPLES
    assert sum(route.probabilities.values()) == pytest.approx(1.0)
    assert all(0.0 <= p <= 1.0 for p in route.probabilities.values())


@pytest.mark.parametrize("unit", ["car ", "x", "睡", "\n", "\U0001f600 sleep "])
def test_a_megabyte_is_routed_by_its_ends(router: LearnedRouter, unit: str) -> None:
    """A text of a million characters is decided like its two ends alone."""
    text = unit * (1_000_000 // len(unit))

    route = router.decide(text)

    assert route.probabilities == router.decide(text[:1000] + text[-1000:]).probabilities


# --- fitting


def test_fitting_is_deterministic(router: LearnedRouter) -> None:
    """The same examples give the same router to the last bit, whatever the order of the mixtures."""
    again = LearnedRouter.fit(dict(reversed(EXAMPLES.items())), fallback="general")

    assert same(router, again)


def test_blank_and_repeated_examples_do_not_count(router: LearnedRouter) -> None:
    """Blank lines, repetitions and mixtures without examples change nothing."""
    untidy = {name: [*texts, "", "  ", f" {texts[0]} "] for name, texts in EXAMPLES.items()}

    assert same(router, LearnedRouter.fit({**untidy, "empty": [], "blank": [" "]}, fallback="general"))


@pytest.mark.parametrize(
    "examples",
    [
        {"car": ["tyre"], "sleep": ["nap"]},
        {"car": ["tyre"], "sleep": EXAMPLES["sleep"]},
        {"car": ["the same"], "sleep": ["the same"], "general": ["the same"]},
        {"car": ["the same", "also"], "sleep": ["the same", "also"]},
        {"car": ["?!", "..."], "sleep": ["\U0001f634", "-"]},
        {"car": ["\ud800", "tyre"], "sleep": ["\n\x00nap", "\x1c\u2028x"]},
        {f"mixture {n}": [f"word{n} only", f"word{n} twice"] for n in range(40)},
    ],
    ids=["one each", "one and six", "all the same", "contradictory", "no words", "odd characters", "forty"],
)
def test_poor_examples_still_make_a_router(tmp_path: Path, examples: dict[str, list[str]]) -> None:
    """Few, contradictory or odd examples fit without a warning, and the router can be kept."""
    router = LearnedRouter.fit(examples, fallback="general")
    router.save(tmp_path)

    assert same(router, LearnedRouter.load(tmp_path))
    assert 0.0 <= router.threshold <= 1.0
    assert router.decide("a tyre, a nap").mixture in {*examples, "general"}


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ({}, "none has any"),
        ({"car": [], "sleep": ["  "]}, "none has any"),
        ({"car": EXAMPLES["car"]}, "only 'car' has any"),
        ({"car": EXAMPLES["car"], "sleep": []}, "only 'car' has any"),
    ],
)
def test_examples_of_fewer_than_two_mixtures_are_refused(examples: dict[str, list[str]], words: str) -> None:
    """With nothing to tell apart, fitting says what is missing and what else can be done."""
    with pytest.raises(ConfigError, match=words):
        LearnedRouter.fit(examples, fallback="general")


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    """A threshold outside 0 to 1 is refused wherever it can be given."""
    for make in (LearnedRouter.fit, LearnedRouter.cached):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            make(EXAMPLES, fallback="general", threshold=threshold)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        LearnedRouter.load("anywhere", threshold=threshold)


# --- saving and loading


def test_a_loaded_router_is_the_saved_one(router: LearnedRouter, tmp_path: Path) -> None:
    """Loading gives the same router to the last bit, from one JSON and one safetensors file."""
    router.save(tmp_path / "deep" / "router")

    assert same(router, LearnedRouter.load(tmp_path / "deep" / "router"))
    assert sorted(path.name for path in (tmp_path / "deep" / "router").iterdir()) == [MANIFEST, ARRAYS]


def test_saving_does_not_depend_on_how_an_array_lies_in_memory(router: LearnedRouter, tmp_path: Path) -> None:
    """Weights that lie column by column come back as the same matrix."""
    turned = replace(router, weights=tuple(np.asfortranarray(weights) for weights in router.weights))

    turned.save(tmp_path)

    assert same(router, LearnedRouter.load(tmp_path))


def test_the_threshold_can_be_set_when_loading(router: LearnedRouter, tmp_path: Path) -> None:
    """A number takes the place of the saved threshold."""
    router.save(tmp_path)

    assert LearnedRouter.load(tmp_path, threshold=0.75).threshold == 0.75


def test_a_missing_router_is_reported(tmp_path: Path) -> None:
    """Loading from a folder without a router names the folder."""
    with pytest.raises(ConfigError, match="nothing here"):
        LearnedRouter.load(tmp_path / "nothing here")


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever byte is changed or cut off, loading refuses, or gives exactly the router that was saved."""
    folder = tmp_path_factory.mktemp("router")
    saved = LearnedRouter.fit({"a": ["tyre", "oil"], "b": ["nap", "bed"]}, fallback="a")
    saved.save(folder)
    file = folder / data.draw(st.sampled_from([MANIFEST, ARRAYS]))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    file.write_bytes(content)

    loaded = None
    with suppress(ConfigError):
        loaded = LearnedRouter.load(folder)

    assert loaded is None or same(saved, loaded)


def forge(folder: Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Change a saved router and give it a checksum that fits."""
    kept = json.loads((folder / MANIFEST).read_text())
    changed = {**kept, **manifest}
    body = save({**load((folder / ARRAYS).read_bytes()), **arrays})
    del changed["checksum"]
    changed["checksum"] = hashlib.sha256(json.dumps(changed, sort_keys=True).encode() + b"\n" + body).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(changed))
    (folder / ARRAYS).write_bytes(body)


@pytest.mark.parametrize(
    ("manifest", "arrays"),
    [
        ({"format": 0}, {}),
        ({"mixtures": ["a"]}, {}),
        ({"mixtures": ["a", "a", "b"]}, {}),
        ({"mixtures": 3}, {}),
        ({"threshold": 2}, {}),
        ({"threshold": "high"}, {}),
        ({"threshold": 10**400}, {}),
        ({"scale": -1.0}, {}),
        ({}, {"intercept": np.zeros(2)}),
        ({}, {"intercept": np.array([np.nan, 0.0, 0.0])}),
        ({}, {"intercept": np.zeros(3, dtype=np.float32)}),
        ({}, {"weights_0": np.zeros((2, 3))}),
        ({}, {"idf_1": np.zeros(1)}),
        ({}, {"ngrams_0": np.frombuffer(b"car\xff", dtype=np.uint8)}),
    ],
)
def test_contents_that_make_no_router_are_refused(
    router: LearnedRouter, tmp_path: Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]
) -> None:
    """Wrong types, ranges and shapes are refused even where the checksum fits."""
    router.save(tmp_path)
    forge(tmp_path, manifest, arrays)

    with pytest.raises(ConfigError):
        LearnedRouter.load(tmp_path)


# --- the cache

PROGRAM = """
import json, sys
from mollm.routing.learned import LearnedRouter
router = LearnedRouter.cached(json.loads(sys.argv[1]), fallback="general")
print(json.dumps([router.decide("my car does not start").probabilities, "sklearn" in sys.modules]))
"""


def start(**environment: str) -> subprocess.Popen[str]:
    """Start another process that takes the router of `EXAMPLES` from the cache."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("MOLLM_CACHE", "XDG_CACHE_HOME")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(EXAMPLES)],
        stdout=subprocess.PIPE,
        text=True,
        env={**inherited, **environment},
    )


def result(process: subprocess.Popen[str]) -> tuple[dict[str, float], bool]:
    """Its probabilities, and whether it had to fit."""
    out, _ = process.communicate()
    assert process.returncode == 0
    probabilities, has_fitted = json.loads(out)
    return probabilities, has_fitted


def test_what_was_fitted_once_is_read_afterwards(router: LearnedRouter, tmp_path: Path) -> None:
    """The first process fits; the next one decides the same without importing scikit-learn."""
    first = result(start(MOLLM_CACHE=str(tmp_path)))
    second = result(start(MOLLM_CACHE=str(tmp_path)))

    assert first == (router.decide("my car does not start").probabilities, True)
    assert second == (first[0], False)


def test_processes_may_fill_the_cache_at_once(router: LearnedRouter, tmp_path: Path) -> None:
    """Four processes that start together with an empty cache all get the router, and leave a good one."""
    processes = [start(MOLLM_CACHE=str(tmp_path)) for _ in range(4)]

    probabilities = [result(process)[0] for process in processes]

    assert probabilities == [router.decide("my car does not start").probabilities] * 4
    assert same(router, LearnedRouter.load(tmp_path / "routers" / router.digest))
    assert len(list((tmp_path / "routers" / router.digest).iterdir())) == 2


@pytest.mark.parametrize("file", [MANIFEST, ARRAYS])
@pytest.mark.parametrize("content", [None, b"", b"garbage", b'{"format": 1}'])
def test_a_spoilt_cache_is_fitted_anew(
    router: LearnedRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: bytes | None
) -> None:
    """A file that is missing, empty or something else costs a fit, and is mended by it."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))
    folder = tmp_path / "routers" / router.digest
    router.save(folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)

    found = LearnedRouter.cached(EXAMPLES, fallback="general")

    assert same(router, found)
    assert same(router, LearnedRouter.load(folder))


def test_a_router_of_other_examples_is_not_taken(
    router: LearnedRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound router that lies in the place of another is seen by its digest and replaced."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))
    folder = tmp_path / "routers" / router.digest
    LearnedRouter.fit({"a": ["tyre"], "b": ["nap"]}, fallback="a").save(folder)

    assert same(router, LearnedRouter.cached(EXAMPLES, fallback="general"))
    assert same(router, LearnedRouter.load(folder))


def test_a_cache_that_cannot_be_written_is_done_without(
    router: LearnedRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache folder cannot be made, the router is fitted and nothing is reported."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "file"))

    assert same(router, LearnedRouter.cached(EXAMPLES, fallback="general"))


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"MOLLM_CACHE": "own", "XDG_CACHE_HOME": "shared"}, "own/routers"),
        ({"XDG_CACHE_HOME": "shared"}, "shared/mollm/routers"),
        ({}, "home/.cache/mollm/routers"),
    ],
)
def test_the_cache_lies_where_it_is_looked_for(
    router: LearnedRouter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    folder: str,
) -> None:
    """`MOLLM_CACHE` comes first, then the shared cache folder, then the one in the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("MOLLM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(tmp_path / value))

    LearnedRouter.cached(EXAMPLES, fallback="general")

    assert (tmp_path / folder / router.digest / MANIFEST).is_file()


def test_a_relative_shared_cache_folder_is_ignored(
    router: LearnedRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The specification of `XDG_CACHE_HOME` says that relative paths do not count."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MOLLM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")

    LearnedRouter.cached(EXAMPLES, fallback="general")

    assert (tmp_path / ".cache" / "mollm" / "routers" / router.digest).is_dir()


def test_the_cache_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest routers stay."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))

    for number in range(KEPT + 3):
        last = LearnedRouter.cached({"a": [f"tyre {number}"], "b": ["nap"]}, fallback="a")

    kept = [folder.name for folder in (tmp_path / "routers").iterdir()]
    assert len(kept) == KEPT
    assert last.digest in kept


@pytest.mark.parametrize(
    "change",
    [
        {"fallback": "car"},
        {"threshold": 0.5},
        {"examples": {**EXAMPLES, "car": EXAMPLES["car"][1:]}},
    ],
    ids=["fallback", "threshold", "examples"],
)
def test_the_digest_covers_all_that_is_fitted_on(router: LearnedRouter, change: dict[str, Any]) -> None:
    """Another fallback, threshold or example gives another digest."""
    wanted: dict[str, Any] = {"examples": EXAMPLES, "fallback": "general", **change}

    assert LearnedRouter.fit(wanted.pop("examples"), **wanted).digest != router.digest
