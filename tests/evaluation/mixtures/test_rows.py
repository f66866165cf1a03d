"""Files of questions, whatever stands in them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mollm.errors import DataError
from mollm.evaluation.mixtures.lines import LONGEST_LINE
from mollm.evaluation.mixtures.rows import data_digest, questions_digest, read_rows
from tests.fuzz import cases

if TYPE_CHECKING:
    from pathlib import Path

ROW = {"id": "1", "question": "2 + 2?", "reference": "4"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for many contents."""
    return tmp_path_factory.mktemp("rows") / "d.jsonl"


def read(path: Path, text: str | bytes) -> list[tuple[str, str, str, str | None]]:
    """Id, question, reference and kind of what a file of this content holds."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [(row.id, row.question, row.reference, row.kind) for row in read_rows(path)]


def test_texts_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A mark of UTF-8, Windows' ends of lines, and separators of lines inside of texts change nothing."""
    lines = [
        json.dumps({**ROW, "question": "a\u2028b\x85c\x00"}, ensure_ascii=False).replace("\x00", "\\u0000"),
        "",
        json.dumps({**ROW, "id": 2, "reference": "x", "kind": 3}),
    ]

    found = read(tmp_path / "d.jsonl", b"\xef\xbb\xbf" + "\r\n".join(lines).encode())

    assert found == [("1", "a\u2028b\x85c\x00", "4", None), ("2", "2 + 2?", "x", "3")]


def test_numbers_are_taken_as_they_are_written(tmp_path: Path) -> None:
    """No digit of a reference is lost, however long it is, and no zero at its end."""
    for written in ("18", "18.50", "123456789012345678901234567890", "1e5", "-0", "9" * 5000):
        found = read(tmp_path / "d.jsonl", f'{{"id": 1, "question": "q", "reference": {written}}}')

        assert found == [("1", "q", written, None)]


