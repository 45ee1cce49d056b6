"""Names of products, folders of files called anything, heights, and logins of users."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from tests.fuzzing import Target, folder, on_disk

NAMES = (
    "S2A_MSIL2A_20220615T105031_N0400_R051_T31TFJ_20220615T170000.SAFE",
    "S1A_IW_GRDH_1SDV_20220615T055959_20220615T060024_043671_0536AD_1234_COG.SAFE",
    "LC09_L2SP_198030_20220615_20220616_02_T1",
    "SENTINEL2A_20170526-105518-082_L2A_T31UFQ_D_V1-4",
    "s1a_31UFQ_vv_DES_037_20230624t055959_NormLim.tif",
    "S1A_OPER_AUX_POEORB_OPOD_20200526T120000_V20200505T225942_20200507T005942.EOF",
    "MOD11A1.A2022166.h18v04.061.2022167085011.hdf",
    "Copernicus_DSM_COG_10_N44_00_E004_00_DEM.tif",
    "N44E004.hgt",
)


def products() -> Iterator[Target]:
    """Names of products, whose facts go into items and decide which version is the newest."""
    from skymend.sources.naming import collection_of_name, facts_of_name, harmonise
    from skymend.sources.versions import newest

    def read(content: bytes) -> None:
        name = content.decode("utf-8", "replace")
        facts_of_name(name)
        feature = {"id": name, "geometry": None, "properties": {"datetime": "2022-06-15T10:50:31Z"}}
        collection = collection_of_name(name) or "sentinel-2-l2a"
        first = harmonise(feature, collection, "folder", where="a folder")
        twin = harmonise({**feature, "id": f"{name}_COG"}, collection, "folder", where="a folder")
        newest([first, twin])

    for name in NAMES:
        yield name, name.encode(), read


def searched() -> Iterator[Target]:
    """A folder with a file and a folder of any name, searched by every kind and by detection."""
    import shutil

    from skymend.core.errors import SkymendError
    from skymend.products.detection import detect
    from skymend.sources import local

    def read(content: bytes) -> None:
        name = content.decode("utf-8", "replace").replace("/", "_").replace("\0", "_")[:80]
        if name in {"", ".", ".."}:
            return
        home = folder()
        try:
            (home / "in" / name).mkdir(parents=True)
            (home / name).write_bytes(b"x")
            for kind in ("theia", "safe-l2a", "safe-l1c", "s1tiling", "safe-grd", "dem"):
                local.search(kind, home, grid=None, period=None, bands=("B04",), strict=False)
            for path in (home / name, home / "in" / name):
                with suppress(SkymendError):
                    detect(path)
        finally:
            shutil.rmtree(home)

    for name in NAMES[:5]:
        yield name, name.encode(), read


def heights() -> Iterator[Target]:
    """DEM files, found, described and read; SRTM tiles."""
    import numpy as np

    from skymend.products.dem import read_dem
    from skymend.sources import local
    from skymend.sources.srtm import read_hgt
    from tests.product_case import GRID, write_tif

    period = (date(2022, 1, 1), date(2022, 12, 31))

    def read(path: Path) -> None:
        local.search("dem", path.parent, grid=GRID, period=period, strict=False)
        read_dem(path, GRID)

    values = np.linspace(0, 900, GRID.shape[0] * GRID.shape[1], dtype=np.float32)
    path = write_tif(folder() / "dem.tif", values.reshape(GRID.shape), GRID, nodata=-9999)
    yield path.name, path.read_bytes(), on_disk(path, read)
    yield "N44E004.hgt", bytes(2 * 1201 * 1201), on_disk(folder() / "N44E004.hgt", read_hgt)


def radar_images() -> Iterator[Target]:
    """Images of S1Tiling, found by name and read."""
    import numpy as np

    from skymend.products.s1tiling import open_product
    from tests.product_case import GRID, write_tif

    def read(path: Path) -> None:
        product = open_product(path)
        _ = product.time, product.convention, product.relative_orbit, product.direction
        product.read(("VV",), GRID)

    values = np.full(GRID.shape, 0.1, np.float32)
    path = write_tif(folder() / NAMES[4], values, GRID, nodata=0, ACQUISITION_DATETIME="x")
    yield path.name, path.read_bytes(), on_disk(path, read)


def logins() -> Iterator[Target]:
    """``~/.netrc``, and the user's own configuration of eodag."""
    from skymend.sources.credentials import Credentials
    from skymend.sources.eodag_bridge import EodagBridge
    from skymend.sources.protocol import Settings

    def netrc(path: Path) -> None:
        login = Credentials(environment={}, netrc_file=path)
        login.seek("earthdata", ("username", "password"))

    def eodag(path: Path) -> None:
        endpoints = {"eodag.config": path.as_uri()}
        EodagBridge(Settings(endpoints, Credentials(), path.parent))._own_config()

    line = b"machine urs.earthdata.nasa.gov login somebody password a-secret\n"
    yield "netrc", b"# logins\n" + line, on_disk(folder() / "netrc", netrc)
    document = json.dumps({"peps": {"search": {"api_endpoint": "https://localhost"}}}).encode()
    yield "eodag", document, on_disk(folder() / "eodag.yaml", eodag)


TARGETS = {
    "products": products,
    "searched": searched,
    "heights": heights,
    "radar-images": radar_images,
    "netrc": logins,
}
