"""A router trained elsewhere, beside the mixtures of a configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mollm import MoLLM
from mollm.cli.checks import check_config
from mollm.config.load import load_config
from mollm.errors import ConfigError
from mollm.routing.learned import LearnedScorer
from mollm.routing.registry import build_arms, build_router
from tests.routing.fitted import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a router that knows car, sleep and general."""
    folder = tmp_path_factory.mktemp("trained")
    LearnedScorer.fit(EXAMPLES, fallback="general").save(folder)
    return folder


def config(*mixtures: str, **router: Any) -> dict[str, Any]:
    """A configuration of mixtures of one worker."""
    sections = {name: {"description": name, "workers": ["a"]} for name in mixtures}
    return {"llms": {"a": {"model": "scripted/yes"}}, "mixtures": sections, "router": router}


def built(given: dict[str, Any]) -> None:
    """Build the router and its arms."""
    read = load_config(given)
    build_router(read)
    build_arms(read)


def test_a_label_without_a_mixture_is_refused_when_it_is_loaded(folder: Path) -> None:
    """Before any question, with the key, what is lacking and what there is; in a chain as well."""
    learned = {"kind": "learned", "path": str(folder)}
    for router, key in (
        ({"fallback": "other", **learned}, "router.path"),
        ({"fallback": "other", "kind": "chain", "members": [learned]}, "router.members[0].path"),
    ):
        with pytest.raises(ConfigError) as error:
            MoLLM(config("car", "other", **router))
        assert str(error.value).startswith(
            f"{key}: this router picks 'general', 'sleep', 2 names that are no mixtures here; there are: car, other."
        )


@pytest.mark.parametrize("path", ["a\0b", "a\ud83db", "gone"])
def test_a_path_that_leads_nowhere_is_named_with_its_key(path: str) -> None:
    """Also one that no folder can have."""
    learned = {"kind": "learned", "path": path}
    for router, key in (
        (learned, "router.path"),
        ({"kind": "chain", "members": [learned]}, "router.members[0].path"),
        ({"kind": "fixed", "arms": {"current": 0.5, path: 0.5}}, f"router.arms.{path}"),
    ):
        with pytest.raises(ConfigError) as error:
            built(config("car", "general", **router))
        assert str(error.value).startswith(f"{key}: ")


def test_an_empty_path_is_refused() -> None:
    """It may be that of a variable, and would leave the examples of the file to route."""
    with pytest.raises(ConfigError, match=r"router\.path: string should have at least 1 character"):
        load_config(config("general", kind="learned", path=""))


def test_weights_that_are_damaged_are_named_with_the_key(folder: Path, tmp_path: Path) -> None:
    """They are read only when the router is built; `mollm check` builds it, too."""
    (tmp_path / "router.json").write_bytes((folder / "router.json").read_bytes())
    (tmp_path / "router.safetensors").write_bytes((folder / "router.safetensors").read_bytes() + b"more")
    learned = {"kind": "learned", "path": str(tmp_path)}

    for router, key in ((learned, "router.path"), ({"kind": "chain", "members": [learned]}, "router.members[0].path")):
        with pytest.raises(ConfigError) as error:
            build_router(load_config(config("car", "sleep", "general", **router)))
        assert str(error.value).startswith(f"{key}: {tmp_path}: its files are damaged")


def test_an_arm_without_a_name_is_refused() -> None:
    """It would be the router that is fitted on the examples."""
    with pytest.raises(ConfigError, match=r"router.arms.: an arm has the name of its folder"):
        load_config(config("general", kind="fixed", arms={"current": 0.5, "": 0.5}))


def test_check_names_it_once_with_file_and_line(folder: Path, tmp_path: Path) -> None:
    """As everything that is wrong."""
    path = tmp_path / "mollm.yaml"
    path.write_text(
        "llms: {a: {model: scripted/yes}}\nmixtures:\n  car: {description: Cars., workers: [a]}\n"
        f"  general: {{description: All., workers: [a]}}\nrouter:\n  kind: learned\n  path: {folder}\n"
    )

    report = check_config(path)

    assert report.problems == (
        f"{path}:7: router.path: this router picks 'sleep', which is no mixture here; there are: car, general. "
        "Add what is missing, or train it on others",
    )


def test_check_warns_of_mixtures_that_it_does_not_know(folder: Path, tmp_path: Path) -> None:
    """They can be asked by name; where another member may pick them there is nothing to warn of."""
    trained = {"kind": "learned", "path": str(folder)}
    names = ("car", "sleep", "general", "tax")
    for router, warned in (
        (trained, True),
        ({"kind": "chain", "members": [trained, {"kind": "llm", "llm": "a"}]}, False),
    ):
        path = tmp_path / "mollm.yaml"
        path.write_text(json.dumps(config(*names, **router)))
        told = [text for text in check_config(path).warnings if "does not know it" in text]
        assert ["mixtures.tax" in text for text in told] == [True] * warned


def test_a_folder_that_holds_no_router_is_named_with_its_key(tmp_path: Path) -> None:
    """Nothing, or something that is none."""
    with pytest.raises(ConfigError, match=r"^router\.path: .*no learned router can be read there"):
        MoLLM(config("car", "general", kind="learned", path=str(tmp_path / "gone")))


def test_the_fallback_is_that_of_the_configuration(folder: Path) -> None:
    """Whatever the router was trained with."""
    router = build_router(
        load_config(config("car", "sleep", "general", kind="learned", path=str(folder), fallback="car"))
    )

    assert router.decision.fallback == "car"  # type: ignore[attr-defined]


def test_a_path_is_looked_for_beside_the_file(folder: Path, tmp_path: Path) -> None:
    """So that file and router can be moved together."""
    (tmp_path / "router").symlink_to(folder)
    path = tmp_path / "mollm.yaml"
    path.write_text(json.dumps(config("car", "sleep", "general", kind="learned", path="router")))

    assert check_config(path).problems == ()


def test_one_folder_is_one_arm() -> None:
    """However it is written: the shares of two are no comparison."""
    with pytest.raises(ConfigError, match=r"router.arms: two arms are the same folder"):
        load_config(config("general", kind="fixed", arms={"current": 0.5, "good": 0.25, "./good": 0.25}))
