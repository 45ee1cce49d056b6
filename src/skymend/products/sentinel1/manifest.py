"""``manifest.safe``: what a product is, and where its files lie (SAFE specification)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from skymend.products.protocols import Direction
from skymend.products.sentinel1.archive import MANIFEST, SafeArchive, check_name
from skymend.products.sentinel1.markup import Node, parse_xml

Role = Literal["annotation", "calibration", "noise", "measurement"]

_ROLES: dict[str, Role] = {
    "s1Level1ProductSchema": "annotation",
    "s1Level1CalibrationSchema": "calibration",
    "s1Level1NoiseSchema": "noise",
    "s1Level1MeasurementSchema": "measurement",
}
_POLARISATION = re.compile(r"-(vv|vh|hh|hv)-\d{8}t")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest says.

    Parameters
    ----------
    platform : ``sentinel-1a`` to ``sentinel-1d``.
    mode, product_type : ``IW`` and ``GRD`` for what is processed here.
    start, stop : sensing times of first and last line, UTC.
    relative_orbit : 1 to 175.
    ipf : version of the processor, such as ``003.31``; empty where the manifest does not say.
    footprint : (latitude, longitude) in degrees of the four corners, as listed.
    files : name of each file by (role, polarisation), relative to the product.
    """

    platform: str
    mode: str
    product_type: str
    start: datetime
    stop: datetime
    relative_orbit: int
    direction: Direction
    ipf: str
    footprint: tuple[tuple[float, float], ...]
    polarisations: tuple[str, ...]
    files: dict[tuple[Role, str], str]


def read_manifest(archive: SafeArchive) -> Manifest:
    """Read the manifest of a product.

    Raises
    ------
    ProductError
        if it lacks something or cannot be read.
    """
    return parse_manifest(archive.read(MANIFEST), f"{archive.path.name}/{MANIFEST}")


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Parse the text of a manifest."""
    root = parse_xml(content, where)
    platform = _first(root, "platform")
    orbit = _first(root, "orbitReference")
    period = _first(root, "acquisitionPeriod")
    found = tuple(n.content.upper() for n in root.each("transmitterReceiverPolarisation"))
    return Manifest(
        platform=_platform(platform),
        mode=_first(platform, "mode").content,
        product_type=_first(root, "productType").content,
        start=period.time("startTime"),
        stop=period.time("stopTime"),
        relative_orbit=orbit.whole("relativeOrbitNumber", low=1, high=175),
        direction=_direction(orbit),
        ipf=_ipf(root),
        footprint=_footprint(root),
        polarisations=tuple(p for p in ("VV", "VH", "HH", "HV") if p in found),
        files=_files(root),
    )


def _first(node: Node, tag: str) -> Node:
    found = next(node.each(tag), None)
    if found is None:
        raise node.error(f"an element {tag}", "none")
    return found


def _platform(platform: Node) -> str:
    letter = platform.text("number").lower()
    if platform.text("familyName") != "SENTINEL-1" or letter not in {"a", "b", "c", "d"}:
        raise platform.error("a platform SENTINEL-1 A to D", f"{letter!r}")
    return f"sentinel-1{letter}"


def _direction(orbit: Node) -> Direction:
    flight = _first(orbit, "pass").content.lower()
    if flight not in {"ascending", "descending"}:
        raise orbit.error("a pass, ascending or descending", repr(flight[:40]))
    return cast("Direction", flight)


def _ipf(root: Node) -> str:
    """Return the version of the Instrument Processing Facility that made the image."""
    for software in root.each("software"):
        if "IPF" in software.attribute("name"):
            return software.attribute("version")
    return ""


def _footprint(root: Node) -> tuple[tuple[float, float], ...]:
    node = next(root.each("coordinates"), None)
    if node is None:
        return ()
    pairs = [p.split(",") for p in node.content.split()]
    try:
        return tuple((float(latitude), float(longitude)) for latitude, longitude in pairs)
    except ValueError:
        raise node.error("pairs of latitude and longitude", repr(node.content[:60])) from None


def _files(root: Node) -> dict[tuple[Role, str], str]:
    files: dict[tuple[Role, str], str] = {}
    for entry in root.each("dataObject"):
        role = _ROLES.get(entry.attribute("repID"))
        location = next(entry.each("fileLocation"), None)
        if role is None or location is None:
            continue
        name = location.attribute("href").removeprefix("./")
        match = _POLARISATION.search(name)
        if match is not None:
            check_name_of(root, name)
            files[role, match.group(1).upper()] = name
    return files


def check_name_of(root: Node, name: str) -> None:
    """Refuse a file name of the manifest that could reach outside the product."""
    from pathlib import Path

    check_name(Path(root.where), name)
