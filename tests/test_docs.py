"""What the pages say is so: their programs run, their files load, their commands print what stands below them."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import mollm
from mollm import errors, events, extending, flow, options, server, types
from mollm.calling.attempt import ReliableLLM
from mollm.cli.checks import check_config
from mollm.config.api_keys import KeyLimitsConfig
from mollm.config.forwarding import FORBIDDEN
from mollm.config.load import load_config
from mollm.config.variables import missing_variables
from mollm.llms.scripted import ScriptedLLM
from mollm.observing.prometheus import Metrics
from mollm.server.failures import problem_of
from mollm.server.key_metrics import KeyMetrics
from mollm.server.quotas import Quotas
from tests.docstrings import ARCHITECTURE, REFERENCE, architecture_text, reference_text
from tests.reference import PAGE, ROOT, SCHEMA, SECTIONS, page_text, schema_text, table
from tests.shell import PAGE_ADDRESS, SERVE, Shell, commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

OUTSIDE = ("README.md", "SECURITY.md", "examples/README.md")
PAGES = [*(ROOT / name for name in OUTSIDE), *sorted((ROOT / "docs").glob("*.md"))]
SERVING = (ROOT / "docs" / "serving.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block: its language, behind that the name of a file in which nothing may be said beside its data, and the text."""
NAMED = re.compile(r"(?:#|\{#) (\S+\.\w+)(?: #\})?\n")
"""The first line of any other block that is a file: `# FILE`, or `{# FILE #}` in a prompt."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    """On which it stands."""
    file: str = ""
    """The name of the file that it is, if it is one."""


def blocks(page: Path, *languages: str) -> list[Block]:
    """Blocks of a page, of all languages or of some."""
    text = page.read_text("utf-8")
    found = [
        Block(match[1], match[3], text.count("\n", 0, match.start(3)) + 1, match[2] or _named(match[3]))
        for match in FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def _named(text: str) -> str:
    named = NAMED.match(text)
    return named[1] if named else ""


ELSEWHERE = {"python": ("docs/agents.md", "README.md"), "console": ("README.md",)}
"""Pages of which tests/real/ runs these blocks: they need what is no dependency of mollm, or ask the packaged LLM."""


def having(language: str) -> list[Path]:
    """Pages with such blocks that are run here."""
    elsewhere = [ROOT / name for name in ELSEWHERE.get(language, ())]
    return [page for page in PAGES if page not in elsewhere and blocks(page, language)]


def environment(cache: Path) -> dict[str, str]:
    """A shell in which the command is found, no configuration is set and fitted routers are kept."""
    commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = {**os.environ, "PATH": commands, "MOLLM_CACHE": str(cache), "COLUMNS": "100", "PYTHONWARNINGS": "error"}
    found.pop("MOLLM_CONFIG", None)
    return {**found, "NO_PROXY": "*", "no_proxy": "*"}  # a server of a page is on this machine


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache for all pages."""
    return environment(tmp_path_factory.mktemp("cache"))


def save_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page that are files."""
    for block in blocks(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")


def spoken_of(page: Path) -> dict[str, str]:
    """The variables that the files of a page name."""
    return dict.fromkeys(missing_variables(page.read_text("utf-8"), {}), "unused")


def run_python(page: Path, folder: Path, environ: dict[str, str]) -> None:
    """Run all its blocks in order, as one program, from a folder that holds the page's files and nothing else.

    One that asks a server finds the one that the page starts.
    """
    save_files(page, folder)
    lines: list[str] = []
    for block in blocks(page, "python"):
        lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    text = "\n".join(lines)
    program = folder / f"the_page_{page.stem}.py"  # no name of a package
    with Shell(folder, spoken_of(page) | environ) as shell:
        for block in blocks(page, "console") if PAGE_ADDRESS in text else ():
            for command, _ in commands(block.text):
                if SERVE.fullmatch(command):
                    shell.run(command, "", f"{page.name}:{block.line}")
        program.write_text(shell.here(text), "utf-8")

        done = subprocess.run([sys.executable, program], cwd=folder, env=environ, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def run_commands(page: Path, folder: Path, environ: dict[str, str]) -> None:
    """Run them in a folder that holds the page's files; each must print what stands below it."""
    save_files(page, folder)
    with Shell(folder, spoken_of(page) | environ) as shell:
        for block in blocks(page, "console"):
            for command, expected in commands(block.text):
                shell.run(command, expected, f"{page.name}:{block.line}: {command}")


