"""`check`: everything wrong or doubtful about a configuration, without calling anybody, or calling everybody once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mollm.catalog import Catalog
from mollm.cli.checks import Report, check_config, check_online
from mollm.config.load import load_config
from mollm.errors import AuthFailed, BadRequest, ConfigError, RequestError, TimedOut
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.pool import Pool
from tests.clock import run_virtual
from tests.upstream import Reply as HttpReply
from tests.upstream import Upstream, document

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.calling.base import Request

LLMS = "llms:\n  a: {model: scripted/x}\n  b: {model: scripted/y}\n"


def checked(folder: Path, text: str) -> Report:
    """What is said about a file."""
    path = folder / "my.yaml"
    path.write_text(text)
    report = check_config(path)
    assert report.name == str(path)
    return report


def where(folder: Path, found: tuple[str, ...]) -> list[str]:
    """Problems or warnings without the folder."""
    return [text.replace(f"{folder}/", "") for text in found]


def test_a_file_with_nothing_wrong(tmp_path: Path) -> None:
    """No problems, no warnings, and the catalog that was built from it."""
    report = checked(tmp_path, LLMS + "mixtures:\n  m: {description: d, workers: [a, b]}\n")

    assert (report.problems, report.warnings) == ((), ())
    assert report.catalog is not None
    assert list(report.catalog.mixtures) == ["m"]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """It is reported, not raised."""
    report = check_config(tmp_path / "none.yaml")

    assert report.problems == (f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory",)
    assert report.catalog is None


def test_the_default_file_is_checked_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that `ask` would use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOLLM_CONFIG", "none.yaml")

    assert check_config().problems == ("none.yaml: cannot be read: No such file or directory",)


def test_problems_of_every_kind_are_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts, variables, weights: each with file, line and key."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)
    monkeypatch.delenv("MOLLM_NOWHERE", raising=False)

    report = checked(
        tmp_path,
        "llms:\n"
        "  a:\n"
        "    model: hosted_vllm/x\n"
        "    api_base: http://${MOLLM_NOWHERE}/v1\n"
        "    api_key: ${MOLLM_NONE}\n"
        "  b: {model: local/none.gguf}\n"
        "  c: {model: 'local/hf:one-part'}\n"
        "mixtures:\n"
        "  m:\n"
        "    description: d\n"
        "    workers:\n"
        "      - {llm: a, prompt: none.md}\n"
        "      - {llm: b}\n"
        "  n:\n"
        "    description: d\n"
        "    workers: [a, c]\n"
        "    aggregator: {prompt: 'Write it.'}\n"
        "router: {kind: fixed, fallback: m}\n",
    )

    assert [": ".join(text.split(": ")[:3])[:90] for text in where(tmp_path, report.problems)] == [
        "my.yaml:12: mixtures.m.workers[0].prompt: no file 'none.md' beside the configuration, in t",
        "my.yaml:17: mixtures.n.aggregator.prompt: the placeholder {{ proposals }} is missing; a pr",
        "my.yaml:5: llms.a.api_key: the environment variable MOLLM_NONE is not set",
        "my.yaml:4: llms.a.api_base: the environment variable MOLLM_NOWHERE is not set",
        "my.yaml:6: llms.b.model: local/none.gguf",
        "my.yaml:7: llms.c.model: local/hf:one-part",
    ]
    assert report.catalog is None


def test_a_variable_matters_only_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An LLM that no mixture uses may name a variable that is not set."""
    monkeypatch.delenv("MOLLM_NONE", raising=False)

    report = checked(
        tmp_path,
        LLMS
        + "  c: {model: hosted_vllm/x, api_base: http://x/v1, api_key: '${MOLLM_NONE}'}\n"
        + "mixtures:\n  m: {description: d, workers: [a, b]}\n",
    )

    assert report.problems == ()
    assert where(tmp_path, report.warnings) == ["my.yaml:4: llms.c: no mixture uses this LLM"]


def test_a_mixture_that_no_request_could_ask_is_a_problem(tmp_path: Path) -> None:
    """Its worst case exceeds a ceiling whatever the question is."""
    report = checked(
        tmp_path, LLMS + "mixtures:\n  m: {description: d, workers: [a, {llm: b, samples: 16}]}\nlimits: {calls: 9}\n"
    )

    assert where(tmp_path, report.problems) == [
        "my.yaml:5: mixtures.m: mixture 'm' is not asked: it may take 18 calls at worst "
        "(17 proposals + 1 aggregator), and limits.calls is 9"
    ]


def test_a_cost_that_cannot_be_bounded_is_a_problem(tmp_path: Path) -> None:
    """Every used LLM needs a price where `cost_usd` is set."""
    report = checked(
        tmp_path,
        "llms:\n"
        "  a: {model: scripted/x, price: {input: 1, output: 1}}\n"
        "  b: {model: scripted/x}\n"
        "  c: {model: scripted/x}\n"
        "mixtures:\n"
        "  m: {description: d, workers: [a, b]}\n"
        "limits:\n"
        "  cost_usd: 1.0\n",
    )

    assert where(tmp_path, report.problems) == [
        "my.yaml:8: limits.cost_usd: the LLM 'b' has no price, so its cost cannot be bounded"
    ]


