"""Trained routers side by side: which is in force, and how that is changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mollm.errors import ConfigError
from mollm.routing import versions
from mollm.routing.learned import LearnedScorer
from tests.routing.fitted import EXAMPLES, same

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def scorer() -> LearnedScorer:
    """A small one."""
    return LearnedScorer.fit(EXAMPLES, fallback="general")


@pytest.fixture
def folder(tmp_path: Path, scorer: LearnedScorer) -> Path:
    """Two versions, none in force."""
    for version in ("2026-02-02-linear", "2026-01-01-linear"):
        scorer.save(tmp_path / "new")
        versions.add(tmp_path, version, tmp_path / "new")
    return tmp_path


def test_versions_are_listed_by_age_and_one_is_put_in_force(folder: Path, scorer: LearnedScorer) -> None:
    """The folder then loads as the version does; so does the version's own folder."""
    assert versions.listed(folder) == ["2026-01-01-linear", "2026-02-02-linear"]

    versions.use(folder, "2026-02-02-linear")
    versions.use(folder, "2026-01-01-linear")

    assert versions.current(folder) == "2026-01-01-linear"
    assert same(LearnedScorer.load(folder), scorer)
    assert same(LearnedScorer.load(folder / "versions" / "2026-02-02-linear"), scorer)
    assert sorted(path.name for path in folder.iterdir()) == ["current.json", "versions"], "no draft is left"


def test_without_one_in_force_the_error_lists_them(folder: Path) -> None:
    """And the command that picks one."""
    with pytest.raises(
        ConfigError, match=r"none of its versions is in force; pick one with `mollm routers use .*2026-0"
    ):
        LearnedScorer.load(folder)


@pytest.mark.parametrize("version", ["2026", "", ".", "..", "../versions/2026-01-01-linear", "2026-01-01-linear/"])
def test_only_a_version_can_be_used_or_removed(folder: Path, version: str) -> None:
    """Not one that is not there, and nothing outside."""
    for act in (versions.use, versions.remove):
        with pytest.raises(ConfigError, match=r"there is no version .*2026-01-01-linear, 2026-02-02-linear"):
            act(folder, version)

    assert len(versions.listed(folder)) == 2


def test_a_damaged_version_does_not_come_in_force(folder: Path) -> None:
    """The one before stays, and the error names the others."""
    versions.use(folder, "2026-01-01-linear")
    arrays = folder / "versions" / "2026-02-02-linear" / "router.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"?")

    with pytest.raises(ConfigError, match=r"02-02-linear: .* damaged.*; other versions: 2026-01-01-linear"):
        versions.use(folder, "2026-02-02-linear")

    assert versions.current(folder) == "2026-01-01-linear"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"\xff",
        b'{"version": "gone"}',
        b'{"version": ["2026-01-01-linear"]}',
        b'{"version": "../../elsewhere"}',
        b"[" * 4000,
    ],
)
def test_what_names_no_version_is_refused(folder: Path, content: bytes) -> None:
    """Whatever was written into the file, no other folder is read, and the versions are listed."""
    (folder / "current.json").write_bytes(content)

    with pytest.raises(ConfigError, match=r"current\.json: .*2026-01-01-linear, 2026-02-02-linear"):
        LearnedScorer.load(folder)
    versions.use(folder, "2026-01-01-linear")
    assert json.loads((folder / "current.json").read_bytes()) == {"version": "2026-01-01-linear"}


def test_the_version_in_force_is_not_deleted(folder: Path) -> None:
    """Others are."""
    versions.use(folder, "2026-01-01-linear")

    with pytest.raises(ConfigError, match="is in force"):
        versions.remove(folder, "2026-01-01-linear")
    versions.remove(folder, "2026-02-02-linear")

    assert versions.listed(folder) == ["2026-01-01-linear"]


def test_a_version_is_not_replaced(folder: Path, scorer: LearnedScorer) -> None:
    """Its name is taken."""
    scorer.save(folder / "new")

    with pytest.raises(ConfigError, match="there is a version 2026-01-01-linear already"):
        versions.add(folder, "2026-01-01-linear", folder / "new")


def test_versions_of_one_second_have_names_of_their_own(folder: Path) -> None:
    """The same data trained twice at once are two versions."""
    assert versions.free(folder, "2026-03-03-linear") == "2026-03-03-linear"
    assert versions.free(folder, "2026-01-01-linear") == "2026-01-01-linear-2"
