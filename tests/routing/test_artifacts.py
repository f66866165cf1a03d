"""A fitted router as files, and the folder where they are kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from mollm.errors import ConfigError
from mollm.routing.artifacts import ARRAYS, FORMAT, KEPT, MANIFEST
from mollm.routing.decision import Decision
from mollm.routing.learned import LearnedScorer
from mollm.routing.naming import OF_FILE
from tests.fuzz import cases
from tests.routing.fitted import EXAMPLES, ngrams_of, same

if TYPE_CHECKING:
    from pathlib import Path

NGRAMS_OF_WORDS = 131
"""Words and pairs of words in `EXAMPLES`, and the row for all others."""


@pytest.fixture(scope="module")
def scorer() -> LearnedScorer:
    """A small one that knows two subjects."""
    return LearnedScorer.fit(EXAMPLES, fallback="general", named=OF_FILE)


# --- saving and loading


def test_a_loaded_router_is_the_saved_one(scorer: LearnedScorer, tmp_path: Path) -> None:
    """Loading gives the same router to the last bit, from one JSON and one safetensors file."""
    scorer.save(tmp_path / "deep" / "router")

    assert same(scorer, LearnedScorer.load(tmp_path / "deep" / "router"))
    assert sorted(path.name for path in (tmp_path / "deep" / "router").iterdir()) == [MANIFEST, ARRAYS]


def test_saving_does_not_depend_on_how_an_array_lies_in_memory(scorer: LearnedScorer, tmp_path: Path) -> None:
    """Weights that lie column by column come back as the same matrix."""
    model = ngrams_of(scorer)
    blocks = tuple(replace(block, weights=np.asfortranarray(block.weights)) for block in model.blocks)
    turned = replace(scorer, model=replace(model, blocks=blocks))

    turned.save(tmp_path)

    assert same(scorer, LearnedScorer.load(tmp_path))


def test_the_threshold_can_be_set_when_loading(scorer: LearnedScorer, tmp_path: Path) -> None:
    """A number takes the place of the saved threshold."""
    scorer.save(tmp_path)

    own = Decision("general", 0.75, familiarity=scorer.familiarity, second=scorer.second)
    assert LearnedScorer.load(tmp_path).decision(0.75) == own


def test_a_missing_router_is_reported(tmp_path: Path) -> None:
    """Loading from a folder without a router names the folder."""
    with pytest.raises(ConfigError, match="nothing here"):
        LearnedScorer.load(tmp_path / "nothing here")


@given(data=st.data())
@settings(max_examples=cases(150))
def test_damaged_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever byte is changed or cut off, loading refuses, or gives exactly the router that was saved."""
    folder = tmp_path_factory.mktemp("router")
    saved = LearnedScorer.fit({"a": ["tyre", "oil"], "b": ["nap", "bed"]}, fallback="a")
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
        loaded = LearnedScorer.load(folder)

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
        ({"familiarity": 2}, {}),
        ({"method": "guess"}, {}),
        ({"model": "guess"}, {}),
        ({}, {"slope": np.zeros(2)}),
        ({}, {"slope": np.ones(3)}),
        ({}, {"slope": np.array([1.0, np.inf])}),
        ({}, {"intercept": np.zeros(2)}),
        ({}, {"intercept": np.array([np.nan, 0.0, 0.0])}),
        ({}, {"intercept": np.zeros(3, dtype=np.float32)}),
        ({}, {"weights_0": np.zeros((2, 3), dtype=np.float16)}),
        ({}, {"weights_0": np.zeros((NGRAMS_OF_WORDS, 3))}),
        ({}, {"weights_0": np.full((NGRAMS_OF_WORDS, 3), np.inf, dtype=np.float16)}),
        ({}, {"idf_1": np.zeros(1)}),
        ({}, {"idf_0": np.zeros(NGRAMS_OF_WORDS)}),
        ({}, {"hashes_0": np.zeros(0, dtype=np.uint64)}),
        ({}, {"hashes_0": np.arange(NGRAMS_OF_WORDS, dtype=np.uint64)}),
        ({}, {"hashes_0": np.full(NGRAMS_OF_WORDS, 2**64 - 1, dtype=np.uint64)}),
        ({}, {"hashes_0": np.zeros(NGRAMS_OF_WORDS)}),
        ({}, {"hashes_0": np.zeros((NGRAMS_OF_WORDS, 1), dtype=np.uint64)}),
    ],
)
def test_contents_that_make_no_router_are_refused(
    scorer: LearnedScorer, tmp_path: Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]
) -> None:
    """Wrong types, ranges and shapes are refused even where the checksum fits."""
    scorer.save(tmp_path)
    forge(tmp_path, manifest, arrays)

    with pytest.raises(ConfigError):
        LearnedScorer.load(tmp_path)


def test_a_file_of_before_is_refused_by_name(scorer: LearnedScorer, tmp_path: Path) -> None:
    """An older format decides differently: the error says which file it is, and what to do."""
    scorer.save(tmp_path)
    forge(tmp_path, {"format": FORMAT - 1}, {})

    with pytest.raises(ConfigError, match=rf"{MANIFEST}: not a router of format {FORMAT}; train it again"):
        LearnedScorer.load(tmp_path)


# --- the cache

