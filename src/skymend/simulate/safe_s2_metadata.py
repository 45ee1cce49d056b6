"""Product and data-strip metadata of Sentinel-2 SAFE: ``MTD_MSIL1C.xml``, ``MTD_MSIL2A.xml``.

Elements, order and names follow the Sentinel-2 Products Specification Document (version 14,
chapters on the Level-1C and Level-2A user products); what readers never look at is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from skymend.simulate.granule import QUANTIFICATION, SATURATED, Granule
from skymend.simulate.markup import Node, node, with_attributes
from skymend.simulate.msi import BANDS
from skymend.simulate.safe_s2_quality import (
    class_list,
    cloud_percentage,
    image_content,
    inspections,
)

_PSD = "https://psd-14.sentinel2.eo.esa.int/PSD"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_ORDER = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    *("B08", "B8A", "B09", "B10", "B11", "B12"),
)
_GAINS = (
    *(4.10650374, 3.75008945, 4.1754601, 4.50605, 5.18657807, 4.85045988, 4.51187374),
    *(6.12993247, 5.11089037, 8.48667727, 54.77849145, 35.11586051, 106.16764317),
)
_EXTENT_NM = (
    *((412, 456), (456, 533), (538, 583), (646, 684), (695, 714), (731, 749), (769, 797)),
    *((760, 907), (837, 881), (932, 958), (1337, 1412), (1539, 1682), (2078, 2320)),
)
"""Where the spectral response of each band begins and ends (Sentinel-2A metadata)."""


def iso(when: datetime) -> str:
    """Return a time with milliseconds and ``Z``."""
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


def root(granule: Granule, kind: str, schema: str, *parts: Node) -> Node:
    """Return the root of a metadata document of the granule's level.

    Parameters
    ----------
    kind : name of the root without its level, such as ``User_Product``.
    schema : name of the schema file with ``{level}`` where the level stands.
    """
    level = f"Level-{granule.level[1:]}"
    location = f"{_PSD}/{schema.format(level=level)}"
    declared = {"xmlns:n1": location, "xmlns:xsi": _XSI, "xsi:schemaLocation": location}
    return with_attributes(node(f"n1:{level}_{kind}", *parts), declared)


def product_metadata(granule: Granule, images: Sequence[str]) -> Node:
    """Return ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``.

    Parameters
    ----------
    images : paths of the image files in the product, without their suffix.
    """
    return root(
        granule,
        "User_Product",
        "User_Product_{level}.xsd",
        node("n1:General_Info", _product_info(granule, images), _image_info(granule)),
        node("n1:Geometric_Info", _footprint(granule), _reference_system()),
        node("n1:Auxiliary_Data_Info", node("GIPP_List")),
        _quality(granule),
    )


def datastrip_metadata(granule: Granule) -> Node:
    """Return a minimal ``MTD_DS.xml``: which datatake, which sensing times."""
    return root(
        granule,
        "DataStrip_ID",
        "S2_PDI_{level}_Datastrip_Metadata.xsd",
        node(
            "n1:General_Info",
            _datatake(granule),
            node(
                "Datastrip_Time_Info",
                node("DATASTRIP_SENSING_START", iso(granule.time)),
                node("DATASTRIP_SENSING_STOP", iso(granule.time)),
            ),
            node("Processing_Info", node("PROCESSING_BASELINE", granule.baseline)),
        ),
    )


def _product_info(granule: Granule, images: Sequence[str]) -> Node:
    time = iso(granule.time)
    listed = node(
        "Granule",
        *(node("IMAGE_FILE", image) for image in images),
        datastripIdentifier=granule.identifier("DS"),
        granuleIdentifier=granule.identifier("TL"),
        imageFormat="JPEG2000",
    )
    return node(
        "Product_Info",
        node("PRODUCT_START_TIME", time),
        node("PRODUCT_STOP_TIME", time),
        node("PRODUCT_URI", granule.name),
        node("PROCESSING_LEVEL", f"Level-{granule.level[1:]}"),
        node("PRODUCT_TYPE", f"S2MSI{granule.level[1:]}"),
        node("PROCESSING_BASELINE", granule.baseline),
        node("GENERATION_TIME", iso(granule.made)),
        node("PREVIEW_IMAGE_URL", "Not applicable"),
        node("PREVIEW_GEO_INFO", "Not applicable"),
        _datatake(granule),
        node("Query_Options", node("PRODUCT_FORMAT", "SAFE_COMPACT"), completeSingleTile="true"),
        node("Product_Organisation", node("Granule_List", listed)),
    )


def _datatake(granule: Granule) -> Node:
    return node(
        "Datatake",
        node("SPACECRAFT_NAME", f"Sentinel-{granule.platform[1:]}"),
        node("DATATAKE_TYPE", "INS-NOBS"),
        node("DATATAKE_SENSING_START", iso(granule.time)),
        node("SENSING_ORBIT_NUMBER", granule.name.split("_R")[1][:3].lstrip("0")),
        node("SENSING_ORBIT_DIRECTION", "DESCENDING"),
        datatakeIdentifier=(
            f"G{granule.platform}_{granule.stamp}_{granule.orbit:06d}_N{granule.baseline}"
        ),
    )


def _image_info(granule: Granule) -> Node:
    special = [
        node("Special_Values", node("SPECIAL_VALUE_TEXT", t), node("SPECIAL_VALUE_INDEX", v))
        for t, v in (("NODATA", 0), ("SATURATED", SATURATED))
    ]
    order = node(
        "Image_Display_Order",
        *(node(f"{colour}_CHANNEL", n) for colour, n in (("RED", 3), ("GREEN", 2), ("BLUE", 1))),
    )
    gains = (node("PHYSICAL_GAINS", gain, bandId=i) for i, gain in enumerate(_GAINS))
    return node(
        "Product_Image_Characteristics",
        *special,
        order,
        *_radiometry(granule),
        _solar(granule),
        node("Spectral_Information_List", *(_spectral(band) for band in _ORDER)),
        *gains,
        node("REFERENCE_BAND", 3) if granule.level == "L1C" else class_list(),
    )


def _radiometry(granule: Granule) -> list[Node]:
    """Return the divisor and, from baseline 04.00 on, an offset for each band."""
    surface = granule.level == "L2A"
    if not surface:
        parts = [node("QUANTIFICATION_VALUE", QUANTIFICATION, unit="none")]
    else:
        parts = [
            node(
                "QUANTIFICATION_VALUES_LIST",
                node("BOA_QUANTIFICATION_VALUE", QUANTIFICATION, unit="none"),
                node("AOT_QUANTIFICATION_VALUE", "1000.0", unit="none"),
                node("WVP_QUANTIFICATION_VALUE", "1000.0", unit="cm"),
            )
        ]
    if granule.offset == 0:
        return parts
    name = "BOA_ADD_OFFSET" if surface else "RADIO_ADD_OFFSET"
    offsets = [node(name, granule.offset, band_id=BANDS[b].id) for b in _ORDER]
    around = "BOA_ADD_OFFSET_VALUES_LIST" if surface else "Radiometric_Offset_List"
    return [*parts, node(around, *offsets)]


def _solar(granule: Granule) -> Node:
    """Return irradiance and U, the squared inverse of the sun's distance.

    ``1 / (1 - 0.01673 cos(0.0172 (t - 2)))^2`` with t the day of the year (Products
    Specification, equation of the reflectance conversion).
    """
    day = granule.time.timetuple().tm_yday
    distance = 1 - 0.01673 * float(np.cos(0.0172 * (day - 2)))
    listed = [
        node("SOLAR_IRRADIANCE", band.irradiance, bandId=band.id, unit="W/m²/µm")
        for band in BANDS.values()
    ]
    return node(
        "Reflectance_Conversion",
        node("U", repr(1 / distance**2)),
        node("Solar_Irradiance_List", *listed),
    )


def _spectral(name: str) -> Node:
    band = BANDS[name]
    centre = round(band.wavelength_um * 1000, 1)
    return node(
        "Spectral_Information",
        node("RESOLUTION", band.resolution_m),
        node(
            "Wavelength",
            node("MIN", _EXTENT_NM[band.id][0], unit="nm"),
            node("MAX", _EXTENT_NM[band.id][1], unit="nm"),
            node("CENTRAL", centre, unit="nm"),
        ),
        bandId=band.id,
        physicalBand=name.replace("B0", "B"),
    )


def outline(granule: Granule) -> str:
    """Return the corners of the image, latitude before longitude, the first one again last."""
    from rasterio.warp import transform

    left, bottom, right, top = granule.grid.bounds
    x, y = [left, right, right, left, left], [top, top, bottom, bottom, top]
    longitude, latitude = transform(granule.grid.crs, "EPSG:4326", x, y)[:2]
    return " ".join(f"{a:.12g} {o:.12g}" for a, o in zip(latitude, longitude, strict=True))


def _footprint(granule: Granule) -> Node:
    return node(
        "Product_Footprint",
        node(
            "Product_Footprint",
            node("Global_Footprint", node("EXT_POS_LIST", outline(granule) + " ")),
        ),
        node("RASTER_CS_TYPE", "POINT"),
        node("PIXEL_ORIGIN", 1),
    )


def _reference_system() -> Node:
    return node(
        "Coordinate_Reference_System",
        node("GEO_TABLES", "EPSG", version="1"),
        node("HORIZONTAL_CS_TYPE", "GEOGRAPHIC"),
    )


def _quality(granule: Granule) -> Node:
    return node(
        "n1:Quality_Indicators_Info",
        node("Cloud_Coverage_Assessment", cloud_percentage(granule)),
        node(
            "Technical_Quality_Assessment",
            node("DEGRADED_ANC_DATA_PERCENTAGE", 0),
            node("DEGRADED_MSI_DATA_PERCENTAGE", 0),
        ),
        inspections(),
        *([image_content(granule, tile=False)] if granule.level == "L2A" else []),
    )
