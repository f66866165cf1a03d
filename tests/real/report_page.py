"""The page of a report in a real browser: what it shows, on a desk and on a telephone, and that nothing runs in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mollm.evaluation.mixtures.page import page_of
from tests.evaluation.mixtures.reports import HOSTILE, column_report, crowded_report, hostile_report, sample_report
from tests.real.chromium import Tab, chromium

if TYPE_CHECKING:
    from pathlib import Path

REPORTS = {
    "sample": sample_report(lost=60),
    "crowded": crowded_report(0.02),
    "equal": crowded_report(0.0),
    "column": column_report(),
    "hostile": hostile_report(*HOSTILE),
}
SEEN = "element => element.checkVisibility() && element.getClientRects().length > 0"
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
TEXTS = f"""
const boxed = part => {{
  const box = part.getBBox();
  return [part.textContent, box.x, box.y, box.x + box.width, box.y + box.height];
}};
[...document.querySelectorAll("svg")].filter({SEEN}).map(svg => ({{
  id: svg.id,
  size: [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height],
  texts: [...svg.querySelectorAll("text")].map(boxed),
  signs: [...svg.querySelectorAll(".dot, .ring")].map(boxed),
}}))
"""
"""Of each drawing that is seen: its size, and its texts and signs with their boxes."""
FAINT = f"""
(() => {{
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => numbers(color).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = element => {{
    for (let at = element; at; at = at.parentElement) {{
      const parts = numbers(getComputedStyle(at).backgroundColor);
      if (parts.length < 4 || parts[3] === 1) return getComputedStyle(at).backgroundColor;
      if (parts[3] !== 0) throw new Error("half transparent: " + at.outerHTML);
    }}
  }};
  const found = [];
  let seen = 0;
  for (const element of document.querySelectorAll("body *")) {{
    const isText = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!isText || !({SEEN})(element) || ["title", "desc"].includes(element.localName)) continue;
    const style = getComputedStyle(element), color = element.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(color), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    seen += 1;
    if (contrast < 4.5) found.push([element.outerHTML.slice(0, 80), color, contrast]);
  }}
  return [seen, found];
}})()
"""
"""How many elements have a text, and those whose contrast is too small."""
RAN = "[document.title, document.querySelectorAll('script, img, iframe, object, embed, form, link, base').length]"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of each report."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in REPORTS}
    for name, path in found.items():
        path.write_text(page_of(REPORTS[name]), "utf-8")
    return found


def is_quiet(tab: Tab, page: Path) -> None:
    """It asked for the file and for nothing else, and said nothing on the console."""
    asked = {event["request"]["url"] for event in tab.named("Network.requestWillBeSent")}
    assert asked == {page.as_uri()}
    assert tab.named("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown") == []
    tab.events.clear()


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [320, 700, 1280])
async def test_names_lie_side_by_side_in_their_drawing(
    pages: dict[str, Path], tmp_path: Path, name: str, width: int
) -> None:
    """Each is seen whole, none on another or on a sign; the page is as wide as the window, and asks for nothing."""
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(pages[name], width=width)
        wider, drawn = await tab.evaluate(WIDER), await tab.evaluate(TEXTS)
        is_quiet(tab, pages[name])

    assert wider == 0
    assert len(drawn) >= 4
    for svg in drawn:
        (right, bottom), texts = svg["size"], svg["texts"]
        assert texts, svg["id"]
        outside = [text for text in texts if min(text[1:3]) < -0.5 or text[3] > right + 0.5 or text[4] > bottom + 0.5]
        assert outside == [], svg["id"]
        assert [(a, b) for n, a in enumerate(texts) for b in texts[:n] if lie_on_each_other(a, b)] == [], svg["id"]
        assert [(a, b) for a in texts for b in svg["signs"] if lie_on_each_other(a, b)] == [], svg["id"]


def lie_on_each_other(one: list[float], other: list[float]) -> bool:
    """Two texts with their boxes, of which a pixel is nothing."""
    _, left, top, right, bottom = one
    _, other_left, other_top, other_right, other_bottom = other
    across = min(right, other_right) - max(left, other_left)
    return across > 1 and min(bottom, other_bottom) - max(top, other_top) > 1


@pytest.mark.parametrize("name", ["sample", "crowded"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_is_easy_to_read(pages: dict[str, Path], tmp_path: Path, scheme: str, name: str) -> None:
    """A contrast of 4.5 at least, on a page that is light or dark as its reader wants it."""
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(pages[name], scheme=scheme)
        (seen, faint), page = await tab.evaluate(FAINT), "getComputedStyle(document.documentElement).backgroundColor"
        background = await tab.evaluate(page)

    assert seen > 300
    assert faint == []
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]


async def test_nothing_that_an_llm_wrote_runs(pages: dict[str, Path], tmp_path: Path) -> None:
    """Neither its scripts nor its pictures are elements, and its markup is seen as text."""
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(pages["hostile"])
        title, elements = await tab.evaluate(RAN)
        text = await tab.evaluate("document.body.innerText")
        is_quiet(tab, pages["hostile"])

    assert title == "Mixtures on script>"
    assert elements == 0
    assert HOSTILE[1] in text


async def test_the_policy_stops_what_would_run(tmp_path: Path) -> None:
    """Were a script in the page all the same, the browser would not run it; so the test above can fail."""
    script = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\"></body>"
    page, bare = page_of(REPORTS["sample"]).replace("</body>", script), "<title>bare</title><body></body>"
    (tmp_path / "broken.html").write_text(page, "utf-8")
    (tmp_path / "bare.html").write_text(bare.replace("</body>", script), "utf-8")

    async with chromium(tmp_path / "profile") as tab:
        await tab.open(tmp_path / "broken.html")
        stopped = await tab.evaluate(RAN)
        said = [entry["entry"]["text"] for entry in tab.named("Log.entryAdded")]
        await tab.open(tmp_path / "bare.html")
        ran = await tab.evaluate(RAN)

    assert stopped == ["Mixtures on exam-questions.jsonl", 2]
    assert any("Content Security Policy" in text for text in said)
    assert ran[0] == "run"


async def test_what_is_folded_opens_by_keyboard(pages: dict[str, Path], tmp_path: Path) -> None:
    """Tab leads to it, past tables that scroll, and Enter opens it."""
    here = "document.activeElement.localName"
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(pages["sample"], width=320)
        passed = []
        for _ in range(60):
            await tab.press("Tab", 9)
            passed.append(await tab.evaluate(here))
            if passed[-1] == "summary":
                break
        await tab.press("Enter", 13)
        is_open = await tab.evaluate("document.activeElement.parentElement.open")
        outline = await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert passed[-1] == "summary"
    assert passed[0] == "a"
    assert "div" in passed
    assert is_open is True
    assert outline == "solid"


async def test_a_screen_reader_is_told_what_is_drawn(pages: dict[str, Path], tmp_path: Path) -> None:
    """Each picture has a name and a description, each table and region a name."""
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(pages["sample"])
        nodes = (await tab.send("Accessibility.getFullAXTree"))["nodes"]

    told = {
        role: [node for node in nodes if not node["ignored"] and node["role"]["value"] == role]
        for role in ("image", "table", "region")
    }
    assert min(len(found) for found in told.values()) >= 5
    assert [node for found in told.values() for node in found if not node["name"]["value"]] == []
    assert [node for node in told["image"] if not node.get("description", {}).get("value")] == []


async def test_it_fits_on_paper(pages: dict[str, Path], tmp_path: Path) -> None:
    """Light whatever the screen is, and nothing is wider than the sheet."""
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(pages["sample"], width=680, scheme="dark")
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        await tab.send("Emulation.setEmulatedMedia", media="print", features=[dark])
        wider = await tab.evaluate(WIDER)
        background = await tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        printed = await tab.send("Page.printToPDF")

    assert wider == 0
    assert background == "rgb(255, 255, 255)"
    assert printed["data"].startswith("JVBERi0")
