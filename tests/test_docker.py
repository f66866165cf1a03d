"""The container files keep what no linter sees: they fit mollm, each other, and what is mounted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from packaging.specifiers import SpecifierSet

from mollm.cli.checks import check_config
from mollm.cli.main import app
from mollm.config.load import load_config
from mollm.config.variables import variables_in, without_variables
from mollm.errors import ConfigError
from mollm.server.keys import LEAST_LENGTH, Keys
from mollm.server.origins import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
MOUNTED = ROOT / "docker" / "mollm.yaml"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICE = COMPOSE["services"]["mollm"]
UPSTREAM = COMPOSE["services"]["vllm"]


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile as instructions with their arguments, stage by stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.replace("\\\n", " ").splitlines()]
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, lines):
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, arguments))
    return found


STAGES = stages()
BASE, BUILD, IMAGE = STAGES


def arguments(name: str, stage: list[tuple[str, str]] = IMAGE) -> str:
    """What the last instruction of that name says, the one in force."""
    return [found for instruction, found in stage if instruction == name][-1]


def listed(name: str) -> list[str]:
    """The list that an instruction ends with."""
    found: list[str] = json.loads(arguments(name)[arguments(name).index("[") :])
    return found


def environ_of_image() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(pair.split("=", 1) for pair in arguments("ENV").split(" "))


def seconds(text: str) -> int:
    """A duration of a compose file, as in `45s` or `20m`."""
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def variables_of(path: Path) -> set[str]:
    """Variables that a file names outside of comments."""
    return set(variables_in(re.sub(r"#.*", "", path.read_text("utf-8"))))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that compose.yaml asks for, each as short as it may be."""
    for name in SERVICE["environment"]:
        monkeypatch.setenv(name, "k" * LEAST_LENGTH)


def test_the_image_starts_a_command_that_exists() -> None:
    """mollm's own parser takes the arguments, and they mean all addresses and the port that is exposed."""
    (program,) = listed("ENTRYPOINT")
    command: Any = typer.main.get_command(app)
    context = command.make_context(program, listed("CMD"))
    name, serve, rest = command.resolve_command(context, [*context._protected_args, *context.args])  # noqa: SLF001

    assert program in PROJECT["project"]["scripts"]
    assert name == "serve"
    assert serve.make_context(name, rest).params == {
        "config": None,
        "host": "0.0.0.0",  # noqa: S104 - in the container
        "port": int(arguments("EXPOSE")),
    }


def test_the_python_of_the_image_is_one_that_mollm_supports() -> None:
    """It is named to the minor version, allowed, among the tested ones, and the same where mollm is built."""
    image = arguments("FROM", BASE)
    version = re.fullmatch(r"python:(3\.\d+)-slim-\w+ AS base", image)

    assert version, image
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version[1])
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]
    assert (arguments("FROM", BUILD), arguments("FROM")) == ("base AS build", "base")


def test_the_image_does_not_run_as_root() -> None:
    """Its user is a number above 0, and owns nothing that is run."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", arguments("USER"))
    assert [found for name, found in IMAGE if name == "COPY"] == ["--from=build /opt/mollm /opt/mollm"]


def test_the_build_sees_what_the_wheel_is_made_of_and_nothing_else() -> None:
    """The ignore file lets in, and the Dockerfile copies, exactly what pyproject.toml packs."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = [path for name, found in BUILD if name == "COPY" for path in found.split(" ")[:-1]]
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PROJECT["project"]
    packed = {
        "pyproject.toml",
        project["readme"],
        *project["license-files"],
        *wheel["packages"],
        *wheel["force-include"],
    }

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == packed == set(copied)
    assert all((ROOT / path).exists() for path in packed)


def test_a_changed_mollm_is_never_taken_from_a_cache() -> None:
    """uv rebuilds a folder only when its pyproject.toml changes, so the step that builds mollm has no cache."""
    builds = [found for name, found in BUILD if "uv sync" in found and "--no-install-project" not in found]

    assert len(builds) == 1
    assert "--no-cache" in builds[0]
    assert "--mount=type=cache" not in builds[0]