def test_a_key_in_the_file_is_warned_of_and_not_shown(tmp_path: Path) -> None:
    """A variable, alone or within a text, is as it should be."""
    report = checked(
        tmp_path,
        "llms:\n"
        "  a: {model: scripted/x, api_key: sk-literal}\n"
        "  b: {model: scripted/x, api_key: 'Key ${MOLLM_NONE}'}\n"
        "mixtures:\n"
        "  m: {description: d, workers: [a, b]}\n",
    )

    assert where(tmp_path, report.warnings) == [
        "my.yaml:2: llms.a.api_key: a key in the file; write ${VARIABLE} instead"
    ]
    assert "sk-literal" not in repr(report)


@pytest.mark.parametrize("keys", ["ask_first: 1", "ask_first: 1, widen: all", "ask_first: 1, widen_after: 3"])
def test_asking_some_first_without_a_reason_to_stop_is_warned_of(tmp_path: Path, keys: str) -> None:
    """Without `agree` or `enough` all are asked in the end, in the fallback mixture as in any other."""
    report = checked(tmp_path, LLMS + f"mixtures:\n  m: {{description: d, workers: [a, b], {keys}}}\n")

    assert where(tmp_path, report.warnings) == [
        "my.yaml:5: mixtures.m.ask_first: without `agree` or `enough` all are asked in the end"
    ]


@pytest.mark.parametrize("keys", ["ask_first: 1, enough: 1", "ask_first: 1, agree: 2", "ask_first: all"])
def test_asking_some_first_with_a_reason_to_stop_is_fine(tmp_path: Path, keys: str) -> None:
    """Nothing to warn of."""
    assert checked(tmp_path, LLMS + f"mixtures:\n  m: {{description: d, workers: [a, b], {keys}}}\n").warnings == ()


def test_a_server_without_keys_that_any_page_may_ask_is_warned_of(tmp_path: Path) -> None:
    """By either key; with a key of the server there is nothing to warn of."""
    text = LLMS + "mixtures:\n  m: {description: d, workers: [a, b]}\nserver:\n"
    report = checked(tmp_path, text + "  origins: ['*', 'https://x.example']\n  hosts: '*'\n")

    assert where(tmp_path, report.warnings) == [
        f"my.yaml:{line}: server.{key}: without `api_keys`, any page that is open in a browser on this machine may ask"
        for line, key in ((7, "origins"), (8, "hosts"))
    ]
    assert checked(tmp_path, text + "  origins: '*'\n  api_keys: ['${MOLLM_NONE}']\n").warnings == ()


def test_limits_that_only_requests_with_tools_exceed_are_warned_of(tmp_path: Path) -> None:
    """The LLM for tools is one call more than a vote, and chat programs always send tools."""
    mixture = "mixtures:\n  m: {description: d, workers: [a, b], aggregator: {method: vote}%s}\nlimits: {calls: 2}\n"
    report = checked(tmp_path, LLMS + mixture % "")

    (warning,) = report.warnings
    assert report.problems == ()
    assert "mixtures.m: " in warning
    assert "3 calls at worst (2 proposals + 1 tools), and limits.calls is 2" in warning
    assert checked(tmp_path, LLMS + mixture % ", on_tools: alone").warnings == ()


@pytest.mark.parametrize("keys", ["", "  api_keys: [short]\n"], ids=["none", "short"])
def test_a_server_that_would_not_start_is_warned_of(tmp_path: Path, keys: str) -> None:
    """Everything but `serve` can be used; a key that is a variable may be set where the server runs."""
    text = LLMS + "mixtures:\n  m: {description: d, workers: [a, b]}\nserver:\n  host: 0.0.0.0\n"

    *literal, warning = checked(tmp_path, text + keys).warnings

    assert "server.api_keys" in warning
    assert warning.endswith("; `mollm serve` does not start")
    assert ["a key in the file" in found for found in literal] == [True] * bool(keys)
    assert checked(tmp_path, text + "  api_keys: ['${MOLLM_NONE}']\n").warnings == ()


def test_a_field_that_no_client_may_set_is_not_forwarded(tmp_path: Path) -> None:
    """Each is named with its line."""
    text = LLMS + "mixtures:\n  m: {description: d, workers: [a, b]}\nserver:\n  forward:\n  - top_k\n"
    report = checked(tmp_path, text + "  - api_base\n  - max_tokens\n  - mock_response\n")

    assert where(tmp_path, report.problems) == [
        f"my.yaml:{line}: server.forward[{line - 8}]: {name!r} cannot be forwarded: no client may set it, or it has an "
        "option of its own"
        for line, name in ((9, "api_base"), (10, "max_tokens"), (11, "mock_response"))
    ]


