"""Reading YAML that others wrote: bounded, exact about lines, and never an error that is not ours."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mollm.config.files import is_file, named_path
from mollm.config.places import MAX_BYTES, MAX_DEPTH, Places, parse_yaml, read_yaml
from mollm.errors import ConfigError


def problem(raw: str | bytes) -> str:
    """What is said about a file that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml(raw if isinstance(raw, bytes) else raw.encode(), "f.yaml")
    assert len(caught.value.problems) == 1
    return str(caught.value)


def data(raw: str | bytes) -> Any:
    """What stands in a file that can be used."""
    return parse_yaml(raw if isinstance(raw, bytes) else raw.encode(), "f.yaml").data


BOMB = "\n".join(["x0: &x0 [a]", *(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 10))])
CHAIN = "\n".join(["x0: &x0 [a]", *(f"x{n}: &x{n} [*x{n - 1}]" for n in range(1, 30))])


@pytest.mark.parametrize(
    ("raw", "line", "text"),
    [
        pytest.param("a: 1\nb: 2\na: 3", 3, "key 'a' stands here twice", id="key twice"),
        pytest.param("a:\n  b: 1\n  c: 2\n  b: 3", 4, "key 'b' stands here twice", id="key twice, deeper"),
        pytest.param("a: 1\n'a': 2", 2, "key 'a' stands here twice", id="key twice, quoted once"),
        pytest.param("a:\n  <<: {x: 1}\n  <<: {y: 1}", 3, "key '<<' stands here twice", id="two merges"),
        pytest.param("a:\n\tb: 1", 2, "found character '\\t' that cannot start any token", id="tab"),
        pytest.param("a: 1\n? [b, c]\n: 2", 2, "a key must be a plain word", id="key that is a list"),
        pytest.param("a: 1\n? {b: c}\n: 2", 2, "a key must be a plain word", id="key that is a mapping"),
        pytest.param("a: 1\nb: *c", 2, "found undefined alias 'c'", id="undefined alias"),
        pytest.param("a: [1,\nb", 2, "expected ',' or ']'", id="list left open"),
        pytest.param("a: 1\n---\nb: 2", 2, "found another document", id="two documents"),
        pytest.param("a: 1\nb: !python/name:os.system", 2, "could not determine a constructor", id="foreign tag"),
        pytest.param("a: 1\nb: !!python/object:x y", 2, "could not determine a constructor", id="python tag"),
        pytest.param("a: 1\nb:\n  <<: 3", 3, "`<<` needs a mapping, or a list of mappings", id="merge of a number"),
        pytest.param("a: &a [1]\nb:\n  c: 1\n  <<: *a", 4, "`<<` needs a mapping", id="merge of a list of numbers"),
        pytest.param("a: 1\nb:\n  <<: [{x: 1}, y]", 3, "`<<` needs a mapping", id="merge of a word in a list"),
        pytest.param("a: 1\nb:\n  <<:\n", 3, "`<<` needs a mapping", id="merge of nothing"),
        pytest.param("a: &a\n  b: 1\n  <<: *a", 3, "this mapping is merged into itself", id="merge of itself"),
        pytest.param(
            "a: &a {x: 1}\nb: {x: 2, <<: *a, x: 3}", 2, "key 'x' stands here twice", id="twice around a merge"
        ),
        pytest.param("a: 1\nb: 2001-99-99", 2, "this is no timestamp", id="month 99"),
        pytest.param("a: 1\nb: !!timestamp soon", 2, "this is no timestamp", id="timestamp that is none"),
        pytest.param("a: 1\nb: !!int ''", 2, "this is no int", id="int that is none"),
        pytest.param("a: 1\nb: !!float ''", 2, "this is no float", id="float that is none"),
        pytest.param("a: 1\nb: !!bool perhaps", 2, "this is no bool", id="bool that is none"),
        pytest.param("a: 1\nb: " + "9" * 5000, 2, "this is no int", id="number of 5000 digits"),
        pytest.param("a: 1\nb: !!map 3", 2, "expected a mapping node", id="map that is a number"),
        pytest.param(b"a: 1\nb: \xff\xfe", 2, "not UTF-8 text", id="broken UTF-8"),
        pytest.param(b"a: 1\n\nb: \xc3", 3, "not UTF-8 text", id="cut off UTF-8"),
        pytest.param(b"\x89PNG\r\n\x1a\n", 1, "not UTF-8 text", id="binary"),
        pytest.param(b"\x00\x01\x02", 1, "the control character #x00", id="zeros"),
        pytest.param("a: 1\nb: ü\nc: \x07", 3, "the control character #x07", id="control character"),
        pytest.param("a: 1\nb: " + "[" * 100_000, 2, "more than 20 levels", id="deep flow"),
        pytest.param("# c\n" + "- " * 30, 2, "more than 20 levels", id="deep block"),
        pytest.param("a: &a [*a]", 1, "unfolds to more than 20 levels", id="alias to itself"),
        pytest.param("a: 1\nb: &b {c: *b}", 2, "unfolds to more than 20 levels", id="mapping in itself"),
        pytest.param(CHAIN, 1, "unfolds to more than 20 levels", id="deep by aliases"),
        pytest.param(BOMB, 1, "unfolds to more than 50,000 values", id="alias bomb"),
        pytest.param("a: &a 1\nb: [" + "*a, " * 101 + "]", 2, "more than 100 aliases", id="many aliases"),
        pytest.param("a: [" + "b," * 110_000 + "]", 1, "more than 100,000 values", id="many values"),
        pytest.param("a: [" + "b," * 60_000 + "]", 1, "unfolds to more than 50,000 values", id="too many values"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(raw: str | bytes, line: int, text: str) -> None:
    """One sentence, with the line where to look."""
    found = problem(raw)

    assert found.startswith(f"f.yaml:{line}: ")
    assert text in found
    assert "\n" not in found


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"# nothing\n", b"---\n", b"\xef\xbb\xbf", b"null", b"~"])
def test_an_empty_file_is_nothing(raw: bytes) -> None:
    """It is for the caller to say that something is missing."""
    assert data(raw) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("- a\n- b", ["a", "b"]),
        ("no: 1\nyes: 2\n'true': 3", {"no": 1, "yes": 2, "true": 3}),
        ("50256: -100\n0x10: 1\n1.5: 2", {"50256": -100, "0x10": 1, "1.5": 2}),
        ("2024-01-01: 3\n~: 4\n'': 5", {"2024-01-01": 3, "~": 4, "": 5}),
        ("a: =", {"a": "="}),
        ("a: &x {b: 1}\nc: *x\nd: *x", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("a: &x {b: 1}\nd:\n  c: 3\n  <<: [*x, {b: 2, e: 4}]", {"a": {"b": 1}, "d": {"b": 1, "c": 3, "e": 4}}),
        ("a: &x {<<: {b: 1}}\nc: {<<: *x}", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b]}",
         {"a": {"x": 1, "y": 1}, "b": {"x": 2, "z": 2}, "c": {"x": 1, "y": 1, "z": 2}}),
        ("a: &a {x: 1}\nb: &b {<<: *a, x: 2, y: 2}\nc: {w: 0, <<: [*b, *a], y: 9}",
         {"a": {"x": 1}, "b": {"x": 2, "y": 2}, "c": {"w": 0, "x": 2, "y": 9}}),
        ("a: &a {x: {p: 1, q: 1}}\nb: {x: {p: 2}, <<: *a}", {"a": {"x": {"p": 1, "q": 1}}, "b": {"x": {"p": 2}}}),
        ("a: &a {x: {<<: {p: 1}, q: 2}}\nb: {<<: [*a, *a]}",
         {"a": {"x": {"p": 1, "q": 2}}, "b": {"x": {"p": 1, "q": 2}}}),
        ("a: {<<: []}\n<<: {b: 1}", {"a": {}, "b": 1}),
        ("'<<': 1", {"<<": 1}),
        ("- " * MAX_DEPTH + "x", None),
        ("# ü 😀\na: 日本", {"a": "日本"}),
    ],
)  # fmt: skip
def test_what_yaml_allows_is_read(raw: str, expected: object) -> None:
    """Anchors, merges, any script; keys are text, whatever they look like."""
    found = data(raw)

    assert found == expected or expected is None


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    """As some editors save it, in UTF-8 or UTF-16."""
    assert data("a: ü".encode("utf-8-sig")) == {"a": "ü"}
    assert data("a: ü".encode("utf-16")) == {"a": "ü"}


