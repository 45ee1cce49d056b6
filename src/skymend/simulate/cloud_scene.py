"""Scenes made to test cloud masks: clouds, shadows and bright ground with known truth.

Light goes from the sun through the cloud sheets to sloping ground and up to the sensor
through sheets that stand displaced by the view angle of each band and detector. Truth
follows from optical depths along those rays, never from the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import numpy as np

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.simulate.atmosphere import Air
from skymend.simulate.ground import Ground, ground
from skymend.simulate.landscape import BoolArray
from skymend.simulate.msi import BANDS, Swath, centres
from skymend.simulate.noise import generator
from skymend.simulate.scenario import BANDS as TEN_BANDS
from skymend.simulate.scenario import Scenario
from skymend.simulate.sheets import Sheet, bank, cirrus, cumulus

Sensor = Literal["sentinel-2", "landsat-8"]

NODATA, CLEAR, CLOUD, SHADOW, SNOW, WATER = range(6)
CLOUD_DEPTH, CIRRUS_DEPTH, SHADOW_LOSS = 0.8, 0.35, 0.45
"""What the truth calls cloud (optical depth along the view: reflectance about 0.09 for
droplets and 0.04 for ice) and shadow (share of the direct beam lost)."""

_LANDSAT = {
    "B01": "B01", "B02": "B02", "B03": "B03", "B04": "B04",
    "B05": "B8A", "B06": "B11", "B07": "B12", "B09": "B10",
}  # fmt: skip
"""Landsat 8 and 9 bands and the Sentinel-2 bands of the same wavelengths."""
_REFERENCE = "B04"
_LIT_FROM_AROUND = 0.10
_SUMMER, _WINTER = date(2021, 7, 5), date(2021, 2, 10)


@dataclass(frozen=True, slots=True)
class CloudScene:
    """One acquisition with clouds and its truth; maps are (rows, columns) on ``grid``.

    Parameters
    ----------
    sensor : ``sentinel-2`` or ``landsat-8``.
    bands : names, in the order of ``reflectance``.
    grid : 10 m for Sentinel-2, 30 m for Landsat.
    time : UTC.
    reflectance : (bands, rows, columns) float32 at the top of the atmosphere; bands of 20 and
        60 m are there as their pixels.
    brightness_temperature : kelvin at 10.9 um, at every pixel.
    labels : uint8, true label set: 1 clear, 2 cloud, 3 shadow, 4 snow, 5 water.
    terrain_shadow : hidden from the sun by terrain.
    elevation : metres above sea level.
    depth, ice_depth : optical depth along the view of B04, of all clouds and of cirrus.
    beam : share of the direct beam that reaches the ground through clouds, 0..1.
    sun : (zenith, azimuth) degrees.
    swath : where the scene lies in the swath, for the view angles.
    """

    sensor: Sensor
    bands: tuple[str, ...]
    grid: Grid
    time: datetime
    reflectance: FloatArray
    brightness_temperature: FloatArray
    labels: ByteArray
    terrain_shadow: BoolArray
    elevation: FloatArray
    depth: FloatArray
    ice_depth: FloatArray
    beam: FloatArray
    sun: tuple[float, float]
    swath: Swath


@dataclass(frozen=True, slots=True)
class _Rays:
    """The sheets, lowest first, and how light runs through them."""

    sheets: tuple[Sheet, ...]
    elevation: FloatArray
    sun: tuple[float, float]
    swath: Swath
    grid: Grid
    parallax: bool

    def seen(self, band: str) -> list[FloatArray]:
        """Return the vertical optical depth of each sheet where a band's rays pass it."""
        east, north = (
            self.swath.tangents(band, *centres(self.grid)) if self.parallax else (0.0, 0.0)
        )
        return [s.along(east, north, self.elevation) for s in self.sheets]

    def beam(self) -> FloatArray:
        """Return the share of the direct beam that all sheets let pass."""
        zenith, azimuth = (np.radians(a) for a in self.sun)
        east, north = np.tan(zenith) * np.sin(azimuth), np.tan(zenith) * np.cos(azimuth)
        passed = np.ones(self.elevation.shape, np.float32)
        for sheet in self.sheets:
            passed *= sheet.direct(sheet.along(east, north, self.elevation), self.sun[0])
        return passed


