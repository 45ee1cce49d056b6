"""A map of footprints: the area, what was chosen and what was not.

The map is an azimuthal equal-area projection around the area (Snyder 1987, USGS PP 1395,
chapter 24), so that areas across the antimeridian or at a pole look like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ConfigError
from skymend.core.files import store_errors
from skymend.sources.area import Area
from skymend.sources.finding import Footprint, Found

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from shapely.geometry.base import BaseGeometry

Points = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]

EARTH_KM = 6371.007
"""Radius of the sphere of the ellipsoid's size."""

_MARGIN_PX = 46
_LINE_PX = 13
_STEP_DEGREES = 0.1
_PAPER = (252, 251, 248)
_LINES = (214, 210, 202)
_TEXT = (70, 68, 64)
_AREA = (242, 183, 5)
_COLOURS = {
    (True, False): (0, 121, 107),
    (True, True): (94, 53, 177),
    (False, False): (158, 168, 164),
    (False, True): (178, 168, 196),
}
"""(chosen, radar) -> colour of the outline."""

_NAMES = {
    (True, False): "chosen",
    (True, True): "chosen radar",
    (False, False): "not chosen",
    (False, True): "radar not chosen",
}
_ROUND = (1, 2, 5)


def draw_footprints(found: Found, path: Path, *, size_px: int = 900) -> None:
    """Draw the footprints of a search around its area.

    Parameters
    ----------
    found : what the search found.
    path : a ``.png`` file; written at once.
    size_px : width and height of the picture.

    Raises
    ------
    ConfigError
        if the name ends otherwise.
    """
    from PIL import Image, ImageDraw

    check_name(path)
    view = _View.of(found.area, found.footprints, size_px)
    picture = Image.new("RGB", (size_px, size_px), _PAPER)
    pen = ImageDraw.Draw(picture, "RGBA")
    _graticule(pen, view)
    for footprint in sorted(found.footprints, key=lambda f: f.chosen):
        colour = _COLOURS[footprint.chosen, footprint.radar]
        _outline(pen, view, footprint.shape, colour, 3 if footprint.chosen else 1)
    _fill(pen, view, found.area.shape)
    _outline(pen, view, found.area.shape, _AREA, 2)
    taken: list[Box] = []
    for footprint in found.footprints:
        if footprint.chosen:
            _label(pen, view, footprint, taken)
    _legend(pen, size_px, found)
    _scale_bar(pen, view)
    part = path.with_name(f".{path.name}.part")
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(part, "PNG")
        part.replace(path)


