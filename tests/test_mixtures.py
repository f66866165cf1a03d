"""The packaged mixtures: nothing is wrong with any of them, and each does what it is there to show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mollm import MoLLM
from mollm.aggregation.best import Best
from mollm.aggregation.synthesize import Synthesize
from mollm.aggregation.vote import Vote
from mollm.cli.checks import Report, check_config
from mollm.config.load import load_config
from mollm.errors import BadRequest, LimitError
from mollm.llms.scripted import Reply, ScriptedLLM
from mollm.types import Usage
from tests.upstream import Upstream, answer, document, error

if TYPE_CHECKING:
    from mollm.calling.base import Request
    from mollm.types import Answer

FOLDER = Path(__file__).parent.parent / "mixtures"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
KEYS = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY", "OPENAI_API_KEY")
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for fitted routers: files with the same examples share one."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def environ(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable that a file names is set."""
    monkeypatch.setenv("MOLLM_CACHE", str(cache))
    for key in KEYS:
        monkeypatch.setenv(key, "k3y")


def checked(name: str) -> Report:
    """What `mollm check` says of a file."""
    return check_config(FOLDER / f"{name}.yaml")


def packaged(name: str, **scripts: str | Exception | list[str | Exception]) -> tuple[MoLLM, dict[str, ScriptedLLM]]:
    """A file with scripted LLMs in place of its own."""
    fakes = {llm: ScriptedLLM(script) for llm, script in scripts.items()}
    return MoLLM(FOLDER / f"{name}.yaml", llms=fakes), fakes


def read(request: Request) -> str:
    """All that an LLM was shown."""
    return "\n".join(str(message["content"]) for message in request.messages)