PROGRAM = """
import json, sys
from mollm.routing.learned import LearnedScorer
scorer = LearnedScorer.cached(json.loads(sys.argv[1]), fallback="general")
print(json.dumps([scorer.scores("my car does not start").probabilities, "sklearn" in sys.modules]))
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


def test_what_was_fitted_once_is_read_afterwards(scorer: LearnedScorer, tmp_path: Path) -> None:
    """The first process fits; the next one decides the same without importing scikit-learn."""
    first = result(start(MOLLM_CACHE=str(tmp_path)))
    second = result(start(MOLLM_CACHE=str(tmp_path)))

    assert first == (dict(scorer.scores("my car does not start").probabilities), True)
    assert second == (first[0], False)


def test_processes_may_fill_the_cache_at_once(scorer: LearnedScorer, tmp_path: Path) -> None:
    """Four processes that start together with an empty cache all get the router, and leave a good one."""
    processes = [start(MOLLM_CACHE=str(tmp_path)) for _ in range(4)]

    probabilities = [result(process)[0] for process in processes]

    assert probabilities == [dict(scorer.scores("my car does not start").probabilities)] * 4
    assert same(scorer, LearnedScorer.load(tmp_path / "routers" / scorer.digest))
    assert len(list((tmp_path / "routers" / scorer.digest).iterdir())) == 2


@pytest.mark.parametrize("file", [MANIFEST, ARRAYS])
@pytest.mark.parametrize("content", [None, b"", b"garbage", b'{"format": 1}'])
def test_a_spoilt_cache_is_fitted_anew(
    scorer: LearnedScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: bytes | None
) -> None:
    """A file that is missing, empty or something else costs a fit, and is mended by it."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))
    folder = tmp_path / "routers" / scorer.digest
    scorer.save(folder)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)

    found = LearnedScorer.cached(EXAMPLES, fallback="general")

    assert same(scorer, found)
    assert same(scorer, LearnedScorer.load(folder))


def test_a_router_of_other_examples_is_not_taken(
    scorer: LearnedScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound router that lies in the place of another is seen by its digest and replaced."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))
    folder = tmp_path / "routers" / scorer.digest
    LearnedScorer.fit({"a": ["tyre"], "b": ["nap"]}, fallback="a").save(folder)

    assert same(scorer, LearnedScorer.cached(EXAMPLES, fallback="general"))
    assert same(scorer, LearnedScorer.load(folder))


def test_a_cache_that_cannot_be_written_is_done_without(
    scorer: LearnedScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache folder cannot be made, the router is fitted and nothing is reported."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "file"))

    assert same(scorer, LearnedScorer.cached(EXAMPLES, fallback="general"))


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"MOLLM_CACHE": "own", "XDG_CACHE_HOME": "shared"}, "own/routers"),
        ({"XDG_CACHE_HOME": "shared"}, "shared/mollm/routers"),
        ({}, "home/.cache/mollm/routers"),
    ],
)
def test_the_cache_lies_where_it_is_looked_for(
    scorer: LearnedScorer,
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

    LearnedScorer.cached(EXAMPLES, fallback="general")

    assert (tmp_path / folder / scorer.digest / MANIFEST).is_file()


def test_a_relative_shared_cache_folder_is_ignored(
    scorer: LearnedScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The specification of `XDG_CACHE_HOME` says that relative paths do not count."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MOLLM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")

    LearnedScorer.cached(EXAMPLES, fallback="general")

    assert (tmp_path / ".cache" / "mollm" / "routers" / scorer.digest).is_dir()


def test_the_cache_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest routers stay."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path))

    for number in range(KEPT + 3):
        last = LearnedScorer.cached({"a": [f"tyre {number}"], "b": ["nap"]}, fallback="a")

    kept = [folder.name for folder in (tmp_path / "routers").iterdir()]
    assert len(kept) == KEPT
    assert last.digest in kept


# --- one that is shipped


def test_a_shipped_router_of_the_same_examples_is_taken(
    scorer: LearnedScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is fitted, and nothing is put into the cache."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    scorer.save(tmp_path / "shipped")

    assert same(scorer, LearnedScorer.cached(EXAMPLES, fallback="general", shipped=tmp_path / "shipped"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("spoilt", ["other", "damaged", "missing"])
def test_any_other_is_not(scorer: LearnedScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str) -> None:
    """One of other examples, a damaged one or none costs a look into the cache, or a fit."""
    monkeypatch.setenv("MOLLM_CACHE", str(tmp_path / "cache"))
    shipped = tmp_path / "shipped"
    if spoilt != "missing":
        fallback = "car" if spoilt == "other" else "general"
        LearnedScorer.fit(EXAMPLES, fallback=fallback).save(shipped)
    if spoilt == "damaged":
        (shipped / ARRAYS).write_bytes(b"")

    assert same(scorer, LearnedScorer.cached(EXAMPLES, fallback="general", shipped=shipped))
    assert (tmp_path / "cache" / "routers" / scorer.digest).is_dir()


def test_a_router_that_is_not_wanted_is_not_read(scorer: LearnedScorer, tmp_path: Path) -> None:
    """Its digest stands in the small file; the large one stays closed."""
    scorer.save(tmp_path)
    (tmp_path / ARRAYS).unlink()

    with pytest.raises(ConfigError, match="a router of other examples"):
        LearnedScorer.load(tmp_path, digest="0" * 64)
