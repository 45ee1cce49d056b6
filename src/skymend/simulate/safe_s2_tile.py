"""Tile metadata of Sentinel-2 SAFE: ``MTD_TL.xml`` with geocoding, angles and masks.

Angles are given every 5 km from the upper-left corner. View angles stand in one grid for
each band and each detector, NaN where that detector does not look (Sentinel-2 Products
Specification, tile metadata).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.simulate.granule import Granule
from skymend.simulate.markup import Node, node
from skymend.simulate.msi import BANDS, Pair, angles
from skymend.simulate.safe_s2_metadata import iso, root
from skymend.simulate.safe_s2_quality import image_content

ANGLE_STEP_M = 5000
_LISTED = (
    *("B01", "B09", "B10", "B02", "B03", "B04"),
    *("B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
)
"""Bands in the order in which the real files list their angles."""


def tile_metadata(
    granule: Granule, footprint: ByteArray, masks: Sequence[tuple[str, str, str]], preview: str
) -> Node:
    """Return ``MTD_TL.xml``.

    Parameters
    ----------
    footprint : (rows, columns) at 10 m, the detector that sees each pixel.
    masks : (band or "", type, path in the product) of each mask file.
    preview : path of the preview image.
    """
    return root(
        granule,
        "Tile_ID",
        "S2_PDI_{level}_Tile_Metadata.xsd",
        _general(granule),
        node("n1:Geometric_Info", _geocoding(granule), _angles(granule, footprint)),
        node(
            "n1:Quality_Indicators_Info",
            image_content(granule, tile=True),
            node(
                "Pixel_Level_QI",
                *(_mask(*mask) for mask in masks),
                geometry="FULL_RESOLUTION",
            ),
            node("PVI_FILENAME", preview),
            metadataLevel="Standard",
        ),
    )


def _general(granule: Granule) -> Node:
    return node(
        "n1:General_Info",
        *_origin(granule),
        node("TILE_ID", granule.identifier("TL"), metadataLevel="Brief"),
        node("DATASTRIP_ID", granule.identifier("DS"), metadataLevel="Standard"),
        node("DOWNLINK_PRIORITY", "NOMINAL", metadataLevel="Standard"),
        node("SENSING_TIME", iso(granule.time), metadataLevel="Standard"),
        node(
            "Archiving_Info",
            node("ARCHIVING_CENTRE", "SIMU"),
            node("ARCHIVING_TIME", iso(granule.made)),
            metadataLevel="Expertise",
        ),
    )


def _origin(granule: Granule) -> Iterator[Node]:
    """Yield the Level-1C tile that a Level-2A tile was made from."""
    if granule.level == "L2A":
        source = replace(granule, level="L1C").identifier("TL")
        yield node("L1C_TILE_ID", source, metadataLevel="Brief")


def _geocoding(granule: Granule) -> Node:
    zone = f"WGS84 / UTM zone {int(granule.grid.crs[-2:])}{_hemisphere(granule)}"
    parts = [
        node("HORIZONTAL_CS_NAME", zone),
        node("HORIZONTAL_CS_CODE", granule.grid.crs),
    ]
    for resolution in (10, 20, 60):
        rows, columns = granule.grid_of(resolution).shape
        size = (node("NROWS", rows), node("NCOLS", columns))
        parts.append(node("Size", *size, resolution=resolution))
    left, _, _, top = (round(b) for b in granule.grid.bounds)
    for resolution in (10, 20, 60):
        corner = (node("ULX", left), node("ULY", top))
        step = (node("XDIM", resolution), node("YDIM", -resolution))
        parts.append(node("Geoposition", *corner, *step, resolution=resolution))
    return node("Tile_Geocoding", *parts, metadataLevel="Brief")


def _hemisphere(granule: Granule) -> str:
    return "N" if granule.grid.crs.startswith("EPSG:326") else "S"


def _points(granule: Granule) -> Pair:
    """Return x and y of the angle grid's nodes, which cover the whole image."""
    left, bottom, right, top = granule.grid.bounds
    columns = int(np.ceil((right - left) / ANGLE_STEP_M)) + 1
    rows = int(np.ceil((top - bottom) / ANGLE_STEP_M)) + 1
    x, y = np.meshgrid(
        left + ANGLE_STEP_M * np.arange(columns), top - ANGLE_STEP_M * np.arange(rows)
    )
    return x.astype(np.float64), y.astype(np.float64)


