"""What others have mended is asked for: no release with a known hole may be installed beside mollm."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from itertools import chain

import pytest
from packaging.requirements import Requirement

from tests.reference import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRED = {
    found.name: found
    for text in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    if (found := Requirement(text)).name != PROJECT["name"]
}
HOLED = {
    "starlette": ("1.3.0", "a Host header could change the path that a check of keys sees"),
    "langchain-core": ("1.3.2", "data from outside could become objects"),
    "langchain-openai": ("1.1.13", "the address of an image could be changed after it was checked"),
    "aiohttp": ("3.13.5", "its parser in Python read heads as no other does"),
    "litellm": ("1.101.0", "several, the first of them before a key was asked for"),
    "jinja2": ("3.1.5", "a filter led out of the sandbox"),
}
"""The last release that has it, and what it is."""
BACK_DOORED = {"litellm": ("1.82.7", "1.82.8")}


@pytest.mark.parametrize("name", HOLED)
def test_releases_with_a_known_hole_are_excluded(name: str) -> None:
    """By what the project asks for, and so in what is installed here."""
    last, why = HOLED[name]

    assert last not in REQUIRED[name].specifier, why
    assert REQUIRED[name].specifier.contains(version(name), prereleases=True)


def test_releases_with_a_back_door_are_named() -> None:
    """One by one, so that a lower bound that is lowered some day does not let them in."""
    for name, releases in BACK_DOORED.items():
        excluded = {found.version for found in REQUIRED[name].specifier if found.operator == "!="}
        assert set(releases) <= excluded
