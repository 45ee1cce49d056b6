"""Sentinel-1 IW GRD products in SAFE folders, to the product specification."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ConfigError, StoreError
from skymend.core.raster import gdal_env
from skymend.simulate.markup import write_xml
from skymend.simulate.s1_orbit import Doubles, geodetic
from skymend.simulate.s1_product import Slice
from skymend.simulate.safe_s1_annotation import annotation, grid_points, header
from skymend.simulate.safe_s1_manifest import manifest
from skymend.simulate.safe_s1_tables import Tables, calibration_xml, noise_xml, tables_of

UintArray = npt.NDArray[np.uint16]

_LAYOUT: dict[str, dict[str, Any]] = {
    "strips": {"blockysize": 16},
    "sparse": {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True},
}


def write_grd(
    folder: Path,
    part: Slice,
    numbers: Mapping[str, UintArray],
    *,
    tables: Mapping[str, Tables] | None = None,
    compress: bool = True,
) -> Path:
    """Write one slice.

    Parameters
    ----------
    folder : receives the product.
    part : what the slice is.
    numbers : (lines, samples) of each polarisation of the slice.
    tables : of each polarisation, if they have been computed.
    compress : deflate the measurement; real ones are not compressed.

    Returns
    -------
    The product folder, named with the first digits of a digest of the images.

    Raises
    ------
    ConfigError
        if an image is missing or of another shape.
    StoreError
        if a file cannot be written.
    """
    _check(part, numbers)
    digest = hashlib.sha256()
    for image in numbers.values():
        digest.update(np.ascontiguousarray(image).tobytes())
    product = folder / part.name(digest.hexdigest()[:4].upper())
    for polarisation, image in numbers.items():
        known = tables_of(part, polarisation) if tables is None else tables[polarisation]
        _write_polarisation(product, part, polarisation, image, known, compress)
    write_xml(product / "manifest.safe", manifest(product, part))
    return product


def _check(part: Slice, numbers: Mapping[str, UintArray]) -> None:
    for polarisation in part.polarisations:
        found = numbers[polarisation].shape if polarisation in numbers else None
        if found != part.frame.shape:
            raise ConfigError(
                where=f"simulated GRD, {polarisation}",
                expected=f"an image of {part.frame.shape}",
                found=str(found or "none"),
                fix="give one image per polarisation of the slice",
            )


def _write_polarisation(
    product: Path,
    part: Slice,
    polarisation: str,
    image: UintArray,
    tables: Tables,
    compress: bool,
) -> None:
    name = part.file_name(polarisation)
    seen = image[image > 0].astype(np.float64)
    mean, deviation = (float(seen.mean()), float(seen.std())) if seen.size else (0.0, 0.0)
    folder = product / "annotation"
    head = header(part, polarisation)
    write_xml(folder / f"{name}.xml", annotation(part, polarisation, mean, deviation))
    extra = folder / "calibration"
    write_xml(extra / f"calibration-{name}.xml", calibration_xml(part, head, tables))
    write_xml(extra / f"noise-{name}.xml", noise_xml(part, head, tables))
    write_measurement(
        product / "measurement" / f"{name}.tiff",
        image,
        ground_points(part),
        measurement_tags(part),
        compress=compress,
    )


def ground_points(part: Slice) -> list[tuple[float, float, float, float, float]]:
    """Return (line, pixel, longitude, latitude, height) of the 210 ground control points."""
    line, pixel = grid_points(part.frame)
    points: tuple[Doubles, ...] = geodetic(part.frame.locate(line, pixel, part.terrain_m))
    columns = (line, pixel, *points)
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]


def measurement_tags(part: Slice) -> dict[str, str]:
    """Return the TIFF tags by which readers recognise the sensor."""
    return {
        "TIFFTAG_IMAGEDESCRIPTION": f"Sentinel-{part.platform[1:]} IW GRD HR L1",
        "TIFFTAG_SOFTWARE": f"Sentinel-1 IPF {part.ipf}",
        "TIFFTAG_DATETIME": f"{part.stop:%Y:%m:%d %H:%M:%S}",
    }


def write_measurement(
    path: Path,
    image: UintArray,
    points: Sequence[Sequence[float]],
    tags: Mapping[str, str],
    *,
    compress: bool = True,
    shape: tuple[int, int] | None = None,
    corner: tuple[int, int] = (0, 0),
) -> None:
    """Write a measurement with the control points and tags that the real ones have.

    Parameters
    ----------
    image : (lines, samples), written in strips as the real ones are.
    points : (line, pixel, longitude, latitude, height) each.
    compress : deflate.
    shape : of the whole measurement if ``image`` is a part of it: then tiled, and what no
        part covers takes no room and reads as 0.
    corner : (line, sample) where that part begins.

    Raises
    ------
    StoreError
        if it cannot be written.
    """
    import rasterio
    from rasterio.errors import RasterioError

    options: dict[str, Any] = {"compress": "deflate"} if compress else {}
    options |= _LAYOUT["strips" if shape is None else "sparse"]
    height, width = image.shape if shape is None else shape
    rows, columns = ((c, c + n) for c, n in zip(corner, image.shape, strict=True))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            gdal_env(),
            rasterio.open(
                path,
                "w",
                driver="GTiff",
                height=height,
                width=width,
                count=1,
                dtype="uint16",
                gcps=_control(points),
                crs="EPSG:4326",
                **options,
            ) as target,
        ):
            target.write(image, 1, window=(rows, columns))
            target.update_tags(**tags)
    except (RasterioError, OSError) as error:
        raise StoreError(
            where=path,
            expected="to write a simulated measurement",
            found=str(error.__cause__ or error).strip()[:200],
            fix="check free space and permissions of the folder",
        ) from error


def _control(points: Sequence[Sequence[float]]) -> list[Any]:
    from rasterio.control import GroundControlPoint

    return [
        GroundControlPoint(row=p[0], col=p[1], x=p[2], y=p[3], z=p[4], id=str(n + 1))
        for n, p in enumerate(points)
    ]
