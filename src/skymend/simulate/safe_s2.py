"""Sentinel-2 Level-1C and Level-2A products in SAFE folders, with known truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import ConfigError
from skymend.simulate.granule import QUANTIFICATION, SATURATED, Granule
from skymend.simulate.jpeg2000 import write_jp2
from skymend.simulate.markup import Node, node, write_xml
from skymend.simulate.msi import BANDS
from skymend.simulate.safe_s2_manifest import manifest
from skymend.simulate.safe_s2_masks import write_masks
from skymend.simulate.safe_s2_metadata import datastrip_metadata, iso, product_metadata
from skymend.simulate.safe_s2_quality import WATER_VAPOUR_CM, means, scene_classes
from skymend.simulate.safe_s2_tile import tile_metadata

UintArray = npt.NDArray[np.uint16]

_COARSER = {10: (10, 20, 60), 20: (20, 60), 60: (60,)}


def write_l1c(folder: Path, granule: Granule) -> Path:
    """Write a Level-1C product (reflectance at the top of the atmosphere).

    Images are JPEG 2000 without loss, at the resolution of each band: 10 m (B02, B03, B04,
    B08), 20 m (B05 to B07, B8A, B11, B12) and 60 m (B01, B09, B10). Stored numbers are
    ``reflectance x 10000 - RADIO_ADD_OFFSET``, 0 where there is no data.

    Parameters
    ----------
    folder : receives the product.
    granule : of level ``L1C``.

    Returns
    -------
    The product folder.

    Raises
    ------
    ConfigError
        if the granule is of another level.
    StoreError
        if a file cannot be written.
    """
    return _write(folder, granule, "L1C")


def write_l2a(folder: Path, granule: Granule) -> Path:
    """Write a Level-2A product (surface reflectance) with its scene classification.

    As :func:`write_l1c`, below ``R10m``, ``R20m`` and ``R60m``; each band also in the coarser
    folders (means of its pixels, but no B08 there), with ``SCL`` at 20 and 60 m, ``AOT``,
    ``WVP`` and ``TCI``.
    """
    return _write(folder, granule, "L2A")


def numbers(image: FloatArray, offset: int) -> UintArray:
    """Return what a band stores of reflectance; 0 where NaN, at least 1 elsewhere.

    Parameters
    ----------
    image : reflectance.
    offset : ``RADIO_ADD_OFFSET`` or ``BOA_ADD_OFFSET``, 0 before baseline 04.00.
    """
    stored = np.clip(np.rint(image * np.float32(QUANTIFICATION)) - offset, 1, SATURATED - 1)
    return np.where(np.isnan(image), 0, stored).astype(np.uint16)


def _write(folder: Path, granule: Granule, level: str) -> Path:
    if granule.level != level:
        raise ConfigError(
            where="simulated SAFE",
            expected=f"a granule of level {level}",
            found=granule.level,
            fix="call the writer of its level",
        )
    product = folder / granule.name
    footprint = np.where(granule.labels > 0, granule.swath.detectors(granule.grid), 0)
    footprint = footprint.astype(np.uint8)
    images = list(_write_images(product, granule))
    preview = f"{granule.folder}/QI_DATA/{granule.prefix}_PVI.jp2"
    write_jp2(product / preview, _colours(granule, 6), granule.grid_of(60))
    masks = write_masks(product, granule, footprint)
    strip = product / "DATASTRIP" / granule.strip / "MTD_DS.xml"
    tile = tile_metadata(granule, footprint, masks, preview)
    write_xml(product / granule.folder / "MTD_TL.xml", tile)
    write_xml(strip, datastrip_metadata(granule))
    write_xml(product / f"MTD_MSI{level}.xml", product_metadata(granule, images))
    write_xml(product / "INSPIRE.xml", _inspire(granule))
    write_xml(product / "manifest.safe", manifest(product, granule))
    return product


def _write_images(product: Path, granule: Granule) -> Iterator[str]:
    """Write all images; yield their paths without suffix."""
    for name, resolution, image in _images(granule):
        inside = f"R{resolution}m/" if granule.level == "L2A" else ""
        ending = f"_{resolution}m" if granule.level == "L2A" else ""
        path = f"{granule.folder}/IMG_DATA/{inside}{granule.prefix}_{name}{ending}"
        write_jp2(product / f"{path}.jp2", image, granule.grid_of(resolution))
        yield path


def _images(granule: Granule) -> Iterator[tuple[str, int, npt.NDArray[np.uint16 | np.uint8]]]:
    """Yield name, resolution and stored numbers of every image."""
    for band, image in granule.reflectance.items():
        own = BANDS[band].resolution_m
        coarser = _COARSER[own] if granule.level == "L2A" and band != "B08" else (own,)
        for resolution in coarser:
            values = image if resolution == own else means(image, resolution // own)
            yield band, resolution, numbers(values, granule.offset)
    yield "TCI", 10, _colours(granule, 1)
    if granule.level == "L2A":
        yield from _by_products(granule)


def _by_products(granule: Granule) -> Iterator[tuple[str, int, npt.NDArray[np.uint16 | np.uint8]]]:
    classes = scene_classes(granule)
    yield "SCL", 20, classes
    rows, columns = (n // 6 for n in granule.grid.shape)
    near = (np.arange(rows)[:, None] * 3 + 1, np.arange(columns)[None, :] * 3 + 1)
    yield "SCL", 60, np.ascontiguousarray(classes[near])
    for resolution in (10, 20, 60):
        shape = granule.grid_of(resolution).shape
        yield "AOT", resolution, np.full(shape, round(1000 * granule.aerosol), np.uint16)
        yield "WVP", resolution, np.full(shape, round(1000 * WATER_VAPOUR_CM), np.uint16)


def _colours(granule: Granule, step: int) -> ByteArray:
    """Return the true-colour image, (red green blue, rows, columns); reflectance 0.36 is 255."""
    bands = [b for b in ("B04", "B03", "B02") if b in granule.reflectance]
    if len(bands) < 3:
        bands = [next(iter(granule.reflectance))] * 3
    planes = []
    for band in bands:
        image = granule.reflectance[band]
        ratio = granule.grid.shape[0] // image.shape[0]
        fine = image.repeat(ratio, axis=0).repeat(ratio, axis=1)
        planes.append(means(fine, step))
    scaled = np.clip(np.stack(planes) * (254 / 0.36) + 1, 1, 255)
    return np.where(np.isnan(scaled), 0, scaled).astype(np.uint8)


def _inspire(granule: Granule) -> Node:
    """Return a minimal INSPIRE record: what it is and whose data it imitates."""
    return node(
        "MD_Metadata",
        node("title", granule.name.removesuffix(".SAFE")),
        node("dateStamp", iso(granule.made)),
        node("abstract", "Simulated Sentinel-2 product; holds no measurement."),
    )