def test_every_key_knows_its_line() -> None:
    """Lines count from 1; comments, blank lines and block texts count too."""
    raw = b"# head\na: 1\n\nb:\n  - c: |\n      text\n      more\n    d: {e: 1,\n      f: 2}\n  - 3\n"

    lines = parse_yaml(raw, "f").lines

    assert lines[("a",)] == 2
    assert lines[("b",)] == 4
    assert lines[("b", 0, "c")] == 5
    assert lines[("b", 0, "d", "e")] == 8
    assert lines[("b", 0, "d", "f")] == 9
    assert lines[("b", 1)] == 10


def test_what_is_merged_stands_where_it_is_written() -> None:
    """Its keys and everything below them; the mapping's own stand where they are."""
    raw = b"a: &a\n  x: 1\n  y:\n    z: [2,\n      3]\nb:\n  <<: *a\n  x: 4\n"

    lines = parse_yaml(raw, "f").lines

    assert [lines["b", *key] for key in [(), ("x",), ("y",), ("y", "z"), ("y", "z", 1)]] == [6, 8, 3, 4, 5]
    assert ("b", "<<") not in lines


MAPPINGS = st.dictionaries(st.sampled_from("pqrs"), st.integers(0, 9), max_size=4)


@given(st.lists(MAPPINGS, min_size=1, max_size=4), MAPPINGS, st.integers(0, 4), st.booleans())
def test_the_first_of_several_merged_mappings_wins(
    sources: list[dict[str, int]], own: dict[str, int], place: int, is_nested: bool
) -> None:
    """The mapping's own keys win over all, wherever `<<` stands among them; merged mappings may merge others."""
    lines = [f"s{n}: &s{n} {source}" for n, source in enumerate(sources)]
    names = [f"*s{n}" for n in range(len(sources))]
    if is_nested:
        lines.append(f"s: &s {{<<: [{', '.join(names)}]}}")
        names = ["*s"]
    pairs = [f"{key}: {value}" for key, value in own.items()]
    pairs.insert(place, f"<<: [{', '.join(names)}]")
    raw = "\n".join([*lines, f"m: {{{', '.join(pairs)}}}"]).replace("'", "")

    expected: dict[str, int] = {}
    for mapping in (own, *sources):
        expected = {**mapping, **expected}
    assert data(raw)["m"] == expected


