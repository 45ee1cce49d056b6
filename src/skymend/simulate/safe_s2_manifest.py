"""``manifest.safe`` of Sentinel-2 products: what they are, and every file with its digest."""

from __future__ import annotations

from pathlib import Path

from skymend.simulate.granule import RELATIVE_ORBIT, Granule
from skymend.simulate.markup import Node, node, with_attributes
from skymend.simulate.safe_manifest import Entry, data_object, entries
from skymend.simulate.safe_s2_metadata import iso, outline

_NAMESPACES = {
    "xmlns:gml": "http://www.opengis.net/gml",
    "xmlns:safe": "http://www.esa.int/safe/sentinel/1.1",
    "xmlns:xfdu": "urn:ccsds:schema:xfdu:1",
}
_INTERNATIONAL = {"S2A": "2015-028A", "S2B": "2017-013A", "S2C": "2024-157A"}
"""Designators of the satellites in NSSDC's catalogue."""


def manifest(product: Path, granule: Granule) -> Node:
    """Return the manifest of a product whose other files are written.

    Parameters
    ----------
    product : its folder.
    """
    listed = list(entries(product))
    level = f"Level-{granule.level[1:]}"
    package = node(
        "informationPackageMap",
        node(
            "xfdu:contentUnit",
            *(_unit(entry) for entry in listed),
            dmdID="acquisitionPeriod platform",
            pdiID="processing",
            textInfo=f"SENTINEL-2 MSI {level} User Product",
            unitType=f"Product_{level}",
        ),
    )
    objects = node("dataObjectSection", *(data_object(e, granule.digest) for e in listed))
    kind = f"archive_{granule.level.lower()}_user_product"
    version = f"esa/safe/sentinel/1.1/sentinel-2/msi/{kind}"
    about = node("metadataSection", *_about(granule, level), *_pointers(listed, level))
    top = node("xfdu:XFDU", package, about, objects, version=version)
    return with_attributes(top, _NAMESPACES)


def _unit(entry: Entry) -> Node:
    return node(
        "xfdu:contentUnit",
        node("dataObjectPointer", dataObjectID=entry.id),
        ID=f"{entry.id}_Unit",
        unitType="Metadata Unit" if entry.path.suffix == ".xml" else "Measurement Data Unit",
    )


def _about(granule: Granule, level: str) -> list[Node]:
    period = node("safe:acquisitionPeriod", node("safe:startTime", iso(granule.time)))
    start = {"type": "start"}
    orbit = node(
        "safe:orbitReference",
        node(
            "safe:orbitNumber",
            f"{granule.orbit:06d}",
            groundTrackDirection="descending",
            **start,
        ),
        node("safe:relativeOrbitNumber", f"{RELATIVE_ORBIT:03d}", **start),
    )
    camera = node("safe:familyName", "Multi-Spectral Instrument", abbreviation="MSI")
    platform = node(
        "safe:platform",
        node("safe:nssdcIdentifier", _INTERNATIONAL.get(granule.platform, "0000-000A")),
        node("safe:familyName", "SENTINEL"),
        node("safe:number", granule.platform[1:]),
        node("safe:instrument", camera),
    )
    work = f"Generation of {level} User Product"
    processing = node("safe:processing", name=work, start=iso(granule.made))
    place = node(
        "safe:footPrint",
        node("gml:coordinates", outline(granule)),
        srsName="http://www.opengis.net/gml/srs/epsg.xml#4326",
    )
    return [
        _described("acquisitionPeriod", "Acquisition Period", period),
        _described("measurementOrbitReference", "Orbit Reference", orbit),
        _described("platform", "Platform Description", platform),
        _described("processing", "Processing", processing, ("PROVENANCE", "PDI")),
        _described("measurementFrameSet", "Frame Set", node("safe:frameSet", place)),
    ]


def _described(
    name: str, title: str, content: Node, place: tuple[str, str] = ("DESCRIPTION", "DMD")
) -> Node:
    wrapped = node(
        "metadataWrap",
        node("xmlData", content),
        mimeType="text/xml",
        textInfo=title,
        vocabularyName="Sentinel-SAFE",
    )
    return node("metadataObject", wrapped, ID=name, classification=place[0], category=place[1])


def _pointers(listed: list[Entry], level: str) -> list[Node]:
    """Return pointers to the files of metadata."""
    names = {
        "INSPIRE.xml": "INSPIRE_Metadata",
        f"MTD_MSIL{level[6:]}.xml": f"S2_{level}_Product_Metadata",
        "MTD_DS.xml": f"S2_{level}_Datastrip1_Metadata",
        "MTD_TL.xml": f"S2_{level}_Tile1_Metadata",
    }
    return [
        node(
            "metadataObject",
            node("dataObjectPointer", dataObjectID=entry.id),
            ID=f"{names[entry.path.name]}_Information",
            classification="DESCRIPTION",
            category="DMD",
        )
        for entry in listed
        if entry.path.name in names
    ]
