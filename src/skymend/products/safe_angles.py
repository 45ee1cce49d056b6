"""Sun and view angles of a Sentinel-2 granule, from ``MTD_TL.xml`` and detector footprints.

Angles stand at nodes every 5 km, the first at the upper-left corner of the tile. The focal
plane has 12 detectors that look alternately a little forwards and backwards, so each has view
angles of its own and a pixel takes those of the detector that saw it (Sentinel-2 Products
Specification, tile metadata and quality masks).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.core.grid import Grid
from skymend.products.safe import band_of, lacking, parse_metadata
from skymend.products.sampling import read_nearest
from skymend.products.toa import Angles

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Nodes = npt.NDArray[Any]

_FOOTPRINT = re.compile(r"detector_footprint-B\d[0-9A]-(\d{2})-\d+")
_GML = "{http://www.opengis.net/gml/3.2}"
_MAX_NODES = 1000
_MAX_PIXELS = 20_000
"""Rows or columns at 10 m; a tile has 10,980."""


@dataclass(frozen=True, slots=True)
class AngleNodes:
    """Angles at nodes; interpolated as horizontal components, so that azimuth may wrap.

    Parameters
    ----------
    east, north : (rows, columns) float64, tangent of the zenith angle times sine and cosine of
        the azimuth; NaN where the metadata have no angle.
    step_m : distance between nodes.
    """

    east: Nodes
    north: Nodes
    step_m: float

    @classmethod
    def of(cls, zenith: Nodes, azimuth: Nodes, step_m: float) -> AngleNodes:
        """Build from angles in degrees."""
        slope = np.tan(np.radians(zenith))
        turn = np.radians(azimuth)
        return cls(slope * np.sin(turn), slope * np.cos(turn), step_m)

    def filled(self) -> AngleNodes:
        """Return the nodes with gaps filled by a plane fitted to the others.

        A detector sees a strip; pixels at its rim lie between a node inside and one outside.
        """
        return AngleNodes(_fill(self.east), _fill(self.north), self.step_m)

    def at(self, grid: Grid, tile: Grid) -> Angles:
        """Interpolate bilinearly at the pixel centres of ``grid``, on the tile ``tile``.

        Returns
        -------
        zenith and azimuth, (rows, columns) float32 in degrees.
        """
        rows, columns = self._positions(grid, tile)
        return _angles(_bilinear(self.east, rows, columns), _bilinear(self.north, rows, columns))

    def _positions(self, grid: Grid, tile: Grid) -> tuple[Nodes, Nodes]:
        """Return the pixel centres of each axis in units of nodes."""
        size, left, top = grid.resolution, grid.transform[2], grid.transform[5]
        down: Nodes = tile.transform[5] - top + (np.arange(grid.shape[0]) + 0.5) * size
        along: Nodes = left - tile.transform[2] + (np.arange(grid.shape[1]) + 0.5) * size
        return np.asarray(down / self.step_m), np.asarray(along / self.step_m)


@dataclass(frozen=True, slots=True)
class TileAngles:
    """What ``MTD_TL.xml`` says of the geometry: 10 m grid, sun, and view by band and detector."""

    grid: Grid
    sun: AngleNodes
    view: dict[str, dict[int, AngleNodes]]

    def view_of(self, band: str, grid: Grid, detectors: ByteArray | None) -> Angles:
        """Return the view angles of a band.

        Parameters
        ----------
        detectors : (rows, columns) uint8 on ``grid``, number of the detector, 0 where none;
            None averages the detectors at each node.
        """
        nodes = self.view[band]
        average = _average(list(nodes.values())).at(grid, self.grid)
        if detectors is None:
            return average
        zenith, azimuth = np.asarray(average.zenith), np.asarray(average.azimuth)
        for number, detector in nodes.items():
            here = detectors == number
            if here.any():
                angles = detector.filled().at(grid, self.grid)
                np.copyto(zenith, np.asarray(angles.zenith), where=here)
                np.copyto(azimuth, np.asarray(angles.azimuth), where=here)
        return Angles(zenith, azimuth)


def read_tile_angles(path: Path) -> TileAngles:
    """Read grid and angles from ``MTD_TL.xml``.

    Raises
    ------
    ProductError
        if the file is missing, damaged or lacks one of them.
    """
    root = parse_metadata(path)
    sun = root.find(".//Sun_Angles_Grid")
    if sun is None:
        raise lacking(path, "Sun_Angles_Grid", [])
    nodes = _read_nodes(path, sun)
    if not np.isfinite(nodes.east).any():
        raise lacking(path, "angles in Sun_Angles_Grid", ["no number"])
    view: dict[str, dict[int, AngleNodes]] = {}
    for element in root.iter("Viewing_Incidence_Angles_Grids"):
        band, detector = element.attrib.get("bandId", ""), element.attrib.get("detectorId", "")
        if not re.fullmatch(r"[0-9]{1,3}", detector):
            raise lacking(path, "a number in detectorId", [repr(detector[:40])])
        name = band_of(path, "bandId", band)
        view.setdefault(name, {})[int(detector)] = _read_nodes(path, element)
    return TileAngles(_read_grid(path, root), nodes.filled(), view)


def footprint_of(folder: Path, band: str) -> Path | None:
    """Return the file that says which detector saw each pixel of a band, None if there is none.

    Parameters
    ----------
    folder : ``QI_DATA`` of the granule.
    """
    files = (folder / f"MSK_DETFOO_{band}{suffix}" for suffix in (".jp2", ".gml"))
    return next((file for file in files if file.exists()), None)


def read_footprint(folder: Path, band: str, grid: Grid) -> ByteArray | None:
    """Read which detector saw each pixel of a band.

    Parameters
    ----------
    folder : ``QI_DATA`` of the granule.

    Returns
    -------
    (rows, columns) uint8, number of the detector, 0 where none; None if there is no footprint.
    """
    path = footprint_of(folder, band)
    if path is None:
        return None
    return _burn(path, grid) if path.suffix == ".gml" else read_nearest(path, grid).astype(np.uint8)


def _burn(path: Path, grid: Grid) -> ByteArray:
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    shapes = sorted(_polygons(path), key=lambda shape: shape[1])
    if not shapes:
        return np.zeros(grid.shape, np.uint8)
    burnt: ByteArray = rasterize(
        shapes, grid.shape, fill=0, transform=Affine(*grid.transform), dtype="uint8"
    )
    return burnt


def _polygons(path: Path) -> Iterator[tuple[dict[str, object], int]]:
    """Yield each footprint as a GeoJSON polygon with the number of its detector."""
    for feature in parse_metadata(path).iter("{http://www.opengis.net/eop/2.0}MaskFeature"):
        identity = next((v for k, v in feature.attrib.items() if k.endswith("}id")), "")
        match = _FOOTPRINT.fullmatch(identity)
        for polygon in feature.iter(f"{_GML}Polygon"):
            rings = [_ring(path, ring) for ring in polygon.iter(f"{_GML}posList")]
            if match is None or not rings or None in rings:
                raise lacking(path, "footprints of numbered detectors", [repr(identity[:60])])
            # The outer ring comes first, holes after it.
            yield {"type": "Polygon", "coordinates": rings}, int(match.group(1))


def _ring(path: Path, ring: Element) -> list[list[float]] | None:
    """Return the corners of a ring, None if it has too few or numbers are left over."""
    size = {"2": 2, "3": 3}.get(ring.attrib.get("srsDimension", "3"), 0)
    values = _numbers(path, ring.text)
    if not size or values.size % size or values.size < 4 * size:
        return None
    corners: list[list[float]] = values.reshape(-1, size)[:, :2].tolist()
    return corners


def _read_grid(path: Path, root: Element) -> Grid:
    code = (root.findtext(".//HORIZONTAL_CS_CODE") or "").strip().upper()
    left, top = (root.findtext(f".//Geoposition[@resolution='10']/{n}") for n in ("ULX", "ULY"))
    rows, columns = (root.findtext(f".//Size[@resolution='10']/{n}") for n in ("NROWS", "NCOLS"))
    if not re.fullmatch(r"EPSG:\d+", code) or None in {left, top, rows, columns}:
        raise lacking(path, "HORIZONTAL_CS_CODE, Size and Geoposition at 10 m", [code or "none"])
    corner = _numbers(path, f"{left} {top} {rows} {columns}")
    whole = corner.size == 4 and np.isfinite(corner).all() and (corner[2:] % 1 == 0).all()
    if not (whole and ((corner[2:] > 0) & (corner[2:] <= _MAX_PIXELS)).all()):
        raise lacking(path, "numbers in Size and Geoposition", [str(corner.tolist())])
    transform = (10.0, 0.0, float(corner[0]), 0.0, -10.0, float(corner[1]))
    return Grid(code, transform, (int(corner[2]), int(corner[3])))


def _read_nodes(path: Path, element: Element) -> AngleNodes:
    planes = []
    step = 0.0
    for name in ("Zenith", "Azimuth"):
        lines = [
            _numbers(path, line.text) for line in element.iterfind(f"{name}/Values_List/VALUES")
        ]
        if not lines or len({line.size for line in lines}) != 1 or len(lines) > _MAX_NODES:
            raise lacking(path, f"a table of {name} angles", [f"{len(lines)} lines"])
        planes.append(np.stack(lines))
        step = float(_numbers(path, element.findtext(f"{name}/COL_STEP") or "nan")[0])
    if planes[0].shape != planes[1].shape or not step > 0:
        raise lacking(path, "Zenith and Azimuth at the same nodes", [str(planes[1].shape)])
    known = planes[0][np.isfinite(planes[0])]
    wrong = known[(known < 0) | (known >= 90)]
    if wrong.size:
        raise lacking(path, "zenith angles of 0 to below 90 degrees", [f"{wrong[0]:g}"])
    return AngleNodes.of(planes[0], planes[1], step)


def _numbers(path: Path, text: str | None) -> Nodes:
    try:
        numbers = np.array([float(word) for word in (text or "").split()])
    except ValueError as error:
        raise lacking(path, "numbers", [str(error)]) from None
    if numbers.size == 0:
        raise lacking(path, "numbers", [])
    return numbers


def _average(detectors: list[AngleNodes]) -> AngleNodes:
    def mean(planes: list[Nodes]) -> Nodes:
        stack = np.stack(planes)
        count: Nodes = np.isfinite(stack).sum(axis=0)
        total: Nodes = np.nansum(stack, axis=0)
        return np.asarray(
            np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        )

    east, north = mean([d.east for d in detectors]), mean([d.north for d in detectors])
    return AngleNodes(east, north, detectors[0].step_m).filled()


def _fill(plane: Nodes) -> Nodes:
    """Fill NaN with a plane fitted to the nodes there are; steeper fits run away at the rim."""
    known = np.isfinite(plane)
    if known.all() or not known.any():
        return np.nan_to_num(plane)
    nodes: Nodes = np.indices(plane.shape).astype(np.float64)
    nodes -= nodes[:, known].mean(axis=1)[:, None, None]
    basis = np.stack([np.ones(plane.shape), nodes[0], nodes[1]], axis=-1)
    weights, *_ = np.linalg.lstsq(basis[known], plane[known], rcond=None)
    filled: Nodes = np.where(known, plane, basis @ weights)
    return filled


def _bilinear(plane: Nodes, rows: Nodes, columns: Nodes) -> Nodes:
    tall = _along(plane, rows)
    return _along(tall.T, columns).T


def _along(plane: Nodes, positions: Nodes) -> Nodes:
    low: Nodes = np.clip(np.floor(positions), 0, max(plane.shape[0] - 2, 0)).astype(np.intp)
    weight = (positions - low).reshape(-1, 1)
    high = np.minimum(low + 1, plane.shape[0] - 1)
    return np.asarray(plane[low] * (1 - weight) + plane[high] * weight)


def _angles(east: Nodes, north: Nodes) -> Angles:
    zenith = np.degrees(np.arctan(np.hypot(east, north))).astype(np.float32)
    azimuth = np.degrees(np.arctan2(east, north)) % 360.0
    return Angles(zenith, azimuth.astype(np.float32))
