"""One pass as the external engines take it: its slices in order, its channels, its orbit file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from skymend.core.errors import ConfigError, ProductError
from skymend.core.grid import Grid
from skymend.products.sentinel1 import GrdProduct, open_grd
from skymend.sar.engine import Chain
from skymend.sar.orbit import OrbitName, best_orbit_file


@dataclass(frozen=True, slots=True)
class Pass:
    """Slices of one pass.

    Parameters
    ----------
    slices : in order of time.
    channels : polarisations to process, in the order written.
    """

    slices: tuple[GrdProduct, ...]
    channels: tuple[str, ...]

    @property
    def first(self) -> GrdProduct:
        """The slice taken first; it names the pass."""
        return self.slices[0]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The products on disk."""
        return tuple(product.path for product in self.slices)

    def orbit_file(self, orbit: Path | None) -> Path | None:
        """Return the EOF file of the pass: the one given, or the best of a folder.

        Raises
        ------
        ProductError
            if a file given is missing, or of another satellite.
        """
        if orbit is None:
            return None
        if orbit.is_dir():
            first, last = self.slices[0], self.slices[-1]
            return best_orbit_file(orbit, first.platform, first.time, last.stop)
        name = OrbitName.parse(orbit.name)
        if orbit.is_file() and name is not None and name.platform == self.first.platform:
            return orbit
        raise ProductError(
            where=orbit,
            expected=f"an orbit file of {self.first.platform} under its own name (....EOF)",
            found=name.platform if name else "no such file" if not orbit.exists() else "another",
            fix="give the EOF of the pass, or leave it out",
        )


def open_pass(products: Sequence[Path], wanted: Sequence[str]) -> Pass:
    """Open the slices of one pass.

    Parameters
    ----------
    products : IW GRD folders or zips, in any order.
    wanted : channels; all that the slices share when empty.

    Raises
    ------
    ProductError
        if a slice is damaged or of another kind, lacks a channel, is of another pass, or shows
        what another slice shows.
    ConfigError
        if no product is given.
    """
    if not products:
        raise ConfigError(
            where="products", expected="one product or more", found="none", fix="name one"
        )
    slices = tuple(sorted((open_grd(path) for path in products), key=lambda p: p.time))
    for product in slices:
        _check_same(slices[0], product)
    for before, after in pairwise(slices):
        _check_follows(before, after)
    shared = tuple(p for p in slices[0].polarisations if all(p in s.polarisations for s in slices))
    missing = [p for p in wanted if p not in shared]
    if missing or not shared:
        raise ProductError(
            where=slices[0].path,
            expected=f"the polarisation {missing[0] if missing else 'of all slices'}",
            found=", ".join(shared) or "none in common",
            fix="ask for polarisations that the product has",
        )
    return Pass(slices, tuple(wanted) or shared)


def _check_same(first: GrdProduct, other: GrdProduct) -> None:
    def said(product: GrdProduct) -> str:
        return f"{product.platform}, orbit {product.relative_orbit}, {product.time:%Y-%m-%d}"

    same_track = (first.platform, first.relative_orbit) == (other.platform, other.relative_orbit)
    if same_track and abs((other.time - first.time).total_seconds()) < 600:
        return
    raise ProductError(
        where=other.path,
        expected=f"a slice of the same pass: {said(first)}",
        found=said(other),
        fix="process one pass at a time",
    )


def _check_follows(before: GrdProduct, after: GrdProduct) -> None:
    if after.time >= before.time + (before.stop - before.time) / 2:
        return
    raise ProductError(
        where=after.path,
        expected="slices that follow one another",
        found=f"most of the stretch of {before.path.name} once more",
        fix="leave one of the two away",
    )


def lonlat_bounds(grid: Grid, margin_m: float) -> tuple[float, float, float, float]:
    """Return west, south, east, north in degrees around a grid and a margin.

    Raises
    ------
    ConfigError
        if the area crosses the antimeridian: no box in longitude and latitude holds it.
    """
    from rasterio.warp import transform_bounds

    left, bottom, right, top = grid.bounds
    padded = (left - margin_m, bottom - margin_m, right + margin_m, top + margin_m)
    west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", *padded, densify_pts=21)
    if west > east:
        raise ConfigError(
            where="grid",
            expected="an area on one side of the antimeridian",
            found=f"{west:.2f} to {east:.2f} degrees east",
            fix="use the engine embedded",
        )
    return west, south, east, north


def pass_facts(track: Pass, chain: Chain, engine: str) -> dict[str, Any]:
    """Return the facts that the scenes of all engines share, by the names of the embedded one.

    Noise counts as removed where the chain asks for it: an external engine does not say.
    """
    first = track.first
    return {
        "engine": engine,
        "convention": chain.convention,
        "relative_orbit": first.relative_orbit,
        "direction": first.direction,
        "platform": first.platform,
        "datetime": first.time.isoformat(),
        "products": [product.id for product in track.slices],
        "polarisations": list(track.channels),
        "ipf": sorted({product.ipf for product in track.slices}),
        "orbit": ["annotation"],
        "orbit_file": [],
        "thermal_noise_removed": chain.remove_thermal_noise,
        "border_noise_removed": chain.remove_border_noise,
        "speckle": chain.speckle,
        "multilook": chain.multilook,
        "decibel": chain.decibel,
    }