def cloud_scene(
    seed: int,
    *,
    size_px: int = 900,
    snow: bool = False,
    town: bool = False,
    coast: bool = False,
    sun_zenith: float = 35.0,
    sun_azimuth: float = 150.0,
    sensor: Sensor = "sentinel-2",
    parallax: bool = True,
    cover: float = 0.16,
    cloud_size: float = 1.0,
) -> CloudScene:
    """Simulate one cloudy acquisition.

    Cumulus of all sizes from single pixels to kilometres, a bank of stratocumulus, cirrus,
    and their shadows, over farmland with forest, water and villages. Clouds outside the
    scene throw their shadows into it.

    Parameters
    ----------
    seed : of everything.
    size_px : rows and columns at 10 m, a multiple of 6.
    snow : mountains with snow above a snow line, in February.
    town : a town with bright roofs and concrete.
    coast : sea, surf-free, with a bright beach.
    sun_zenith, sun_azimuth : degrees.
    sensor : ``landsat-8`` has its bands at 30 m, no parallax, and a use for the temperature.
    parallax : displace clouds by view angles, as the real instrument does.
    cover : share of the sky with cumulus; bank and cirrus take a third of it each.
    cloud_size : 1 for clouds of up to a kilometre, of which no mask at 20 m can reach an F1
        above 0.98 nor one at 60 m above 0.94: their rims are that large.

    Raises
    ------
    ConfigError
        if ``size_px`` is no multiple of 6.
    """
    if size_px % 6:
        raise ConfigError(
            where="cloud scene",
            expected="a size_px that is a multiple of 6",
            found=str(size_px),
            fix="round it",
        )
    scenario = Scenario(size_px=size_px, seed=seed, bands=TEN_BANDS, column_px=5004, row_px=5004)
    day = _WINTER if snow else _SUMMER
    sun = (sun_zenith, sun_azimuth)
    land = ground(scenario, day, sun, snow=snow, town=town, coast=coast)
    left, bottom, right, top = scenario.grid.bounds
    swath = Swath(((left + right) / 2, (bottom + top) / 2))
    sheets = _sheets(seed, size_px, cover, float(np.median(land.elevation)), cloud_size)
    moving = parallax and sensor == "sentinel-2"
    rays = _Rays(sheets, land.elevation, sun, swath, scenario.grid, moving)
    scene = _image(seed, scenario, day, land, rays)
    return _as_landsat(scene) if sensor == "landsat-8" else scene


def _sheets(seed: int, size_px: int, cover: float, sea_m: float, scale: float) -> tuple[Sheet, ...]:
    """Draw the clouds; the field is larger than the scene, so that it hardly repeats."""
    rng = generator(seed, "layers")
    side = size_px + size_px // 3
    base = sea_m + rng.uniform(700, 1300)
    sheets = cumulus(seed, side, cover, base, scale)
    sheets.append(bank(seed, side, cover / 3, base + rng.uniform(900, 1500), scale))
    sheets.append(cirrus(seed, side, cover / 3, rng.uniform(8500, 10_500)))
    return tuple(sorted(sheets, key=lambda s: s.height_m))


def _image(seed: int, scenario: Scenario, day: date, land: Ground, rays: _Rays) -> CloudScene:
    air = Air(rays.sun[0], aerosol_depth=float(generator(seed, "air").uniform(0.08, 0.22)))
    beam = rays.beam()
    stack = np.stack(
        [_band(b, land.reflectance[i], land, rays, air, beam) for i, b in enumerate(BANDS)]
    )
    depths = rays.seen(_REFERENCE)
    ice = np.sum([d for d, s in zip(depths, rays.sheets, strict=True) if s.ice], axis=0)
    depth = np.sum(depths, axis=0)
    return CloudScene(
        sensor="sentinel-2",
        bands=tuple(BANDS),
        grid=scenario.grid,
        time=datetime(day.year, day.month, day.day, 10, 50, 31, tzinfo=UTC),
        reflectance=_sensed(seed, stack),
        brightness_temperature=_temperature(seed, land, rays, depths, beam),
        labels=_labels(land, np.asarray(depth), np.asarray(ice), beam),
        terrain_shadow=land.terrain_shadow,
        elevation=land.elevation,
        depth=np.asarray(depth, np.float32),
        ice_depth=np.asarray(ice, np.float32),
        beam=beam,
        sun=rays.sun,
        swath=rays.swath,
    )


