"""Manifests of SAFE products: every file with its size and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from skymend.simulate.markup import Node, node

DigestName = Literal["MD5", "SHA3-256"]

_ALGORITHM = {"MD5": "md5", "SHA3-256": "sha3_256"}
_MIME = {
    ".xml": "text/xml",
    ".gml": "text/xml",
    ".xsd": "text/xml",
    ".html": "text/html",
    ".jp2": "application/octet-stream",
    ".tiff": "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a product.

    Parameters
    ----------
    id : unique name in the manifest.
    path : the file.
    href : its path in the product, with ``/``.
    representation : ``repID`` of the object, for products that have one.
    """

    id: str
    path: Path
    href: str
    representation: str = ""


def entries(product: Path) -> Iterator[Entry]:
    """Yield every file of a product but the manifest, in order of their paths."""
    for path in sorted(p for p in product.rglob("*") if p.is_file()):
        href = path.relative_to(product).as_posix()
        if href != "manifest.safe":
            yield Entry(href.replace("/", "_").replace(".", "_").replace("-", ""), path, href)


def data_object(entry: Entry, digest: DigestName, *, dotted: bool = True) -> Node:
    """Return the ``dataObject`` of a file.

    Parameters
    ----------
    dotted : whether the path starts with ``./``, as in products of ESA's own processor.
    """
    content = entry.path.read_bytes()
    value = hashlib.new(_ALGORITHM[digest], content).hexdigest()
    stream = node(
        "byteStream",
        node(
            "fileLocation",
            locatorType="URL",
            href=f"./{entry.href}" if dotted else entry.href,
        ),
        node("checksum", value, checksumName=digest),
        mimeType=_MIME.get(entry.path.suffix, "application/octet-stream"),
        size=len(content),
    )
    optional = {"repID": entry.representation} if entry.representation else {}
    return node("dataObject", stream, ID=entry.id, **optional)
