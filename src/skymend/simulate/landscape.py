"""The land that never changes: terrain, land cover and parcels of a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.simulate.noise import blur, fractal, generator

FIELD, GRASS, BROADLEAF, CONIFER, WATER, TOWN, ROAD = range(1, 8)
COVERS = ("field", "grass", "broadleaf", "conifer", "water", "town", "road")

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

_BLOCK_PX = 62
_STAND_PX = 34
_STREET_PX = 7.0


@dataclass(frozen=True, slots=True)
class Landscape:
    """Static maps of a scene, all (rows, columns) at 10 m.

    Parameters
    ----------
    elevation : metres above the geoid.
    cover : land-cover codes ``FIELD`` ... ``ROAD``.
    parcel : index of the field or forest stand of each pixel, 0 ... parcels - 1.
    parcels : how many there are.
    variation : fractal field of growing conditions, mean 0, standard deviation 1.
    texture : fine fractal field, mean 0, standard deviation 1.
    soil_tone : 0 dark and clayey ... 1 bright and chalky.
    buildings, gardens : share of roofs and of vegetation in a town pixel.
    river_distance_px : distance to the river's centre line, pixels.
    """

    elevation: FloatArray
    cover: ByteArray
    parcel: IntArray
    parcels: int
    variation: FloatArray
    texture: FloatArray
    soil_tone: FloatArray
    buildings: FloatArray
    gardens: FloatArray
    river_distance_px: FloatArray

    @property
    def slopes(self) -> tuple[FloatArray, FloatArray]:
        """Rise of the terrain towards south (rows) and east (columns), metre per metre."""
        down, east = np.gradient(self.elevation, 10.0)
        return np.asarray(down, np.float32), np.asarray(east, np.float32)


@lru_cache(maxsize=2)
def landscape(seed: int, size_px: int) -> Landscape:
    """Build the land of a seed.

    Parameters
    ----------
    seed : the scenario's seed.
    size_px : rows and columns at 10 m.
    """
    shape = (size_px, size_px)
    river_px, half_width_px = _river(seed, shape)
    elevation = _elevation(seed, shape, river_px)
    variation = fractal(shape, generator(seed, "variation"), slope=2.6, longest_px=60)
    blocks, fields = _parcels(seed, shape)
    stands = _voronoi(shape, _STAND_PX, generator(seed, "stands"))
    forest, conifer = _forest(seed, shape, elevation, river_px)
    cover = _cover(seed, blocks, fields, forest, conifer)
    water = (river_px < half_width_px) | _ponds(seed, shape, forest)
    town, buildings, gardens = _town(seed, shape, river_px)
    cover[town & ~water] = TOWN
    cover[_roads(seed, blocks) & ~forest & ~town] = ROAD
    cover[water] = WATER
    wooded = (cover == BROADLEAF) | (cover == CONIFER)
    labels = np.where(wooded, stands + fields.max() + 1, fields)
    parcels, parcel = np.unique(labels, return_inverse=True)
    tone = blur(fractal(shape, generator(seed, "soil"), slope=2.8, longest_px=160), 1.0)
    return Landscape(
        elevation=elevation,
        cover=cover,
        parcel=parcel.reshape(shape).astype(np.int32),
        parcels=len(parcels),
        variation=variation,
        texture=fractal(shape, generator(seed, "texture"), slope=1.2, longest_px=12),
        soil_tone=np.clip(0.5 + 0.25 * tone, 0, 1).astype(np.float32),
        buildings=buildings,
        gardens=gardens,
        river_distance_px=river_px,
    )


def _coordinates(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    rows, columns = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    return rows, columns


def _river(seed: int, shape: tuple[int, int]) -> tuple[FloatArray, float]:
    """Return the distance to a meandering river and half its width, pixels."""
    rng = generator(seed, "river")
    rows, columns = _coordinates(shape)
    centre = shape[0] * rng.uniform(0.6, 0.85) + columns * rng.uniform(-0.25, 0.05)
    slope = np.zeros_like(columns)
    for wavelength_px, swing in ((260.0, 14.0), (90.0, 6.0), (37.0, 1.8)):
        phase = 2 * np.pi * (columns / wavelength_px + rng.uniform())
        centre = centre + swing * np.sin(phase)
        slope = slope + swing * 2 * np.pi / wavelength_px * np.cos(phase)
    distance = np.abs(rows - centre) / np.sqrt(1 + slope**2)
    return distance.astype(np.float32), float(rng.uniform(1.8, 3.2))


def _elevation(seed: int, shape: tuple[int, int], river_px: FloatArray) -> FloatArray:
    rng = generator(seed, "terrain")
    relief = fractal(shape, rng, slope=4.0, longest_px=420)
    valley = 1 - np.exp(-((river_px / 55.0) ** 2))
    hills = 175 + 45 * valley + (6 + 34 * valley) * relief
    return np.asarray(hills, np.float32)


def _voronoi(shape: tuple[int, int], spacing_px: float, rng: np.random.Generator) -> IntArray:
    """Return the index of the nearest of scattered points, (rows, columns)."""
    from scipy.spatial import cKDTree

    margin = spacing_px
    count = max(4, round((shape[0] + 2 * margin) * (shape[1] + 2 * margin) / spacing_px**2))
    low, high = -margin, np.array(shape) + margin
    tree = cKDTree(rng.uniform(low, high, (count, 2)))
    points = np.stack([c.ravel() for c in _coordinates(shape)], axis=1)
    return np.asarray(tree.query(points)[1], np.int32).reshape(shape)


def _parcels(seed: int, shape: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """Return blocks of land with one field pattern each, and the fields in them.

    A block is a Voronoi cell with its own direction; its fields are rectangles along that
    direction, gently bent, with lengths and widths that vary from row to row.
    """
    rng = generator(seed, "parcels")
    blocks = _voronoi(shape, _BLOCK_PX, rng)
    count = int(blocks.max()) + 1
    angle = rng.uniform(0, np.pi, count)[blocks]
    rows, columns = _coordinates(shape)
    bend = 5.0 * fractal(shape, rng, slope=4.0, longest_px=200)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle) + bend
    width = rng.uniform(9, 24, count)[blocks]
    strip = np.floor(across / width).astype(np.int64) % 64
    length = rng.uniform(16, 48, (count, 64))[blocks, strip]
    shift = rng.uniform(0, 48, (count, 64))[blocks, strip]
    cell = np.floor((along + shift) / length).astype(np.int64) % 64
    halved = rng.uniform(size=(count, 64, 64))[blocks, strip, cell] < 0.3
    second = halved & (np.mod(across, width) > width / 2)
    key = ((blocks * 64 + strip) * 64 + cell) * 2 + second
    fields = np.unique(key, return_inverse=True)[1]
    return blocks, fields.reshape(shape).astype(np.int32)


def _forest(
    seed: int, shape: tuple[int, int], elevation: FloatArray, river_px: FloatArray
) -> tuple[BoolArray, BoolArray]:
    """Return where forest stands (steep and high ground first) and where it is coniferous."""
    rng = generator(seed, "forest")
    patches = fractal(shape, rng, slope=3.3, longest_px=110)
    height = (elevation - elevation.mean()) / (elevation.std() + 1e-6)
    score = patches + 0.5 * height
    forest = score > np.quantile(score, 0.82)
    riparian = (river_px < 6 + 2 * patches) & (patches > -0.4)
    conifer = fractal(shape, rng, slope=3.2, longest_px=150) > 0.45
    return forest | riparian, conifer & forest & ~riparian


def _cover(
    seed: int, blocks: IntArray, fields: IntArray, forest: BoolArray, conifer: BoolArray
) -> ByteArray:
    rng = generator(seed, "cover")
    grassy = rng.beta(0.7, 2.0, int(blocks.max()) + 1)[blocks]
    draw = rng.uniform(size=int(fields.max()) + 1)[fields]
    cover = np.where(draw < grassy, GRASS, FIELD).astype(np.uint8)
    cover[(draw > 0.985) & (draw > grassy)] = BROADLEAF
    cover[forest] = BROADLEAF
    cover[conifer] = CONIFER
    return cover


def _ponds(seed: int, shape: tuple[int, int], forest: BoolArray) -> BoolArray:
    rng = generator(seed, "ponds")
    rows, columns = _coordinates(shape)
    shore = fractal(shape, rng, slope=3.0, longest_px=40)
    water = np.zeros(shape, np.bool_)
    for _ in range(max(1, round(shape[0] * shape[1] / 60_000))):
        row, column = rng.uniform(0.1, 0.9, 2) * np.array(shape)
        radius = rng.uniform(4, 13)
        ratio = rng.uniform(0.6, 1.6)
        distance = np.hypot((rows - row) * ratio, columns - column)
        water |= distance + 2.5 * shore < radius
    return water & ~forest


def _town(
    seed: int, shape: tuple[int, int], river_px: FloatArray
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Return the built-up area and its shares of roofs and of gardens."""
    rng = generator(seed, "town")
    rows, columns = _coordinates(shape)
    density = np.zeros(shape, np.float32)
    for share in [0.085, *[0.03] * max(1, round(shape[0] * shape[1] / 100_000))]:
        row, column = rng.uniform(0.12, 0.88, 2) * np.array(shape)
        radius = max(share * min(shape[0], 500), 4.0)
        squared = (rows - row) ** 2 + (columns - column) ** 2
        density = np.maximum(density, np.exp(-squared / (2 * radius**2)))
    ragged = fractal(shape, rng, slope=2.9, longest_px=70)
    town = (density + 0.16 * ragged > 0.5) & (river_px > 5)
    angle = rng.uniform(0, np.pi / 2)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    streets = (np.mod(along, _STREET_PX * 1.5) < 1) | (np.mod(across, _STREET_PX) < 1)
    houses = fractal(shape, rng, slope=1.4, longest_px=14)
    built = np.clip(0.08 + 0.55 * density + 0.13 * houses, 0.05, 0.9)
    buildings = np.where(streets, 0.05, built).astype(np.float32)
    gardens = np.where(streets, 0.1, (0.75 - 0.5 * density) * (1 - buildings))
    return town, buildings, gardens.astype(np.float32)


def _roads(seed: int, blocks: IntArray) -> BoolArray:
    """Return lanes: about half of the borders between blocks."""
    paved = generator(seed, "roads").uniform(size=int(blocks.max()) + 1) < 0.55
    border = np.zeros(blocks.shape, np.bool_)
    border[:, 1:] |= blocks[:, 1:] != blocks[:, :-1]
    border[1:, :] |= blocks[1:, :] != blocks[:-1, :]
    return border & paved[blocks]
