"""Reflectance of the land: a linear mixture of end members, lit by the sun."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.ephemeris import sun_position
from skymend.simulate.landscape import BROADLEAF, CONIFER, ROAD, TOWN, WATER, Landscape, landscape
from skymend.simulate.noise import blur, generator
from skymend.simulate.scenario import BANDS_20M, Scenario
from skymend.simulate.seasons import season_of
from skymend.simulate.surface import Surface, surface

_ORDER = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
_SPECTRA = {
    "crop": (0.028, 0.056, 0.030, 0.092, 0.30, 0.40, 0.440, 0.455, 0.195, 0.088),
    "straw": (0.082, 0.122, 0.175, 0.210, 0.25, 0.28, 0.310, 0.330, 0.365, 0.255),
    "bright soil": (0.105, 0.145, 0.195, 0.215, 0.235, 0.255, 0.275, 0.29, 0.355, 0.31),
    "dark soil": (0.055, 0.075, 0.100, 0.115, 0.130, 0.140, 0.155, 0.165, 0.215, 0.185),
    "broadleaf": (0.021, 0.045, 0.022, 0.076, 0.27, 0.36, 0.390, 0.405, 0.165, 0.070),
    "conifer": (0.016, 0.030, 0.018, 0.050, 0.14, 0.18, 0.200, 0.210, 0.092, 0.042),
    "branches": (0.035, 0.048, 0.058, 0.080, 0.110, 0.13, 0.150, 0.160, 0.190, 0.130),
    "water": (0.046, 0.050, 0.032, 0.026, 0.018, 0.016, 0.014, 0.013, 0.008, 0.006),
    "flood": (0.070, 0.092, 0.098, 0.095, 0.070, 0.065, 0.058, 0.055, 0.018, 0.012),
    "roof": (0.110, 0.128, 0.165, 0.175, 0.185, 0.195, 0.205, 0.210, 0.255, 0.240),
    "asphalt": (0.090, 0.100, 0.107, 0.112, 0.118, 0.122, 0.128, 0.132, 0.150, 0.140),
    "blossom": (0.045, 0.150, 0.130, 0.190, 0.360, 0.440, 0.475, 0.490, 0.215, 0.110),
}
"""End members, nadir surface reflectance 0..1: rounded from the ranges of the USGS spectral
library version 7 (Kokaly et al. 2017) resampled to Sentinel-2 bands."""

_BLUR_PX = {"10 m": 0.55, "20 m": 0.85}
_RESIDUAL_RELIEF = 0.35


def sun(scenario: Scenario, when: datetime) -> tuple[float, float]:
    """Return the sun's zenith and azimuth (clockwise from north) at the scene, degrees.

    Within 0.1 degree of an ephemeris (:func:`~skymend.simulate.ephemeris.sun_position`).
    """
    zenith, azimuth = sun_position(*_centre(scenario), when)
    return float(zenith), float(azimuth)


def _centre(scenario: Scenario) -> tuple[float, float]:
    """Return (latitude, longitude) of the scene's centre, degrees."""
    from rasterio.warp import transform

    left, bottom, right, top = scenario.grid.bounds
    x, y = transform(scenario.grid.crs, "EPSG:4326", [(left + right) / 2], [(bottom + top) / 2])[:2]
    return float(y[0]), float(x[0])


@lru_cache(maxsize=2)
def reflectance(scenario: Scenario, day: date) -> FloatArray:
    """Return the cloud-free surface reflectance of a day.

    Returns
    -------
    (bands, rows, columns) float32, 0..1, on the 10 m grid in the order of
    ``scenario.bands``; bands of 20 m are there as a 20 m sensor would sample them.
    """
    land = landscape(scenario.seed, scenario.size_px)
    state = surface(scenario, day)
    light = _light(scenario, land, day)
    colours = _parcel_colours(scenario, land, day)
    images = []
    for band in scenario.bands:
        mixed = _mix(band, land, state, colours[:, _ORDER.index(band)])
        coarse = band in BANDS_20M
        images.append(blur(mixed * light, _BLUR_PX["20 m" if coarse else "10 m"]))
    stack = np.clip(np.stack(images), 0.001, 1.0).astype(np.float32)
    for index, band in enumerate(scenario.bands):
        if band in BANDS_20M:
            stack[index] = _at_20m(stack[index])
    return stack


