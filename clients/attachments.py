"""What the scripted LLM sees in an attachment: its kind and its size, read from the bytes.

What it could not decode is refused, as a server refuses it: an image that arrives changed does not go unseen.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import Any

_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)


class Unreadable(Exception):
    """An attachment that is not what it says it is."""


def describe(part: dict[str, Any]) -> str | None:
    """Say what a content part shows; None for one of text. Raises `Unreadable`."""
    kind = part.get("type")
    if kind == "text":
        return None
    if kind == "image_url":
        url = part["image_url"]["url"]
        return _image(_decoded(url)) if url.startswith("data:") else f"an image from {url}"
    if kind == "file":
        given = part["file"]
        return _document(_decoded(given["file_data"]), given.get("filename") or "unnamed")
    if kind == "input_audio":
        return _sound(_bytes(part["input_audio"]["data"]))
    raise Unreadable(f"content parts of type {kind!r} are unknown")


def _decoded(url: str) -> bytes:
    found = _DATA_URL.fullmatch(url)
    if not found:
        raise Unreadable("not a data: URL in base64")
    return _bytes(found["data"])


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise Unreadable(f"not base64: {error}") from None


def _image(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return f"a PNG image of {width} by {height} pixels"
    if data.startswith(b"\xff\xd8\xff"):
        width, height = _jpeg_size(data)
        return f"a JPEG image of {width} by {height} pixels"
    raise Unreadable("not an image of a known kind")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise Unreadable("a JPEG image without a frame")


def _document(data: bytes, name: str) -> str:
    if not data.startswith(b"%PDF-"):
        raise Unreadable("not a PDF document")
    return f"a PDF document, {name}, of {len(data)} bytes"


def _sound(data: bytes) -> str:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise Unreadable("not a WAV recording")
    return f"a WAV recording of {len(data)} bytes"
