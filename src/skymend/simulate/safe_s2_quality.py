"""What Sentinel-2 metadata say of an image's content: scene classes, their shares, checks.

Sentinel-2 Products Specification, quality indicators of the Level-1C and Level-2A tile and
product, and table of the scene classification.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.simulate.granule import Granule
from skymend.simulate.markup import Node, node

WATER_VAPOUR_CM = 2.0
"""Column of every simulated scene."""

_OZONE_DOBSON = 330.0
_SCL_OF = {0: 0, 2: 9, 3: 3, 4: 11, 5: 6}
_SCL_PLANTS, _SCL_BARE, _SCL_MEDIUM, _SCL_CIRRUS = 4, 5, 8, 10
_CLOUDS = (8, 9, 10)
_SHARES = {
    1: "SATURATED_DEFECTIVE_PIXEL",
    2: "DARK_FEATURES",
    3: "CLOUD_SHADOW",
    4: "VEGETATION",
    5: "NOT_VEGETATED",
    6: "WATER",
    7: "UNCLASSIFIED",
    8: "MEDIUM_PROBA_CLOUDS",
    9: "HIGH_PROBA_CLOUDS",
    10: "THIN_CIRRUS",
    11: "SNOW_ICE",
}
_CLASSES = (
    *("NODATA", "SATURATED_DEFECTIVE", "DARK_FEATURE_SHADOW", "CLOUD_SHADOW", "VEGETATION"),
    *("NOT_VEGETATED", "WATER", "UNCLASSIFIED", "CLOUD_MEDIUM_PROBA", "CLOUD_HIGH_PROBA"),
    *("THIN_CIRRUS", "SNOW_ICE"),
)
_CHECKS = (
    *("FORMAT_CORRECTNESS", "GENERAL_QUALITY", "GEOMETRIC_QUALITY"),
    *("RADIOMETRIC_QUALITY", "SENSOR_QUALITY"),
)


def scene_classes(granule: Granule) -> ByteArray:
    """Return Sen2Cor's scene classes at 20 m, (rows, columns) uint8.

    Cloud goes before shadow, snow, water and clear ground among the four 10 m pixels of a
    pixel. Clear ground is vegetation where the NDVI exceeds 0.3, thick clouds are of high and
    thin ones of medium probability, and cirrus is a class of its own.
    """
    rank = np.array([0, 1, 5, 4, 3, 2], np.uint8)
    order = rank[granule.labels]
    top = order.reshape(order.shape[0] // 2, 2, order.shape[1] // 2, 2).max(axis=(1, 3))
    labels = np.argsort(rank).astype(np.uint8)[top]
    classes = np.zeros(labels.shape, np.uint8)
    for label, scl in _SCL_OF.items():
        classes[labels == label] = scl
    clear = labels == 1
    classes[clear] = np.where(_green(granule), _SCL_PLANTS, _SCL_BARE)[clear]
    cloudy = labels == 2
    if granule.cloud is not None:
        classes[cloudy & (means(granule.cloud, 2) < 0.5)] = _SCL_MEDIUM
    if granule.cirrus is not None and granule.cloud is not None:
        thin = means(granule.cirrus, 2) >= means(granule.cloud, 2)
        classes[cloudy & thin] = _SCL_CIRRUS
    return classes


def means(image: npt.NDArray[np.floating], step: int) -> FloatArray:
    """Return the means of an image over squares of ``step`` pixels; NaN where any is."""
    rows, columns = image.shape
    blocks = image.reshape(rows // step, step, columns // step, step)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def cloud_percentage(granule: Granule) -> str:
    """Return the share of seen pixels that are cloud, percent with six decimals.

    At Level-2A by the scene classification, as Sen2Cor counts; at Level-1C by the truth.
    """
    if granule.level == "L2A":
        classes = scene_classes(granule)
        return _percent(np.isin(classes, _CLOUDS), classes > 0)
    return _percent(granule.labels == 2, granule.labels > 0)


def image_content(granule: Granule, *, tile: bool) -> Node:
    """Return ``Image_Content_QI``.

    Parameters
    ----------
    tile : of the tile, which also counts clouds and degraded data; else of the product.
    """
    parts = [node("CLOUDY_PIXEL_PERCENTAGE", cloud_percentage(granule))] if tile else []
    degraded = [node("DEGRADED_MSI_DATA_PERCENTAGE", "0.000000")] if tile else []
    if granule.level == "L1C":
        return node("Image_Content_QI", *parts, *degraded)
    classes = scene_classes(granule)
    seen = classes > 0
    over_land = _percent(np.isin(classes, _CLOUDS), seen & (classes != 6))
    return node(
        "Image_Content_QI",
        *parts,
        node("CLOUDY_PIXEL_OVER_LAND_PERCENTAGE", over_land),
        *degraded,
        node("NODATA_PIXEL_PERCENTAGE", _percent(~seen, np.ones_like(seen))),
        *(node(f"{name}_PERCENTAGE", _percent(classes == c, seen)) for c, name in _SHARES.items()),
        *_retrievals(granule),
    )


def inspections() -> Node:
    """Return ``Quality_Control_Checks``: all passed."""
    passed = (node("quality_check", "PASSED", checkType=check) for check in _CHECKS)
    return node(
        "Quality_Control_Checks", node("Quality_Inspections", *passed), node("Failed_Inspections")
    )


def class_list() -> Node:
    """Return ``Scene_Classification_List``."""
    return node(
        "Scene_Classification_List",
        *(
            node(
                "Scene_Classification_ID",
                node("SCENE_CLASSIFICATION_TEXT", f"SC_{name}"),
                node("SCENE_CLASSIFICATION_INDEX", number),
            )
            for number, name in enumerate(_CLASSES)
        ),
    )


def _retrievals(granule: Granule) -> Iterator[Node]:
    for name in ("RADIATIVE_TRANSFER", "WATER_VAPOUR_RETRIEVAL", "AOT_RETRIEVAL"):
        yield node(f"{name}_ACCURACY", "0.0")
    yield node("AOT_RETRIEVAL_METHOD", "SIMULATED")
    yield node("GRANULE_MEAN_AOT", f"{granule.aerosol:.6f}")
    yield node("GRANULE_MEAN_WV", f"{WATER_VAPOUR_CM:.6f}")
    yield node("OZONE_SOURCE", "SIMULATED")
    yield node("OZONE_VALUE", f"{_OZONE_DOBSON:.6f}")


def _percent(chosen: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_]) -> str:
    count = np.count_nonzero(seen)
    return f"{100 * np.count_nonzero(chosen & seen) / count if count else 0.0:.6f}"


def _green(granule: Granule) -> npt.NDArray[np.bool_]:
    if not {"B04", "B08"} <= set(granule.reflectance):
        return np.ones((granule.grid.shape[0] // 2, granule.grid.shape[1] // 2), np.bool_)
    red, near = (means(granule.reflectance[b], 2) for b in ("B04", "B08"))
    return np.asarray(near - red > 0.3 * (near + red))
