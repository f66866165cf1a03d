"""The file that is written: loadable whatever stands in the user's, with its variables and comments as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.config.load import load_config
from mollm.config.names import NAME, RESERVED_NAMES
from mollm.config.places import parse_yaml
from mollm.evaluation.tuning.yaml_text import commented, fresh, into
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
# All that we have.
version: 1
x-key: &key "${KEY}"
llms:   # by name
  coder: {model: openai/coder, api_key: *key}
  claude:
    model: anthropic/claude   # the good one
    api_key: "${ANTHROPIC_API_KEY}"
# Where questions go.
router: {kind: fixed, fallback: general}
mixtures:
  general: {description: Anything., workers: [coder]}

  sums:   # arithmetic
    description: Sums.
    examples: ["What is 2 + 2?"]
    workers: [coder, claude]
    layers: 2

# At most.
limits: {calls: 9}
"""
SECTION = {"description": "Tuned.", "workers": ["claude", "coder"], "aggregator": {"method": "vote"}}


def loaded(text: str, folder: Path) -> Any:
    """The configuration that a text is."""
    path = folder / "written.yaml"
    path.write_text(text)
    return load_config(path)


def test_a_fresh_file_has_the_llms_as_they_were_written(tmp_path: Path) -> None:
    """Variables and comments of the section stay, nothing of routers and other mixtures does."""
    text = fresh(FILE, "tuned", SECTION, ["Why."])

    assert text.startswith("# Why.\n")
    assert "    model: anthropic/claude   # the good one\n" in text
    assert '"${ANTHROPIC_API_KEY}"' in text
    config = loaded(text, tmp_path)
    assert list(config.mixtures) == ["tuned"]
    assert list(config.llms) == ["coder", "claude"]
    assert config.limits.calls == 9


@pytest.mark.parametrize("name", ["sums", "new", "general"])
def test_a_mixture_is_put_into_the_whole_file(name: str, tmp_path: Path) -> None:
    """The rest stays line by line, and so does what people and routers read of the mixture."""
    text = into(FILE, name, SECTION, ["Why."])

    config = loaded(text, tmp_path)
    assert [worker.llm for worker in config.mixtures[name].listed] == ["claude", "coder"]
    assert config.mixtures["sums"].examples == ["What is 2 + 2?"]
    assert config.mixtures["sums"].layers == (1 if name == "sums" else 2)
    assert set(config.mixtures) == {"general", "sums", name}
    for line in ("# Where questions go.", "# At most.", "llms:   # by name", "# All that we have."):
        assert f"{line}\n" in text


@pytest.mark.parametrize(
    "source",
    [
        '{"llms": {"a": {"model": "scripted/4"}, "b": {"model": "scripted/5"}}, '
        '"mixtures": {"m": {"description": "M.", "workers": ["a"]}}}',
        "mixtures:\n  m: &m {description: M., workers: [a]}\n  n: *m\nllms: &l\n  a: {model: scripted/4}\n  b: {model: "
        "scripted/5}\n",
        "llms:\n  a: &a {model: scripted/4}\n  b:\n    <<: *a\nmixtures: {m: {description: M., workers: [a]}}\n",
        "limits: &l {calls: 9}\nllms: {a: {model: scripted/4}, b: {model: scripted/5}}\nmixtures:\n- not\n".replace(
            "- not\n", "    m:\n        description: M.\n        workers:\n        - a\n"
        ),
        "llms:\r\n  a: {model: scripted/4}\r\n  b: {model: scripted/5}\r\nmixtures:\r\n  m: {description: M., "
        "workers: [a]}\r\n",
    ],
)
def test_any_style_of_yaml_is_written_again(source: str, tmp_path: Path) -> None:
    """Flow style, anchors, merges, other indents and line ends."""
    section = {"description": "Tuned.", "workers": ["b", "a"], "aggregator": {"method": "vote"}}

    for text, names in ((fresh(source, "t", section, []), {"t"}), (into(source, "t", section, []), {"t", "m"})):
        config = loaded(text, tmp_path)
        assert names <= set(config.mixtures)
        assert [worker.llm for worker in config.mixtures["t"].listed] == ["b", "a"]
        assert set(config.llms) == {"a", "b"}


NAMES = st.one_of(
    st.sampled_from(["no", "null", "~", "1.0", "1e3", "2024-01-01", "0x1f", "on", "=", "a:b"]),
    st.text("aB1~@_.:+=-/", min_size=1, max_size=8),
).filter(lambda name: bool(NAME.fullmatch(name)) and name not in RESERVED_NAMES)
TEXTS = st.text(min_size=1, max_size=40).filter(str.strip)


@given(
    names=st.lists(NAMES, min_size=3, max_size=5, unique=True),
    comment=TEXTS,
    persona=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20),
)
@settings(max_examples=cases(40))
def test_what_is_written_can_always_be_loaded(names: list[str], comment: str, persona: str) -> None:
    """Whatever LLMs, mixtures, comments and personas are called."""
    mixture, *names = names  # LLMs and mixtures share one namespace
    llms = {name: {"model": "scripted/4"} for name in names}
    system = f"x {persona} y".replace("$", "").replace("{", "")
    source = yaml.safe_dump({"llms": llms, "mixtures": {"mm": {"description": "M.", "workers": names[:1]}}})
    section = {
        "description": f"Tuned, {persona}",
        "workers": [{"llm": names[0], "system": system}, names[1]],
        "aggregator": {"method": "vote"},
        "ask_first": 2,
        "agree": 2,
    }

    for text in (fresh(source, mixture, section, [comment]), into(source, mixture, section, [comment])):
        found = parse_yaml(text.encode(), "written").data
        assert found["mixtures"][mixture]["workers"] == section["workers"]
        load_config(found)


@given(comment=st.text(max_size=200))
@settings(max_examples=cases(60))
def test_no_comment_ends_early(comment: str) -> None:
    """Neither a line break of any script nor a control character makes a key of what follows."""
    text = "\n".join(commented(f"a: {comment}\nllms: {{}}"))

    assert all(line.startswith("#") for line in text.splitlines())
    assert parse_yaml(f"{text}\nkey: 1\n".encode(), "written").data == {"key": 1}
