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
from skymend.core.errors import ConfigError
from skymend.core.files import store_errors
from skymend.core.grid import Window
from skymend.products.sentinel1 import Annotation, GrdProduct, Noise, RangeTable, open_grd
from skymend.simulate.s1_frame import Frame, GroundRange
from skymend.simulate.s1_orbit import Doubles, PolynomialOrbit
from skymend.simulate.s1_signal import LOOKS, digital_numbers, speckle
from skymend.simulate.safe_s1 import write_measurement

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
        write_measurement(
            product / given.manifest.files["measurement", polarisation],
            numbers,
            _points(annotation),
            _tags(given),
            shape=annotation.shape,
            corner=(window.row, window.column),
        )
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


def _points(annotation: Annotation) -> list[list[float]]:
    """Return (line, pixel, longitude, latitude, height) of the geolocation grid."""
    grid = annotation.geolocation
    columns = (grid.line, grid.pixel, grid.longitude, grid.latitude, grid.height)
    points: list[list[float]] = np.stack(columns, axis=1).tolist()
    return points


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
