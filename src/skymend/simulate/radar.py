"""One Sentinel-1 pass: sigma nought of land under vegetation, with speckle."""

from __future__ import annotations

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.landscape import (
    BROADLEAF,
    CONIFER,
    ROAD,
    TOWN,
    WATER,
    BoolArray,
    Landscape,
    landscape,
)
from skymend.simulate.noise import blur, generator
from skymend.simulate.optical import slanted
from skymend.simulate.scenario import Orbit, Pass, Scenario
from skymend.simulate.seasons import season_of
from skymend.simulate.surface import Surface, rain_mm, surface

POLARISATIONS = ("VV", "VH")

_WAVENUMBER_PER_CM = 2 * np.pi / 5.547
_SOIL = {"VV": (-1.138, 1.528, 0.008, 0.71), "VH": (-2.325, -0.01, 0.011, 0.44)}
_CANOPY = {"VV": (0.076, 0.55), "VH": (0.0386, 0.55)}
_FOREST_DB = {"VV": (-9.2, -8.6), "VH": (-14.6, -14.0)}
_TOWN_DB = {"VV": -3.5, "VH": -11.0}
_WATER_DB = {"VV": -19.5, "VH": -27.0}
_NOISE_FLOOR = 10**-2.9
_KERNEL = np.array([0.12, 0.76, 0.12])
"""Point-spread weights that correlate neighbouring speckle (about 0.3 at 10 m)."""


def soil(
    polarisation: str, theta: FloatArray, moisture: FloatArray, roughness_cm: FloatArray
) -> FloatArray:
    """Return sigma nought of bare soil, linear.

    Baghdadi et al. 2016, Remote Sensing 8(11) 920, equations 5-7:
    ``delta cos(theta)^beta 10^(gamma cot(theta) mv) (k hrms)^(xi sin(theta))``.

    Parameters
    ----------
    polarisation : ``VV`` or ``VH``.
    theta : local incidence angle, radians.
    moisture : volumetric, m3/m3.
    roughness_cm : standard deviation of heights.
    """
    log_delta, beta, gamma, xi = _SOIL[polarisation]
    moist = 10 ** (log_delta + gamma / np.tan(theta) * 100 * moisture)
    rough = (_WAVENUMBER_PER_CM * roughness_cm) ** (xi * np.sin(theta))
    return np.asarray(np.cos(theta) ** beta * moist * rough, np.float32)


def water_cloud(
    polarisation: str,
    theta: FloatArray,
    canopy: FloatArray,
    ground: FloatArray,
    attenuation: FloatArray | float = 1.0,
) -> FloatArray:
    """Return sigma nought of vegetation over soil, linear.

    Water cloud model (Attema & Ulaby 1978, Radio Science 13(2)):
    ``A cos(theta) (1 - T2) + T2 ground`` with ``T2 = exp(-2 B V / cos(theta))`` and a
    vegetation index as V. A and B are such that a dense crop (V = 0.8) scatters about
    -11.5 dB in VV and -16 dB in VH, and VH loses about 1 dB with a mown meadow and 3 dB with a
    removed crop, the size of Sentinel-1 observations over crops and grassland
    (Baghdadi et al. 2017, Remote Sensing 9(9) 969; Veloso et al. 2017, RSE 199). VH follows
    biomass, VV mostly loses soil signal, so that VH/VV rises with the canopy
    (Vreugdenhil et al. 2018, Remote Sensing 10(9) 1396).
    """
    a, b = _CANOPY[polarisation]
    weaken = b * (attenuation if polarisation == "VV" else 1.0)
    passed = np.exp(-2 * weaken * canopy / np.cos(theta))
    return np.asarray(a * np.cos(theta) * (1 - passed) + passed * ground, np.float32)


def incidence(scenario: Scenario, orbit: Orbit, land: Landscape) -> tuple[FloatArray, FloatArray]:
    """Return ellipsoid and local incidence angles of an orbit, radians.

    A right-looking satellite sees the ground from the west when it ascends (heading about
    348 degrees) and from the east when it descends (192 degrees). The angle grows by one
    degree in 11 km across track.
    """
    sign = 1.0 if orbit.direction == "ASC" else -1.0
    columns = np.arange(scenario.size_px, dtype=np.float32) + scenario.column_px - 5490
    flat = np.radians(orbit.incidence_degrees + sign * columns / 1100.0)
    flat = np.broadcast_to(flat, scenario.shape).astype(np.float32)
    down, east = land.slopes
    toward = np.radians(258.0 if orbit.direction == "ASC" else 102.0)
    tilt = east * np.sin(toward) * np.sin(flat) - down * np.cos(toward) * np.sin(flat)
    cosine = (np.cos(flat) - tilt) / np.sqrt(1 + down**2 + east**2)
    local = np.arccos(np.clip(cosine, 0.2, 0.98))
    return flat, np.asarray(local, np.float32)


def backscatter(scenario: Scenario, acquisition: Pass) -> FloatArray:
    """Return what Sentinel-1 delivers of a pass.

    Returns
    -------
    (VV and VH, rows, columns) float32 linear sigma nought, incidence not normalised; NaN
    outside the swath.
    """
    image = np.stack([_mean(scenario, acquisition, p) for p in POLARISATIONS])
    rng = generator(scenario.seed, "speckle", *_address(acquisition))
    gain = 10 ** (rng.normal(0, 0.12, (2, 1, 1)) / 10)
    level = blur(image, 0.7) * gain + _NOISE_FLOOR / 4
    observed = np.asarray(level * speckle(image.shape, scenario.looks, rng), np.float32)
    observed[:, _edge(scenario, acquisition)] = np.nan
    return observed


