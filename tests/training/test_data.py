"""Files of labelled questions: what is read, and what is refused with its row."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mollm.errors import DataError
from mollm.evaluation.questions import mixtures_of
from mollm.training import data
from mollm.training.data import LABELS, TEXTS, Labelled, read
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = [("My brakes squeak", "car"), ("I cannot sleep", "sleep"), ('It said "no", twice', "car")]
ROW = st.tuples(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=12))


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with that content, byte for byte."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def table(pairs: list[tuple[str, str]], head: tuple[str, str] = ("text", "label"), **dialect: str) -> str:
    """CSV of pairs."""
    file = io.StringIO(newline="")
    csv.writer(file, **dialect).writerows([head, *pairs])  # type: ignore[arg-type]
    return file.getvalue()


def pairs_of(found: Labelled) -> list[tuple[str, str]]:
    """What was read."""
    return list(zip(found.texts, found.labels, strict=True))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("text", TEXTS)
def test_columns_may_have_the_usual_names(text: str, label: str, tmp_path: Path) -> None:
    """Each name of a question goes with each of a mixture, in CSV and in JSON lines, in either order."""
    lines = "".join(json.dumps({label: pair[1], text: pair[0], "id": 7}) + "\n" for pair in PAIRS)
    turned = [(one, other) for other, one in PAIRS]

    assert pairs_of(read(written(tmp_path, "a.csv", table(PAIRS, (text, label))))) == PAIRS
    assert pairs_of(read(written(tmp_path, "b.csv", table(turned, (label.upper(), f" {text} "))))) == PAIRS
    assert pairs_of(read(written(tmp_path, "c.jsonl", lines))) == PAIRS


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a"])
@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + table(PAIRS),
        table(PAIRS).replace("\r\n", "\n"),
        table(PAIRS, delimiter=";"),
        table(PAIRS, delimiter="\t"),
        "\n\n" + table(PAIRS).replace("\r\n", "\r\n,\r\n\r\n"),
        json.dumps([{"query": text, "expert": label} for text, label in PAIRS], indent=2),
        "\n".join(json.dumps({"query": text, "expert": label}) + "\r\n" for text, label in PAIRS),
    ],
    ids=["mark", "lf", "semicolons", "tabs", "blank-lines", "list", "lines"],
)
def test_what_is_in_a_file_decides_how_it_is_read(content: str, name: str, tmp_path: Path) -> None:
    """A byte order mark, line ends, delimiters, quotes and blank lines make no difference; nor does the name."""
    assert pairs_of(read(written(tmp_path, name, content))) == PAIRS


def test_questions_and_answers_belong_to_the_name_of_their_file(tmp_path: Path) -> None:
    """One file for each mixture, or a folder of them; other files and folders in it are left alone."""
    for name, questions in {"car": ["Brakes?", "Oil?"], "sleep": ["Naps?"]}.items():
        content = {"qna": [{"question": question, "answer": "Yes."} for question in questions]}
        written(tmp_path, f"{name}.json", json.dumps(content, indent=1 if name == "car" else None))
    written(tmp_path, "README.md", "not data")
    written(tmp_path, ".hidden.json", "not data either")
    (tmp_path / "more").mkdir()
    wanted = [("Brakes?", "car"), ("Oil?", "car"), ("Naps?", "sleep")]

    assert pairs_of(read(tmp_path)) == wanted
    assert pairs_of(read(tmp_path / "car.json", tmp_path / "sleep.json")) == wanted
    assert read(tmp_path).places[1] == f"{tmp_path / 'car.json'}: entry 2"


def test_rows_know_where_they_stand(tmp_path: Path) -> None:
    """By the line where a row begins, also after a field of several lines."""
    path = written(tmp_path, "a.csv", 'text,label\n"two\nlines",car\n\nNaps?,sleep\n')

    assert read(path).places == (f"{path}:2", f"{path}:5")


def test_rows_without_a_question_are_left_out_with_a_warning(tmp_path: Path) -> None:
    """They are named, the first few of many."""
    path = written(tmp_path, "a.csv", table([*PAIRS, *[(" ", "car")] * 7]))

    found = read(path)

    assert pairs_of(found) == PAIRS
    [warning] = found.warnings
    assert warning.startswith("7 rows without a question left out: ")
    assert f"{path}:5, " in warning
    assert warning.endswith(f"{path}:9, ...")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{}: is empty"),
        ("\n \r\n", "{}: is empty"),
        ("text,label\nBrakes?\n", "{}:2: 1 fields where the header has 2; quote text that has a ','"),
        ("text,label\nBrakes, please,car\n", "{}:2: 3 fields where the header has 2; quote text that has a ','"),
        ("text,label\nBrakes?,\n", "{}:2: has no mixture"),
        ("text,label\nBrakes?,ca\x07r\n", "{}:2: the mixture has characters that cannot be printed"),
        ("text,label\n" + "Brakes?," + "c" * 129 + "\n", "{}:2: the mixture has 129 characters, and 128 are the most"),
        ('text,label\nNaps?,sleep\n"Brakes?,car\n', "{}:3: is not CSV from here on: unexpected end of data"),
        ('text,label\n"Brakes"?,car\n', "{}:2: is not CSV from here on: ',' expected after '\"'"),
        ("question,answer\nBrakes?,Yes\n", "{}:1: nothing names the mixture; "),
        ("name,label\nBrakes?,car\n", "{}:1: nothing names the question; "),
        ("text,query,label\na,b,car\n", "{}:1: both text and query could be the question; "),
        ('{"text": "Brakes?"}\n', "{}:1: nothing names the mixture; "),
        ('{"text": "Brakes?", "label": "car"}\n{"text": 7, "label": "car"}', "{}:2: the question is 7, not text"),
        ('{"text": "Brakes?", "label": null}\n', "{}:1: the mixture is None, not text"),
        ('{"text": "Brakes?", "label": []}\n', "{}:1: has no mixture"),
        ('{"text": "Brakes?", "label": ["car", 7]}\n', "{}:1: the mixture is 7, not text"),
        ('{"text": "Brakes?", "label": ["car", ["oil"]]}\n', "{}:1: the mixture is ['oil'], not text"),
        ('{"text": "Brakes?", "label": ["car", " "]}\n', "{}:1: one of the mixtures in ['car', ' '] has no name"),
        ('{"text": "Brakes?", "label": ["car", " car"]}\n', "{}:1: names the mixture 'car' twice"),
        ('[{"text": "Brakes?", "label": ["a\\u0007"]}]', "{}: entry 1: the mixture has characters that cannot be"),
        ("text,label\nBrakes?,car|\n", "{}:2: one of the mixtures in 'car|' has no name"),
        ("text,label\nBrakes?,car|car\n", "{}:2: names the mixture 'car' twice"),
        ('{"text": "Brakes?", "label": "car"}\n\n[1]\n', "{}:3: [1] where an object belongs; "),
        ('{"text": "Brakes?", "label": "car"}\n{"text": }\n', "{}:2: is not JSON: Expecting value, column 10"),
        ('{"text": "Brakes?",\n "label": "car", }', "{}:2: is not JSON: "),
        ('[{"text": "Brakes?", "label": "car"}, 3]', "{}: entry 2: 3 where an object belongs; "),
        ('{"faq": []}\n{"a": 1}', "{}:1: nothing names the question; "),
        ('{"qna": {}}', "{}: an object without a list `qna`; "),
        ('{"qna": [{"answer": "Yes"}]}', "{}: entry 1: the question is None, not text"),
        ("[" * 200_000, "{}:1: is not JSON"),
        (f'{{"text": {"9" * 5000}, "label": "car"}}', "{}:1: is not JSON that can be read"),
        ("text,label\nBr\0akes,car\n", "{}:2: has a NUL, so it is no text"),
        (b"text,label\nna\xefve,car\n", "{}:2: is not UTF-8 (byte 0xef); save it as UTF-8"),
        ("text,label\nna\u00efve,car\n".encode("utf-16"), "{}: is UTF-16; save it as UTF-8"),
        (bytes(range(256)) * 9, "{}:"),
        (f"text,label\n{'x' * 120_000},car\n", "{}:2: the question has 120,000 characters, and 100,000 are the most"),
        (f"text,label\n{'x' * 200_000},car\n", "{}:2: a field has more than 100,000 characters, the most"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_row(content: str | bytes, message: str, tmp_path: Path) -> None:
    """And what belongs there."""
    path = written(tmp_path, "a.csv", content)

    with pytest.raises(DataError) as error:
        read(path)

    assert str(error.value).startswith(message.format(path))


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    """Beside others it is a warning: a mixture would otherwise be missing, and nobody would know."""
    full = written(tmp_path, "a.csv", table(PAIRS))
    header, nothing = written(tmp_path, "b.csv", "text,label\n"), written(tmp_path, "c.json", '{"qna": []}')

    assert read(full).warnings == ()
    assert read(tmp_path).warnings == (f"{header}: has no questions", f"{nothing}: has no questions")


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    """Nobody can tell which of the two is meant."""
    path = written(tmp_path, "a.csv", "text,label,Label\nBrakes?,car,sleep\n")

    with pytest.raises(DataError) as error:
        read(path)

    assert str(error.value) == f"{path}:1: several columns are called label, and each could be the mixture"


def test_many_wrong_rows_are_counted(tmp_path: Path) -> None:
    """Five are named, of the others the number."""
    path = written(tmp_path, "a.csv", table([("Brakes?", "")] * 1234))

    with pytest.raises(DataError) as error:
        read(path)

    lines = str(error.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == f"{path}: 1,229 more rows are wrong"


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in the file system")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe is not waited for, a device not read; nor is a folder without data, or a name that no file can have."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "empty").mkdir()

    for path, problem in {
        tmp_path / "pipe.csv": "is not a file",
        tmp_path / "gone.csv": "there is no such file",
        tmp_path / "empty": "has no file that ends in .csv, .tsv, .json, .jsonl, .ndjson",
        tmp_path / ("x" * 300): "there is no such file",
    }.items():
        with pytest.raises(DataError) as error:
            read(path)
        assert str(error.value) == f"{path}: {problem}"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """By its size alone; here one of a gigabyte that takes no place on the disk."""
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(DataError, match=r"has 1,024 MiB, and 256 are the most"):
        read(path)


def test_halves_of_pairs_are_replaced_and_can_be_written(tmp_path: Path) -> None:
    """JSON can name a character that no file can hold; in the name of a mixture it is an error."""
    path = written(tmp_path, "a.jsonl", '{"text": "odd \\ud800 text", "label": "car"}')
    [text] = read(path).texts

    assert text == "odd ? text"
    written(tmp_path, "a.jsonl", '{"text": "odd", "label": "c\\udfffar"}')
    with pytest.raises(DataError, match="cannot be printed"):
        read(path)


@given(st.binary(max_size=300) | st.text(max_size=300))
@example(b'{"text":"a","label":"b"}\n{')
@example("text,label\n\u2028,x")
@settings(max_examples=cases(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes | str) -> None:
    """Whatever a file holds, there are questions with names, or there is an error of ours that names the file."""
    for head in (b"", b"text,label\n", b'{"text": "a", "label": "b"}\n', b'{"qna": [{"question": "a"}, '):
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        path = written(tmp_path, "any.csv", head + raw)
        try:
            found = read(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017 - or it is read, which is as good
        else:
            assert all(text.strip() and label.strip() for text, label in pairs_of(found))
            json.dumps(pairs_of(found), ensure_ascii=False).encode()


@given(st.lists(ROW, min_size=1, max_size=5))
@settings(max_examples=cases(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_is_read(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    """CSV and JSON lines of the same questions are the same data."""
    pairs = [(text.replace("\0", ""), "".join(filter(str.isprintable, label))) for text, label in pairs]
    pairs = [(text, label.replace("|", "/").lstrip("[")) for text, label in pairs]
    pairs = [(text, label) for text, label in pairs if text.strip() and label.strip()] or PAIRS
    wanted = [(data._whole(text.strip()), label.strip()) for text, label in pairs]  # noqa: SLF001
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in pairs)

    assert pairs_of(read(written(tmp_path, "a.jsonl", lines))) == wanted
    quoted = io.StringIO(newline="")
    csv.writer(quoted, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *wanted])
    assert pairs_of(read(written(tmp_path, "a.csv", quoted.getvalue()))) == wanted


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6), min_size=1, unique=True))
@settings(max_examples=cases(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_of_mixtures_is_read_whatever_they_are_called(tmp_path: Path, names: list[str]) -> None:
    """In any order; with a bar between them, they are the same where no name has one."""
    rows = [{"text": "Brakes?", "label": names}, {"text": "Naps?", "label": names[::-1]}]
    listed = read(written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))))

    assert [mixtures_of(label) for label in listed.labels] == [tuple(sorted(names))] * 2
    assert sorted(listed.by_mixture()) == sorted(names)
    if not any(mark in name for name in names for mark in "|["):
        assert read(written(tmp_path, "b.csv", table([("Brakes?", "|".join(names))]))).labels == listed.labels[:1]