def test_words_that_yaml_reads_as_something_else_are_kept() -> None:
    """Not what stands in quotes, or is text anyway."""
    raw = b"a: no\nb: ['no', 'yes', on, 1.0, ~, 2024-01-01, 12:30, 0o7, \"1\", text]\nc:\n"

    words = parse_yaml(raw, "f").words

    kept = {2: "on", 3: "1.0", 4: "~", 5: "2024-01-01", 6: "12:30"}
    assert words == {("a",): "no", ("c",): ""} | {("b", index): word for index, word in kept.items()}


def test_a_place_falls_back_on_what_surrounds_it() -> None:
    """A key that is not in the file is named with the line of the section it belongs in."""
    places = Places(Path("f.yaml"), {(): 1, ("a",): 3, ("a", "b"): 4})

    assert places.name("a", "b") == "f.yaml:4: a.b"
    assert places.name("a", "c", 2, "d") == "f.yaml:3: a.c[2].d"
    assert places.name("x") == "f.yaml: x"
    assert Places().name("a", 0, "b") == "a[0].b"
    assert Places().name() == "configuration"


def test_a_key_in_a_broken_line_is_not_shown() -> None:
    """An error about a line with a secret in it shows it neither in its text nor in its traceback."""
    for raw in ("llms:\n  api_key sk-secret\n  a: 1", "api_key: 'sk-secret", "a: [sk-secret", "a: !!int sk-secret"):
        with pytest.raises(ConfigError) as caught:
            parse_yaml(raw.encode(), "f.yaml")

        assert "sk-secret" not in "".join(traceback.format_exception(caught.value))