def test_a_question_may_be_a_conversation(tmp_path: Path) -> None:
    """It is asked whole; its text is that of the user's last message."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
    ]
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({**ROW, "question": messages}))

    (row,) = read_rows(path)

    assert row.question == "q"
    assert row.asked == tuple(messages)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": 1, "question": "q", "gold": "4"}', "`reference` is missing; is it `gold`? rename that"),
        ('{"id": 1, "question": "q", "result": "4"}', "there are `id`, `question`, `result`"),
        ('{"question": "q", "reference": "4"}', "`id` is missing"),
        ('{"id": 1, "reference": "4"}', "`question` is missing"),
        ('{"id": 1, "question": "q", "refrence": "4", "answer": "x"}', "is it `refrence`? rename that"),
        ('{"id": 1, "Question": "q", "reference": "4"}', "`question` is missing; is it `Question`? rename that"),
        ('{"id": 1, "messages": [], "reference": "4"}', "`question` is missing; is it `messages`? rename that"),
        ('{"id": 1, "question": "q", "reference": "4", "kinds": "k"}', "`kinds` is no key that is read; is it `kind`?"),
        ('{"id": 1, "question": 5, "reference": "4"}', "`question` is a number, and must be text, or a list of mess"),
        ('{"id": 1, "question": " ", "reference": "4"}', "`question` is empty; write what is to be asked, or leave"),
        ('{"id": "", "question": "q", "reference": "4"}', "`id` is empty; give each question one of its own, such as"),
        ('{"id": 1, "question": "q", "reference": ""}', "`reference` is empty; write what an answer is to be held ag"),
        ('{"id": 1, "question": "q", "reference": null}', "`reference` is null; write what an answer is to be held ag"),
        ('{"id": 1, "question": "q", "reference": NaN}', "`reference` is NaN, which is no number; write what an answ"),
        ('{"id": 1, "question": "q", "reference": [4]}', "`reference` is a list, and must be text, or a number"),
        ('{"id": 1, "question": "q", "reference": true}', 'or a number; write it in quotes: "true"'),
        ('{"id": 1, "question": "q", "reference": "4", "kind": {}}', "`kind` is an object, and must be text"),
        ('{"id": "first", "question": "q", "reference": "4"}', "stands in FILE:1 as well; give each its own"),
        ('{"id": 1, "question": "q", "reference": "4", "reference": "5"}', "`reference` stands there twice"),
        ('{"id": 1, "question": [{"role": "assistant", "content": "a"}], "reference": "4"}', "has to be the user's"),
        ('{"id": 1, "question": [5], "reference": "4"}', "a message is a dictionary"),
        ('{"id": 1, "question": "\\ud800", "reference": "4"}', "half of a character"),
        ('{"id": 1, "question": "a\x00b", "reference": "4"}', "is not JSON (column 25"),
        ("[" * 100_000, "is nested too deeply"),
        ("[", "each line has to be one object"),
        ("4", "is not a JSON object"),
        (f'{{"id": "{"x" * LONGEST_LINE}"}}', "and a line may have 4,194,304"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    """File and number come first."""
    path = tmp_path / "d.jsonl"

    with pytest.raises(DataError) as caught:
        read(path, f"{json.dumps({**ROW, 'id': 'first'})}\n{line}\n")

    assert str(caught.value).startswith(f"{path}:2: ")
    assert problem.replace("FILE", str(path)) in str(caught.value)


def test_the_same_mistake_is_said_once(tmp_path: Path) -> None:
    """With the first line and the number of others; another one has a line of its own."""
    path = tmp_path / "d.jsonl"

    with pytest.raises(DataError) as caught:
        read(path, "\n".join(['{"id": 1, "question": "q", "gold": 1}'] * 4 + [json.dumps(ROW)] * 2))

    first, second = str(caught.value).splitlines()
    assert first == f"{path}:1: `reference` is missing; is it `gold`? rename that (and so in 3 further lines)"
    assert second == f"{path}:6: the id '1' stands in {path}:5 as well; give each its own"


def test_what_else_a_line_says_is_read_by_nobody(tmp_path: Path) -> None:
    """Whoever took the questions from elsewhere keeps where they are from; and what is empty may be left empty."""
    more = {
        "question_id": 7,
        "id_": "x",
        "source": "web",
        "level": 5,
        "messages": [],
        "score": float("nan"),
        "kind": " ",
    }

    assert read(tmp_path / "d.jsonl", json.dumps({**ROW, **more})) == [("1", "2 + 2?", "4", None)]


def test_the_number_1_and_the_text_are_one_id(tmp_path: Path) -> None:
    """Journals and ratings name questions by text."""
    with pytest.raises(DataError, match=r"d.jsonl:2: the id '1' stands in .*d.jsonl:1 as well"):
        read(tmp_path / "d.jsonl", f"{json.dumps(ROW)}\n{json.dumps({**ROW, 'id': 1})}")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id,question,reference\n1,2 + 2?,4\n", "is CSV"),
        ('"id";"question";"answer"\n"1";"2 + 2?";"4"\n', "is CSV"),
        (json.dumps([ROW, {**ROW, "id": "2"}]), "is a JSON array"),
        (json.dumps([ROW, {**ROW, "id": "2"}], indent=2), "is a JSON array"),
    ],
)
def test_another_format_is_called_by_its_name_and_what_is_to_be_run_makes_lines(
    tmp_path: Path, text: str, what: str
) -> None:
    """One message for the file, and not one for each of its lines."""
    path = tmp_path / "d.txt"
    with pytest.raises(DataError, match=f"d.txt: {what}") as caught:
        read(path, text)

    program = str(caught.value).partition('python3 -c "')[2].partition('" <')[0]
    lines = subprocess.run(
        [sys.executable, "-c", program], input=text, text=True, capture_output=True, check=True
    ).stdout
    assert read(tmp_path / "d.jsonl", lines.replace('"answer"', '"reference"'))[0] == ("1", "2 + 2?", "4", None)


def test_an_empty_file_is_an_error_that_shows_a_line(tmp_path: Path) -> None:
    """What is missing is an example away."""
    with pytest.raises(DataError, match=r"has no questions; a line is \{\"id\""):
        read(tmp_path / "d.jsonl", " \n\n")


def test_a_mended_reference_is_other_data_and_the_same_questions(tmp_path: Path) -> None:
    """A journal goes on with it; a report tells the difference."""
    path = tmp_path / "d.jsonl"
    digests = []
    for reference in ("4", "5"):
        path.write_text(json.dumps({**ROW, "reference": reference}))
        rows = read_rows(path)
        digests.append((questions_digest(rows), data_digest(rows)))

    assert digests[0][0] == digests[1][0]
    assert digests[0][1] != digests[1][1]


@pytest.mark.fuzz
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=cases(100))
def test_any_bytes_are_an_error_that_names_the_file(file: Path, content: bytes) -> None:
    """Nothing else comes of a file without questions."""
    file.write_bytes(content)

    with pytest.raises(DataError, match=r"d\.jsonl"):
        read_rows(file)


@pytest.mark.fuzz
@given(
    st.dictionaries(
        st.sampled_from(("id", "question", "reference", "kind", "gold")),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=4,
        ),
    )
)
@settings(max_examples=cases(200))
def test_a_row_has_only_texts_that_say_something(file: Path, value: dict[str, object]) -> None:
    """Whatever values the keys have."""
    file.write_text(json.dumps(value))
    try:
        (row,) = read_rows(file)
    except DataError as error:
        assert str(error).startswith(f"{file}:1: ")  # noqa: PT017 - either is right
    else:
        assert all(type(text) is str and text.strip() for text in (row.id, row.question, row.reference))