def gamma0(scenario: Scenario, acquisition: Pass) -> FloatArray:
    """Return what terrain flattening ought to find: backscatter without the effect of slopes.

    Sigma nought per ellipsoid area, less the facet's tilt, over the cosine of its local
    incidence angle.

    Returns
    -------
    (VV and VH, rows, columns) float32 linear, without speckle, noise or swath edge.
    """
    land = landscape(scenario.seed, scenario.size_px)
    flat, local = incidence(scenario, acquisition.orbit, land)
    tilt = np.sin(flat) / np.sin(local) * np.cos(local)
    return np.stack([_mean(scenario, acquisition, p) / tilt for p in POLARISATIONS])


def speckle(shape: tuple[int, ...], looks: float, rng: np.random.Generator) -> FloatArray:
    """Draw multiplicative speckle: mean 1, variance 1 / looks, neighbours correlated.

    White gamma noise of fewer looks is smoothed with a small kernel that restores the
    number of looks asked for, as oversampling of multi-looked images does.
    """
    from scipy.ndimage import convolve1d

    white = looks * float((_KERNEL**2).sum()) ** 2
    noise = rng.standard_gamma(white, shape, dtype=np.float32) / np.float32(white)
    for axis in (-2, -1):
        noise = convolve1d(noise, _KERNEL, axis=axis, mode="wrap")
    return np.asarray(noise, np.float32)


def _address(acquisition: Pass) -> tuple[int, int]:
    return acquisition.day.toordinal(), acquisition.orbit.relative_orbit


def _mean(scenario: Scenario, acquisition: Pass, polarisation: str) -> FloatArray:
    """Return the speckle-free image."""
    land = landscape(scenario.seed, scenario.size_px)
    state = surface(scenario, acquisition.day)
    flat, local = incidence(scenario, acquisition.orbit, land)
    ground = soil(polarisation, local, state.moisture, state.roughness_cm)
    canopy = _wet(scenario, acquisition, state)
    open_land = water_cloud(polarisation, local, canopy, ground, state.attenuation)
    open_land *= _habit(scenario, acquisition, land)
    forest = (land.cover == BROADLEAF) | (land.cover == CONIFER)
    under_trees = state.flooded & (polarisation == "VV")
    crowns = _forest(polarisation, land, state, ground, local) * np.where(under_trees, 1.6, 1.0)
    town = _town(scenario, acquisition, land, polarisation)
    slope = np.sin(flat) / np.sin(local)
    wet = (land.cover == WATER) | (state.flooded & ~forest)
    level = np.select(
        [wet, land.cover == TOWN, forest, land.cover == ROAD],
        [_water(scenario, acquisition, polarisation), town, crowns * slope, 0.6 * open_land],
        open_land * slope,
    )
    return np.asarray(level, np.float32)


def _water(scenario: Scenario, acquisition: Pass, polarisation: str) -> float:
    """Return open water, roughened by the wind of the pass."""
    wind_db = generator(scenario.seed, "wind", *_address(acquisition)).normal(0, 1.3)
    return float(10 ** ((_WATER_DB[polarisation] + wind_db) / 10))


def _wet(scenario: Scenario, acquisition: Pass, state: Surface) -> FloatArray:
    """Return the canopy descriptor, raised a little by rain held on leaves."""
    today = rain_mm(scenario.seed, acquisition.day.toordinal())
    return np.asarray(state.canopy * (1 + 0.10 * min(today / 5.0, 1.0)), np.float32)


def _habit(scenario: Scenario, acquisition: Pass, land: Landscape) -> FloatArray:
    """Return a factor per parcel: row direction seen by the orbit, plant structure."""
    season = season_of(acquisition.day)
    structure = generator(scenario.seed, "structure", season).normal(0, 0.6, land.parcels)
    orbit = acquisition.orbit.relative_orbit
    rows = generator(scenario.seed, "rows", season, orbit).normal(0, 0.4, land.parcels)
    return np.asarray(10 ** ((structure + rows)[land.parcel] / 10), np.float32)


def _forest(
    polarisation: str, land: Landscape, state: Surface, ground: FloatArray, theta: FloatArray
) -> FloatArray:
    """Return forest backscatter; a clear-cut shows slash and soil instead."""
    broadleaf, conifer = (10 ** (db / 10) for db in _FOREST_DB[polarisation])
    crown = np.where(land.cover == BROADLEAF, broadleaf, conifer) * np.cos(theta) / np.cos(0.68)
    crown = crown * (1 + 0.10 * land.texture)
    slash = 0.8 * ground + 0.2 * crown
    return np.asarray(crown * (1 - state.felled) + slash * state.felled, np.float32)


def _town(scenario: Scenario, acquisition: Pass, land: Landscape, polarisation: str) -> FloatArray:
    """Return towns: double bounce from walls that face the orbit, between gardens."""
    rng = generator(scenario.seed, "walls", acquisition.orbit.relative_orbit)
    bounce = np.exp(rng.normal(-0.5, 1.0, land.cover.shape))
    level = 10 ** (_TOWN_DB[polarisation] / 10) * (0.15 + 1.4 * land.buildings * bounce)
    return np.asarray(level, np.float32)


def _edge(scenario: Scenario, acquisition: Pass) -> BoolArray:
    """Return what lies outside the swath: on a few passes a part of the scene."""
    rng = generator(scenario.seed, "radar-swath", *_address(acquisition))
    cut, position = rng.uniform() < scenario.partial_swath_share, rng.uniform(0.2, 0.8)
    if not cut:
        return np.zeros(scenario.shape, np.bool_)
    ascending = acquisition.orbit.direction == "ASC"
    lean = -0.21 if ascending else 0.21
    return slanted(scenario.shape, position, lean=lean, east_side=ascending)
