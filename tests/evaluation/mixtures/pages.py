"""A page read again, strictly: what is in it, and that it is what browsers agree on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

VOID = {"br", "col", "hr", "meta"}
ALLOWED = VOID | {
    *(
        "html",
        "head",
        "title",
        "style",
        "body",
        "header",
        "nav",
        "main",
        "section",
        "article",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "ul",
        "ol",
        "li",
        "a",
        "bdi",
        "span",
        "strong",
        "mark",
        "div",
        "figure",
    ),
    *("figcaption", "svg", "g", "line", "text", "rect", "circle", "path", "polyline", "desc"),
    *("table", "thead", "tbody", "tr", "th", "td", "details", "summary", "dl", "dt", "dd"),
}
CAN_LOAD = {"src", "srcset", "background", "poster", "action", "formaction", "xlink:href", "style", "data"}
_SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


@dataclass
class Read(HTMLParser):
    """The elements of a page; a mistake in it is an `AssertionError`."""

    page: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.page)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), (tag, attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def named(self, *names: str) -> list[dict[str, str]]:
        """Attributes of the elements of these names."""
        return [attributes for tag, attributes in self.tags if tag in names]


def read(page: str) -> Read:
    """Read a page, and check what every page has to keep."""
    found = Read(page)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name in CAN_LOAD]
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
    assert all(link["href"].removeprefix("#") in ids for link in found.named("a"))
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == levels.count(1) == 1
    assert all(level - before <= 1 for before, level in pairwise(levels))
    assert all(head.get("scope") in ("col", "row") for head in found.named("th"))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]", page)
    return found


def drawings(page: str) -> list[ET.Element]:
    """The pictures of a page, read as XML; each has a name and a description, and nothing in it is no number."""
    found = [ET.fromstring(svg) for svg in _SVG.findall(page)]  # noqa: S314 - our own
    for svg in found:
        assert svg.get("role") == "img"
        assert svg.findtext("title")
        assert svg.findtext("desc")
        places = [value for part in svg.iter() for name, value in part.items() if name not in ("class", "id")]
        assert not [value for value in places if re.search(r"nan|inf", value)]
    return found


def names(svg: ET.Element) -> list[str]:
    """What is written beside points and bars."""
    return [part.text or "" for part in svg.iter("text") if "name" in (part.get("class") or "").split()]
