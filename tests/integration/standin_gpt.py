"""A stand-in for SNAP's gpt: checks what it is given as gpt would, and writes a made result.

It is no SNAP: it computes no radar physics. What it refuses, gpt refuses as well: unknown options,
placeholders without a value, unknown operators and parameters, values that are not allowed,
inputs that are not there or no SAFE, a subset away from the product, a DEM file that is none,
an unknown CRS. The result is a BEAM-DIMAP product whose numbers tell their own place, so that a
shift of one pixel on the way to the scene would show.
"""

from __future__ import annotations

import json
import os
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform_bounds

MISSING = 0.0


class Refused(Exception):
    """gpt ends with this message and exit code 1."""


def arguments(argv):
    graph, values, options = Path(argv[0]), {}, {}
    rest = iter(argv[1:])
    for word in rest:
        if word in {"-c", "-q"}:
            options[word] = next(rest)
        elif word.startswith("-P"):
            name, _, value = word[2:].partition("=")
            values[name] = value
        elif word.startswith(("-J-Xmx", "-J-Dsnap.userdir=")):
            options[word[:6]] = word
        elif word in {"-e", "-x"}:
            options[word] = ""
        else:
            raise Refused(f"Error: Illegal option '{word}'")
    if not re.fullmatch(r"\d+[MG]", options.get("-c", "")) or not options.get("-q", "").isdigit():
        raise Refused("Error: cache size or parallelism missing")
    return graph, values, options


def substitute(text, values):
    def value(match):
        if match[1] not in values:
            raise Refused(f"Error: Undefined variable '{match[1]}'")
        return values[match[1]].replace("&", "&amp;").replace("<", "&lt;")

    return re.sub(r"\$\{([\w-]+)\}", value, text)


def nodes(root, operators):
    """Check every node against the declarations; yield operator and parameters in order."""
    seen = set()
    for node in root.findall("node"):
        operator = node.findtext("operator")
        parameters = {p.tag: p.text or "" for p in node.find("parameters")}
        where = f"Error: [NodeId: {node.get('id')}]"
        for source in node.find("sources"):
            if source.get("refid") not in seen:
                raise Refused(f"{where} Unknown source {source.get('refid')}")
        seen.add(node.get("id"))
        if operators is not None:
            if operator not in operators:
                raise Refused(f"{where} SPI not found for operator '{operator}'")
            declared = {p["name"]: p for p in operators[operator]["parameters"]}
            for name, text in parameters.items():
                allowed = declared.get(name, {}).get("allowed")
                multiple = declared.get(name, {}).get("type", "").endswith("[]")
                if name not in declared:
                    raise Refused(f"{where} Unknown element '{name}'")
                if allowed and not multiple and text not in allowed:
                    raise Refused(f"{where} Value for '{name}' is invalid: {text}")
        yield operator, parameters


def footprint(path):
    manifest = path / "manifest.safe"
    if not manifest.is_file():
        raise Refused(f"Error: [NodeId: Read] No product reader found for file {path}")
    text = re.search(r"<gml:coordinates>([^<]+)<", manifest.read_text())[1]
    return shapely.Polygon([tuple(map(float, p.split(",")))[::-1] for p in text.split()])


def check_inputs(chain):
    area = shapely.union_all([footprint(Path(p["file"])) for o, p in chain if o == "Read"])
    for operator, parameters in chain:
        if "geoRegion" in parameters:
            region = shapely.from_wkt(parameters["geoRegion"])
            if not region.intersects(area):
                raise Refused("Error: [NodeId: Subset] region does not intersect the product")
            area = area.intersection(region)
        formats = {"BEAM-DIMAP", "GeoTIFF", "GeoTIFF-BigTIFF"}
        if operator == "Write" and parameters["formatName"] not in formats:
            raise Refused(f"Error: [NodeId: Write] no writer for {parameters['formatName']}")
        if parameters.get("demName") == "External DEM":
            with rasterio.open(parameters["externalDEMFile"]) as dem:
                nodata = float(parameters["externalDEMNoDataValue"])
                if dem.crs.to_epsg() != 4326 or dem.nodata != nodata:
                    raise Refused(f"Error: [NodeId: {operator}] external DEM not understood")
    return area


def write(chain, area, values):
    """Write the DIMAP product that the chain's last nodes describe."""
    by_operator = dict(chain)
    if "Resample" in by_operator:
        write_optical(by_operator, area)
        return
    terrain = by_operator["Terrain-Correction"]
    crs = CRS.from_user_input(terrain["mapProjection"])
    step = float(terrain["pixelSpacingInMeter"])
    left, bottom, right, top = transform_bounds("EPSG:4326", crs, *area.bounds)
    centres = [float(terrain[f"standardGridOrigin{axis}"]) for axis in "XY"]
    west = (np.floor((left - centres[0]) / step)) * step + centres[0] - step / 2
    north = (np.ceil((top - centres[1]) / step)) * step + centres[1] + step / 2
    shape = (int((north - bottom) / step) + 1, int((right - west) / step) + 1)
    x = west + (np.arange(shape[1]) + 0.5) * step
    y = north - (np.arange(shape[0]) + 0.5) * step
    bands = made_bands(by_operator, values["polarisations"].split(","), x, y[:, None])
    save(Path(by_operator["Write"]["file"]), bands, crs, Affine(step, 0, west, 0, -step, north))


