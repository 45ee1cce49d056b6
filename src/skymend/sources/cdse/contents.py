"""What lies in a SAFE, read from its manifest, and which files a question needs.

Every SAFE lists its files with size and digest in ``manifest.safe`` (Sentinel-2 product
specification S2-PDGS-TAS-DI-PSD, section 3.3; Sentinel-1 S1-RS-MDA-52-7441, section 5.1), so one
small file says what to fetch and what it must be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from skymend.core.errors import ConfigError, ProductError
from skymend.products.sentinel1.markup import parse_xml
from skymend.sources.archive_rules import unsafe_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from skymend.sources.transfer import Digest
    from skymend.sources.transfer.types import Kind

MANIFEST = "manifest.safe"
_MAX_BYTES = 20_000_000
_SIZE = re.compile(r"[0-9]{1,15}")

_IMAGE = re.compile(
    r"/IMG_DATA/(?:.*/)?[^/]*_(B\d[0-9A]|SCL|TCI|AOT|WVP)(?:_(10|20|60)m)?\.(?:jp2|tiff?)$"
)
_METADATA = re.compile(r"MTD_MSIL\w+\.xml|GRANULE/[^/]+/MTD_TL\.xml")
_MASKS = re.compile(r"/QI_DATA/(?:MSK_(?:CLASSI|CLOUDS)_B00|[^/]*_MSK_CLOUDS_B00[^/]*)\.\w+$")
_BAND_MASK = "/QI_DATA/MSK_"
_CHANNELS = ("VV", "VH", "HH", "HV")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a SAFE.

    Parameters
    ----------
    path : inside the SAFE, with ``/``.
    size : bytes, where the manifest states them.
    digest : as the manifest states it.
    """

    path: str
    size: int | None
    digest: Digest | None

    @property
    def kind(self) -> Kind:
        """What the first bytes must look like."""
        suffix = self.path.rsplit(".", 1)[-1].lower()
        if suffix in {"tif", "tiff"}:
            return "geotiff"
        return "xml" if suffix in {"xml", "safe", "gml", "xsd"} else "file"


def read_manifest(text: bytes, where: str) -> tuple[Entry, ...]:
    """Return the files that a manifest lists, each once, in order of their paths.

    Raises
    ------
    ProductError
        if it is no manifest, or lists a path that leaves the product.
    """
    if len(text) > _MAX_BYTES:
        raise _damaged(where, "a manifest below 20 MB", f"{len(text)} bytes")
    root = parse_xml(text, f"{MANIFEST} of {where}").element
    entries = {entry.path: entry for entry in _entries(root, where)}
    if not entries:
        raise _damaged(where, "files in dataObject elements", "none")
    return tuple(entries[path] for path in sorted(entries))


def _entries(root: Element, where: str) -> Iterator[Entry]:
    for stream in root.iter("byteStream"):
        location, checksum = stream.find("fileLocation"), stream.find("checksum")
        if location is None:
            continue
        size = stream.get("size", "")
        yield Entry(
            _inside(location.get("href", ""), where),
            int(size) if _SIZE.fullmatch(size) else None,
            _digest(checksum),
        )


def _digest(checksum: Element | None) -> Digest | None:
    from skymend.sources.transfer import Digest

    if checksum is None or not checksum.text:
        return None
    return Digest(checksum.get("checksumName", ""), checksum.text.strip())


def _inside(href: str, where: str) -> str:
    path = str(PurePosixPath(href.removeprefix("./")))
    if path == "." or unsafe_name(path) is not None:
        raise _damaged(where, "paths inside the product", repr(href[:80]))
    return path


def choose(entries: Sequence[Entry], wanted: Sequence[str], where: str) -> tuple[Entry, ...]:
    """Return the files that bands or polarisations need; without any, all files.

    Parameters
    ----------
    wanted : ``B04`` (its finest image), ``B04_20m``, ``SCL``, ``VV``, a path inside the product,
        or ``metadata``. The metadata always come along, of an L2A product also SCL, and the
        quality masks of the bands.

    Raises
    ------
    ConfigError
        if the product has no such band.
    """
    if not wanted:
        return tuple(entries)
    chosen = {e.path: e for e in entries if _always(e.path)}
    if "SCL" in names(entries):
        wanted = [*wanted, "SCL"]
    for name in dict.fromkeys(wanted):
        if name == "metadata":
            continue
        found = list(_of_name(entries, name))
        if not found:
            raise _absent(entries, name, where)
        chosen |= {e.path: e for e in found}
    return tuple(chosen[path] for path in sorted(chosen))


def _always(path: str) -> bool:
    return bool(_METADATA.fullmatch(path) or _MASKS.search(path))


def _of_name(entries: Sequence[Entry], name: str) -> Iterator[Entry]:
    if name.upper() in _CHANNELS:
        yield from (e for e in entries if f"-{name.lower()}-" in PurePosixPath(e.path).name)
        return
    whole = [e for e in entries if e.path == name or PurePosixPath(e.path).stem == name]
    if whole:
        yield from whole
        return
    images = list(_images(entries, name))
    if images:
        yield min(images, key=lambda pair: pair[0])[1]
        band = name.split("_", maxsplit=1)[0]
        yield from (e for e in entries if _BAND_MASK in e.path and f"_{band}." in e.path)


def _images(entries: Iterable[Entry], name: str) -> Iterator[tuple[int, Entry]]:
    band, _, resolution = name.partition("_")
    for entry in entries:
        match = _IMAGE.search(entry.path)
        if match and match[1] == band and resolution in {"", f"{match[2]}m"}:
            yield int(match[2] or 0), entry


def names(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the bands and polarisations of a product, sorted."""
    found = set()
    for entry in entries:
        match = _IMAGE.search(entry.path)
        if match:
            found.add(match[1])
        stem = PurePosixPath(entry.path).name
        found |= {c for c in _CHANNELS if f"-{c.lower()}-" in stem}
    return tuple(sorted(found))


def _absent(entries: Iterable[Entry], name: str, where: str) -> ConfigError:
    return ConfigError(
        where=where,
        expected=f"a band {name}",
        found=", ".join(names(entries)) or "no band",
        fix="ask for bands that the product holds",
    )


def _damaged(where: str, expected: str, found: str) -> ProductError:
    return ProductError(
        where=f"{MANIFEST} of {where}",
        expected=expected,
        found=found,
        fix="report the product to its provider",
    )