def _at_20m(image: FloatArray) -> FloatArray:
    rows, columns = image.shape
    means = image.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    return np.asarray(means.repeat(2, axis=0).repeat(2, axis=1))


def _parcel_colours(scenario: Scenario, land: Landscape, day: date) -> FloatArray:
    """Return a factor per parcel and band: varieties, nutrition, leaf angles."""
    rng = generator(scenario.seed, "colour", season_of(day))
    brightness = rng.normal(0, 0.07, (land.parcels, 1))
    tint = rng.normal(0, 0.035, (land.parcels, len(_ORDER)))
    return np.asarray(np.exp(brightness + tint), np.float32)


def _mix(band: str, land: Landscape, state: Surface, colour: FloatArray) -> FloatArray:
    member = {name: values[_ORDER.index(band)] for name, values in _SPECTRA.items()}
    leaf = np.select(
        [land.cover == BROADLEAF, land.cover == CONIFER],
        [member["broadleaf"], member["conifer"] * (1 + 0.12 * land.texture)],
        member["crop"],
    )
    leaf = leaf + state.blossom * (member["blossom"] - leaf)
    tinted = colour[land.parcel]
    soil = _soil(member, land, state)
    forest = (land.cover == BROADLEAF) | (land.cover == CONIFER)
    floor = np.where(forest & (state.felled < 0.05), member["branches"], soil)
    dead = np.where(forest, 0.5 * (member["straw"] + member["branches"]), member["straw"])
    bare = 1 - state.green - state.dry
    mixed = (state.green * leaf + state.dry * dead) * tinted + bare * floor * np.sqrt(tinted)
    mixed = mixed * (1 + 0.03 * land.texture)
    mixed = np.where(land.cover == TOWN, _town(member, land), mixed)
    mixed = np.where(land.cover == ROAD, 0.6 * member["asphalt"] + 0.4 * soil, mixed)
    water = member["water"] * (1 + 0.05 * land.variation)
    mixed = np.where(state.flooded & ~forest, member["flood"] * (1 + 0.1 * land.variation), mixed)
    return np.asarray(np.where(land.cover == WATER, water, mixed), np.float32)


def _soil(member: dict[str, float], land: Landscape, state: Surface) -> FloatArray:
    """Return soil reflectance; moisture darkens it by up to 45 % (Lobell & Asner 2002)."""
    dry = member["dark soil"] + land.soil_tone * (member["bright soil"] - member["dark soil"])
    wet = np.clip((state.moisture - 0.08) / 0.30, 0, 1)
    shade = 1 - 0.06 * np.clip(state.roughness_cm - 0.9, 0, 2)
    return np.asarray(dry * (1 - 0.45 * wet) * shade, np.float32)


def _town(member: dict[str, float], land: Landscape) -> FloatArray:
    paved = 1 - land.buildings - land.gardens
    garden = 0.75 * member["crop"] + 0.25 * member["straw"]
    roof = member["roof"] * (1 + 0.16 * land.texture)
    town = land.buildings * roof + land.gardens * garden + paved * member["asphalt"]
    return np.asarray(town, np.float32)


def _light(scenario: Scenario, land: Landscape, day: date) -> FloatArray:
    """Return the share of illumination differences that terrain correction leaves.

    The cosine of the local sun angle (Teillet et al. 1982) relative to flat ground, damped,
    because THEIA's FRE bands are corrected for slopes to first order.
    """
    zenith, azimuth = (np.radians(a) for a in sun(scenario, scenario.optical_time(day)))
    down, east = land.slopes
    toward_east = np.sin(zenith) * np.sin(azimuth)
    toward_south = -np.sin(zenith) * np.cos(azimuth)
    normal = np.sqrt(1 + down**2 + east**2)
    cosine = (np.cos(zenith) - east * toward_east - down * toward_south) / normal
    ratio = np.clip(cosine, 0, None) / np.cos(zenith)
    return np.asarray(1 + _RESIDUAL_RELIEF * (ratio - 1), np.float32)