def test_a_file_may_have_a_mebibyte(tmp_path: Path) -> None:
    """A file of just that size is read; one byte more is refused without being parsed."""
    path = tmp_path / "f.yaml"

    path.write_bytes(b"a: '".ljust(MAX_BYTES - 1, b"x") + b"'")
    assert len(read_yaml(path)[0]["a"]) == MAX_BYTES - 5

    path.write_bytes(b"a: '".ljust(MAX_BYTES, b"x") + b"'")
    with pytest.raises(ConfigError, match="larger than 1024 KiB"):
        read_yaml(path)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """50 MB of anything are refused by their size."""
    path = tmp_path / "f.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)

    with pytest.raises(ConfigError, match=r"f\.yaml: larger than 1024 KiB"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [("", "Is a directory"), ("none.yaml", "No such file"), ("a\0b", "null"), ("x" * 5000, "too long")],
)
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str, text: str) -> None:
    """A folder, a missing file, a name that no file can have."""
    with pytest.raises(ConfigError, match=text) as caught:
        read_yaml(tmp_path / name)

    assert str(caught.value).startswith(f"{tmp_path}")


@pytest.mark.parametrize("name", ["none", "a\0b", "x" * 5000, "x" * 300, "~no_such_user/x", ".", ""])
def test_a_name_that_no_file_can_have_names_none(name: str) -> None:
    """Whatever a configuration names as a file may be asked for."""
    assert not is_file(named_path(name))


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"!!timestamp x: 1")
@example(b"a: !!omap [b: 1]\nc: !!set {d}\ne: !!pairs [f: 1]")
@example(b"a: !!binary x")
@example(b"%YAML 9.9\n---\n")
@example(b"? " * 100)
@example(b"*a")
@example(b"&a")
def test_any_bytes_are_data_or_a_config_error(raw: bytes) -> None:
    """No input, however broken, raises anything else."""
    try:
        parse_yaml(raw, "f")
    except ConfigError as error:
        assert str(error).startswith("f")  # noqa: PT017 - either is right


YAML_WORDS = st.sampled_from(
    ["a", "b", ":", ": ", "- ", "? ", "\n", "\n  ", "\t", "{", "}", "[", "]", ",", "&a ", "*a", "<<: ", "!!int ", "!x ",
     "|\n", ">-\n", "'", '"', "#", "---\n", "...\n", "%YAML 1.1\n", "\\", "\u2028", "2001-02-30", "0x", "1e9", "=", "~",
     "!!set ", "!!omap ", "!!pairs ", "!!binary ", "!!timestamp ", "!!null ", "!!seq ", "!!map ", "!!str "]
)  # fmt: skip


@given(st.lists(YAML_WORDS, max_size=40).map("".join))
def test_any_grammar_is_data_or_a_config_error(raw: str) -> None:
    """Nor do texts made of what YAML is made of."""
    try:
        parse_yaml(raw.encode(), "f")
    except ConfigError as error:
        assert str(error).startswith("f")  # noqa: PT017 - either is right
