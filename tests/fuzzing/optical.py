"""Sentinel-2 SAFE, Landsat metadata, and STAC items on disk."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

from tests.fuzzing import SHARED, Target, folder, on_disk


@functools.cache
def made() -> Path:
    """Return a folder with simulated L1C and L2A products, with and without GML masks."""
    from datetime import date

    from skymend.simulate import tiny
    from skymend.simulate.cloud_scene import cloud_scene
    from skymend.simulate.safe_s2 import write_l1c, write_l2a
    from skymend.simulate.safe_series import surface_granule
    from skymend.simulate.scenario import Scenario
    from skymend.simulate.toa_series import scene_granule

    home = folder()
    for baseline in ("02.06", "05.00"):
        scene = cloud_scene(4, size_px=60)
        write_l1c(home, scene_granule(scene, baseline=baseline))
        small = {**tiny().model_dump(), "size_px": 60, "baseline": baseline}
        write_l2a(home, surface_granule(Scenario.model_validate(small), date(2018, 6, 4)))
    return home


def safe() -> Iterator[Target]:
    """Metadata of SAFE products: radiometry, angles, detector footprints."""
    from skymend.core.grid import Grid
    from skymend.products import safe as l2a
    from skymend.products import safe_l1c as l1c
    from skymend.products.safe_angles import read_footprint, read_tile_angles

    def angles(path: Path) -> None:
        found = read_tile_angles(path)
        _, _, left, _, _, top = found.grid.transform
        grid = Grid(found.grid.crs, (10.0, 0.0, left, 0.0, -10.0, top), (4, 5))
        found.sun.at(grid, found.grid)
        for band in found.view:
            found.view_of(band, grid, None)

    def footprint(path: Path) -> None:
        transform = (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0)
        read_footprint(path.parent, path.stem[-3:], Grid("EPSG:32631", transform, (20, 20)))

    readers = {
        "MTD_MSIL1C.xml": lambda path: l1c.read_radiometry(path).decoding("B04"),
        "MTD_MSIL2A.xml": lambda path: l2a.read_radiometry(path).decoding("B04"),
        "MTD_TL.xml": angles,
        "MSK_DETFOO_B8A.gml": footprint,
    }
    for path in _safe_files():
        if path.name in readers:
            yield path.name, path.read_bytes(), on_disk(folder() / path.name, readers[path.name])


def _safe_files() -> Iterator[Path]:
    homes = ("s2-safe-metadata-stactools", "s2-l1c-safe-eodag")
    for home in (made(), *(SHARED / name for name in homes)):
        yield from sorted(home.rglob("*"))


def images() -> Iterator[Target]:
    """Images as products hold them: JPEG 2000 and GeoTIFF."""
    import numpy as np

    from skymend.core.raster import describe
    from skymend.products.sampling import Decoding, read_continuous, read_nearest
    from tests.product_case import GRID, write_tif

    def read(path: Path) -> None:
        describe(path)
        read_continuous(path, GRID, Decoding(1e-4, 0.0, (0.0,)))
        read_nearest(path, GRID)

    values = np.arange(GRID.shape[0] * GRID.shape[1], dtype=np.uint16).reshape(GRID.shape)
    for name, driver in (("a.tif", "GTiff"), ("a.jp2", "JP2OpenJPEG")):
        path = write_tif(folder() / name, values, GRID, driver=driver)
        yield name, path.read_bytes(), on_disk(path, read)


def landsat() -> Iterator[Target]:
    """MTL in three forms."""
    from skymend.products.landsat_metadata import Metadata

    def read(path: Path) -> None:
        found = Metadata.of(path.parent)
        _ = found.time
        found.number("REFLECTANCE_MULT_BAND_4", level=1 if "_L1TP_" in path.name else 2)
        found.number("SUN_ELEVATION")

    for name, content in _landsat_files():
        yield name, content, on_disk(folder() / name, read)


def _landsat_files() -> Iterator[tuple[str, bytes]]:
    for path in sorted((SHARED / "landsat8-rio-tiler-pds").rglob("*_MTL.*")):
        yield path.name, path.read_bytes()
    groups = {
        "IMAGE_ATTRIBUTES": {
            "DATE_ACQUIRED": "2022-06-15",
            "SCENE_CENTER_TIME": "10:29:10.1234560Z",
            "SUN_ELEVATION": "60.0",
        },
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": {"REFLECTANCE_MULT_BAND_4": "2.75e-05"},
        "LEVEL1_RADIOMETRIC_RESCALING": {"REFLECTANCE_MULT_BAND_4": "2.0E-05"},
    }
    forms = {"json": json.dumps({"LANDSAT_METADATA_FILE": groups}), "xml": "", "txt": ""}
    for group, fields in groups.items():
        forms["xml"] += (
            f"<{group}>{''.join(f'<{k}>{v}</{k}>' for k, v in fields.items())}</{group}>"
        )
        lines = "".join(f'    {k} = "{v}"\n' for k, v in fields.items())
        forms["txt"] += f"  GROUP = {group}\n{lines}  END_GROUP = {group}\n"
    forms["xml"] = f"<LANDSAT_METADATA_FILE>{forms['xml']}</LANDSAT_METADATA_FILE>"
    for form, text in forms.items():
        yield f"LC09_L1TP_198030_20220615_20220616_02_T1_MTL.{form}", text.encode()


def stac() -> Iterator[Target]:
    """STAC items on disk."""
    import rasterio

    from skymend.products import stac as reader
    from skymend.products.stac_item import Item

    def read(path: Path) -> None:
        item: Item = reader.load_item(path)
        _ = item.id, item.time, item.platform, item.tile
        optical, radar = reader.open_optical(path), reader.open_radar(path)
        _ = optical.bands, radar.convention, radar.relative_orbit, radar.direction
        for name in item.assets:
            item.grid_of(name)
            item.has(name)
            if name.startswith("B"):
                reader.reflectance_decoding(item, name, image)

    image = folder() / "image.tif"
    with rasterio.open(image, "w", "GTiff", 8, 8, 1, dtype="uint16") as dataset:
        dataset.scales = (1e-4,)
    for path in _stac_items():
        home = folder()
        yield path.name, path.read_bytes(), on_disk(home / path.name, read)


def _stac_items() -> Iterator[Path]:
    import numpy as np

    from tests.product_case import stac_item

    home = folder()
    values = {"scale": 1e-4, "offset": -0.1, "nodata": 0}
    optical = {"B04": (np.ones((24, 30), np.uint16), values), "scl": (np.ones((12, 15)), {})}
    yield stac_item(home, "optical", "2022-06-15T10:50:31Z", optical)
    channels = {"vv": (np.ones((24, 30), np.float32), {"unit": "sigma0 dB", "nodata": "nan"})}
    orbit = {"sat:relative_orbit": 37, "sat:orbit_state": "ascending"}
    yield stac_item(home, "radar", "2022-06-15T10:50:31Z", channels, **orbit)
    yield from sorted((SHARED / "stac-items-odc").glob("S2*.json"))
    for collection in ("sentinel-1-grd", "sentinel-2-l2a"):
        yield from sorted((SHARED / "belgium-2023-stac" / collection).rglob("*/*.json"))[-1:]


TARGETS = {
    "safe": safe,
    "images": images,
    "landsat": landsat,
    "stac": stac,
}
