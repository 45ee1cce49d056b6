"""Made scenes: real Sentinel-1 metadata around an image whose truth is known.

Public test products come with full annotation and blank images. A made scene keeps the
annotation, calibration and noise files to the byte and writes the image they describe:
``DN^2 = (beta0 A^2 + noise) x speckle``, A and noise interpolated from the tables.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError, StoreError
from skymend.core.files import store_errors
from skymend.core.grid import Window
from skymend.products.sentinel1 import Annotation, GrdProduct, Noise, RangeTable, open_grd
from skymend.simulate.s1_frame import Frame, GroundRange
from skymend.simulate.s1_orbit import Doubles, PolynomialOrbit
from skymend.simulate.s1_signal import LOOKS, digital_numbers, speckle

_BLOCK_PX = 512
_MAX_ANNOTATION_BYTES = 64_000_000


def made_scene(
    source: Path,
    folder: Path,
    beta0: Mapping[str, FloatArray],
    window: Window,
    *,
    seed: int = 0,
    looks: float = LOOKS,
    grainless: bool = False,
    noisy: bool = True,
) -> Path:
    """Write a product with a real product's metadata and an image made from beta nought.

    Parameters
    ----------
    source : real IW GRD product, folder or zip; it needs no measurement.
    folder : receives the product, under the name of the source.
    beta0 : of each polarisation wanted, (lines, samples) of the window, linear; NaN where
        there is no image. Its channels are the only ones of the product.
    window : where the image lies; everything else is 0.
    seed : of the speckle.
    looks : equivalent number of looks, 1 to 5.
    grainless : leave the speckle out, for oracles.
    noisy : add the annotated thermal noise.

    Returns
    -------
    The product folder.

    Raises
    ------
    ConfigError
        if the image and the window differ in shape, or the window leaves the image.
    ProductError
        if the source is damaged.
    StoreError
        if a file cannot be written.
    """
    given = open_grd(source)
    product = folder / f"{given.id}.SAFE"
    for polarisation, image in beta0.items():
        annotation = given.annotation(polarisation)
        _check(image, window, annotation)
        _copy_metadata(given, product, polarisation)
        grain: FloatArray | float = 1.0
        if not grainless:
            shape = (window.rows, window.columns)
            grain = speckle(shape, seed, f"made{polarisation}", looks=looks)
        table = table_in(given.calibration(polarisation).tables["beta0"], window)
        noise = noise_in(given.noise(polarisation), window) if noisy else 0.0
        numbers = digital_numbers(image, table, noise, grain)
        name = given.manifest.files["measurement", polarisation]
        _write_sparse(product / name, numbers, window, annotation, _tags(given))
    _write_manifest(given, product)
    return product


def frame_of(annotation: Annotation) -> Frame:
    """Return the frame that a real annotation describes, with the simulator's own geometry."""
    records, states = annotation.ground_range, annotation.orbit
    if records is None:
        raise ConfigError(
            where="made scene",
            expected="an annotation with ground-range polynomials",
            found=annotation.product_type,
            fix="take a GRD product",
        )
    near = np.abs(states.seconds - annotation.shape[0] * annotation.line_interval / 2) < 95
    grid = annotation.geolocation
    late = grid.seconds - grid.line * annotation.line_interval
    return Frame(
        orbit=PolynomialOrbit.fit(states.seconds[near], states.position[near]),
        epoch=annotation.first_line,
        first=0.0,
        interval=annotation.line_interval,
        shape=annotation.shape,
        ground_range=GroundRange(
            records.seconds, records.slant_origin, records.to_ground, records.to_slant
        ),
        middle_time=float(np.median(grid.slant_range_time - 2 * late)),
        spacing_m=annotation.range_spacing,
    )


def table_in(table: RangeTable, window: Window) -> Doubles:
    """Return a table at the pixels of a window: linear along range, then between lines."""
    samples = window.column + np.arange(window.columns, dtype=np.float64)
    lines = window.row + np.arange(window.rows, dtype=np.float64)
    vectors = np.stack(
        [np.interp(samples, p, v) for p, v in zip(table.pixels, table.values, strict=True)]
    )
    after = np.clip(np.searchsorted(table.lines, lines, "right"), 1, len(table.lines) - 1)
    low, high = table.lines[after - 1], table.lines[after]
    share = np.clip((lines - low) / (high - low), 0, 1)[:, None]
    return np.asarray(vectors[after - 1] * (1 - share) + vectors[after] * share)


def noise_in(noise: Noise, window: Window) -> Doubles:
    """Return the annotated thermal noise of a window, DN squared."""
    if noise.range_table is None:
        return np.zeros((window.rows, window.columns))
    power = table_in(noise.range_table, window)
    samples = window.column + np.arange(window.columns)
    lines = window.row + np.arange(window.rows)
    for block in noise.azimuth:
        rows = (lines >= block.first_line) & (lines <= block.last_line)
        columns = (samples >= block.first_pixel) & (samples <= block.last_pixel)
        factor = np.interp(lines, block.lines, block.values)
        power[np.ix_(rows, columns)] *= factor[rows, None]
    return power


