"""One pass of Sentinel-1, opened for processing: slices, channels, what is loaded of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import SkipJob
from skymend.core.grid import Grid, Window
from skymend.products.sentinel1 import GrdProduct, Noise
from skymend.sar.border import Border, Seams, find_border
from skymend.sar.calibration import Radiometry
from skymend.sar.doppler import to_earth_fixed, zero_doppler
from skymend.sar.engine import Chain
from skymend.sar.geolocation import RadarImage, track_of
from skymend.sar.orbit import Track, choose_orbit
from skymend.sar.passes import Pass

_log = logging.getLogger(__name__)

GUARD_LINES = 400
"""Lines and samples loaded around what the grid seems to need."""

_PROBE_M = 2_000.0
_JOINED_S = 0.5
_CONVENTION = {
    "gamma0-flattened": "beta0",
    "gamma0": "gamma0",
    "sigma0": "sigma0",
    "beta0": "beta0",
}


@dataclass(frozen=True, slots=True)
class Channel:
    """One polarisation of a slice: its numbers in memory, and what calibrates them."""

    polarisation: str
    dn: npt.NDArray[np.uint16]
    radiometry: Radiometry


@dataclass(frozen=True, slots=True)
class Slice:
    """One product of the pass.

    Parameters
    ----------
    window : part of the image that is loaded.
    channels : in the order written; empty if the grid does not touch the slice.
    border : where the image has no value; None if not looked for.
    heading : direction of flight, degrees from north.
    """

    product: GrdProduct
    image: RadarImage
    track: Track
    window: Window
    channels: tuple[Channel, ...]
    border: Border | None
    heading: float
    facts: dict[str, Any] = field(default_factory=dict)


def open_slices(
    track: Pass,
    grid: Grid,
    heights: tuple[float, float],
    chain: Chain,
    orbit: Path | None,
    *,
    residual_bistatic: bool = True,
) -> tuple[Slice, ...]:
    """Load what the grid needs of every slice.

    Parameters
    ----------
    heights : lowest and highest ellipsoidal height of the grid, metres.

    Raises
    ------
    ProductError
        if a slice lacks something, or is damaged.
    SkipJob
        if no slice touches the grid.
    """
    slices = []
    products, polarisations = track.slices, track.channels
    for index, product in enumerate(products):
        product.demand(polarisations)
        annotation = product.annotation(polarisations[0])
        image = RadarImage.of(annotation, residual_bistatic=residual_bistatic)
        states = choose_orbit(orbit, product, polarisations[0])
        orbit_track = track_of(states, annotation)
        window = _needed(image, orbit_track, grid, heights)
        if window is None:
            continue
        facts = {"orbit": states.source, "orbit_file": states.name}
        border = (
            _border(products, index, polarisations[0], chain) if chain.remove_border_noise else None
        )
        channels = tuple(_channel(product, p, window, chain) for p in polarisations)
        heading = annotation.heading
        slices.append(Slice(product, image, orbit_track, window, channels, border, heading, facts))
    if not slices:
        raise SkipJob("the pass does not touch the area")
    return tuple(slices)


def radar_coordinates(
    image: RadarImage,
    track: Track,
    longitude: npt.ArrayLike,
    latitude: npt.ArrayLike,
    height: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return line and sample of points given in degrees at one ellipsoidal height, exactly."""
    points = to_earth_fixed(np.asarray(longitude), np.asarray(latitude), height)
    seconds, slant_range, _ = zero_doppler(points, track)
    return image.line(seconds, slant_range), image.sample(seconds, slant_range)


def probe(grid: Grid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return longitude and latitude, in degrees, of points every 2 km of a grid and on its edge."""
    from pyproj import Transformer

    left, bottom, right, top = grid.bounds
    metre = 1.0 if grid.resolution > 1e-2 else 1 / 111_320.0
    counts = [
        max(2, int((b - a) / (_PROBE_M * metre)) + 2) for a, b in ((left, right), (bottom, top))
    ]
    x, y = np.meshgrid(np.linspace(left, right, counts[0]), np.linspace(top, bottom, counts[1]))
    transformer = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    longitude, latitude = transformer.transform(x, y)
    return np.asarray(longitude), np.asarray(latitude)


def _needed(
    image: RadarImage, track: Track, grid: Grid, heights: tuple[float, float]
) -> Window | None:
    """Return the part of an image that a grid needs, None if they do not meet."""
    longitude, latitude = probe(grid)
    found = [radar_coordinates(image, track, longitude, latitude, h) for h in heights]
    line, sample = (np.stack([f[k] for f in found]) for k in (0, 1))
    lines, samples = image.shape
    near = (line > -GUARD_LINES) & (line < lines + GUARD_LINES)
    near &= (sample > -GUARD_LINES) & (sample < samples + GUARD_LINES)
    if not near.any():
        return None
    top = max(int(line[near].min()) - GUARD_LINES, 0)
    left = max(int(sample[near].min()) - GUARD_LINES, 0)
    bottom = min(int(line[near].max()) + GUARD_LINES, lines)
    right = min(int(sample[near].max()) + GUARD_LINES, samples)
    return Window(top, left, bottom - top, right - left) if bottom > top and right > left else None


def _channel(product: GrdProduct, polarisation: str, window: Window, chain: Chain) -> Channel:
    quantity = _CONVENTION[chain.convention]
    table = product.calibration(polarisation).tables[quantity]  # type: ignore[index]
    noise = usable_noise(product, polarisation) if chain.remove_thermal_noise else None
    return Channel(polarisation, product.dn(polarisation, window), Radiometry(table, noise))


def usable_noise(product: GrdProduct, polarisation: str) -> Noise | None:
    """Return the thermal noise to remove; None, with a warning, where the product gives none."""
    if product.annotation(polarisation).thermal_noise_removed:
        _log.warning("%s: thermal noise was removed by the processor already", product.id)
        return None
    noise = product.noise(polarisation)
    if not noise.usable:
        what = "only zeros" if noise.zero else "no vectors"
        _log.warning("%s: %s of thermal noise for %s; left in", product.id, what, polarisation)
        return None
    return noise


def seams_of(products: Sequence[GrdProduct], index: int) -> Seams:
    """Return along which sides a slice is joined to its neighbours in time."""
    here = products[index]
    before = index > 0 and (here.time - products[index - 1].stop).total_seconds() < _JOINED_S
    after = (
        index + 1 < len(products)
        and (products[index + 1].time - here.stop).total_seconds() < _JOINED_S
    )
    return Seams(first_line=before, last_line=after)


def _border(products: Sequence[GrdProduct], index: int, polarisation: str, chain: Chain) -> Border:
    product = products[index]
    noise = product.noise(polarisation)
    table = product.calibration(polarisation).tables["beta0"]
    radiometry = Radiometry(table, noise if noise.usable else None)
    return find_border(
        lambda window: product.dn(polarisation, window),
        product.annotation(polarisation).shape,
        product.ipf,
        read_noise=radiometry.noise_power if noise.usable else None,
        seams=seams_of(products, index),
    )
