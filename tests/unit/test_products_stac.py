"""STAC items on disk: numbers come from the item, files from its folder."""

import json
import re

import numpy as np
import pytest

from skymend.core.errors import ProductError
from skymend.products import Label, open_optical
from skymend.products.stac import load_item, refusal
from skymend.products.stac_item import asset_name, catalogue_root, local_path
from skymend.sources.catalogue import search
from skymend.sources.question import Question
from tests.product_case import GRID, stac_catalogue, stac_item

RNG = np.random.default_rng(8)
RED = RNG.integers(1, 9000, GRID.shape).astype(np.uint16)
RED[0, 0] = 0
SCL = np.full(GRID.shape, 5, np.uint8)
SCL[0] = 8
TIME = "2023-04-15T10:40:00Z"


def _item(tmp_path, band, **properties):
    assets = {"B04": (RED, band), "SCL": (SCL, {})}
    return stac_item(tmp_path, "S2X", TIME, assets, **properties)


@pytest.mark.parametrize(
    ("band", "properties", "offset"),
    [
        ({"scale": 1e-4, "offset": 0.0, "nodata": 0}, {}, 0.0),
        ({"scale": 1e-4, "offset": -0.1}, {"s2:processing_baseline": "05.09"}, -0.1),
        (
            {"scale": 1e-4, "offset": -0.1},
            {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True},
            0.0,
        ),
        (
            {"scale": 1e-4, "offset": -0.1},
            {"s2:processing_baseline": "04.00", "earthsearch:boa_offset_applied": False},
            -0.1,
        ),
        ({"scale": 1e-4}, {"s2:processing_baseline": "02.14"}, 0.0),
        ({"raster:scale": 1e-4, "raster:offset": -0.1}, {}, -0.1),
    ],
)
def test_scale_and_offset_stand_in_the_item(tmp_path, band, properties, offset):
    values = open_optical(_item(tmp_path, band, **properties)).read(("B04",), GRID)[0]
    expected = np.where(RED == 0, np.nan, RED * 1e-4 + offset)
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_an_item_silent_about_a_new_offset_is_refused(tmp_path):
    path = _item(tmp_path, {"scale": 1e-4}, **{"s2:processing_baseline": "04.00"})
    with pytest.raises(ProductError, match=r"S2X\.json: expected an offset in raster:bands"):
        open_optical(path).read(("B04",), GRID)


def test_an_item_without_scale_is_refused(tmp_path):
    with pytest.raises(ProductError, match="expected a scale in raster:bands of the asset B04"):
        open_optical(_item(tmp_path, {})).read(("B04",), GRID)


def test_labels_and_identity(tmp_path):
    path = _item(tmp_path, {"scale": 1e-4}, **{"grid:code": "MGRS-31TFJ", "platform": "s2x"})
    product = open_optical(path)
    assert (product.id, product.tile, product.platform) == ("S2X", "31TFJ", "s2x")
    assert product.bands == ("B04",)
    assert f"{product.time:%Y%m%dT%H%M%S%z}" == "20230415T104000+0000"
    assert product.grid == GRID
    labels = product.labels(GRID)
    assert (labels[0] == Label.CLOUD).all()
    assert (labels[1:] == Label.CLEAR).all()
    assert [p.name for p in product.files(("B04",))] == ["S2X_B04.tif", "S2X_SCL.tif", "S2X.json"]


def test_missing_asset_and_missing_file(tmp_path):
    product = open_optical(_item(tmp_path, {"scale": 1e-4}))
    with pytest.raises(ProductError, match="an asset with the band B08, found B04, SCL"):
        product.files(("B08",))
    (tmp_path / "S2X" / "S2X_B04.tif").unlink()
    with pytest.raises(ProductError, match=r"the file S2X_B04\.tif of the band B04"):
        product.files(("B04",))


@pytest.mark.parametrize(
    ("key", "document", "expected"),
    [
        ("B04", {}, ("B04", 0)),
        ("B4", {}, ("B04", 0)),
        ("b8a", {}, ("B8A", 0)),
        ("B02_10m", {}, ("B02", 10)),
        ("SCL_20m", {}, ("SCL", 20)),
        ("red", {}, ("B04", 0)),
        ("nir08", {}, ("B8A", 0)),
        ("swir16_60m", {}, ("B11", 60)),
        ("vv", {}, ("VV", 0)),
        ("red-jp2", {}, (None, 0)),
        ("visual", {}, (None, 0)),
        ("kanal", {"eo:bands": [{"name": "B03"}]}, ("B03", 0)),
    ],
)
def test_asset_names(key, document, expected):
    assert asset_name(key, document) == expected


