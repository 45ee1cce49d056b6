"""The ground under a cloud scene: farmland, and on request snow, a bright town, a coast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.landscape import WATER, BoolArray, landscape
from skymend.simulate.msi import BANDS
from skymend.simulate.noise import blur, fractal, generator, logistic
from skymend.simulate.relief import cast_shadow, cosine, mountains
from skymend.simulate.scenario import BANDS as TEN_BANDS
from skymend.simulate.scenario import Scenario
from skymend.simulate.spectra import reflectance

_SPECTRA = {
    "snow": (0.92, 0.92, 0.91, 0.89, 0.88, 0.87, 0.85, 0.83, 0.80, 0.66, 0.40, 0.10, 0.08),
    "sea": (.045, .042, .030, .014, .011, .009, .008, .007, .006, .005, .004, .004, .003),
    "shoal": (.060, .075, .085, .050, .038, .020, .017, .015, .012, .010, .006, .005, .004),
    "sand": (0.17, 0.21, 0.27, 0.33, 0.35, 0.37, 0.38, 0.39, 0.40, 0.40, 0.41, 0.45, 0.39),
    "white roof": (0.34, 0.40, 0.44, 0.47, 0.48, 0.48, 0.48, 0.48, 0.48, 0.47, 0.44, 0.40, 0.34),
    "concrete": (0.16, 0.19, 0.23, 0.27, 0.28, 0.29, 0.30, 0.31, 0.32, 0.32, 0.33, 0.36, 0.34),
    "tile": (0.06, 0.07, 0.10, 0.20, 0.23, 0.25, 0.26, 0.27, 0.28, 0.29, 0.33, 0.38, 0.34),
    "street": (0.07, 0.08, 0.09, 0.10, 0.11, 0.11, 0.12, 0.12, 0.13, 0.13, 0.14, 0.15, 0.14),
}  # fmt: skip
"""Reflectance of B01 to B12 (with B8A, B09 and B10 in their place), rounded from the USGS
spectral library version 7 (Kokaly et al. 2017) and, for snow, Warren (1982, Rev. Geophys. 20)."""

_MOUNTAINS_M, _SNOW_LINE_M = 1500.0, 620.0
_ROOF_PX = 4


@dataclass(frozen=True, slots=True)
class Ground:
    """What lies under the clouds; maps are (rows, columns) at 10 m.

    Parameters
    ----------
    reflectance : (13 bands, rows, columns) of the surface.
    elevation : metres above sea level.
    cosine : of the sun's angle to the ground relative to flat ground.
    terrain_shadow : hidden from the sun by terrain.
    water, snow : truth.
    temperature : of the surface, kelvin.
    sea_level_kelvin : air temperature at sea level.
    """

    reflectance: FloatArray
    elevation: FloatArray
    cosine: FloatArray
    terrain_shadow: BoolArray
    water: BoolArray
    snow: BoolArray
    temperature: FloatArray
    sea_level_kelvin: float


def ground(
    scenario: Scenario,
    day: date,
    sun: tuple[float, float],
    *,
    snow: bool = False,
    town: bool = False,
    coast: bool = False,
) -> Ground:
    """Build the ground of a scene.

    Parameters
    ----------
    scenario : with the ten bands of 10 and 20 m.
    sun : (zenith, azimuth) degrees.
    snow, town, coast : what to add.
    """
    seed, size = scenario.seed, scenario.size_px
    land = landscape(seed, size)
    elevation = land.elevation
    stack = _thirteen(scenario, day)
    water = land.cover == WATER
    if snow:
        elevation = elevation + mountains(seed, size, _MOUNTAINS_M)
    if town:
        stack, water = _add_town(seed, stack, water)
    if coast:
        stack, elevation, water = _add_coast(seed, stack, elevation, water)
    share = _snow_share(seed, elevation, water) if snow else np.zeros(water.shape, np.float32)
    stack = stack + share * (_spectrum("snow") - stack)
    sea_level = 278.0 if snow else 298.0
    return Ground(
        reflectance=np.asarray(stack, np.float32),
        elevation=elevation,
        cosine=np.clip(cosine(elevation, *sun), 0, 2.0),
        terrain_shadow=cast_shadow(elevation, *sun) | (cosine(elevation, *sun) <= 0),
        water=water,
        snow=np.asarray(share > 0.5),
        temperature=_temperature(sea_level, elevation, stack, share, water),
        sea_level_kelvin=sea_level,
    )


def _spectrum(name: str) -> FloatArray:
    return np.asarray(_SPECTRA[name], np.float32)[:, None, None]


def _thirteen(scenario: Scenario, day: date) -> FloatArray:
    """Return the surface in all bands: the other three follow their neighbours."""
    ten = dict(zip(TEN_BANDS, reflectance(scenario, day), strict=True))
    ten["B01"] = 0.85 * ten["B02"]
    ten["B09"] = 0.5 * (ten["B8A"] + ten["B11"])
    ten["B10"] = 0.9 * ten["B11"]
    return np.stack([ten[b] for b in BANDS])


def _add_town(seed: int, stack: FloatArray, water: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Put a town with an industrial quarter into the scene: blocks with roofs of all kinds."""
    rng = generator(seed, "bright-town")
    rows, columns = np.indices(water.shape, np.float32)
    row, column = rng.uniform(0.3, 0.7, 2) * water.shape[0]
    radius = 0.16 * water.shape[0]
    ragged = fractal(water.shape, rng, slope=2.9, longest_px=70)
    distance = np.hypot(rows - row, columns - column) / radius
    inside = distance + 0.18 * ragged < 1
    angle = rng.uniform(0, np.pi / 2)
    along = (columns * np.cos(angle) + rows * np.sin(angle)) / _ROOF_PX
    across = (rows * np.cos(angle) - columns * np.sin(angle)) / _ROOF_PX
    block = (np.floor(along).astype(int) % 97, np.floor(across).astype(int) % 89)
    kinds = ("white roof", "concrete", "tile", "street")
    kind = rng.choice(4, (97, 89), p=(0.10, 0.25, 0.40, 0.25))[block]
    tone = np.exp(rng.normal(0, 0.15, (97, 89)))[block]
    street = (np.mod(along, 1) < 0.2) | (np.mod(across, 1) < 0.2)
    kind = np.where(street, 3, kind)
    built = np.zeros_like(stack)
    for number, name in enumerate(kinds):
        built += np.where(kind == number, _spectrum(name) * tone, 0)
    return np.where(inside, built, stack).astype(np.float32), water & ~inside


