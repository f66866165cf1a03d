"""The code in an answer is found, however the answer is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm.sandbox import code_of

SHORT, LONG = "x = 1\n", "def f():\n    return 2\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x + 1", "x + 1"),
        ("", ""),
        (f"Here:\n```python\n{LONG}```\nDone.", LONG),
        (f"```py\n{LONG}```", LONG),
        (f"```Python3\n{LONG}```", LONG),
        (f"~~~python\n{LONG}~~~", LONG),
        (f"```\n{LONG}```", LONG),
        (f"```{{.python}}\n{LONG}```", LONG),
        (f"```python title=a.py\n{LONG}```", LONG),
        (f"```python\n{SHORT}```\nThen:\n```python\n{LONG}```", LONG),
        (f"```python\n{LONG}```\nUse it:\n```python\n{SHORT}```", LONG),
        (f"```bash\npip install everything-there-is --upgrade\n```\n```python\n{SHORT}```", SHORT),
        (f"```\nan output that is much longer than the code\n```\n```python\n{SHORT}```", SHORT),
        (f"```rust\nfn main() {{}}\n```\n```\n{SHORT}```", SHORT),
        ("```rust\nfn main() {}\n```", "fn main() {}\n"),
        (f"Cut off:\n```python\n{LONG}", LONG),
        ("1. So:\n   ```python\n   def f():\n       return 2\n   ```\n2. Done", LONG),
        ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
        ("```python\r\nx = 1\r\n```\r\n", SHORT),
        ("```python\nx = '\u2028\x0c'\n```", "x = '\u2028\x0c'\n"),
        ("A word in `code` and ```more```.", "A word in `code` and ```more```."),
    ],
)
def test_the_longest_block_of_the_language_is_the_code(text: str, code: str) -> None:
    """Else of no language, else of any, else the whole text."""
    assert code_of(text) == code


def test_any_language_can_be_asked_for() -> None:
    """By its name."""
    assert code_of(f"```python\n{LONG}```\n```sql\nSELECT 1\n```", "SQL") == "SELECT 1\n"


@given(st.text(st.sampled_from("`~ \n\tpx>1.-"), max_size=80))
def test_any_text_has_some(text: str) -> None:
    """It is found in a text of any kind, and a block that is written around code gives it back."""
    assert isinstance(code_of(text), str)
    if "`" not in text and "~" not in text and text.strip():
        body = f"y = 1\n{text.strip()}\n"
        assert code_of(f"So:\n```python\n{body}```").split() == body.split()