def write_optical(by_operator, area):
    """Write the bands that a Sentinel-2 chain chooses, all of one pixel size."""
    step = float(by_operator["Resample"]["targetResolution"])
    chosen = next(
        (by_operator[o]["sourceBands"] for o in ("Subset", "BandSelect") if o in by_operator),
        "B1,B2,B3,B4",
    )
    left, _, _, top = transform_bounds("EPSG:4326", "EPSG:32633", *area.bounds)
    shape = (int(2000 // step), int(3000 // step))
    bands = {name: np.full(shape, index + 0.5) for index, name in enumerate(chosen.split(","))}
    transform = Affine(step, 0, np.floor(left), 0, -step, np.ceil(top))
    save(Path(by_operator["Write"]["file"]), bands, CRS.from_epsg(32633), transform)


def save(output, bands, crs, transform):
    """Write bands as ENVI images and the document that lists them."""
    data = output.with_suffix(".data")
    data.mkdir(parents=True)
    document = ET.Element("Dimap_Document")
    for index, (name, pixels) in enumerate(bands.items()):
        shape = {"height": pixels.shape[0], "width": pixels.shape[1], "count": 1}
        with rasterio.open(
            data / f"{name}.img",
            "w",
            driver="ENVI",
            dtype="float32",
            crs=crs,
            transform=transform,
            **shape,
        ) as image:
            image.write(pixels.astype(np.float32), 1)
        file = ET.SubElement(ET.SubElement(document, "Data_Access"), "Data_File")
        ET.SubElement(file, "DATA_FILE_PATH", href=f"{data.name}/{name}.hdr")
        ET.SubElement(file, "BAND_INDEX").text = str(index)
        info = ET.SubElement(ET.SubElement(document, "Image_Interpretation"), "Spectral_Band_Info")
        ET.SubElement(info, "BAND_INDEX").text = str(index)
        ET.SubElement(info, "BAND_NAME").text = name
    ET.ElementTree(document).write(output)


def place(x, y):
    """The made backscatter: a number that tells where its pixel lies; exact in float32."""
    return 1 + np.mod(np.floor(x / 10), 512) + 512 * np.mod(np.floor(y / 10), 512)


def made_bands(by_operator, channels, x, y):
    calibration = by_operator["Calibration"]
    kinds = ("Sigma", "Gamma", "Beta")
    (kind,) = [k for k in kinds if calibration[f"output{k}Band"] == "true"]
    if "Terrain-Flattening" in by_operator:
        if kind != "Beta":
            raise Refused("Error: [NodeId: Terrain-Flattening] requires beta0")
        kind = "Gamma"
    bands = {}
    for index, channel in enumerate(channels):
        power = place(x, y) * 2.0**-index
        power[: power.shape[0] // 50] = MISSING
        bands[f"{kind}0_{channel}"] = power
    terrain = by_operator["Terrain-Correction"]
    flat = np.zeros(np.broadcast_shapes(x.shape, y.shape))
    if terrain["saveLocalIncidenceAngle"] == "true":
        bands["localIncidenceAngle"] = flat + 37.25
    if terrain["saveIncidenceAngleFromEllipsoid"] == "true":
        bands["incidenceAngleFromEllipsoid"] = flat + 38.5
    if terrain["saveLayoverShadowMask"] == "true":
        bands["layover_shadow_mask"] = np.mod(np.floor(x / 10) + 0 * y, 4)
    return bands


def main(argv):
    sys.stdout.write("INFO: org.esa.snap.core.gpf.operators.tooladapter\n")
    if os.environ.get("STANDIN_SAYS"):
        raise Refused(os.environ["STANDIN_SAYS"])
    graph, values, options = arguments(argv)
    root = ET.fromstring(substitute(graph.read_text(), values))
    extract = os.environ.get("STANDIN_OPERATORS")
    operators = json.loads(Path(extract).read_text())["operators"] if extract else None
    chain = list(nodes(root, operators))
    area = check_inputs(chain)
    sys.stdout.write("Executing processing graph\n")
    for percent in range(10, 101, 10):
        sys.stdout.write(f"....{percent}%")
        sys.stdout.flush()
    write(chain, area, values)
    sys.stdout.write(" done.\n")
    log = os.environ.get("STANDIN_LOG")
    if log:
        Path(log).write_text(json.dumps({"values": values, "options": options}))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refused:
        sys.stdout.write(f"{refused}\n")
        sys.exit(1)