def test_links_stay_inside_the_catalogue(tmp_path):
    inside = tmp_path / "cat" / "item"
    inside.mkdir(parents=True)
    (inside / "mirror.tif").touch()
    root = tmp_path / "cat"
    assert local_path("./a.tif", inside, root) == inside / "a.tif"
    assert local_path("../other/a.tif", inside, root) == root / "other/a.tif"
    assert local_path("../../a.tif", inside, root) is None
    assert local_path("/etc/passwd", inside, root) is None
    assert local_path("file:///etc/passwd", inside, root) is None
    assert local_path("https://example.org/x/gone.tif", inside, root) is None
    assert local_path("s3://bucket/x/mirror.tif?token=1", inside, root) == inside / "mirror.tif"


def test_an_asset_outside_the_catalogue_is_refused(tmp_path):
    path = _item(tmp_path / "cat", {"scale": 1e-4})
    document = json.loads(path.read_text())
    document["assets"]["B04"]["href"] = "../../secret.tif"
    path.write_text(json.dumps(document))
    with pytest.raises(ProductError, match="expected the band B04 inside the catalogue"):
        open_optical(path).files(("B04",))


def test_the_root_is_the_highest_catalogue_above(tmp_path):
    path = _item(tmp_path / "a", {"scale": 1e-4})
    assert catalogue_root(path) == path.parent
    stac_catalogue(tmp_path / "a", [path])
    assert catalogue_root(path) == tmp_path / "a"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "not readable as STAC"),
        ("a.json", "[1]", "not readable as STAC"),
        ("a.json", '{"type": "Feature"}', "no STAC item"),
        ("a.json", '{"type": "Catalog"}', "whole catalogue"),
        ("a.tif", "", "not a STAC item"),
    ],
)
def test_refusals(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    assert reason in refusal(tmp_path / name)
    assert refusal(tmp_path / "none.json") == "no such file"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("id",), None, "a text in id, found None"),
        (("properties",), [1], r"an object in properties, found \[1\]"),
        (("bbox",), [1, 2, "x", 4], "4 or 6 numbers in bbox"),
        (("properties", "datetime"), "0001-01-01T00:00:00+14:00", "properties.datetime in ISO"),
        (("properties", "s2:processing_baseline"), "new", "such as 05.09 in properties.s2:proc"),
        (("properties", "sat:relative_orbit"), "x", "a whole number in properties.sat:relative"),
        (("properties", "proj:transform"), [10, 0, "x", 0, -10, 0], "in properties.proj:transform"),
        (("properties", "proj:shape"), [0, 10**400], "2 whole numbers in properties.proj:shape"),
        (("assets",), [], "an object in assets"),
        (("assets", "B04"), "a.tif", "an object in assets.B04, found 'a.tif'"),
        (("assets", "B04", "href"), 5, "a text in assets.B04.href, found 5"),
        (("assets", "B04", "raster:bands"), {"scale": 1}, "a list of objects in assets.B04.raster"),
        (("assets", "B04", "raster:bands"), [{"scale": "x"}], "assets.B04.raster:bands.scale"),
        (("assets", "B04", "raster:bands"), [{"nodata": [0]}], "assets.B04.raster:bands.nodata"),
    ],
)
def test_an_item_of_another_form_is_refused_by_the_name_of_its_field(tmp_path, place, value, words):
    path = _item(tmp_path, {"scale": 1e-4})
    document = json.loads(path.read_text())
    here = document
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ProductError, match=words):
        _ = load_item(path).time
    # In a catalogue such an item is left out with the reason.
    question = Question.of(None, None, ("B04",), ())
    found = search(path, question, strict=False)
    assert not found.products
    assert re.search(words.removeprefix("expected "), found.rejected[0].reason)


def test_a_name_that_no_file_can_have_is_a_missing_file(tmp_path):
    path = _item(tmp_path, {"scale": 1e-4})
    document = json.loads(path.read_text())
    document["assets"]["B04"]["href"] = "x" * 300 + ".tif"
    path.write_text(json.dumps(document))
    assert not load_item(path).has("B04")