def test_the_image_has_no_weights_unless_asked_for() -> None:
    """No group is installed by default, and the one that can be asked for exists."""
    synced = [found for name, found in BUILD if "uv sync" in found]

    assert arguments("ARG", BUILD) == "WEIGHTS=no"
    assert all("--no-default-groups" in found for found in synced)
    assert {group for found in synced for group in re.findall(r"--group (\w+)", found)} == {"weights"}
    assert "weights" in PROJECT["dependency-groups"]


def test_the_image_has_every_part_unless_some_are_left_out() -> None:
    """The extras that are installed by default exist; the step that installs mollm keeps them."""
    (first, second) = [found for name, found in BUILD if "uv sync" in found]
    asked = [found for name, found in BUILD if name == "ARG" and found.startswith("EXTRAS=")]

    assert asked == ["EXTRAS=all"]
    assert 'for extra in $EXTRAS; do set -- "$@" --extra "$extra"; done' in first
    assert "--inexact" in second
    assert "all" in PROJECT["project"]["optional-dependencies"]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str], str]]:
    """The image's command on loopback, with its environment, and the address that it prints."""
    config = yaml.safe_load(MOUNTED.read_text("utf-8"))
    for name, mixture in config["mixtures"].items():
        mixture["examples"] = [f"{name} {word}" for word in ("one", "two", "three")]  # fitted in no time
    (folder / "mollm.yaml").write_text(yaml.safe_dump(config), "utf-8")
    unset = ("MOLLM_CACHE", "XDG_CACHE_HOME", "no_proxy", "NO_PROXY")
    environ = {name: value for name, value in os.environ.items() if name not in unset} | environ_of_image()
    environ |= {
        "HOME": str(folder),
        "MOLLM_CONFIG": str(folder / "mollm.yaml"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "http_proxy": "http://127.0.0.1:9",
    }
    options = dict(zip(listed("CMD")[1::2], listed("CMD")[2::2], strict=True)) | {"--host": "127.0.0.1", "--port": "0"}
    command = [*listed("ENTRYPOINT"), listed("CMD")[0], *(text for pair in options.items() for text in pair)]
    with subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            said = process.stderr.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert address, said
            yield process, environ, address[0]
        finally:
            process.kill()


@pytest.mark.usefixtures("keys")
def test_a_running_image_is_healthy_keeps_its_router_and_stops_when_told(tmp_path: Path) -> None:
    """The health check passes around a proxy, fails once the server is gone; the cache lies on the volume."""
    check = listed("HEALTHCHECK")
    (volume,) = [found.split(":")[1] for found in SERVICE["volumes"] if found.split(":")[0] in COMPOSE["volumes"]]
    below_home = Path(volume).relative_to(environ_of_image()["HOME"])

    with serving(tmp_path) as (process, environ, address):
        check[-1] = check[-1].replace(f"http://127.0.0.1:{arguments('EXPOSE')}", address)
        healthy = subprocess.run(check, env=environ, check=False).returncode
        process.send_signal(getattr(signal, arguments("STOPSIGNAL")))
        stopped = process.wait()
        gone = subprocess.run(check, env=environ, stderr=subprocess.DEVNULL, check=False).returncode

    assert check[-1].count(f"{address}/health'") == 1
    assert (healthy, stopped, gone) == (0, 0, 1)
    assert [*(tmp_path / below_home).rglob("router.json")]
    assert f"--owner=mollm --group=mollm {volume}" in arguments("RUN")


@pytest.mark.usefixtures("keys")
def test_the_mounted_file_is_free_of_problems() -> None:
    """It loads with the two variables set, and nothing is wrong with it or odd about it."""
    report = check_config(MOUNTED)

    assert [*report.problems, *report.warnings] == []


@pytest.mark.usefixtures("keys")
def test_the_mounted_file_lets_nobody_in_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens beyond loopback, so a key that is too short, or none, is refused before anything listens."""
    config = load_config(MOUNTED)
    accepted = Keys(config)
    (accepting,) = config.server.api_keys
    assert accepting.key
    (name,) = variables_in(accepting.key.get_secret_value())

    assert not is_loopback(config.server.host)
    assert accepted.caller("k" * LEAST_LENGTH)
    for key in ("k" * (LEAST_LENGTH - 1), ""):
        monkeypatch.setenv(name, key)
        with pytest.raises(ConfigError):
            Keys(config)


def test_compose_mounts_the_file_where_the_image_looks_for_it() -> None:
    """Read-only, at the path that the image names."""
    host, inside, mode = next(found for found in SERVICE["volumes"] if "mollm.yaml" in found).split(":")

    assert (ROOT / host).resolve() == MOUNTED
    assert (inside, mode) == (environ_of_image()["MOLLM_CONFIG"], "ro")
    assert Path(inside).parent == Path(arguments("WORKDIR"))


def test_compose_passes_every_variable_that_the_mounted_file_names() -> None:
    """And no other one."""
    assert variables_of(MOUNTED) == SERVICE["environment"].keys()


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_no_file_holds_a_key(service: str) -> None:
    """All come from the environment of whoever starts it, under their own name, and a missing one is an error."""
    found = COMPOSE["services"][service]
    config = load_config(MOUNTED)
    secrets = [key.key for key in config.server.api_keys if key.key]
    secrets += [llm.api_key for llm in config.llms.values() if llm.api_key]
    set_by_image = [found for name, found in (step for stage in STAGES for step in stage) if name in ("ENV", "ARG")]

    assert all(re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", value) for name, value in found["environment"].items())
    assert all(without_variables(secret.get_secret_value()) == "" for secret in secrets)
    assert not re.search(
        r"key|token|secret|password", " ".join([*set_by_image, *found.get("command", [])]), re.IGNORECASE
    )


def test_compose_waits_for_requests_that_may_still_finish() -> None:
    """Its grace is longer than the drain, with time left for closing connections."""
    assert seconds(SERVICE["stop_grace_period"]) >= load_config(MOUNTED).server.drain + 10


def test_compose_publishes_mollm_to_this_machine_and_vllm_to_nobody() -> None:
    """Unless somebody says otherwise by a variable."""
    (published,) = SERVICE["ports"]
    default = re.fullmatch(r"\$\{MOLLM_PUBLISH:-([\d.]+):\d+\}:(\d+)", published)

    assert default, published
    assert is_loopback(default[1])
    assert int(default[2]) == load_config(MOUNTED).server.port == int(arguments("EXPOSE"))
    assert not UPSTREAM.keys() & {"ports", "network_mode"}


def test_compose_confines_mollm() -> None:
    """It can write to /tmp and its cache alone, has no capabilities and gets none."""
    kept = {name: SERVICE[name] for name in ("read_only", "tmpfs", "cap_drop", "security_opt")}
    writable = [found for found in SERVICE["volumes"] if not found.endswith(":ro")]

    assert kept == {
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - a path in the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    assert len(writable) == 1
    assert not SERVICE.keys() & {"privileged", "cap_add", "user"}


def test_the_mounted_file_calls_what_compose_starts() -> None:
    """The service's name and port, the model it serves, and the key that it asks for."""
    (llm,) = load_config(MOUNTED).llms.values()
    (address,) = map(urlsplit, llm.api_base or [])

    assert (address.hostname, address.port, address.path) == ("vllm", 8000, "/v1")
    assert llm.model_name == UPSTREAM["command"][0]
    assert llm.api_key
    assert variables_in(llm.api_key.get_secret_value()) == [*UPSTREAM["environment"]]


def test_compose_names_nothing_that_is_not_there() -> None:
    """Volumes are declared and used, images have a version, and who is waited for has a health check."""
    services = COMPOSE["services"].values()
    volumes = {found.split(":")[0] for service in services for found in service["volumes"]}
    waited_for = [name for service in services for name in service.get("depends_on", {})]

    assert {name for name in volumes if not name.startswith(".")} == COMPOSE["volumes"].keys()
    assert [
        service["image"] for service in services if not re.fullmatch(r"\S+:v[\d.]+", service.get("image", "x:v1"))
    ] == []
    assert waited_for == ["vllm"]
    assert "/health'" in UPSTREAM["healthcheck"]["test"][-1]
    assert seconds(UPSTREAM["healthcheck"]["start_period"]) >= 600