@pytest.mark.process
@pytest.mark.parametrize("page", having("python"), ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """Without an error or a warning."""
    run_python(page, tmp_path, environ)


@pytest.mark.parametrize("page", having("yaml"), ids=lambda page: page.stem)
def test_the_yaml_of_a_page_loads(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole one is free of problems, unless it is there to have some; a part fits the first whole one of its page."""
    save_files(page, tmp_path)
    whole: dict[str, Any] = {}
    for block in blocks(page, "yaml"):
        for variable in missing_variables(block.text, {}):
            monkeypatch.setenv(variable, "http://127.0.0.1:9/v1")
        path = tmp_path / f"line-{block.line}.yaml"
        data = yaml.safe_load(block.text)
        whole = whole or data
        path.write_text(block.text if "llms" in data else yaml.safe_dump(whole | data), "utf-8")

        problems = check_config(path).problems
        assert bool(problems) == block.text.startswith("# wrong"), f"{page.name}:{block.line}: {problems}"


@pytest.mark.process
@pytest.mark.parametrize("page", having("console"), ids=lambda page: page.stem)
def test_the_commands_of_a_page_print_what_it_says(page: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """Each ends well and prints what stands below it, `...` standing for anything."""
    run_commands(page, tmp_path, environ)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that exists, and to a heading that stands in it."""
    text = FENCE.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}"


def test_the_shapes_of_the_python_page_are_those_of_the_code() -> None:
    """Fields of events, values and of the answer, each in their order; every error is there."""
    text = (ROOT / "docs" / "python.md").read_text("utf-8")
    shapes = dict(re.findall(r"^\| `([A-Z]\w+)` \| `([\w, ]+)`", text, re.MULTILINE))
    _, _, answer = text.partition("\n`Answer`\n")
    rows = re.findall(r"^\| `(\w+)` \|", answer.partition("\n| shape")[0], re.MULTILINE)

    assert {name: fields.split(", ") for name, fields in shapes.items()} == {
        name: [field.name for field in dataclasses.fields(getattr(types, name, None) or getattr(events, name))]
        for name in (
            "Routed",
            "Started",
            "Arrived",
            "Failed",
            "Comparing",
            "Reviewed",
            "Analyzed",
            "Writing",
            "CallStarted",
            "CallEnded",
            "Retried",
            "BreakerOpened",
            "Token",
            "Done",
            "Proposal",
            "Route",
            "Choice",
            "Ranking",
            "Rank",
            "Ballot",
            "Analysis",
            "Point",
            "Usage",
            "Call",
            "Alternative",
            "Failure",
        )
    }
    assert rows == [field.name for field in dataclasses.fields(types.Answer)]
    assert [name for name in vars(errors) if name.endswith("Error") and name not in text] == []


def test_the_names_that_the_serving_page_refuses_are_those_of_the_code() -> None:
    """Each of them, in the order of the alphabet."""
    found = re.search(r"^(`\w+`, )+`\w+`$", SERVING, re.MULTILINE)

    assert found
    assert re.findall(r"`(\w+)`", found[0]) == sorted(FORBIDDEN)


def test_the_metrics_of_the_serving_page_are_those_of_the_code() -> None:
    """Each family with its labels; those of the process are named together."""
    llm = ReliableLLM("a", ScriptedLLM("x"))
    llm.retries.refused["time"] += 1
    metrics = Metrics(in_flight=int, waiting=int, llms=lambda: [llm], thresholds=lambda: {"router": 0.5})
    call = types.Call("worker", "a", types.Usage(), 0.1, 0.1, types.Failure("empty", None, ""))
    metrics.tell(events.CallEnded(1, call))
    route = types.Route("m", {}, "fixed", "")
    answer = types.Answer("", "", {}, "m", route, (), 1.0, 0.9, ("why",), 1, types.Usage(), None, 0.1, on_tools="after")
    metrics.tell(events.Routed(route))
    metrics.tell(events.Done(answer))
    metrics.answered("m", 0.1)
    metrics.tell(events.Retried("a", types.Failure("empty", None, ""), 0.1))
    metrics.tell(events.BreakerOpened("a", 8, 15.0))
    metrics.failed("m", "quorum")
    metrics.began("m", 0.1)
    metrics.reloaded(is_good=True)
    quotas = Quotas()
    quotas.change({"anna": KeyLimitsConfig()})
    for quota in quotas:
        quota.refusals["at_once"] += 1
    families = {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in (*metrics.registry.collect(), *KeyMetrics(quotas).collect())
    }
    rows = re.findall(r"^\| (`mollm_.*?) \|(.*?)\|", SERVING, re.MULTILINE)
    told = {name: {*re.findall(r"\w+", labels)} for names, labels in rows for name in re.findall(r"\w+", names)}

    assert told == {name: labels for name, labels in families.items() if not name.startswith("process_")}


def test_the_errors_of_the_serving_page_are_those_of_the_code() -> None:
    """Status, type and code of each, and none that does not come."""
    causes = [types.Failure("empty", None, ""), types.Failure("auth", None, "")]
    failed = [types.Proposal("a", "a", 1, "", error=cause) for cause in causes]
    plain: list[Callable[[str], Exception]] = [
        *(errors.ConfigError, errors.PromptError, errors.RequestError, errors.UnknownMixture, errors.LimitError),
        *(errors.UnknownAnswer, errors.FeedbackError),
        *(errors.RunError, errors.RoutingError, errors.AggregationError, errors.Unexpected, errors.QuotaExceeded),
        *errors.LLMError.__subclasses__(),
    ]
    raised: list[Exception] = [
        *(kind("") for kind in plain),
        errors.Overloaded("", retry_after_seconds=1),
        errors.LimitReached("", retry_after_seconds=1),
        errors.LimitReached("", retry_after_seconds=1, code="daily_limit_exceeded"),
        errors.Unreachable("", code="breaker_open"),
        errors.QuorumError("m", 1, failed),
        errors.QuorumError("m", 1, failed[:1]),
        errors.QuorumError("m", 1, []),
        errors.TooDeep(["m", "m", "m"]),
        ZeroDivisionError(),
    ]
    problems = {(problem.status, problem.kind, problem.code or "") for problem in map(problem_of, raised)}
    elsewhere = {
        (401, "invalid_api_key"),
        (403, "foreign_origin"),
        *((status, "") for status in (404, 405, 408, 413, 428)),
    }
    rows = re.findall(r"^\| ([45][\d, ]+) \| `(\w+)` \| (?:`(\w+)`)? ?\|", SERVING, re.MULTILINE)
    told = {(int(status), kind, code) for statuses, kind, code in rows for status in statuses.split(", ")}

    assert told == problems | {(status, "invalid_request_error", code) for status, code in elsewhere}


def anchors(page: Path) -> set[str]:
    """Headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked_from_the_readme() -> None:
    """A page that nobody finds helps nobody."""
    text = (ROOT / "README.md").read_text("utf-8")

    links = [page.relative_to(ROOT).as_posix() for page in PAGES]
    assert [link for link in links if link != "README.md" and f"({link})" not in text] == []


def test_the_tree_names_every_module() -> None:
    """The tree names each module of the package, and none that is not there."""
    tree = next(block.text for block in blocks(ARCHITECTURE, "") if block.text.startswith("mollm/\n"))
    modules = {path for path in (ROOT / "mollm").rglob("*.py") if not path.stem.startswith("__")}
    folders = {path.parent.name for path in modules} - {"mollm"}

    assert sorted(re.findall(r"^ +(\w+\.py)\b", tree, re.MULTILINE)) == sorted(path.name for path in modules)
    assert set(re.findall(r"^ +(\w+)/", tree, re.MULTILINE)) == folders


def test_the_rooms_of_the_readme_are_those_of_the_package() -> None:
    """Each folder of the package has a line, and each module that a line names is there."""
    rooms = next(block.text for block in blocks(PAGES[0], "") if block.text.startswith("mollm/\n"))
    folders = {path.parent.name for path in (ROOT / "mollm").glob("*/__init__.py")}
    modules = set(re.findall(r"\b(\w+\.py)\b", rooms))

    assert set(re.findall(r"^  (\w+)/", rooms, re.MULTILINE)) == folders
    assert {name for name in modules if not (ROOT / "mollm" / name).exists()} == set()
    assert rooms.count("\n") <= 24, "a screen has no more beside the text"


def test_the_drawing_of_the_flow_is_the_table() -> None:
    """The arrows of the picture, and the rows below it, are the transitions of the code."""
    (drawing,) = blocks(ARCHITECTURE, "mermaid")
    arrows = re.findall(r"^ +(\w+)(?:\(\[\w+\]\))? -->(?:\|[\w ]+\|)? (\w+)", drawing.text, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| .+ \| ((?:`\w+`(?:, )?)+) \|$", ARCHITECTURE.read_text("utf-8"), re.MULTILINE)

    assert drawing.text.count("-->") == len(arrows)
    assert set(arrows) == {
        ("question", flow.START),
        *((name, to) for name, transition in flow.TRANSITIONS.items() for to in transition.to),
    }
    assert {name: tuple(re.findall(r"`(\w+)`", to)) for name, to in rows} == {
        name: transition.to for name, transition in flow.TRANSITIONS.items()
    }


def test_pages_that_are_written_from_the_source_are_up_to_date() -> None:
    """The API reference, the modules and their layers; `python -m tests.reference` writes them again."""
    assert REFERENCE.read_text("utf-8") == reference_text()
    assert ARCHITECTURE.read_text("utf-8") == architecture_text(ARCHITECTURE.read_text("utf-8"))


def test_the_reference_leaves_nothing_out() -> None:
    """Every public name has a heading or a row."""
    text = REFERENCE.read_text("utf-8")
    names = {*mollm.__all__, *extending.__all__, *server.__all__}
    names |= {
        name for module in (types, errors, options) for name, value in vars(module).items() if is_of(module, value)
    }

    assert {name for name in names if not re.search(rf"^(?:### |\| )`{name}(?:\(\))?`", text, re.MULTILINE)} == set()


def is_of(module: ModuleType, value: object) -> bool:
    """Say whether a class or a function is a public one of this module."""
    return getattr(value, "__module__", "") == module.__name__ and getattr(value, "__name__", "_")[0] != "_"


def test_the_tables_of_keys_are_those_of_the_models() -> None:
    """Every key with its type, default and meaning; `python -m tests.reference` writes them again."""
    text = PAGE.read_text("utf-8")

    for heading, model in SECTIONS.items():
        assert f" {heading}\n" in text
        assert table(model) in text, heading
    assert page_text(text) == text


def test_every_key_stands_in_the_schema_for_editors() -> None:
    """The shipped JSON Schema is the one of the models; `python -m tests.reference` writes it again."""
    assert SCHEMA.read_text("utf-8") == schema_text()


@pytest.mark.parametrize("path", sorted((ROOT / "mixtures").glob("*.yaml")), ids=lambda path: path.stem)
def test_packaged_mixtures_name_their_schema(path: Path) -> None:
    """An editor finds it, since it lies beside them."""
    modeline = re.search(r"^# yaml-language-server: \$schema=(\S+)$", path.read_text("utf-8"), re.MULTILINE)

    assert modeline
    assert (path.parent / modeline[1]).resolve() == SCHEMA


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_yaml_of_the_examples_loads(path: Path) -> None:
    """Also without the Python beside it."""
    assert load_config(path).mixtures
