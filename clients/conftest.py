"""Where the clients' tests find what they test: the runner says so in the environment."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pytest
from caller import Caller
from openai import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


PACKAGES = (
    *("openai", "langchain-openai", "langchain-tests"),
    *("pydantic-ai-slim", "openai-agents", "instructor", "llama-index-core", "llm"),
)
"""Whose versions are told, where they are installed."""


@dataclass(frozen=True)
class Served:
    """What answers."""

    base_url: str
    key: str
    model: str
    """That the tests ask: a mixture, or a model of the scripted upstream."""
    is_mollm: bool
    """Not the scripted upstream itself, on which the tests are tried."""
    is_panel: bool
    """Several LLMs answer together."""


@pytest.fixture(scope="session")
def served() -> Served:
    """What the runner started."""
    model = os.environ["CLIENTS_MODEL"]
    return Served(
        base_url=os.environ["CLIENTS_BASE_URL"],
        key=os.environ["CLIENTS_KEY"],
        model=model,
        is_mollm=os.environ["CLIENTS_SERVED"] == "mollm",
        is_panel=model == "council",
    )


@pytest.fixture(scope="session", autouse=True)
def _versions(record_testsuite_property: Any) -> None:
    """Note what was tested, for the runner's line."""
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            record_testsuite_property(name, version(name))


@pytest.fixture(params=["sync", "async"])
async def caller(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[Caller]:
    """Both clients of the SDK, which try once."""
    options = {"base_url": served.base_url, "api_key": served.key, "max_retries": 0, "timeout": 30}
    if request.param == "sync":
        with OpenAI(**options) as sdk:
            yield Caller(sdk, served.model)
    else:
        async with AsyncOpenAI(**options) as sdk:
            yield Caller(sdk, served.model)


@pytest.fixture(autouse=True)
def _only_where_it_applies(request: pytest.FixtureRequest, served: Served) -> None:
    """Leave out what is not promised of what is served."""
    applies = {"mollm": served.is_mollm, "panel": served.is_panel, "one_llm": not served.is_panel}
    for marker, does_apply in applies.items():
        if request.node.get_closest_marker(marker) and not does_apply:
            pytest.skip(f"holds of {marker} only")