def check_name(path: Path) -> None:
    """Refuse a picture that is to be called anything but ``.png``.

    Raises
    ------
    ConfigError
        if it is.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(
            where="--picture",
            expected="a name that ends in .png",
            found=path.name,
            fix="call it so; no other format is written",
        )


class _View:
    """From degrees to pixels."""

    def __init__(self, longitude: float, latitude: float, half_km: float, size_px: int) -> None:
        self.longitude, self.latitude = math.radians(longitude), math.radians(latitude)
        self.size_px = size_px
        self.half_km = half_km
        self.px_per_km = (size_px / 2 - _MARGIN_PX) / half_km

    @classmethod
    def of(cls, area: Area, footprints: Sequence[Footprint], size_px: int) -> _View:
        """Return the view that holds the area and all footprints."""
        longitude, latitude = _centre(area.shape)
        unscaled = cls(longitude, latitude, 1.0, size_px)
        shapes = [area.shape, *(f.shape for f in footprints)]
        rings = [unscaled.km(r) for shape in shapes for r in _rings(shape)]
        return cls(longitude, latitude, float(np.abs(np.vstack(rings)).max()) or 1.0, size_px)

    def km(self, degrees: Points) -> Points:
        """Return east and north in km from the centre; (n, 2) degrees."""
        lon, lat = np.radians(degrees).T
        turn = lon - self.longitude
        sine, cosine = math.sin(self.latitude), math.cos(self.latitude)
        depth = sine * np.sin(lat) + cosine * np.cos(lat) * np.cos(turn)
        factor = EARTH_KM * np.sqrt(2 / np.maximum(1 + depth, 1e-6))
        east = factor * np.cos(lat) * np.sin(turn)
        north = factor * (cosine * np.sin(lat) - sine * np.cos(lat) * np.cos(turn))
        return np.column_stack([east, north])

    def px(self, degrees: Points) -> list[tuple[float, float]]:
        """Return pixels of points in degrees."""
        east, north = self.km(degrees).T * self.px_per_km
        middle = self.size_px / 2
        return list(zip((middle + east).tolist(), (middle - north).tolist(), strict=True))


def _centre(shape: BaseGeometry) -> tuple[float, float]:
    """Return the centre of a shape on the sphere: the mean direction of its vertices."""
    lon, lat = np.radians(np.vstack(list(_rings(shape)))).T
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    flat = math.hypot(float(x.mean()), float(y.mean()))
    longitude = math.atan2(float(y.mean()), float(x.mean()))
    return math.degrees(longitude), math.degrees(math.atan2(float(z.mean()), flat))


def _rings(shape: BaseGeometry) -> Iterator[Points]:
    import shapely

    for part in shapely.get_parts(shape):
        for ring in (part.exterior, *part.interiors):
            yield shapely.get_coordinates(shapely.segmentize(ring, _STEP_DEGREES))


def _outline(pen: ImageDraw, view: _View, shape: BaseGeometry, colour: Any, width: int) -> None:
    """Draw the rings of a shape, without the seam that the antimeridian cuts into it."""
    for ring in _rings(shape):
        seam = (np.abs(np.abs(ring[:, 0]) - 180) < 1e-9) | (np.abs(np.abs(ring[:, 1]) - 90) < 1e-9)
        pixels = view.px(ring)
        for i in range(len(pixels) - 1):
            if not (seam[i] and seam[i + 1]):
                pen.line([pixels[i], pixels[i + 1]], fill=colour, width=width)


def _fill(pen: ImageDraw, view: _View, shape: BaseGeometry) -> None:
    import shapely

    for part in shapely.get_parts(shape):
        ring = shapely.get_coordinates(shapely.segmentize(part.exterior, _STEP_DEGREES))
        pen.polygon(view.px(ring), fill=(*_AREA, 70))


def _graticule(pen: ImageDraw, view: _View) -> None:
    """Draw meridians and parallels where they cross the picture, with their degrees."""
    reach = min(math.degrees(view.half_km * 1.5 / EARTH_KM), 90.0)
    step = _round_step(2 * reach / 6)
    latitude, longitude = math.degrees(view.latitude), math.degrees(view.longitude)
    south, north = max(latitude - reach, -90), min(latitude + reach, 90)
    widest = max(abs(south), abs(north))
    width = 180.0 if widest > 85 else min(reach / math.cos(math.radians(widest)), 180.0)
    across = _round_step(2 * width / 6)
    along = np.linspace(-1, 1, 181)
    for parallel in _multiples(south, north, step):
        points = np.column_stack([longitude + along * width, np.full(181, parallel)])
        _graticule_line(pen, view, points, f"{abs(parallel):g}{'N' if parallel >= 0 else 'S'}", 0)
    for meridian in _multiples(longitude - width, longitude + width, across):
        points = np.column_stack(
            [np.full(181, meridian), (south + north) / 2 + along * (north - south) / 2]
        )
        wrapped = (meridian + 180) % 360 - 180
        side = "" if abs(wrapped) in {0, 180} else "E" if wrapped > 0 else "W"
        _graticule_line(pen, view, points, f"{abs(wrapped):g}{side}", 1)


def _graticule_line(pen: ImageDraw, view: _View, points: Points, text: str, axis: int) -> None:
    pixels = view.px(points)
    pen.line(pixels, fill=_LINES, width=1)
    edge = 4.0 if axis == 0 else view.size_px - 16.0
    near = min(pixels, key=lambda p: abs(p[axis] - edge))
    if abs(near[axis] - edge) < 30 and 0 < near[1 - axis] < view.size_px - 60:
        at = (edge, near[1] + 1) if axis == 0 else (near[0] + 3, edge)
        pen.text(at, text, fill=_TEXT)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(i * step, 6) for i in range(first, last + 1)]


def _round_step(wanted: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(wanted, 1e-4)))
    return float(min((r * power for r in (*_ROUND, 10)), key=lambda s: abs(s - wanted)))


def _label(pen: ImageDraw, view: _View, footprint: Footprint, taken: list[Box]) -> None:
    """Write the label in the upper left corner, below those there already, if there is room."""
    pixels = np.array(view.px(np.vstack(list(_rings(footprint.shape)))))
    x, y = pixels[np.argmin(pixels.sum(axis=1))]
    colour = _COLOURS[True, footprint.radar]
    left = min(max(x + 4, 4), view.size_px - 120)
    top = min(max(y + 3, 20), view.size_px - 40)
    width, height = pen.textlength(footprint.label), _LINE_PX
    while any(_overlap((left, top, left + width, top + height), box) for box in taken):
        top += height
        if top > view.size_px:
            return
    taken.append((left, top, left + width, top + height))
    pen.text((left, top), footprint.label, fill=colour)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _legend(pen: ImageDraw, size_px: int, found: Found) -> None:
    counts = dict.fromkeys(_COLOURS, 0)
    for footprint in found.footprints:
        counts[footprint.chosen, footprint.radar] += 1
    km2 = found.area.km2
    entries = [(_AREA, f"area, {km2:,.0f} km2" if km2 >= 10 else f"area, {km2:.2g} km2")]
    entries += [(_COLOURS[k], f"{n} {_NAMES[k]}") for k, n in counts.items() if n]
    x, y = size_px - 170, 8
    pen.rectangle([x - 8, y - 4, size_px - 6, y + 16 * len(entries) + 2], fill=(*_PAPER, 225))
    for row, (colour, text) in enumerate(entries):
        top = y + 16 * row
        pen.line([(x, top + 6), (x + 18, top + 6)], fill=colour, width=3)
        pen.text((x + 24, top), text, fill=_TEXT)


def _scale_bar(pen: ImageDraw, view: _View) -> None:
    km = _round_step(view.half_km / 2)
    length, y = km * view.px_per_km, view.size_px - 24
    pen.line([(20, y), (20 + length, y)], fill=_TEXT, width=3)
    pen.text((20, y - 14), f"{km:g} km", fill=_TEXT)