def test_a_mixture_that_is_never_picked_is_warned_of(tmp_path: Path) -> None:
    """The fixed router picks the fallback alone; the others can be asked by name."""
    report = checked(
        tmp_path,
        LLMS
        + "mixtures:\n  m: {description: d, workers: [a]}\n  n: {description: d, workers: [b]}\n"
        + "router: {kind: fixed, fallback: n}\n",
    )

    assert where(tmp_path, report.warnings) == [
        "my.yaml:5: mixtures.m: the fixed router never picks it; it can be asked by name"
    ]


def online(**fakes: ScriptedLLM) -> Report:
    """A report on a configuration of these LLMs, checked by calling them."""
    config = load_config(
        {
            "llms": {name: {"model": "scripted/x", "retries": 0} for name in fakes},
            "mixtures": {"m": {"description": "d", "workers": list(fakes)}},
        }
    )
    return run_virtual(check_online(Report("my.yaml", ("before",), catalog=Catalog(config, Pool(fakes)))))


def test_every_llm_is_called_once_and_what_fails_is_named() -> None:
    """Errors of the provider and of the file alike, after what was known before."""
    fakes = {
        "good": ScriptedLLM("yes"),
        "locked": ScriptedLLM(AuthFailed("the key was refused")),
        "broken": ScriptedLLM(ConfigError("no such weights")),
        "odd": ScriptedLLM(RequestError("cannot be asked")),
        "empty": ScriptedLLM(""),
    }

    report = online(**fakes)

    assert [problem.split(" (")[0] for problem in report.problems] == [
        "before",
        "locked: the key was refused",
        "broken: no such weights",
        "odd: cannot be asked",
        "empty: the reply has no text: it is empty",
    ]
    assert [len(fake.requests) for fake in fakes.values()] == [2, 1, 1, 1, 1], "the first has the tools as well"


def test_an_llm_that_refuses_tools_is_warned_of() -> None:
    """It answers without them, so it is no problem by itself; with the mixtures for which it matters."""

    def refuse(request: Request) -> str | Exception:
        return BadRequest("the provider refused the request", said="no tool parser") if request.settings.tools else "y"

    report = online(plain=ScriptedLLM(refuse), unasked=ScriptedLLM(refuse))

    assert report.problems == ("before",)
    assert report.warnings == (
        "plain: it has the tools of requests to m, and refuses tools: "
        'the provider refused the request; it said: "no tool parser"',
    )


@pytest.mark.parametrize("fault", [AuthFailed("no"), BadRequest("no"), ""], ids=["key", "request", "empty"])
def test_an_llm_that_fails_anyway_is_named_once(fault: Exception | str) -> None:
    """What it makes of tools says nothing then."""
    report = online(broken=ScriptedLLM(fault))

    assert (len(report.problems), report.warnings) == (2, ())


def test_a_call_that_only_fails_with_a_tool_in_another_way_is_no_refusal() -> None:
    """As one that is cut off in the middle of its arguments."""
    report = online(hasty=ScriptedLLM(lambda request: TimedOut("late") if request.settings.tools else "yes"))

    assert (report.problems, report.warnings) == (("before",), ())


def test_all_llms_are_called_at_the_same_time() -> None:
    """Three that take ten seconds each take ten seconds together."""
    config = load_config(
        {
            "llms": {name: {"model": "scripted/x"} for name in "abc"},
            "mixtures": {"m": {"description": "d", "workers": ["a", "b", "c"]}},
        }
    )
    catalog = Catalog(config, Pool({name: ScriptedLLM(Reply("yes", delay=10)) for name in "abc"}))

    async def run() -> float:
        await check_online(Report("my.yaml", catalog=catalog))
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(10)


async def test_an_address_that_brings_no_vectors_is_named() -> None:
    """With its key; where it does, there is nothing to say."""
    page, vectors = HttpReply((b"<html>",)), document({"data": [{"index": 0, "embedding": [1.0]}]})
    for reply, said in ((page, ["embeddings: openai/m: the reply is no JSON; check `api_base`"]), (vectors, [])):
        async with Upstream(*[reply] * 3) as upstream:
            config = load_config(
                {
                    "embeddings": {"kind": "openai", "api_base": upstream.base_url, "model": "m"},
                    "llms": {"a": {"model": "scripted/yes"}},
                    "router": {"kind": "semantic"},
                    "mixtures": {name: {"description": name, "workers": ["a"]} for name in ("one", "general")},
                }
            )
            report = await check_online(Report("my.yaml", catalog=Catalog(config, Pool())))
        assert list(report.problems) == said


def test_nothing_is_called_for_a_file_that_cannot_be_used() -> None:
    """There is nothing to call."""
    report = Report("my.yaml", ("broken",))

    assert run_virtual(check_online(report)) is report
