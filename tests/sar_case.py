"""Radar scenes made for tests: real annotation, digital numbers of a known backscatter.

The annotation, calibration and noise are those of the real product over Rome (S1B, VV); the
measurement beside them is written here. Terrain is integrated facet by facet, by code of its own:
exact geometry for every corner, triangles, no lattice, none of the kernels of ``skymend.sar``.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from skymend.core.grid import Grid, Window
from skymend.products.sentinel1 import open_grd
from skymend.sar.doppler import ellipsoid_normal, to_earth_fixed, zero_doppler
from skymend.sar.geoid import read_geoid
from skymend.sar.geolocation import RadarImage, track_of

ROME = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371.SAFE"
DEM_NAME = "Rome-30m-DEM.tif"
ENL = 4.4


def rome(shared_data: Path) -> Path:
    """The real product, without pixels."""
    return shared_data / "s1-safe-dem-rome-sarsen" / ROME


def copy_safe(source: Path, folder: Path) -> Path:
    """Copy a SAFE folder without its measurements, writable."""
    target = folder / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.tiff"))
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    (target / "measurement").mkdir(exist_ok=True)
    return target


def write_dn(safe: Path, dn: np.ndarray, window: Window, polarisation: str = "VV") -> Path:
    """Write the measurement of a channel: ``dn`` in ``window``, 0 elsewhere."""
    product = open_grd(safe)
    annotation = product.annotation(polarisation)
    path = safe / product.manifest.files["measurement", polarisation]
    grid = annotation.geolocation
    points = zip(grid.line, grid.pixel, grid.longitude, grid.latitude, grid.height, strict=True)
    profile = {
        "driver": "GTiff",
        "height": annotation.shape[0],
        "width": annotation.shape[1],
        "count": 1,
        "dtype": "uint16",
        "compress": "deflate",
        "zlevel": 1,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "sparse_ok": True,
    }
    with rasterio.open(path, "w", **profile) as out:
        out.gcps = (
            [GroundControlPoint(r + 0.5, c + 0.5, x, y, z) for r, c, x, y, z in points],
            "EPSG:4326",
        )
        out.update_tags(
            TIFFTAG_IMAGEDESCRIPTION="Sentinel-1B IW GRD HR L1",
            TIFFTAG_SOFTWARE="Sentinel-1 IPF 003.40",
            TIFFTAG_DATETIME="2021:12:23 06:05:00",
        )
        where = (
            (window.row, window.row + window.rows),
            (window.column, window.column + window.columns),
        )
        out.write(dn.astype(np.uint16), 1, window=where)
    return path


def tables(safe: Path, window: Window, polarisation: str = "VV"):
    """Calibration of beta nought and noise of a window, by the formula, in float64."""
    product = open_grd(safe)
    rows = np.arange(window.row, window.row + window.rows)
    columns = np.arange(window.column, window.column + window.columns)
    beta = product.calibration(polarisation).tables["beta0"]
    return lookup(beta, rows, columns), noise_by_formula(product.noise(polarisation), rows, columns)


def lookup(table, rows, columns):
    """Bilinear look-up, written anew: along range first, then along azimuth."""
    along = np.array(
        [np.interp(columns, p, v) for p, v in zip(table.pixels, table.values, strict=True)]
    )
    return np.array([np.interp(rows, table.lines, along[:, k]) for k in range(columns.size)]).T


def noise_by_formula(noise, rows, columns):
    """Range table times azimuth factor of the block that holds the pixel, in float64."""
    level = lookup(noise.range_table, rows, columns)
    for block in noise.azimuth:
        r = (rows >= block.first_line) & (rows <= block.last_line)
        c = (columns >= block.first_pixel) & (columns <= block.last_pixel)
        level[np.ix_(r, c)] *= np.interp(rows[r], block.lines, block.values)[:, None]
    return level


def speckle(shape, seed: int, looks: float = ENL, correlation: float = 0.0):
    """Gamma speckle of mean 1, correlated between neighbours by averaging complex fields.

    ``correlation`` is the standard deviation in pixels of the Gaussian response of the sensor.
    """
    rng = np.random.default_rng(seed)
    if correlation == 0:
        return rng.gamma(looks, 1 / looks, shape)
    from scipy.ndimage import gaussian_filter

    total = np.zeros(shape)
    whole = round(looks)
    for _ in range(whole):
        real, imaginary = (
            gaussian_filter(rng.standard_normal(shape), correlation, mode="wrap") for _ in "ri"
        )
        power = real**2 + imaginary**2
        total += power / power.mean()
    return total / whole


def to_dn(beta0, a, noise, grain=1.0):
    """DN of a backscatter, at least 1 where there is any: ``DN^2 = (beta0 A^2 + noise) grain``."""
    dn = np.sqrt(np.maximum((beta0 * a**2 + noise) * grain, 0))
    return np.clip(np.rint(dn), 1, 65535).astype(np.uint16)


@dataclass(frozen=True)
class Facets:
    """Terrain seen by the radar, integrated facet by facet, in a window of the image.

    ``area`` is A_gamma / A_beta by pixel, ``beta`` the signed area of the facets in the slant
    plane over that of the pixel: 1 where the terrain folds nowhere.
    """

    window: Window
    area: np.ndarray
    beta: np.ndarray
    total_gamma_m2: float
    pixel_beta_m2: np.ndarray


def write_dem(path: Path, heights: np.ndarray, grid: Grid) -> Path:
    """Write a DEM as a plain GeoTIFF."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.shape[0],
        width=grid.shape[1],
        count=1,
        dtype="float32",
        crs=grid.crs,
        transform=Affine(*grid.transform),
    ) as out:
        out.write(heights.astype(np.float32), 1)
    return path


