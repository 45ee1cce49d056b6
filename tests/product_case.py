"""Small products written as their providers write them."""

from pathlib import Path

import numpy as np

from skymend.core.grid import Grid

GRID = Grid("EPSG:32631", (10.0, 0.0, 600_000.0, 0.0, -10.0, 4_900_020.0), (24, 30))
"""A corner of tile 31TFJ whose edges lie on the 20 m lattice too."""

THEIA = "SENTINEL2A_20180615-105030-123_L2A_T31TFJ_D_V1-8"
SAFE = "S2A_MSIL2A_20220615T105031_N0400_R051_T31TFJ_20220615T170000.SAFE"
THEIA_FILES = {"B02": "B2", "B03": "B3", "B04": "B4", "B08": "B8", "B8A": "B8A", "B11": "B11"}


def write_tif(path: Path, values, grid: Grid, *, nodata=None, driver="GTiff", **tags):
    import rasterio
    from rasterio.transform import Affine

    values = np.asarray(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = {"REVERSIBLE": "YES", "QUALITY": "100"} if driver == "JP2OpenJPEG" else {}
    with rasterio.open(
        path,
        "w",
        driver=driver,
        crs=grid.crs or None,
        transform=Affine(*grid.transform),
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=values.dtype,
        nodata=nodata,
        **extra,
    ) as dataset:
        dataset.write(values, 1)
        dataset.update_tags(**tags)
    return path


def theia_folder(root: Path, name: str = THEIA, *, bands, masks, grid: Grid = GRID) -> Path:
    """Write ``{"B04": array}`` and ``{"CLM_R1": array}`` as a THEIA folder."""
    folder = root / name
    (folder / "MASKS").mkdir(parents=True)
    for band, values in bands.items():
        at = grid if np.shape(values) == grid.shape else grid.at_resolution(20)
        write_tif(folder / f"{name}_FRE_{THEIA_FILES[band]}.tif", values, at)
    for mask, values in masks.items():
        at = grid if mask.endswith("R1") else grid.at_resolution(20)
        write_tif(folder / "MASKS" / f"{name}_{mask}.tif", values, at)
    return folder


def safe_metadata(
    baseline: str, offsets: dict[int, int] | None, quantification: int = 10000
) -> str:
    entries = "".join(
        f'<BOA_ADD_OFFSET band_id="{i}">{v}</BOA_ADD_OFFSET>' for i, v in (offsets or {}).items()
    )
    listed = (
        ""
        if offsets is None
        else f"<BOA_ADD_OFFSET_VALUES_LIST>{entries}</BOA_ADD_OFFSET_VALUES_LIST>"
    )
    return (
        '<?xml version="1.0"?><n1:P xmlns:n1="https://psd-14.sentinel2.eo.esa.int/x">'
        f"<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>"
        f'<BOA_QUANTIFICATION_VALUE unit="none">{quantification}</BOA_QUANTIFICATION_VALUE>'
        f"{listed}</n1:P>"
    )


def safe_folder(root: Path, name: str = SAFE, *, images, metadata: str, grid: Grid = GRID) -> Path:
    """Write ``{("B04", 10): array, ("SCL", 20): array}`` as a SAFE folder with JPEG 2000."""
    folder = root / name
    tile = name.split("_")[5]
    stamp = name.split("_")[2]
    data = folder / "GRANULE" / f"L2A_{tile}_A000001_{stamp}" / "IMG_DATA"
    for (band, resolution), values in images.items():
        at = grid.at_resolution(resolution)
        path = data / f"R{resolution}m" / f"{tile}_{stamp}_{band}_{resolution}m.jp2"
        write_tif(path, np.asarray(values), at, driver="JP2OpenJPEG")
    folder.mkdir(exist_ok=True)
    (folder / "MTD_MSIL2A.xml").write_text(metadata)
    return folder


def stac_item(root: Path, name: str, time: str, assets, *, grid: Grid = GRID, **properties) -> Path:
    """Write ``{"B04": (array, {"scale": ...})}`` as an item with its files beside it."""
    import json

    folder = root / name
    folder.mkdir(parents=True)
    listed = {}
    for key, (values, band) in assets.items():
        ratio = grid.shape[0] / np.shape(values)[0]
        write_tif(folder / f"{name}_{key}.tif", values, grid.at_resolution(10 * ratio))
        listed[key] = {"href": f"./{name}_{key}.tif", "raster:bands": [band]}
    document = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "bbox": [4.0, 44.0, 4.1, 44.1],
        "properties": {
            "datetime": time,
            "proj:code": grid.crs,
            "proj:transform": list(grid.transform),
            "proj:shape": list(grid.shape),
            **properties,
        },
        "assets": listed,
        "links": [],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def stac_catalogue(root: Path, items: list[Path]) -> Path:
    """Write a catalogue above the items."""
    import json
    import os

    links = [{"rel": "item", "href": "./" + os.path.relpath(i, root)} for i in items]
    path = root / "catalog.json"
    path.write_text(json.dumps({"type": "Catalog", "stac_version": "1.1.0", "links": links}))
    return path
