"""Manifest of simulated GRD: platform, orbit, processor, footprint, and every file's digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from skymend.simulate.markup import Node, node, with_attributes
from skymend.simulate.s1_orbit import geodetic
from skymend.simulate.s1_product import Slice, iso
from skymend.simulate.safe_manifest import Entry, data_object, entries

_SAFE = "http://www.esa.int/safe/sentinel-1.0"
_NAMESPACES = {
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xmlns:gml": "http://www.opengis.net/gml",
    "xmlns:xfdu": "urn:ccsds:schema:xfdu:1",
    "xmlns:safe": _SAFE,
    "xmlns:s1": f"{_SAFE}/sentinel-1",
    "xmlns:s1sar": f"{_SAFE}/sentinel-1/sar",
    "xmlns:s1sarl1": f"{_SAFE}/sentinel-1/sar/level-1",
}
_SATELLITES = {"A": "2014-016A", "B": "2016-025A", "C": "2024-235A", "D": "2025-253A"}
_DIRECTIONS = {"ASC": "ASCENDING", "DES": "DESCENDING"}


def manifest(product: Path, part: Slice) -> Node:
    """Return ``manifest.safe`` of a product whose files are all written."""
    listed = [_named(entry) for entry in entries(product)]
    units = [
        node(
            "xfdu:contentUnit",
            node("dataObjectPointer", dataObjectID=entry.id),
            unitType="Measurement Data Unit" if _is_image(entry) else "Metadata Unit",
            repID=entry.representation,
        )
        for entry in listed
    ]
    package = node(
        "xfdu:contentUnit",
        *units,
        unitType="SAFE Archive Information Package",
        textInfo="Sentinel-1 IW Level-1 GRD Product",
        dmdID="acquisitionPeriod platform generalProductInformation measurementOrbitReference "
        "measurementFrameSet",
        pdiID="processing",
    )
    objects = node("dataObjectSection", *(data_object(e, "MD5") for e in listed))
    version = "esa/safe/sentinel-1.0/sentinel-1/sar/level-1/grd/standard/iwdp"
    parts = (node("informationPackageMap", package), _metadata(part), objects)
    return with_attributes(node("xfdu:XFDU", *parts, version=version), _NAMESPACES)


def _is_image(entry: Entry) -> bool:
    return entry.href.startswith("measurement/")


def _named(entry: Entry) -> Entry:
    """Give a file the identifier and representation that real manifests give it."""
    stem = entry.path.stem
    if _is_image(entry):
        kind, identifier = "Measurement", stem
    elif stem.startswith(("calibration-", "noise-")):
        kind, identifier = stem.partition("-")[0].capitalize(), stem
    else:
        kind, identifier = "Product", f"product{stem}"
    return replace(entry, id=identifier.replace("-", ""), representation=f"s1Level1{kind}Schema")


def _metadata(part: Slice) -> Node:
    return node(
        "metadataSection",
        _described("processing", "Processing", _processing(part), "PROVENANCE", "PDI"),
        _described("platform", "Platform Description", _platform(part)),
        _described("measurementOrbitReference", "Orbit Reference", _orbit(part)),
        _described("generalProductInformation", "General Product Information", _general(part)),
        _described("acquisitionPeriod", "Acquisition Period", _period(part)),
        _described("measurementFrameSet", "Frame Set", _frames(part)),
    )


def _described(
    identifier: str,
    text: str,
    content: Node,
    classification: str = "DESCRIPTION",
    category: str = "DMD",
) -> Node:
    wrap = node(
        "metadataWrap",
        node("xmlData", content),
        mimeType="text/xml",
        vocabularyName="SAFE",
        textInfo=text,
    )
    return node(
        "metadataObject",
        wrap,
        ID=identifier,
        classification=classification,
        category=category,
    )


def _processing(part: Slice) -> Node:
    software = node("safe:software", name="Sentinel-1 IPF", version=part.ipf)
    facility = node(
        "safe:facility", software, country="none", name="simulation", organisation="none", site=""
    )
    times = {"start": iso(part.stop), "stop": iso(part.stop)}
    return node("safe:processing", facility, name="GRD Post Processing", **times)


def _platform(part: Slice) -> Node:
    letter = part.platform[-1]
    mode = node("s1sarl1:instrumentMode", node("s1sarl1:mode", "IW"), node("s1sarl1:swath", "IW"))
    instrument = node(
        "safe:instrument",
        node("safe:familyName", "Synthetic Aperture Radar", abbreviation="SAR"),
        node("safe:extension", mode),
    )
    return node(
        "safe:platform",
        node("safe:nssdcIdentifier", _SATELLITES[letter]),
        node("safe:familyName", "SENTINEL-1"),
        node("safe:number", letter),
        instrument,
    )


def _orbit(part: Slice) -> Node:
    properties = node(
        "s1:orbitProperties",
        node("s1:pass", _DIRECTIONS[part.direction]),
        node("s1:ascendingNodeTime", iso(part.node_time)),
    )
    ends = ("start", "stop")
    return node(
        "safe:orbitReference",
        *(node("safe:orbitNumber", part.absolute_orbit, type=e) for e in ends),
        *(node("safe:relativeOrbitNumber", part.relative_orbit, type=e) for e in ends),
        node("safe:cycleNumber", part.absolute_orbit // 175 + 1),
        node("safe:phaseIdentifier", 1),
        node("safe:extension", properties),
    )


def _general(part: Slice) -> Node:
    polarisations = [node("s1sarl1:transmitterReceiverPolarisation", p) for p in part.polarisations]
    return node(
        "s1sarl1:standAloneProductInformation",
        node("s1sarl1:instrumentConfigurationID", 6),
        node("s1sarl1:missionDataTakeID", part.take),
        *polarisations,
        node("s1sarl1:productClass", "S"),
        node("s1sarl1:productClassDescription", "SAR Standard L1 Product"),
        node("s1sarl1:productComposition", "Slice"),
        node("s1sarl1:productType", "GRD"),
        node("s1sarl1:productTimelinessCategory", "Fast-24h"),
        node("s1sarl1:sliceProductFlag", "true"),
        node("s1sarl1:segmentStartTime", iso(part.start)),
        node("s1sarl1:sliceNumber", part.number),
        node("s1sarl1:totalSlices", part.total),
    )


def _period(part: Slice) -> Node:
    since = [(time - part.node_time).total_seconds() * 1000 for time in (part.start, part.stop)]
    node_times = node(
        "s1:timeANX",
        node("s1:startTimeANX", f"{since[0]:.6e}"),
        node("s1:stopTimeANX", f"{since[1]:.6e}"),
    )
    return node(
        "safe:acquisitionPeriod",
        node("safe:startTime", iso(part.start)),
        node("safe:stopTime", iso(part.stop)),
        node("safe:extension", node_times),
    )


def _frames(part: Slice) -> Node:
    lines, samples = (n - 1.0 for n in part.frame.shape)
    line = np.array([0.0, 0.0, lines, lines])
    sample = np.array([samples, 0.0, 0.0, samples])
    longitude, latitude, _ = geodetic(part.frame.locate(line, sample, part.terrain_m))
    pairs = zip(latitude.tolist(), longitude.tolist(), strict=True)
    text = " ".join(f"{north:.6f},{east:.6f}" for north, east in pairs)
    outline = node(
        "safe:footPrint",
        node("gml:coordinates", text),
        srsName="http://www.opengis.net/gml/srs/epsg.xml#4326",
    )
    return node("safe:frameSet", node("safe:frame", outline))
