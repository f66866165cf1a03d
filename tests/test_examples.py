"""Every example runs, offline and from anywhere, and shows what it is there to show."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from mollm.errors import SandboxError
from mollm.sandbox import run

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))

SHOWS = {
    "01_ask_question": "mixture kitchen, 3 calls; what the workers said:",
    "02_write_config": "A mistake is named: limit: unknown key; did you mean 'limits'?",
    "03_stream_events": "slow replied: Keep it out of the sun.",
    "04_embed_graph": "ticket: T-17",
    "05_bring_chat_models": "Winter, and the old bridge bends.",
    "06_write_llm": "IS ANYBODY THERE?",
    "07_plug_router": "  thorough, because the question has 12 words: Yes, and here is why ...",
    "08_run_batch": "string: 6 letters",
    "09_stack_layers": "layer 2, lawyer: The law of 1924 decides, whatever was flown before.",
    "10_save_calls": "  2 of 5 calls: a says 4, b says 4; agreement 100%",
    "11_limit_cost": "the big one was called 0 times",
    "12_survive_failures": "  hangs: failed (timed_out)",
    "13_write_prompts": "You are a gardener. Your field: Plants, soil and tools.",
    "14_serve_stream": 'Ann data: {"text": " ferry"}',
    "15_keep_conversation": "ann: And room 8? -> You have asked 2, first: Where is room 7?",
    "16_replay_answers": "7 calls instead of 9",
    "17_call_tools": 'wants weather({"city": "Oslo"})',
    "18_run_embedded": "1. Flour",
    "19_serve_openai": "  3 calls, agreement 0.6667",
    "20_write_aggregator": "The answer is 310. The guesses: [290.0, 310.0, 9000.0].",
    "21_observe_calls": "shaky is called again: provider",
    "22_use_tool": "Does the bridge hold? It holds up to 3 t. (3 calls of the board)",
    "23_select_by_tests": "careful: [True, True, True]",
}
WITHOUT_WALLS = {"23_select_by_tests": "no proposal has a score"}
"""What it shows instead where the kernel isolates no program."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs_from_an_empty_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends well and prints the line it is there for."""
    monkeypatch.chdir(tmp_path)

    runpy.run_path(str(path), run_name="__main__")

    shown = SHOWS if path.stem not in WITHOUT_WALLS or is_isolating() else WITHOUT_WALLS
    assert shown[path.stem] in capsys.readouterr().out.splitlines()


def is_isolating() -> bool:
    """Whether the kernel lets programs be run apart."""
    try:
        return run(["true"]).is_ok
    except SandboxError:
        return False


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_shows_one_idea(path: Path) -> None:
    """At most 40 lines, a docstring of at most three, and a name that says what is done."""
    source = path.read_text()
    docstring = ast.get_docstring(ast.parse(source))

    assert len(source.splitlines()) <= 40
    assert docstring
    assert len(docstring.splitlines()) <= 3
    assert re.fullmatch(r"\d\d_[a-z]+_[a-z_]+", path.stem)


def test_no_example_names_an_address() -> None:
    """What is here needs neither a key nor a server that it does not start itself, on this machine."""
    texts = {path.name: path.read_text() for path in FOLDER.rglob("*") if path.suffix in (".py", ".yaml", ".md")}

    assert not [name for name, text in texts.items() if re.search(r"http(?!://127\.0\.0\.1:\{)|\$\{", text)]


def test_the_list_of_examples_is_whole() -> None:
    """Every example, numbered without a gap, stands in the table with its first line."""
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.py\) \| (.+) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    docstrings = [ast.get_docstring(ast.parse(path.read_text())) or "" for path in EXAMPLES]

    assert listed == [
        (path.stem, path.stem, doc.splitlines()[0]) for path, doc in zip(EXAMPLES, docstrings, strict=True)
    ]
    assert [path.stem[:2] for path in EXAMPLES] == [f"{number:02}" for number in range(1, len(EXAMPLES) + 1)]
