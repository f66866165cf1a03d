"""LLMs outlive a configuration: what did not change stays, what nobody names any more is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.calling.base import Request
from mollm.config.load import load_config
from mollm.errors import ConfigError
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.pool import Pool
from tests.upstream import Upstream, answer

if TYPE_CHECKING:
    from mollm.config.config import Config

ASK = Request([{"role": "user", "content": "Hi"}])


def config(**llms: dict[str, Any]) -> Config:
    """A configuration whose one mixture uses all these LLMs."""
    return load_config({"llms": llms, "mixtures": {"m": {"description": "d", "workers": list(llms)}}})


def test_an_llm_that_did_not_change_is_the_same() -> None:
    """With its breaker and its connections; another key, address or setting makes another one."""
    pool = Pool()
    a, b = {"model": "hosted_vllm/m", "api_base": "http://x/v1"}, {"model": "scripted/yes"}

    before = pool.llms(config(a=a, b=b))
    after = pool.llms(config(a=a, b={**b, "max_tokens": 7}))
    moved = pool.llms(config(a={**a, "api_base": "http://y/v1"}))

    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    assert moved["a"] is not before["a"]


def test_a_variable_that_changes_makes_another_llm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says the same, and means another key."""
    pool = Pool()
    source = config(a={"model": "hosted_vllm/m", "api_base": "http://x/v1", "api_key": "${MOLLM_KEY}"})
    monkeypatch.setenv("MOLLM_KEY", "one")
    before = pool.llms(source)["a"]
    monkeypatch.setenv("MOLLM_KEY", "two")

    assert pool.llms(source)["a"] is not before


async def test_what_nobody_names_any_more_is_closed() -> None:
    """What is still named keeps its open connection, and answers on it."""
    async with Upstream(*[answer("yes")] * 4) as kept, Upstream(answer("yes")) as gone:
        pool = Pool()
        a, b = ({"model": "hosted_vllm/m", "api_base": upstream.base_url} for upstream in (kept, gone))
        before = pool.llms(config(a=a, b=b))
        await before["a"].complete(ASK)
        await before["b"].complete(ASK)

        after = pool.llms(config(a=a))
        await pool.retire([after])
        await after["a"].complete(ASK)
        await pool.aclose()

    assert kept.connections == 1
    assert pool.llms(config(b=b))["b"] is not before["b"]


MIXTURE = {"description": "d", "workers": ["a"]}


def described(text: str, **llm: Any) -> dict[str, Any]:
    """A configuration whose mixture is described by `text`."""
    return {"llms": {"a": {"model": "scripted/one", **llm}}, "mixtures": {"m": {**MIXTURE, "description": text}}}


def test_another_configuration_is_in_force_at_once() -> None:
    """With the LLMs that did not change."""
    with MoLLM(described("old")) as mollm:
        before = mollm.catalog
        assert mollm.ask("Hi").text == "one"

        mollm.use(described("new"))

        assert mollm.catalog is not before
        assert mollm.catalog.mixture("m").description == "new"
        assert mollm.catalog.llms["a"] is before.llms["a"]
        assert mollm.ask("Hi").text == "one"


def test_a_configuration_that_is_wrong_changes_nothing() -> None:
    """What is in force goes on answering."""
    with MoLLM(described("old")) as mollm:
        with pytest.raises(ConfigError, match="unknown key"):
            mollm.use(described("new", max_token=7))

        assert mollm.catalog.mixture("m").description == "old"
        assert mollm.ask("Hi").text == "one"


class Closing(ScriptedLLM):
    """Notes when it was closed."""

    def __init__(self) -> None:
        super().__init__(Reply("late", delay=0))
        self.release = asyncio.Event()
        self.begun = asyncio.Event()

    async def complete(self, request: Request) -> Any:
        self.begun.set()
        await self.release.wait()
        return await super().complete(request)


async def test_a_question_ends_with_the_configuration_it_began_with() -> None:
    """However often another one is put in force meanwhile."""
    llm = Closing()
    async with MoLLM(described("old"), llms={"a": llm}) as mollm:
        asked = asyncio.create_task(mollm.aask("Hi"))
        await llm.begun.wait()
        await mollm.ause(described("new"))
        await mollm.ause(described("newer"))
        llm.release.set()

        assert (await asked).text == "late"
        assert mollm.catalog.mixture("m").description == "newer"


async def test_what_a_new_configuration_takes_over_is_not_closed_while_it_is_built() -> None:
    """The last question of the old one ends in the middle of the change."""
    llm, building = Closing(), asyncio.Event()
    async with Upstream(*[answer("yes")] * 3) as upstream:
        kept = {"model": "hosted_vllm/m", "api_base": upstream.base_url}

        def config(text: str) -> dict[str, Any]:
            mixtures = {"m": {"description": text, "workers": ["a"]}, "kept": {"description": "k", "workers": ["k"]}}
            return {
                "llms": {"a": {"model": "x/y"}, "k": kept},
                "mixtures": mixtures,
                "router": {"kind": "fixed", "fallback": "m"},
            }

        async with MoLLM(config("old"), llms={"a": llm}) as mollm:
            await mollm.aask("Hi", mixture="kept")
            asked = asyncio.create_task(mollm.aask("Hi"))
            await llm.begun.wait()
            await mollm.ause(config("new"))
            with mollm._catalogs.changing() as put:  # noqa: SLF001 - a change that is under way
                newest = mollm._built(config("newest"))  # noqa: SLF001
                llm.release.set()
                await asked
                building.set()
                put(newest)
            await mollm._catalogs.retire()  # noqa: SLF001
            await mollm.aask("Hi", mixture="kept")

    assert upstream.connections == 1


async def test_of_two_changes_at_once_the_later_wins() -> None:
    """However long the earlier one takes."""
    async with MoLLM(described("old")) as mollm:
        with mollm._catalogs.changing() as earlier, mollm._catalogs.changing() as later:  # noqa: SLF001
            later(mollm._built(described("later")))  # noqa: SLF001
            earlier(mollm._built(described("earlier")))  # noqa: SLF001

        assert mollm.catalog.mixture("m").description == "later"


def test_one_llm_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    """All are closed, and the first error is raised."""

    class Stuck(ScriptedLLM):
        closed = 0

        async def aclose(self) -> None:
            Stuck.closed += 1
            raise OSError("stuck")

    pool = Pool()
    llms = pool.llms(config(a={"model": "scripted/x"}, b={"model": "scripted/y"}))
    for llm in llms.values():
        llm.clients[0].__class__ = Stuck

    with pytest.raises(OSError, match="stuck"):
        asyncio.run(pool.aclose())

    assert Stuck.closed == 2