def test_these_are_the_files() -> None:
    """One that runs as it stands, one for servers of one's own, one for hosted LLMs, one with layers."""
    assert NAMES == ["council", "local", "providers", "vllm"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_it(name: str) -> None:
    """No problem and no warning once its variables are set; every LLM, prompt and router can be built."""
    report = checked(name)

    assert (report.problems, report.warnings) == ((), ())


@pytest.mark.parametrize("name", NAMES)
def test_its_prompts_render(name: str) -> None:
    """Every worker has a persona, every aggregator shows the proposals, and no placeholder is left."""
    catalog = checked(name).catalog

    assert catalog is not None
    for mixture in catalog.mixtures.values():
        assert isinstance(mixture.aggregator, Synthesize | Vote | Best)
        texts = [worker.persona for worker in mixture.workers]
        texts.append(mixture.aggregator.writers.prompt.render(question="Why?", proposals="fenced text"))
        assert all(texts)
        assert "fenced text" in str(texts[-1])
        assert not re.search(r"\{[{%#]", " ".join(map(str, texts)))


@pytest.mark.parametrize("name", NAMES)
def test_its_examples_exist(name: str) -> None:
    """Where a mixture names a file of questions, there are hundreds in it."""
    config = load_config(FOLDER / f"{name}.yaml")

    named = [mixture for mixture in config.mixtures if config.mixtures[mixture].examples]

    assert named == list(config.examples())
    assert all(len(questions) > 300 for questions in config.examples().values())


def test_every_prompt_is_used() -> None:
    """A worker's prompt that no file names would be forgotten."""
    text = "".join((FOLDER / f"{name}.yaml").read_text("utf-8") for name in NAMES)

    assert not [path.name for path in (FOLDER.parent / "prompts" / "worker").glob("*.md") if path.name not in text]


def test_every_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of hosted LLMs says which variables it needs, each where it stands."""
    for key in KEYS:
        monkeypatch.delenv(key)

    problems = checked("providers").problems

    assert {problem.split("variable ")[1].split()[0] for problem in problems} == set(KEYS)
    assert all(re.search(r"providers\.yaml:\d+: llms\.\w+\.api_key: ", problem) for problem in problems)


def test_the_second_layer_of_the_council_reads_the_first() -> None:
    """Members read what all of them said, the chair what they said then, and the chair's text is the answer."""
    mollm, llms = packaged(
        "council", first=["ash", "elm"], second=["birch", "fir"], third=["cedar", "gum"], chair=["Plant a mixed wood."]
    )

    with mollm:
        found = mollm.ask("Which trees grow on clay?")

    for name in ("first", "second", "third"):
        before, after = map(read, llms[name].requests)
        assert "Which trees grow on clay?" in before
        assert not re.search("ash|birch|cedar", before)
        assert all(word in after for word in ("Which trees grow on clay?", "ash", "birch", "cedar"))
    shown = read(llms["chair"].requests[0])
    assert all(word in shown for word in ("elm", "fir", "gum"))
    assert not re.search("ash|birch|cedar", shown)
    assert (found.text, found.calls, found.degraded) == ("Plant a mixed wood.", 7, ())
    assert [proposal.layer for proposal in found.proposals] == [1, 1, 1, 2, 2, 2]


def test_the_council_does_without_one_member() -> None:
    """And without its chair, whose place the first member takes; that is told."""
    broken = BadRequest("broken")
    mollm, llms = packaged("council", first=["ash", "elm", "Oak."], second=broken, third=["cedar", "gum"], chair=broken)

    with mollm:
        found = mollm.ask("Which trees grow on clay?")

    assert (found.text, found.calls) == ("Oak.", 8)
    assert [proposal.worker for proposal in found.proposals if proposal.error] == ["second", "second"]
    assert [reason.split(":")[0] for reason in found.degraded] == ["the aggregator chair"]
    assert "ash" in read(llms["third"].requests[1])


def providers(**scripts: str | Exception | list[str | Exception]) -> tuple[MoLLM, dict[str, ScriptedLLM]]:
    """The file of hosted LLMs, with scripted ones in all places."""
    names = ("claude", "gpt", "gemini", "mistral", "quick")
    return packaged("providers", **{name: f"{name} says it." for name in names} | scripts)


def called(llms: dict[str, ScriptedLLM]) -> dict[str, int]:
    """How often each LLM was called, if at all."""
    return {name: len(llm.requests) for name, llm in llms.items() if llm.requests}


def test_a_request_that_is_too_dear_is_refused() -> None:
    """The worst case is priced with the real prompt and what prompts add; a cheaper mixture still answers."""
    mollm, llms = providers()
    question = "Why does this fail? " + "x = 1\n" * 30_000
    prompt = -(-len(question) // 3)
    proposals = prompt * (2 + 2 + 0.5) + 4096 * (10 + 10) + 2048 * 1.5
    writers = 2 * ((prompt + 4096 + 4096 + 2048) * 2 + 4096 * 10)
    worst = (proposals + writers) / 1e6

    with mollm:
        with pytest.raises(LimitError, match=r"3 proposals \+ 1 aggregator \+ 1 fallback") as caught:
            mollm.ask(question, mixture="coding")
        refused = called(llms)
        found = mollm.ask(question, mixture="general")

    told = re.search(r"it may take (\S+) USD at worst", str(caught.value))
    assert told
    assert worst < float(told[1]) < worst * 1.02
    assert "limits.cost_usd is 0.4" in str(caught.value)
    assert refused == {}
    assert found.text == "mistral says it."


@pytest.mark.parametrize("mixture", ["coding", "data", "maths", "writing", "general"])
def test_an_ordinary_question_is_below_the_ceiling(mixture: str) -> None:
    """Five pages of prompt leave room in every mixture; what it cost is told."""
    mollm, _ = providers()

    with mollm:
        found = mollm.ask("Why? " * 3_000, mixture=mixture)

    assert found.cost_usd is not None
    assert 0 < found.cost_usd < 0.4


def test_two_hosted_llms_that_agree_are_enough() -> None:
    """The other two are called only when they do not; where nobody agrees, one of them decides."""
    agreed, few = providers(gpt="Answer: 42", gemini="Half of 84.\nAnswer: 42")
    differed, all_but_one = providers(gpt="Answer: 42", gemini="Answer: 41", claude="Answer: 41")
    disputed, most = providers(gpt="Answer: 1", gemini="Answer: 2", claude="Answer: 3", mistral="Answer: 4")

    answers: list[Answer] = []
    for mollm in (agreed, differed, disputed):
        with mollm:
            answers.append(mollm.ask("What is 6 x 7?", mixture="maths"))

    assert [found.text for found in answers] == ["Answer: 42", "Answer: 41", "Answer: 3"]
    assert called(few) == {"gpt": 1, "gemini": 1}
    assert called(all_but_one) == {"gpt": 1, "gemini": 1, "claude": 1}
    assert called(most) == {"gpt": 1, "gemini": 1, "claude": 2, "mistral": 1}


def test_one_hosted_llm_is_sampled_and_merged() -> None:
    """Three proposals of the same LLM, then the same LLM as the aggregator."""
    mollm, llms = providers(claude=["one", "two", "three", "all of it"])

    with mollm:
        found = mollm.ask("Which chart shows this best?", mixture="data")

    assert (found.text, called(llms)) == ("all of it", {"claude": 4})
    assert [proposal.worker for proposal in found.proposals] == ["claude", "claude#2", "claude#3"]


def test_the_slowest_of_three_is_not_waited_for() -> None:
    """Two proposals are enough; the third call is cancelled."""
    names = ("claude", "gpt", "quick")
    fakes = {name: ScriptedLLM(f"{name} says it.") for name in names} | {"mistral": ScriptedLLM(Reply("x", delay=3600))}

    with MoLLM(FOLDER / "providers.yaml", llms=fakes) as mollm:
        found = mollm.ask("Review this loop.", mixture="coding")

    assert (found.text, found.degraded) == ("claude says it.", ())
    assert fakes["mistral"].cancelled == 1


def test_hosted_questions_are_routed_by_a_small_llm() -> None:
    """It reads the descriptions; what it does not place goes to the fallback."""
    mollm, llms = providers(quick=["maths", "none"], gpt="Answer: 42", gemini="Answer: 42")

    with mollm:
        placed, unplaced = mollm.ask("What is 6 x 7?"), mollm.ask("Who painted this?")

    assert (placed.mixture, unplaced.mixture) == ("maths", "general")
    assert "Calculations, word problems" in read(llms["quick"].requests[0])


def on_loopback(folder: Path, experts: Upstream, generalist: Upstream) -> Path:
    """The file of vLLM servers with addresses that exist."""
    text = (FOLDER / "vllm.yaml").read_text("utf-8").replace("http://127.0.0.1:8001/v1", generalist.base_url)
    path = folder / "vllm.yaml"
    path.write_text(re.sub(r"http://127\.0\.0\.1:80\d\d/v1", experts.base_url, text))
    return path


def models(upstream: Upstream) -> list[str]:
    """The names of the models that were asked for, each once."""
    return sorted({received.body["model"] for received in upstream.received if received.path == CHAT})


async def test_every_expert_answers_beside_the_generalist(tmp_path: Path) -> None:
    """Each mixture asks its own models by their names, over real sockets, and the generalist writes the answer."""
    config = load_config(FOLDER / "vllm.yaml")
    asked: dict[str, list[str]] = {}
    for name in config.mixtures:
        async with Upstream() as experts, Upstream() as generalist:
            for upstream, text in ((experts, "An expert's view."), (generalist, "A general view.")):
                upstream.fixed = {CHAT: answer(text), "/v1/models": document({"data": []})}
            async with MoLLM(on_loopback(tmp_path, experts, generalist)) as mollm:
                found = await mollm.aask("What do you advise?", mixture=name)
            asked[name] = sorted({*models(experts), *models(generalist)})
        assert found.text == ("An expert's view." if name in ("writing", "docs") else "A general view.")
        assert found.degraded == ()
        assert found.usage == Usage(7 * found.calls, 2 * found.calls, 9 * found.calls)

    for name, mixture in config.mixtures.items():
        assert asked[name] == sorted({config.llms[llm].model_name for llm in mixture.llms})


async def test_an_expert_that_is_not_there_does_not_cost_the_answer(tmp_path: Path) -> None:
    """Its place is empty, the generalist's proposal is the answer, and the answer says so."""
    async with Upstream() as experts, Upstream() as generalist:
        experts.fixed = {CHAT: error(404, "no such model")}
        generalist.fixed = {CHAT: answer("A general view.")}
        async with MoLLM(on_loopback(tmp_path, experts, generalist)) as mollm:
            found = await mollm.aask("How do I sleep better?", mixture="finance")

    assert (found.text, found.calls) == ("A general view.", 2)
    assert found.degraded == ("only 1 of 2 proposals arrived",)


def test_experts_have_servers_and_fields_of_their_own() -> None:
    """No address stands twice, and the fields are those for which routing is measured."""
    config, local = load_config(FOLDER / "vllm.yaml"), load_config(FOLDER / "local.yaml")
    addresses = [address for llm in config.llms.values() for address in llm.api_base or ()]

    assert len(set(addresses)) == len(addresses) == len(config.llms)
    assert config.examples() == local.examples()
    assert {name: m.description for name, m in config.mixtures.items()} == {
        name: m.description for name, m in local.mixtures.items()
    }
