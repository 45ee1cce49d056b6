"""SNAP's results: how they are read, and that damage ends in a sentence."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from skymend.core.errors import (
    ProductError,
    SkymendError,
)
from skymend.core.grid import Grid, Window
from skymend.sar.dimap import open_result
from skymend.sar.snap_graphs import parse_graph
from skymend.sar.snap_research import templates

GRID = Grid("EPSG:32633", (10.0, 0.0, 300_000.0, 0.0, -10.0, 4_600_000.0), (40, 50))


def dimap(folder, bands, grid, *, nodata=0.0, href=None):
    """Write a BEAM-DIMAP product as SNAP lays it out: big-endian ENVI images and a document."""
    data = folder / "target.data"
    data.mkdir(parents=True)
    files, infos = "", ""
    for index, (name, values) in enumerate(bands.items()):
        profile = {"driver": "ENVI", "width": grid.shape[1], "height": grid.shape[0], "count": 1}
        with rasterio.open(
            data / f"{name}.img",
            "w",
            dtype=values.dtype,
            crs=grid.crs,
            transform=Affine(*grid.transform),
            **profile,
        ) as dataset:
            dataset.write(values, 1)
        link = href or f"target.data/{name}.hdr"
        files += (
            f'<Data_File><DATA_FILE_PATH href="{link}"/><BAND_INDEX>{index}</BAND_INDEX>'
            "</Data_File>"
        )
        infos += (
            f"<Spectral_Band_Info><BAND_INDEX>{index}</BAND_INDEX><BAND_NAME>{name}</BAND_NAME>"
            f"<NO_DATA_VALUE>{nodata}</NO_DATA_VALUE></Spectral_Band_Info>"
        )
    document = folder / "target.dim"
    document.write_text(
        f"<Dimap_Document><Data_Access>{files}</Data_Access>"
        f"<Image_Interpretation>{infos}</Image_Interpretation></Dimap_Document>"
    )
    return document


def ramp(grid):
    return (np.arange(grid.shape[0] * grid.shape[1], dtype=np.float32) + 1).reshape(grid.shape)


def test_a_band_on_the_same_lattice_is_copied(tmp_path):
    wide = GRID.crop(Window(-7, -3, 60, 70))
    values = ramp(wide)
    values[9, 5] = 0
    product = open_result(dimap(tmp_path, {"Gamma0_VV": values}, wide))
    read = product.read("Gamma0_VV", GRID, nodata=0.0)
    expected = values[7:47, 3:53].copy()
    expected[2, 2] = np.nan
    np.testing.assert_array_equal(read, expected)
    beyond = GRID.crop(Window(-20, 30, 40, 50))
    read = product.read("Gamma0_VV", beyond, nodata=0.0)
    assert np.isnan(read[:13]).all()
    np.testing.assert_array_equal(read[13:, :37], values[:27, 33:])


def test_another_lattice_is_interpolated(tmp_path):
    shifted = Grid(GRID.crs, (10.0, 0.0, 299_905.0, 0.0, -10.0, 4_600_105.0), (80, 90))
    rows, columns = np.mgrid[: shifted.shape[0], : shifted.shape[1]].astype(np.float32)
    product = open_result(dimap(tmp_path, {"Sigma0_VV": 5 + rows + 2 * columns}, shifted))
    read = product.read("Sigma0_VV", GRID, nodata=0.0)
    rows, columns = np.mgrid[:40, :50]
    # Half a pixel off: the mean of four neighbours of a plane is the plane.
    np.testing.assert_allclose(read, 5 + (rows + 10) + 2 * (columns + 9) + 1.5, atol=1e-3)


def test_a_geotiff_tells_its_bands_in_a_tag(tmp_path):
    document = (
        "<Dimap_Document><Image_Interpretation>"
        "<Spectral_Band_Info><BAND_INDEX>0</BAND_INDEX><BAND_NAME>Sigma0_VH</BAND_NAME>"
        "</Spectral_Band_Info><Spectral_Band_Info><BAND_INDEX>1</BAND_INDEX>"
        "<BAND_NAME>Sigma0_VV</BAND_NAME></Spectral_Band_Info></Image_Interpretation>"
        "</Dimap_Document>"
    )
    path = tmp_path / "target.tif"
    write_tagged_tiff(path, np.stack([ramp(GRID), 2 * ramp(GRID)]), document)
    product = open_result(path)
    assert list(product.bands) == ["Sigma0_VH", "Sigma0_VV"]
    assert product.bands["Sigma0_VV"].index == 2


def write_tagged_tiff(path, values, document):
    """A GeoTIFF with the private tag 65000, which GDAL cannot write: Pillow can."""
    from PIL import Image, TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[65000] = document
    tags.tagtype[65000] = 2
    Image.fromarray(values[0]).save(path, tiffinfo=tags)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: f / "missing.dim", "a result of SNAP, found no such file"),
        (lambda f: dimap(f, {"a": ramp(GRID)}, GRID, href="../../etc/a.hdr"), "images inside"),
        (lambda f: text_file(f / "broken.dim", "<Dimap"), "well-formed XML"),
        (lambda f: text_file(f / "plain.tif", "no tiff"), "SNAP's description of the bands"),
    ],
)
def test_a_damaged_result_is_one_sentence(tmp_path, make, sentence):
    with pytest.raises(ProductError, match=sentence):
        open_result(make(tmp_path))


def text_file(path, text):
    path.write_text(text)
    return path


def test_a_missing_image_is_one_sentence(tmp_path):
    document = dimap(tmp_path, {"a": ramp(GRID)}, GRID)
    (tmp_path / "target.data" / "a.img").unlink()
    with pytest.raises(ProductError, match="an ENVI image or GeoTIFF, found none"):
        open_result(document).read("a", GRID)


@pytest.mark.parametrize("kind", ["dim", "hdr", "tif", "graph"])
def test_damaged_files_never_end_in_a_traceback(tmp_path, kind):
    """Two hundred random edits each."""
    document = dimap(tmp_path, {"Gamma0_VV": ramp(GRID)}, GRID)
    header, tiff = tmp_path / "target.data" / "Gamma0_VV.hdr", tmp_path / "target.tif"
    write_tagged_tiff(tiff, ramp(GRID)[None], "<Dimap_Document/>")
    graph = templates()["s1-zs"].graph.xml().encode()
    sources = {"dim": document, "hdr": header, "tif": tiff}
    whole = sources[kind].read_bytes() if kind in sources else graph
    generator = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        bent = edited(whole, generator)
        try:
            if kind == "graph":
                parse_graph(bent.decode("utf-8", "replace"), "g.xml").check()
                continue
            sources[kind].write_bytes(bent)
            product = open_result(tiff if kind == "tif" else document)
            for band in product.bands:
                product.read(band, GRID)
        except SkymendError:
            refused += 1
    assert refused > 10


def edited(whole, generator):
    """Change, drop or repeat a few bytes; only printable ones are put in."""
    content = bytearray(whole)
    for _ in range(generator.integers(1, 6)):
        at = int(generator.integers(len(content)))
        length = int(generator.integers(1, 40))
        edit = generator.integers(3)
        if edit == 0:
            content[at] = int(generator.integers(32, 127))
        elif edit == 1 and len(content) > 100:
            del content[at : at + length]
        else:
            start = int(generator.integers(len(content)))
            content[at:at] = content[start : start + length]
    return bytes(content)