def _angles(granule: Granule, footprint: ByteArray) -> Node:
    x, y = _points(granule)
    sun = granule.sun(x, y)
    grids: list[Node] = []
    means: list[Node] = []
    for band in _LISTED:
        band_id = BANDS[band].id
        total = np.zeros(2)
        for detector, share in _shares(footprint):
            east, north = granule.swath.tangents(band, x, y, np.full(x.shape, detector))
            seen = _near(granule, x, y, footprint, detector)
            view = [np.where(seen, a, np.nan) for a in angles(east, north)]
            grids.append(_grid("Viewing_Incidence_Angles_Grids", view, band_id, detector))
            total += share * np.array([east[seen].mean(), north[seen].mean()])
        zenith, azimuth = angles(*total[:, None])
        means.append(
            _mean("Mean_Viewing_Incidence_Angle", zenith.item(), azimuth.item(), bandId=band_id)
        )
    middle = [float(np.mean(a)) for a in sun]
    return node(
        "Tile_Angles",
        _grid("Sun_Angles_Grid", sun),
        _mean("Mean_Sun_Angle", *middle),
        *grids,
        node("Mean_Viewing_Incidence_Angle_List", *means),
        metadataLevel="Standard",
    )


def _shares(footprint: ByteArray) -> Iterator[tuple[int, float]]:
    """Yield the detectors that see the image and which share of it each sees."""
    found, counts = np.unique(footprint[footprint > 0], return_counts=True)
    for detector, count in zip(found.tolist(), counts.tolist(), strict=True):
        yield int(detector), count / int(counts.sum())


def _near(
    granule: Granule,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    footprint: ByteArray,
    detector: int,
) -> npt.NDArray[np.bool_]:
    """Return the nodes of which any of the four cells around holds pixels of a detector.

    So every pixel of the detector has four valid nodes around it.
    """
    size = round(ANGLE_STEP_M / granule.grid.resolution)
    seen = np.zeros(x.shape, np.bool_)
    for row, column in np.ndindex(x.shape[0] - 1, x.shape[1] - 1):
        block = footprint[row * size : (row + 1) * size, column * size : (column + 1) * size]
        if (block == detector).any():
            seen[row : row + 2, column : column + 2] = True
    return seen


def _grid(
    tag: str,
    pair: Sequence[npt.NDArray[np.float64]],
    band_id: int | None = None,
    detector: int | None = None,
) -> Node:
    parts = []
    for name, values in zip(("Zenith", "Azimuth"), pair, strict=True):
        lines = [node("VALUES", " ".join(f"{v:.6g}" for v in row)) for row in values]
        lines = [_capital(line) for line in lines]
        parts.append(
            node(
                name,
                node("COL_STEP", ANGLE_STEP_M, unit="m"),
                node("ROW_STEP", ANGLE_STEP_M, unit="m"),
                node("Values_List", *lines),
            )
        )
    named = {} if band_id is None else {"bandId": band_id, "detectorId": detector or 0}
    return node(tag, *parts, **named)


def _capital(line: Node) -> Node:
    line.text = (line.text or "").replace("nan", "NaN")
    return line


def _mean(tag: str, zenith: float, azimuth: float, **attributes: str | float) -> Node:
    return node(
        tag,
        node("ZENITH_ANGLE", repr(float(zenith)), unit="deg"),
        node("AZIMUTH_ANGLE", repr(float(azimuth)), unit="deg"),
        **attributes,
    )


def _mask(band: str, kind: str, path: str) -> Node:
    named = {"bandId": BANDS[band].id} if band else {}
    return node("MASK_FILENAME", path, **named, type=kind)
