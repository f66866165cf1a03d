"""Keys of the server with a name: what may stand there, what is said of what may not, and that no key is shown."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from mollm import load_config
from mollm.cli.checks import check_config
from mollm.errors import ConfigError
from mollm.server.keys import LEAST_LENGTH, Keys

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.config.config import Config

SECRET = "a-secret-of-this-test"  # noqa: S105 - it opens nothing
VARIABLE = "MOLLM_TEST_NAMED_KEY"
BEFORE = "llms: {a: {model: scripted/x}}\nmixtures: {m: {description: x, workers: [a]}}\nserver:\n  api_keys:\n"


def digest(key: str) -> str:
    """What stands in a file in place of the key."""
    return hashlib.sha256(key.encode()).hexdigest()


def loaded(*keys: Any, **server: Any) -> Config:
    """A configuration with these keys."""
    base = {"llms": {"a": {"model": "scripted/x"}}, "mixtures": {"m": {"description": "x", "workers": ["a"]}}}
    return load_config({**base, "server": {"api_keys": list(keys), **server}})


def test_a_key_has_a_name_or_is_called_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is written out, comes from a variable, or is there as a digest only, in either case of letters."""
    monkeypatch.setenv(VARIABLE, f"{SECRET}\n")
    config = loaded(
        "first",
        {"name": "anna", "key": f"${{{VARIABLE}}}"},
        {"name": "batch", "sha256": digest("third").upper()},
        "fourth",
    )
    keys = Keys(config)
    names = [caller.name for key in ("first", SECRET, "third", "fourth") if (caller := keys.caller(key))]

    assert names == ["key-1", "anna", "batch", "key-4"]
    assert keys.caller(digest("third")) is None, "a digest is no key"
    assert list(config.server.limits_by_key) == names


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """With file, line and key, and without what stands there."""
    path = tmp_path / "my.yaml"
    lines = [
        f"- {SECRET}",
        f"- {{name: a b, key: {SECRET}}}",
        f"- {{name: both, key: {SECRET}, sha256: {digest('x')}}}",
        "- {name: neither}",
        f"- {{name: short, sha256: {digest('x')[1:]}}}",
        f"- {{name: empty, sha256: {digest('')}}}",
        "- {name: key-1, key: '${SOME_KEY}'}",
        "- {name: empty, key: '${SOME_KEY}'}",
        "- {key: '${SOME_KEY}'}",
        "- 12345",
        "- {name: n, key: '${SOME_KEY}', limits: {at_once: 0, per_minut: 1, cost_usd_per_day: -1}}",
    ]
    path.write_text(BEFORE + "".join(f"    {line}\n" for line in lines))

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    found = {problem.removeprefix(f"{path}:") for problem in caught.value.problems}
    name = "a name is 1 to 64 letters, digits and any of '._-'"
    hexadecimal = 'must be 64 hexadecimal digits; `printf %s "$KEY" | sha256sum` prints them'
    empty = "is that of an empty text; was the variable set when it was made?"
    twice = "; a key without a name is called by its place"
    assert found == {
        f"6: server.api_keys[1].name: {name}",
        "7: server.api_keys[2]: needs either `key` or `sha256`",
        "8: server.api_keys[3]: needs either `key` or `sha256`",
        f"9: server.api_keys[4].sha256: {hexadecimal}",
        f"10: server.api_keys[5].sha256: {empty}",
        f"11: server.api_keys[6].name: server.api_keys[0] has the name 'key-1' too{twice}",
        f"12: server.api_keys[7].name: server.api_keys[5] has the name 'empty' too{twice}",
        "13: server.api_keys[8].name: is required",
        "14: server.api_keys[9]: YAML reads this as a number, where text belongs; put it in quotes",
        "15: server.api_keys[10].limits.at_once: must be greater than or equal to 1",
        "15: server.api_keys[10].limits.per_minut: unknown key; did you mean 'per_minute'?",
        "15: server.api_keys[10].limits.cost_usd_per_day: must be greater than 0",
    }
    assert SECRET not in str(caught.value)


def test_one_secret_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is written, or limits could be got round; an empty one, and a short one for the world, are refused."""
    monkeypatch.setenv(VARIABLE, SECRET)
    monkeypatch.setenv("MOLLM_TEST_EMPTY", "")
    keys = [
        SECRET,
        {"name": "b", "key": f" ${{{VARIABLE}}} "},
        {"name": "c", "sha256": digest(SECRET)},
        {"name": "d", "key": "${MOLLM_TEST_EMPTY}"},
        {"name": "e", "key": "x" * (LEAST_LENGTH - 1)},
        {"name": "f", "sha256": digest("short")},
    ]

    with pytest.raises(ConfigError) as caught:
        Keys(loaded(*keys, host="0.0.0.0"))  # noqa: S104 - not bound

    assert caught.value.problems == [
        "server.api_keys[1]: this is the key of 'key-1' too",
        "server.api_keys[2]: this is the key of 'key-1' too",
        "server.api_keys[3]: the key is empty",
        "server.api_keys[4]: a key of less than 16 characters, and 0.0.0.0 is not loopback",
    ]


def test_numbers_and_names_may_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere; a key is still filled in when the server is built, and not before."""
    monkeypatch.setenv("MOLLM_TEST_LIMIT", "60")
    monkeypatch.setenv(VARIABLE, SECRET)
    key = {
        "name": "user-${MOLLM_TEST_LIMIT}",
        "key": f"${{{VARIABLE}}}",
        "limits": {"per_minute": "${MOLLM_TEST_LIMIT}"},
    }
    (found,) = loaded(key).server.api_keys

    assert (found.name, found.limits.per_minute) == ("user-60", 60)
    assert found.key
    assert found.key.get_secret_value() == f"${{{VARIABLE}}}"


def test_no_key_is_shown(tmp_path: Path) -> None:
    """Neither it nor its digest; whoever checks the file is told that a key stands in it."""
    path = tmp_path / "my.yaml"
    hidden = digest("another-secret")
    path.write_text(
        f"{BEFORE}    - {SECRET}\n    - {{name: a, key: {SECRET}-2}}\n    - {{name: b, sha256: {hidden}}}\n"
    )
    config = load_config(path)
    report = check_config(path)
    shown = f"{config!r}{config}{report}{config.model_dump()['server']['api_keys'][0]}{vars(Keys(config))!r}"

    assert SECRET not in shown
    assert hidden not in f"{config!r}{config}{report}"
    assert report.problems == ()
    assert [warning.partition(": ")[0] for warning in report.warnings] == [f"{path}:5", f"{path}:6"]
    assert all("a key in the file; write ${VARIABLE} instead" in warning for warning in report.warnings)