def image_and_track(safe: Path, *, residual_bistatic: bool = True, polarisation: str = "VV"):
    """Exact geometry of the product with the orbit of its annotation."""
    annotation = open_grd(safe).annotation(polarisation)
    image = RadarImage.of(annotation, residual_bistatic=residual_bistatic)
    return image, track_of(annotation.orbit, annotation)


def positions_lonlat(grid: Grid):
    """Longitude and latitude of the pixel centres of a grid, degrees."""
    from pyproj import Transformer

    a, _, c, _, e, f = grid.transform
    x, y = np.meshgrid(
        c + a * (np.arange(grid.shape[1]) + 0.5), f + e * (np.arange(grid.shape[0]) + 0.5)
    )
    return Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y)


def positions(grid: Grid, heights: np.ndarray):
    """Earth-fixed positions of the pixel centres of a grid of geoid heights, and the normals."""
    longitude, latitude = positions_lonlat(grid)
    up = read_geoid().at(longitude, latitude) + heights
    return to_earth_fixed(longitude, latitude, up), ellipsoid_normal(longitude, latitude)


def integrate_facets(
    safe: Path,
    grid: Grid,
    heights: np.ndarray,
    margin: int = 2,
    *,
    residual_bistatic: bool = True,
) -> Facets:
    """Integrate triangles between the nodes of a fine grid; no occlusion."""
    image, track = image_and_track(safe, residual_bistatic=residual_bistatic)
    points, _ = positions(grid, heights)
    seconds, slant, satellite = zero_doppler(points, track)
    line, sample = image.line(seconds, slant), image.sample(seconds, slant)
    top, left = int(line.min()) - margin, int(sample.min()) - margin
    window = Window(
        top, left, int(line.max()) + margin + 1 - top, int(sample.max()) + margin + 1 - left
    )
    gamma = np.zeros((window.rows, window.columns))
    beta = np.zeros_like(gamma)
    total = 0.0
    sight = satellite - points
    sight /= np.linalg.norm(sight, axis=-1, keepdims=True)
    speed = np.linalg.norm(track.at(seconds)[1], axis=-1)
    # A_beta: slant spacing times the azimuth spacing on the ground (radius of the ground point
    # over that of the orbit slows the beam's foot down).
    footprint = speed * image.line_interval * _slowing(points, satellite, track, seconds)
    spacing = _slant_spacing(image, seconds, slant)
    pixel = footprint * spacing
    for corners in (((0, 0), (0, 1), (1, 0)), ((1, 1), (1, 0), (0, 1))):
        p = [_corner(points, k) for k in corners]
        s = [_corner(sight, k) for k in corners]
        vector = np.cross(p[1] - p[0], p[2] - p[0]) / 2
        facing = (vector * (s[0] + s[1] + s[2]) / 3).sum(axis=-1)
        # From above, the corners run clockwise or not; n . up is positive for terrain.
        up = (vector * p[0]).sum(axis=-1)
        facing = facing * np.sign(up)
        y = [_corner(line, k) for k in corners]
        x = [_corner(sample, k) for k in corners]
        signed = ((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])) / 2
        flat_sign = np.sign(np.median(signed))
        lit = np.maximum(facing, 0)
        total += float(lit.sum())
        weight = lit / _corner(pixel, corners[0])
        _add(gamma, sum(y) / 3 - top, sum(x) / 3 - left, weight)
        _add(beta, sum(y) / 3 - top, sum(x) / 3 - left, signed * flat_sign)
    return Facets(window, gamma, beta, total, pixel)


def _corner(values, corner):
    rows, columns = values.shape[:2]
    return values[corner[0] : rows - 1 + corner[0], corner[1] : columns - 1 + corner[1]]


def _slowing(points, satellite, track, seconds):
    """Speed of the zero-Doppler foot on the ground over that of the satellite."""
    from skymend.sar.doppler import zero_doppler as solve

    velocity = track.at(seconds)[1]
    direction = velocity / np.linalg.norm(velocity, axis=-1, keepdims=True)
    normal = points / np.linalg.norm(points, axis=-1, keepdims=True)
    along = direction - normal * (direction * normal).sum(axis=-1, keepdims=True)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    before, after = (solve(points + k * 50.0 * along, track)[0] for k in (-1, 1))
    return 100.0 / ((after - before) * np.linalg.norm(velocity, axis=-1))


def _slant_spacing(image, seconds, slant):
    step = 5.0
    near, far = (image.sample(seconds, slant + k * step) for k in (-1, 1))
    return 2 * step / (far - near)


def _add(target, y, x, weight):
    """Share a weight among the four nearest pixels."""
    row, column = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = y - row, x - column
    for a, b, w in (
        (0, 0, (1 - v) * (1 - u)),
        (0, 1, (1 - v) * u),
        (1, 0, v * (1 - u)),
        (1, 1, v * u),
    ):
        flat = (row + a) * target.shape[1] + column + b
        target += np.bincount(flat.ravel(), (weight * w).ravel(), minlength=target.size).reshape(
            target.shape
        )
