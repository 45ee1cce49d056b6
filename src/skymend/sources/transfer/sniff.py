"""Telling a file from an error page that came with status 200."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from skymend.sources.transfer.types import Kind

HEAD = 2048
"""Bytes that are looked at."""

_MAGIC: dict[Kind, tuple[bytes, ...]] = {
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "safe-zip": (b"PK\x03\x04",),
    "hdf": (b"\x0e\x03\x13\x01", b"\x89HDF\r\n\x1a\n"),
    "geotiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_NAMES: dict[Kind, str] = {
    "file": "a file",
    "zip": "a zip archive",
    "safe-zip": "a zip archive of a SAFE",
    "hdf": "an HDF4 or HDF5 file",
    "geotiff": "a TIFF image",
    "xml": "an XML document",
}
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_MESSAGE = re.compile(rb"<Message>(.*?)</Message>", re.DOTALL)


def expected(kind: Kind) -> str:
    """Return what a kind is called in a sentence."""
    return _NAMES[kind]


def objection(kind: Kind, name: str, content_type: str, head: bytes) -> str | None:
    """Say what a body is instead of the file asked for; None if it may be the file.

    Parameters
    ----------
    kind : what was asked for.
    name : of the file; an ``.html`` may be a web page.
    content_type : the header.
    head : the first bytes, all of them if the body has fewer than :data:`HEAD`.
    """
    suffix = PurePosixPath(name).suffix.lower()
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:HEAD].lower()
    if suffix not in (".html", ".htm") and _is_page(content_type, start):
        return "a web page" + _words(_TITLE.search(head))
    if start.startswith((b"<?xml", b"<error")) and b"<error>" in start[:300]:
        return "an error document" + _words(_MESSAGE.search(head))
    if kind == "xml":
        return None if start.startswith(b"<") else "a body that begins with no tag"
    if "json" in content_type and start.startswith(b"{") and "json" not in suffix:
        return f"a message: {_plain(head)}"
    magic = _MAGIC.get(kind)
    if magic and head and not head.startswith(magic):
        return f"a body that begins with {head[:8]!r}"
    return None


def _is_page(content_type: str, start: bytes) -> bool:
    page = start.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))
    return page or ("html" in content_type.lower() and start.startswith(b"<"))


def _words(match: re.Match[bytes] | None) -> str:
    return f" ({_plain(match[1])})" if match else ""


def _plain(raw: bytes) -> str:
    """Return a short excerpt on one line, printable."""
    text = " ".join(raw[:400].decode("utf-8", "replace").split())
    return "".join(c for c in text if c.isprintable())[:160]


def excerpt(raw: bytes) -> str:
    """Return what an error body says: its title or message, or its beginning."""
    match = _TITLE.search(raw) or _MESSAGE.search(raw)
    return _plain(match[1] if match else raw)