def _band(
    band: str, surface: FloatArray, land: Ground, rays: _Rays, air: Air, beam: FloatArray
) -> FloatArray:
    """Return the reflectance of one band at the top of the atmosphere."""
    diffuse = air.diffuse_share(band)
    direct = (1 - diffuse) * land.cosine * ~land.terrain_shadow
    open_sky = np.where(land.terrain_shadow, 0.8, 1.0) * diffuse
    passed = beam + _LIT_FROM_AROUND * (1 - beam)
    seen = surface * (direct * passed + open_sky * (0.45 + 0.55 * beam))
    below: FloatArray | float = land.elevation
    for sheet, depth in zip(rays.sheets, rays.seen(band), strict=True):
        height = np.maximum(sheet.height_m, below)
        seen = seen * air.transmittance(band, below, height) + air.path(band, below, height)
        cloud = sheet.reflectance(band, depth)
        seen = cloud + (1 - cloud) * seen
        below = np.asarray(height, np.float32)
    return np.asarray(
        seen * air.transmittance(band, below, 1e6) + air.path(band, below, 1e6), np.float32
    )


def _sensed(seed: int, stack: FloatArray) -> FloatArray:
    """Return what the instrument delivers: pixels of 10, 20 or 60 m, noise, calibration."""
    rng = generator(seed, "instrument")
    gain = np.exp(rng.normal(0, 0.01, len(stack)))
    for index, band in enumerate(BANDS.values()):
        image = means(stack[index], band.resolution_m // 10)
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        image = image * gain[index] + grain * np.hypot(0.001, 0.006 * image)
        stack[index] = repeated(image, band.resolution_m // 10)
    return stack


def means(image: FloatArray, step: int) -> FloatArray:
    """Return the means over squares of pixels."""
    rows, columns = image.shape
    blocks = image.reshape(rows // step, step, columns // step, step)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def repeated(image: FloatArray, step: int) -> FloatArray:
    """Return each pixel as a square of pixels."""
    return np.asarray(image.repeat(step, axis=0).repeat(step, axis=1))


def _labels(land: Ground, depth: FloatArray, ice: FloatArray, beam: FloatArray) -> ByteArray:
    """Return the truth: cloud over shadow over snow over water over clear."""
    labels = np.full(depth.shape, CLEAR, np.uint8)
    labels[land.water] = WATER
    labels[land.snow] = SNOW
    # Where terrain takes the sun, a cloud has nothing left to take.
    labels[(1 - beam > SHADOW_LOSS) & ~land.terrain_shadow] = SHADOW
    labels[(depth - ice > CLOUD_DEPTH) | (ice > CIRRUS_DEPTH)] = CLOUD
    return labels


def _temperature(
    seed: int, land: Ground, rays: _Rays, depths: list[FloatArray], beam: FloatArray
) -> FloatArray:
    """Return brightness temperature: ground and cloud tops, 6.5 K colder per kilometre.

    Clouds emit ``1 - exp(-0.8 tau)``; fourth powers of temperatures mix.
    """
    warm = land.temperature - 5 * (1 - beam) - 6 * land.terrain_shadow
    power = warm.astype(np.float64) ** 4
    for sheet, depth in zip(rays.sheets, depths, strict=True):
        emissivity = 1 - np.exp(-0.8 * depth)
        top = land.sea_level_kelvin - 6.5e-3 * sheet.height_m
        power = power * (1 - emissivity) + emissivity * top**4
    grain = generator(seed, "thermal").normal(0, 0.1, power.shape)
    return np.asarray(power**0.25 + grain, np.float32)


def _as_landsat(scene: CloudScene) -> CloudScene:
    """Return the same scene with the bands and the 30 m pixels of Landsat 8."""
    order = list(BANDS)
    planes = [means(scene.reflectance[order.index(b)], 3) for b in _LANDSAT.values()]
    middle = (slice(1, None, 3), slice(1, None, 3))
    return CloudScene(
        sensor="landsat-8",
        bands=tuple(_LANDSAT),
        grid=scene.grid.at_resolution(30),
        time=scene.time,
        reflectance=np.stack(planes),
        brightness_temperature=means(scene.brightness_temperature, 3),
        labels=np.ascontiguousarray(scene.labels[middle]),
        terrain_shadow=np.ascontiguousarray(scene.terrain_shadow[middle]),
        elevation=means(scene.elevation, 3),
        depth=means(scene.depth, 3),
        ice_depth=means(scene.ice_depth, 3),
        beam=means(scene.beam, 3),
        sun=scene.sun,
        swath=scene.swath,
    )