def _check(image: npt.NDArray[Any], window: Window, annotation: Annotation) -> None:
    inside = window.row >= 0 and window.column >= 0
    inside = inside and window.row + window.rows <= annotation.shape[0]
    inside = inside and window.column + window.columns <= annotation.shape[1]
    if image.shape != (window.rows, window.columns) or not inside:
        raise ConfigError(
            where="made scene",
            expected=f"an image of {window.rows} x {window.columns} inside {annotation.shape}",
            found=f"{image.shape} at {window.row}, {window.column}",
            fix="give a window inside the image, and an image of its shape",
        )


def _copy_metadata(given: GrdProduct, product: Path, polarisation: str) -> None:
    for role in ("annotation", "calibration", "noise"):
        name = given.manifest.files.get((role, polarisation))
        if name is not None and given.archive.has(name):
            content = given.archive.read(name, _MAX_ANNOTATION_BYTES)
            with store_errors(product / name):
                (product / name).parent.mkdir(parents=True, exist_ok=True)
                (product / name).write_bytes(content)


def _tags(given: GrdProduct) -> dict[str, str]:
    return {
        "TIFFTAG_IMAGEDESCRIPTION": f"Sentinel-1{given.platform[-1].upper()} IW GRD HR L1",
        "TIFFTAG_SOFTWARE": f"Sentinel-1 IPF {given.ipf}",
        "TIFFTAG_DATETIME": f"{given.stop:%Y:%m:%d %H:%M:%S}",
    }


def _write_sparse(
    path: Path,
    numbers: npt.NDArray[np.uint16],
    window: Window,
    annotation: Annotation,
    tags: Mapping[str, str],
) -> None:
    """Write the whole image; blocks outside the window take no room and read as 0."""
    import rasterio
    from rasterio.control import GroundControlPoint
    from rasterio.errors import RasterioError

    from skymend.core.raster import gdal_env

    grid = annotation.geolocation
    columns = (grid.line, grid.pixel, grid.longitude, grid.latitude, grid.height)
    control = [
        GroundControlPoint(row=r, col=c, x=x, y=y, z=z, id=str(n + 1))
        for n, (r, c, x, y, z) in enumerate(np.stack(columns, axis=1).tolist())
    ]
    rows = ((window.row, window.row + window.rows), (window.column, window.column + window.columns))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            gdal_env(),
            rasterio.open(
                path,
                "w",
                driver="GTiff",
                height=annotation.shape[0],
                width=annotation.shape[1],
                count=1,
                dtype="uint16",
                gcps=control,
                crs="EPSG:4326",
                compress="deflate",
                tiled=True,
                blockxsize=_BLOCK_PX,
                blockysize=_BLOCK_PX,
                sparse_ok=True,
            ) as target,
        ):
            target.write(numbers, 1, window=rows)
            target.update_tags(**tags)
    except (RasterioError, OSError) as error:
        raise StoreError(
            where=path,
            expected="to write a made scene",
            found=str(error.__cause__ or error).strip()[:200],
            fix="check free space and permissions of the folder",
        ) from error


_OBJECT = re.compile(r"\s*<dataObject .*?</dataObject>", re.DOTALL)
_UNIT = re.compile(
    r'\s*<xfdu:contentUnit [^>]*>\s*<dataObjectPointer dataObjectID="([^"]+)"/>\s*'
    r"</xfdu:contentUnit>"
)


def _write_manifest(given: GrdProduct, product: Path) -> None:
    """Write the source's manifest with the sizes and digests of the files that are there."""
    text = given.archive.read("manifest.safe").decode("utf-8")
    gone: set[str] = set()
    text = _OBJECT.sub(lambda found: _renewed(found.group(0), product, gone), text)
    text = _UNIT.sub(lambda found: "" if found.group(1) in gone else found.group(0), text)
    path = product / "manifest.safe"
    with store_errors(path):
        path.write_text(text, encoding="utf-8")


def _renewed(entry: str, product: Path, gone: set[str]) -> str:
    """Return one ``dataObject`` with true size and MD5, nothing if its file is not there."""
    href = re.search(r'href="(?:\./)?([^"]+)"', entry)
    identifier = re.search(r'ID="([^"]+)"', entry)
    if href is None or identifier is None or not (product / href.group(1)).is_file():
        gone.add(identifier.group(1) if identifier else "")
        return ""
    content = (product / href.group(1)).read_bytes()
    entry = re.sub(r'size="\d+"', f'size="{len(content)}"', entry)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return re.sub(r'(<checksum checksumName="MD5">)[^<]*', rf"\g<1>{digest}", entry)
