"""Made inputs for the external radar engines: a SAFE that is a manifest only, and a DEM."""

from __future__ import annotations

import itertools

import numpy as np
import rasterio
from rasterio.transform import Affine

from skymend.core.grid import Grid

GRID = Grid("EPSG:32633", (10.0, 0.0, 292_000.0, 0.0, -10.0, 4_654_000.0), (120, 160))
"""Near Rome, inside the footprint."""

FOOTPRINT = "40.876698,14.925448 41.281048,11.865704 42.780445,12.189661 42.376778,15.321935"

NAME = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"

_MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1" xmlns:gml="http://www.opengis.net/gml"
 xmlns:s="http://www.esa.int/safe/sentinel-1.0">
<metadataSection>
 <s:platform><s:familyName>SENTINEL-1</s:familyName><s:number>B</s:number>
  <s:instrument><s:extension><s:mode>IW</s:mode></s:extension></s:instrument></s:platform>
 <s:processing><s:software name="Sentinel-1 IPF" version="003.40"/></s:processing>
 <s:orbitReference><s:relativeOrbitNumber type="start">22</s:relativeOrbitNumber>
  <s:pass>DESCENDING</s:pass></s:orbitReference>
 <s:acquisitionPeriod><s:startTime>{start}</s:startTime><s:stopTime>{stop}</s:stopTime>
 </s:acquisitionPeriod>
 <s:productType>GRD</s:productType>
 <s:transmitterReceiverPolarisation>VV</s:transmitterReceiverPolarisation>
 <s:transmitterReceiverPolarisation>VH</s:transmitterReceiverPolarisation>
 <s:footPrint><gml:coordinates>{footprint}</gml:coordinates></s:footPrint>
</metadataSection><dataObjectSection>{files}</dataObjectSection></xfdu:XFDU>
"""

_ROLES = {
    "s1Level1ProductSchema": "annotation/{}.xml",
    "s1Level1CalibrationSchema": "annotation/calibration/calibration-{}.xml",
    "s1Level1MeasurementSchema": "measurement/{}.tiff",
}


def make_safe(
    folder,
    *,
    name=NAME,
    start="2021-12-23T05:11:22.594441",
    stop="2021-12-23T05:11:47.593249",
    footprint=FOOTPRINT,
):
    """Write a SAFE folder that holds a manifest and the empty files it lists."""
    path, files = folder / name, ""
    for channel, (role, pattern) in itertools.product(("vv", "vh"), _ROLES.items()):
        file = pattern.format(f"s1b-iw-grd-{channel}-20211223t051122")
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).touch()
        files += f'<dataObject repID="{role}"><fileLocation href="./{file}"/></dataObject>'
    text = _MANIFEST.format(start=start, stop=stop, footprint=footprint, files=files)
    (path / "manifest.safe").write_text(text)
    return path


def make_dem(folder, grid=GRID, height=50.0):
    """Write a flat DEM in longitude and latitude that reaches 20 km beyond a grid."""
    from skymend.sar.passes import lonlat_bounds

    west, south, east, north = lonlat_bounds(grid, 25_000.0)
    shape = (int((north - south) / 0.002), int((east - west) / 0.002))
    path = folder / "elevation.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        crs="EPSG:4326",
        transform=Affine(0.002, 0, west, 0, -0.002, north),
        height=shape[0],
        width=shape[1],
        count=1,
        dtype="float32",
    ) as dataset:
        dataset.write(np.full(shape, height, np.float32), 1)
    return path
