"""How many there are of something, in words."""


def count(number: int, what: str, several: str | None = None) -> str:
    """Write `1 loss`, `2 losses`, `1,319 questions`."""
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"
