"""Sentinel-1 products, orbit files, and what SNAP writes."""

import functools
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzzing import SHARED, Parser, Target, folder, on_disk, packed


@functools.cache
def made() -> Path:
    """Return a simulated GRD product."""
    import numpy as np

    from skymend.core.grid import Grid, Window
    from skymend.simulate.facets import Terrain
    from skymend.simulate.terrain_grd import Survey, write_terrain_grd

    area = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (30, 30))
    wide = area.crop(Window(-30, -30, 90, 90))
    survey = Survey(datetime(2020, 5, 6, 6, tzinfo=UTC), 38.0, "DES")
    terrain = Terrain(wide, np.zeros(wide.shape))
    return write_terrain_grd(folder(), area, terrain, {"VV": 0.1, "VH": 0.02}, survey)[0]


def metadata() -> Iterator[Target]:
    """Manifest, annotation, calibration and noise of Sentinel-1 GRD and SLC."""
    for name, content in _files():
        last = name.rpartition("/")[2]
        parse = _parser(last)
        if parse is not None:
            yield last, content, parse


def _parser(name: str) -> Parser | None:
    from skymend.products.sentinel1 import parse_annotation, parse_calibration, parse_noise
    from skymend.products.sentinel1.manifest import parse_manifest

    if name == "manifest.safe":
        return lambda content: parse_manifest(content, name)
    if name.startswith("calibration-"):
        return lambda content: parse_calibration(content, name)
    if name.startswith("noise-"):
        return lambda content: parse_noise(content, name)
    if name.startswith("s1") and name.endswith(".xml"):
        return lambda content: parse_annotation(content, name)
    return None


def _files() -> Iterator[tuple[str, bytes]]:
    for product in (made(), *sorted((SHARED / "s1-safe-dem-rome-sarsen").glob("*.SAFE"))):
        for path in sorted(product.rglob("*")):
            if path.suffix in {".xml", ".safe"} and "rfi" not in path.parts:
                yield str(path), path.read_bytes()
    for path in sorted((SHARED / "s1-grd-safe-metadata").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if "-vv-" in name or name.endswith("manifest.safe"):
                    yield name, archive.read(name)


def zips() -> Iterator[Target]:
    """Table of contents and members of a SAFE zip, read in place."""
    from skymend.products.sentinel1 import open_grd

    def read(path: Path) -> None:
        product = open_grd(path)
        product.noise("VV")
        product.calibration("VV")

    product = made()
    files = [f for f in sorted(product.rglob("*")) if f.suffix in {".xml", ".safe"}]
    archive = packed({str(f.relative_to(product.parent)): f.read_bytes() for f in files})
    path = folder() / f"{product.name.removesuffix('.SAFE')}.zip"
    yield path.name, archive, on_disk(path, read)


def orbits() -> Iterator[Target]:
    """Orbit files (EOF)."""
    from skymend.sar.orbit import read_eof
    from skymend.sources.orbits import check

    paths = sorted((SHARED / "s1-slc-subset-eof").glob("*.EOF"))
    contents = {path.name: _shortened(path.read_bytes()) for path in paths}
    contents["S1A_OPER_AUX_POEORB_OPOD_20200526T120000_V20200505T225942_20200507T005942.EOF"] = (
        eof()
    )
    for name, content in contents.items():
        yield name, content, on_disk(folder() / name, read_eof)
        yield f"header of {name}", content, on_disk(folder() / name, check)


def _shortened(content: bytes) -> bytes:
    # Half a minute of it: the whole takes a parser longer than it teaches.
    head, _, rest = content.partition(b"<OSV>")
    few = b"<OSV>" + b"<OSV>".join(rest.split(b"<OSV>")[:12])
    return head + few + b"</List_of_OSVs></Data_Block></Earth_Explorer_File>"


def eof() -> bytes:
    """Return a made orbit file: states on a circle in the plane of the equator."""
    from math import cos, sin

    states = ""
    for n in range(8):
        turn = n * 10 * 7500 / 7.07e6
        numbers = zip(
            ("X", "Y", "Z", "VX", "VY", "VZ"),
            (7.07e6 * cos(turn), 7.07e6 * sin(turn), 0, -7500 * sin(turn), 7500 * cos(turn), 0),
            strict=True,
        )
        axes = "".join(f"<{axis}>{value}</{axis}>" for axis, value in numbers)
        states += f"<OSV><UTC>UTC=2020-05-06T05:{n // 6:02d}:{n % 6 * 10:02d}</UTC>{axes}</OSV>"
    return (
        "<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header><Mission>Sentinel-1A</Mission>"
        "<File_Type>AUX_POEORB</File_Type><Validity_Start>UTC=2020-05-05T22:59:42</Validity_Start>"
        "</Fixed_Header><Variable_Header><Ref_Frame>EARTH_FIXED</Ref_Frame><Time_Reference>UTC"
        "</Time_Reference></Variable_Header></Earth_Explorer_Header><Data_Block><List_of_OSVs>"
        f"{states}</List_of_OSVs></Data_Block></Earth_Explorer_File>"
    ).encode()


def snap() -> Iterator[Target]:
    """What SNAP writes (``.dim`` and ``.hdr``), and its graphs."""
    from skymend.core.grid import Grid
    from skymend.sar.dimap import open_result
    from skymend.sar.snap_graphs import parse_graph
    from skymend.sar.snap_research import templates

    grid = Grid("EPSG:32631", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_800_000.0), (8, 9))

    def read(path: Path) -> None:
        product = open_result(path.parents[path.suffix == ".hdr"] / "target.dim")
        for band in product.bands:
            product.read(band, grid)

    for suffix in ("dim", "hdr"):
        document = _dimap(folder(), grid)
        header = document.with_suffix(".data") / "Gamma0_VV.hdr"
        path = document if suffix == "dim" else header
        yield path.name, path.read_bytes(), on_disk(path, read)
    for name, template in sorted(templates().items()):
        content = template.graph.xml().encode()
        yield (
            f"{name}.xml",
            content,
            lambda c: parse_graph(c.decode("utf-8", "replace"), "g").check(),
        )


def _dimap(home: Path, grid: object) -> Path:
    import numpy as np

    from tests.product_case import write_tif

    write_tif(
        home / "target.data" / "Gamma0_VV.img", np.ones((8, 9), np.float32), grid, driver="ENVI"
    )
    header = home / "target.data" / "Gamma0_VV.hdr"
    header.write_text(header.read_text().replace(str(home), "home"))
    document = home / "target.dim"
    document.write_text(
        '<Dimap_Document><Data_Access><Data_File><DATA_FILE_PATH href="target.data/Gamma0_VV.hdr"/>'
        "<BAND_INDEX>0</BAND_INDEX></Data_File></Data_Access><Image_Interpretation>"
        "<Spectral_Band_Info><BAND_INDEX>0</BAND_INDEX><BAND_NAME>Gamma0_VV</BAND_NAME>"
        "</Spectral_Band_Info></Image_Interpretation></Dimap_Document>"
    )
    return document


TARGETS = {
    "sentinel1": metadata,
    "sentinel1-zip": zips,
    "orbits": orbits,
    "snap": snap,
}
