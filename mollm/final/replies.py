"""Finding the final answer in a reply.

A final answer is the short checkable result inside a reply: a number, a choice, a literal, a word or two.
`canonical.py` defines its form, `marks.py` where replies mark it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mollm.final.canonical import MAX_CHARS, MAX_LITERAL_CHARS, canonical, closing, compound, unescape
from mollm.final.conclusions import concluded
from mollm.final.forms import blank, is_same
from mollm.final.marks import LABELLED_WORDS, last, marked
from mollm.final.phrases import CONCLUDES
from mollm.final.reading import ASSERTION, value_at
from mollm.final.references import is_for
from mollm.final.sentences import first_sentence
from mollm.final.statements import stated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mollm.final.forms import Form

_BARE_WORDS = 3
"""Most words in a reply that is taken as it stands."""
_HEAD, _TAIL = 4_000, 12_000
"""Characters at the beginning and at the end of a reply that are read."""


def final_answer(text: str) -> Form | None:
    """Find the final answer of a reply of any length: prose, Markdown, LaTeX, JSON or code.

    Of a longer reply the first 4,000 and the last 12,000 characters are read.

    Returns:
        Its canonical form, never empty: an answer field or a literal with nothing in it has the form `""`. None if the
        reply is open text (an essay, a program, a chat), or says that it has no answer.
    """
    text = _window(text)
    prose, blocks = _parts(text)
    if not prose and len(blocks) == 1 and re.match(r"(?:json|markdown|md|te?xt|(?:la)?tex)\b", blocks[0]):
        text = prose = _body(blocks.pop())
    elif not prose and len(blocks) == 1 and blocks[0][:1] == "\n" and (found := marked(_body(blocks[0]))[0]):
        return found
    found = _from_json(text, blocks)
    if found:
        return found
    found, is_settled = marked(prose)
    if found or is_settled:
        return found
    if blocks and _SHOWS.search(prose, max(0, len(prose) - MAX_CHARS)) and (found := _shown(blocks[-1])):
        return found
    if paragraph := _LAST_PARAGRAPH.search(prose, max(0, len(prose) - MAX_CHARS)):
        return canonical(paragraph[1], 0)
    found = concluded(prose[prose.rfind("\n") + 1 :])
    return found or (_from_block(prose, blocks) if blocks else _from_whole(prose))


def same_answer(a: str, b: str) -> bool:
    """Say whether both replies have a final answer, and it is the same."""
    found, other = final_answer(a), final_answer(b)
    return found is not None and other is not None and is_same(found, other)


def is_right(reply: str, reference: str) -> bool:
    """Say whether the final answer of `reply` is `reference`, a value on its own.

    What else than the same value is right for a reference, 60 % for 60 among it, `references.is_for` says.
    """
    found, wanted = final_answer(reply), canonical(reference, LABELLED_WORDS)
    return found is not None and wanted is not None and is_for(found, wanted)


def is_value(reference: str) -> bool:
    """Say whether a reference is a value that a final answer can be."""
    return canonical(reference, LABELLED_WORDS) is not None


_LAST_PARAGRAPH = re.compile(r"[^\W\d_][.:!)*]{0,3}\n[ \t]{0,9}\n([$€£]?[-\u2212]?[0-9][0-9,.]{0,20}%?)\Z")
_HTML = re.compile(r"</?(?:b|strong|em|i|u|p|h[1-6]|center|span|br) ?/?>", re.I)
_INVISIBLE = re.compile("[\ufe0f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SIGNS = "\u2705\u2713\u2714\u2728\u2b50\U0001f300-\U0001faff"
_ORNAMENTS = re.compile(rf"(?<![\"'{_SIGNS}])[{_SIGNS}]++|[{_SIGNS}]++(?![\"'])")
"""Signs around what is said; between quotation marks they are what is said."""
_PUNCTUATION = str.maketrans(
    dict.fromkeys(map(chr, (*range(9), *range(14, 28), 127)), "")
    | dict.fromkeys("\t\xa0\u2002\u2003\u2009\u202f\u3000", " ")
    | dict.fromkeys("\u2018\u2019", "'")
    | {"\uff1a": ":", "\uff0c": ", ", "\uff1b": "; ", "\uff01": "! ", "\uff1f": "? ", "\u3010": "*", "\u3011": ": "}
)
"""Control characters, spaces, quotation marks and the wide punctuation of East Asia, as the phrases have them."""


def _window(text: str) -> str:
    text = text.rpartition("</think>")[2].partition("<think>")[0].strip()
    if len(text) > _HEAD + _TAIL:
        # A fence that is opened in what is left out is opened in what is read.
        fence = "\n```\n" if text.count("```", _HEAD, -_TAIL) % 2 else "\n"
        text = text[:_HEAD] + fence + text[-_TAIL:]
    if "</" in text or "<br" in text:
        text = _HTML.sub("", text)
    if not text.isascii():
        text = _ORNAMENTS.sub("", _INVISIBLE.sub("", text.encode("utf-8", "ignore").decode()))
    text = text.translate(_PUNCTUATION)
    return re.sub(r"\s{17,}", lambda run: "\n" if "\n" in run[0] else " ", text)


_OPENS = re.compile(r"[A-Za-z][\w+-]*+ *+\n")


def _parts(text: str) -> tuple[str, list[str]]:
    """The text outside of fences, and the blocks inside; a fence with the name of a language opens a new block."""
    prose, *fenced = text.split("```")
    outside, is_inside = [prose], False
    blocks: list[str] = []
    for part in fenced:
        is_inside = not is_inside or _OPENS.match(part) is not None
        (blocks if is_inside else outside).append(part)
    return "\n".join(outside).strip(), blocks


_JSON_KEY = re.compile(
    r"([\"'])(?:(?:final|correct)?[ _]?(?:answer|result|choice|output)|final|antwort|respuesta|réponse|resposta|答案)\1"
    r"\s{0,16}+:\s{0,16}+(?!null\b)",
    re.I,
)
_JSON_STRING = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.S)

_BLANK = re.compile(r"(?:\s|\\[nrt])*+")


def _body(block: str) -> str:
    return re.sub(r"\A[ \t]*+[\w+-]*+[ \t]*+\n|\A(?:json|python)\b", "", block).strip()


def _from_json(text: str, blocks: list[str]) -> Form | None:
    objects = [body for block in blocks if (body := _body(block)).startswith("{")]
    whole = text.strip("`").lstrip("json \n") if text.startswith("```") else text
    if whole.startswith("{") or (not objects and text.endswith("}") and re.search(r"^ {0,16}\{", text, re.M)):
        # A block inside a string of the object parts it in two, of which neither may have the field.
        objects = [whole, *objects] if text.startswith("```") else [whole]
    for source in reversed(objects):
        if found := set(_fields(source)):
            # Several different ones in one object are data, or a list of questions.
            return found.pop() if len(found) == 1 else None
    return None


def _fields(source: str) -> Iterator[Form | None]:
    """The value of each answer field; a string of nothing but spaces is one too."""
    for key in last(_JSON_KEY, source):
        rest = source[key.end() : key.end() + MAX_LITERAL_CHARS]
        if string := _JSON_STRING.match(rest):
            if _BLANK.fullmatch(string[1]):
                yield blank(json.loads(string[0], strict=False))
            else:
                yield canonical(unescape(string[1]), LABELLED_WORDS)
        elif rest[:1] in ("[", "{", "("):
            yield canonical(rest[: closing(rest) + 1], LABELLED_WORDS)
        else:
            yield canonical(re.split(r"[,}\n]", rest, maxsplit=1)[0], LABELLED_WORDS)


_SHOWS = re.compile(
    r"\b(?:answer|outputs?|results?|prints?|returns?|gives|value|be|is)[*_]{0,3}\s?:[*_]{0,3}\s{0,9}\Z", re.I
)


def _shown(block: str) -> Form | None:
    """The one line of a block that the prose announces as the output."""
    body = _body(block)
    return None if "\n" in body else canonical(body, LABELLED_WORDS)


_SESSION = re.compile(r">>> [^\n]{1,400}\n(?!>>>)([^\n]{1,400})\s*")


def _from_block(prose: str, blocks: list[str]) -> Form | None:
    """The only block, if it holds a literal and nothing else, or asserts what a call returns."""
    body = _body(blocks[0])
    if len(blocks) > 1 or len(prose) > 2 * MAX_CHARS or '"answer"' in body:
        return None
    if shown := _SESSION.fullmatch(body):
        return canonical(shown[1], 0)
    if asserted := ASSERTION.match(body):
        return value_at(asserted[1], 0, LABELLED_WORDS)
    is_scalar = re.match(r"[\"']|[-+]?[0-9.]+\s*\Z|(?:[Tt]rue|[Ff]alse|None|null)\s*\Z", body)
    return canonical(body, LABELLED_WORDS) if is_scalar else canonical(body, 0) if compound(body, 0, 0) else None


_NO_PROSE = re.compile(r"[0-9`\\=\[{(]")
_GIVES = re.compile(
    r"(?:[^`]|`[^`]{1,60}`){0,200}\b(?:returns?|prints?|outputs?|is|are|to|gives|be|yields|equals|produces|devuelve|ergibt"
    r"|renvoie)[ :]+"
    r"`([^`]+)`[.\s]*\Z"
)
_NO_VALUE = re.compile(
    # An answer was announced, and it was none; a question; several sentences; markup; a refusal; chat.
    r"answer|boxed|antwort|réponse|respuesta|resposta|risposta|答|정답|ответ|उत्तर|जवाब|إجابة|جواب|[?؟]|! *\S"
    r"|\w{4}\. +[A-Z]|\A(?:so|thus|hence|therefore)\b[^`]*\Z"
    r"|\A(?:<\w|(?:i|we|you|that|this|there|please)(?:'\w+)?\s(?!(?:returns?|prints?|outputs?|evaluates)\b)|n/a\b"
    r"|(?:sorry|ok|okay|sure|thanks|thank|hello(?!,? world)|hi|hey|welcome|done|bye|goodbye"
    r"|great(?! [a-z]+\Z)|congratulations|of course"
    r"|no problem"
    r"|good (?:morning|evening|afternoon|night|luck|question|idea|job|point))\b)",
    re.I,
)
_RETURNS = re.compile(
    r"(?:>>> [^\n]{1,400}\n\s{0,16}|[^\n\"'\[({]{0,100}(?:\([^()\n]{0,100}\) )?\b(?:returns?|prints?|outputs?"
    r"|evaluates to|yields|produces) {1,16})"
    r"([\[({\"'][^\n]{0,1000}|True|False|None|-?[0-9.]{1,40})\.?\Z"
)
_SHARED = re.compile(r"\n|;|\bour\b|\bwe\b(?! (?:get|obtain|find|conclude)\b)", re.I)
"""What makes a short reply more than a statement: a second one, or who is meant."""


def _only(prose: str) -> Form | None:
    """What the only sentence states, or the last one if it concludes."""
    sentence, mark = first_sentence(prose)
    is_conclusion = True
    while rest := prose[len(sentence) + len(mark) :].strip(" *_"):
        prose, is_conclusion = rest, CONCLUDES.match(rest) is not None
        sentence, mark = first_sentence(prose)
    return stated(sentence) if is_conclusion else None


_TOLD = re.compile(
    r"(?:choose|pick|select|answer(?= )|letra|alternativa|opción|opção|lettre|buchstabe|it's|it is)"
    r" (?:(?:the )?(?:answer|option|choice) )?\(?([A-J])\)?\.?",
    re.I,
)
_OPENING = re.compile(
    r"(?:[*_]{2})\(?([A-J])(?:[.:)](?: [^*\n]{1,80})?|)[*_]{2}[.:]?(?=\s|\Z)|\(?([A-J])\)[^\n]{0,80}(?=\n)"
    r"|(?:[*_]{2}|)([A-J])\.?(?:[*_]{2}|) *+\n|[*_]{2}([Yy]es|[Nn]o|[Tt]rue|[Ff]alse)[.,:!]?[*_]{2}(?=[\s.,])"
)
_LETTERED = re.compile(r"^[*_(]{0,3}[A-J][.):]", re.M)
_TITLED = re.compile(r"(?:[^\W\d_][\w'-]{0,20} ){0,4}[^\W\d_][\w'-]{1,20} ?[:=] ?(?=\S)")

_CLASSIFIES = re.compile(
    r"(?:predicted |overall |final )?(?:label|sentiment|classification|category|prediction|class)\W", re.I
)


def _from_whole(prose: str) -> Form | None:
    """A reply that is nothing but a value, begins with the letter of a choice, or says what an expression gives."""
    is_plain = prose[:1] not in ("*", "_") and not _NO_PROSE.search(prose, 0, MAX_CHARS)
    if is_plain and prose.count(" ", 0, MAX_CHARS) > 2 * _BARE_WORDS < len(prose[:MAX_CHARS].split()) - 1:
        return None  # most replies: seen in 2 us, where reading one as a value takes 100
    if len(prose) <= MAX_CHARS and not _SHARED.search(prose) and (value := _only(prose)):
        return value
    if told := _TOLD.fullmatch(prose):
        return canonical(told[1], 0)
    if _NO_VALUE.search(prose):
        return None
    if asserted := ASSERTION.match(prose):
        return value_at(asserted[1], 0, LABELLED_WORDS)
    if len(prose) < 2 * MAX_LITERAL_CHARS and (inline := _GIVES.match(prose)):
        return canonical(inline[1], _BARE_WORDS if inline[1].lstrip()[:1] in ("'", '"') else 0)
    if returned := _RETURNS.match(prose):
        return canonical(returned[1], _BARE_WORDS)
    if (opening := _OPENING.match(prose)) and len(_LETTERED.findall(prose)) < 2:
        return canonical(next(filter(None, opening.groups())), 0)
    if "\n" in prose and prose[:1] not in ("[", "{", "("):
        return None
    bare = prose.strip("*_")
    if titled := _TITLED.match(bare):
        words = _BARE_WORDS - 1 if _CLASSIFIES.match(bare) else 0
        if value := canonical(bare[titled.end() :], words):
            return value
    return canonical(prose, _BARE_WORDS if not re.search("[0-9]", prose) else _BARE_WORDS - 1)