def _add_coast(
    seed: int, stack: FloatArray, elevation: FloatArray, water: BoolArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Let the east of the scene be sea, with shoals and a beach of 20 to 80 m."""
    rng = generator(seed, "coast")
    columns = np.indices(water.shape, np.float32)[1]
    bays = 35 * fractal(water.shape, rng, slope=3.2, longest_px=300)
    offshore = columns - rng.uniform(0.62, 0.75) * water.shape[1] + bays
    deep = np.clip(offshore / 40, 0, 1)
    swell = 1 + 0.06 * fractal(water.shape, rng, slope=2.0, longest_px=30)
    sea = (_spectrum("shoal") * (1 - deep) + _spectrum("sea") * deep) * swell
    beach = (offshore > -rng.uniform(2, 8)) & (offshore <= 0)
    stack = np.where(beach, _spectrum("sand"), stack)
    stack = np.where(offshore > 0, sea, stack)
    slope = np.clip(blur(-offshore, 4.0) / 60, 0, 1)
    level = np.where(offshore > 0, 0, elevation * slope).astype(np.float32)
    return stack.astype(np.float32), level, (water & ~beach) | (offshore > 0)


def _snow_share(seed: int, elevation: FloatArray, water: BoolArray) -> FloatArray:
    """Return snow cover: patchy at the snow line, closed 150 m above it."""
    patches = fractal(elevation.shape, generator(seed, "snow"), slope=2.4, longest_px=60)
    share = logistic(np.asarray((elevation + 60 * patches - _SNOW_LINE_M) / 35, np.float32))
    return np.where(water, 0, share).astype(np.float32)


def _temperature(
    sea_level: float,
    elevation: FloatArray,
    stack: FloatArray,
    snow: FloatArray,
    water: BoolArray,
) -> FloatArray:
    """Return surface temperature: bare ground warm, plants and water cool, snow below 0 C."""
    order = list(BANDS)
    red, near = stack[order.index("B04")], stack[order.index("B08")]
    green = np.clip((near - red) / (near + red + 1e-6), 0, 1)
    warm = sea_level - 6.5e-3 * elevation + 8 * (1 - green)
    warm = np.where(water, sea_level - 6, warm)
    return np.where(snow > 0.5, np.minimum(warm, 271), warm).astype(np.float32)
