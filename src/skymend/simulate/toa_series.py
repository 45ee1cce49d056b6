"""The acquisitions of a scenario at the top of the atmosphere: Level-1C."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.simulate.atmosphere import Air
from skymend.simulate.cloud_scene import CloudScene
from skymend.simulate.clouds import Sky, sky
from skymend.simulate.geotiff import write_band
from skymend.simulate.granule import Granule, require_whole_pixels
from skymend.simulate.landscape import WATER, landscape
from skymend.simulate.msi import BANDS, Swath, centres
from skymend.simulate.noise import generator
from skymend.simulate.optical import NODATA, swath_edge, through, true_labels
from skymend.simulate.safe_s2 import write_l1c
from skymend.simulate.safe_series import platform, sampled, swath
from skymend.simulate.scenario import BANDS as TEN_BANDS
from skymend.simulate.scenario import Scenario
from skymend.simulate.spectra import reflectance, sun

CIRRUS_M = 9000.0
_REFERENCE = "B04"
_ICE = 0.30
"""Reflectance in B10 of cirrus as opaque as the scenario's ever gets, before absorption."""


def toa_granule(scenario: Scenario, day: date) -> Granule:
    """Return the Level-1C acquisition of a day, all thirteen bands.

    Land, sky, shadows and swath edge are those of the Level-2A product of the day. The air
    is put back, and clouds stand displaced between bands by their height: low ones at the
    day's cloud base above ground, cirrus at 9 km; where B04 sees them is where the truth has
    them.
    """
    require_whole_pixels(scenario.grid)
    full = scenario.model_copy(update={"bands": TEN_BANDS})
    above = sky(scenario, day)
    zenith, _ = sun(scenario, scenario.optical_time(day))
    air = Air(zenith, aerosol_depth=0.05 + 10 * float(np.mean(above.aerosol)))
    surface = dict(zip(TEN_BANDS, reflectance(full, day), strict=True))
    edge = swath_edge(scenario, day)
    images = {}
    for band in BANDS:
        image = _band(scenario, band, surface, above, air)
        images[band] = _sensed(scenario, day, band, np.where(edge, np.nan, image))
    labels = true_labels(above, landscape(scenario.seed, scenario.size_px).cover == WATER)
    labels[edge] = NODATA
    return Granule(
        platform=platform(scenario, day),
        level="L1C",
        time=scenario.optical_time(day),
        tile=scenario.tile,
        baseline=scenario.baseline,
        grid=scenario.grid,
        reflectance=images,
        labels=labels,
        swath=swath(scenario),
        aerosol=air.aerosol_depth,
        cloud=1 - (1 - above.thick) * (1 - above.thin),
        cirrus=above.thin,
    )


def scene_granule(scene: CloudScene, *, baseline: str = "05.00", tile: str = "31TCJ") -> Granule:
    """Return a cloud scene as a Level-1C acquisition of Sentinel-2A.

    Parameters
    ----------
    scene : of Sentinel-2.
    baseline : processing baseline of the product.
    """
    images = {
        band: np.ascontiguousarray(plane[:: info.resolution_m // 10, :: info.resolution_m // 10])
        for (band, info), plane in zip(BANDS.items(), scene.reflectance, strict=True)
    }
    return Granule(
        platform="S2A",
        level="L1C",
        time=scene.time,
        tile=tile,
        baseline=baseline,
        grid=scene.grid,
        reflectance=images,
        labels=scene.labels,
        swath=scene.swath,
        cloud=np.asarray(1 - np.exp(-0.5 * scene.depth), np.float32),
        cirrus=np.asarray(1 - np.exp(-0.5 * scene.ice_depth), np.float32),
        sun_angles=scene.sun,
    )


def write_scene(folder: Path, scene: CloudScene, *, baseline: str = "05.00") -> Path:
    """Write a cloud scene of Sentinel-2 with its elevation and truth.

    Parameters
    ----------
    folder : receives the Level-1C product, ``elevation.tif`` (metres) and ``labels.tif``
        (true label set, uint8), both on the scene's grid.

    Returns
    -------
    The product folder.
    """
    product = write_l1c(folder, scene_granule(scene, baseline=baseline))
    write_band(folder / "elevation.tif", scene.elevation, scene.grid, nodata=-32768.0)
    write_band(folder / "labels.tif", scene.labels, scene.grid, nodata=0)
    return product


def _band(
    scenario: Scenario, band: str, surface: dict[str, FloatArray], above: Sky, air: Air
) -> FloatArray:
    """Return one band at the top of the atmosphere."""
    moved = _displaced(above, band, swath(scenario), scenario)
    opacity = 1 - (1 - moved.thick) * (1 - moved.thin)
    height = np.asarray(CIRRUS_M * moved.thin + above.weather.base_m * moved.thick, np.float32)
    if band == "B10":
        ground = 0.3 * (1 - opacity) + 0.4 * moved.thick
        low = ground * air.transmittance(band, above.weather.base_m, 1e6)
        return np.asarray(low + _ICE * moved.thin / 0.38 * air.transmittance(band, CIRRUS_M, 1e6))
    source = {"B01": "B02", "B09": "B8A"}.get(band, band)
    seen = through(source, moved, (0.85 if band == "B01" else 1.0) * surface[source])
    # A cloud top lies above most of the air that the ground is seen through.
    clear = seen * air.transmittance(band, 0.0, 1e6) + air.path(band, 0.0, 1e6)
    top = seen * air.transmittance(band, height, 1e6) + air.path(band, height, 1e6)
    return np.asarray(clear * (1 - opacity) + top * opacity, np.float32)


def _displaced(above: Sky, band: str, place: Swath, scenario: Scenario) -> Sky:
    """Return the sky as a band sees it, relative to B04."""
    x, y = centres(scenario.grid)
    east, north = place.tangents(band, x, y)
    east0, north0 = place.tangents(_REFERENCE, x, y)
    tangents = [np.asarray(t, np.float32) for t in (east - east0, north - north0)]
    base = above.weather.base_m
    return replace(
        above,
        thick=_moved(above.thick, base, *tangents),
        whiteness=_moved(above.whiteness, base, *tangents),
        thin=_moved(above.thin, CIRRUS_M, *tangents),
    )


def _moved(image: FloatArray, height_m: float, east: FloatArray, north: FloatArray) -> FloatArray:
    from scipy.ndimage import map_coordinates

    rows, columns = np.indices(image.shape, np.float64)
    climb = height_m / 10.0
    places = np.stack([rows - climb * north, columns + climb * east])
    return np.asarray(map_coordinates(image, places, order=1, mode="nearest"), np.float32)


def _sensed(scenario: Scenario, day: date, band: str, image: FloatArray) -> FloatArray:
    """Return the band's own pixels with noise and the date's calibration error of 1 %."""
    rng = generator(scenario.seed, "sensor-l1c", band, day.toordinal())
    seen = sampled(image, BANDS[band].resolution_m)
    gain = float(np.exp(rng.normal(0, 0.01)))
    grain = rng.standard_normal(seen.shape, dtype=np.float32)
    return np.asarray(seen * gain + grain * np.hypot(0.001, 0.006 * seen), np.float32)
