"""The catalogue: published schemas, checksums, links, extents; second readers as oracles."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import logging
from pathlib import Path

import pytest
import rasterio
from rasterio.warp import transform_bounds

from skymend.core.errors import InternalError, SkipJob
from skymend.core.step import Artifact, Context
from skymend.report.stac import footprint, item_id
from skymend.report.validation import EXTENSIONS, _schemas, problems
from skymend.steps.publish import Inputs, Params, run
from tests.report_case import grid, make_region

DATA = Path(__file__).parents[2] / "src" / "skymend" / "report" / "schemas"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    (root / "scenes").mkdir()
    made, _ = make_region(root / "scenes")
    page = root / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("<!doctype html>")
    final = root / "catalogue" / "publish-1a2b3c4d"
    final.mkdir(parents=True)
    report = Artifact(key="p", step="report", files={"page": page})
    context = Context(cpus=1, work=root, final=final, log=logging.getLogger("test"))
    inputs = Inputs(reconstructions=made, report=report)
    facts = run(inputs, Params(id="hesbaye 2023"), final, context)
    return final, made, facts


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def documents(final: Path) -> list[Path]:
    return [final / "catalog.json", final / "collection.json", *sorted((final / "items").iterdir())]


def test_every_document_is_valid_against_the_published_schemas(store):
    final, _, facts = store
    assert facts == {"items": 10, "skipped": 1}
    for path in documents(final):
        assert problems(load(path)) == [], path.name


def test_items_name_all_five_extensions(store):
    item = load(documents(store[0])[2])
    assert item["stac_extensions"] == sorted(EXTENSIONS.values())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d["properties"].pop("datetime"), "datetime"),
        (lambda d: d["properties"].update({"proj:code": 32631}), "proj:code"),
        (lambda d: d["properties"].update({"proj:shape": [1, 2, 3]}), "proj:shape"),
        (lambda d: d["properties"].update({"eo:cloud_cover": 101}), "101"),
        (lambda d: d["assets"]["qa"].update({"file:checksum": "XYZ"}), "XYZ"),
        (lambda d: d["assets"]["qa"].update({"file:size": -1}), "-1"),
        (
            lambda d: d["assets"]["reflectance"]["bands"][0].update({"raster:scale": "x"}),
            "raster:scale",
        ),
        (
            lambda d: d["assets"]["reflectance"]["bands"][0].update({"eo:common_name": "violet"}),
            "violet",
        ),
        (
            lambda d: [
                d["properties"].pop(k) for k in [*d["properties"]] if k.startswith("processing:")
            ],
            "processing",
        ),
        (lambda d: d["properties"].update({"processing:level": 3}), "3"),
        (lambda d: d.pop("bbox"), "bbox"),
        (lambda d: d["stac_extensions"].append("https://example.org/x.json"), "no schema kept"),
        (lambda d: d.update({"type": "Thing"}), "Thing"),
    ],
)
def test_each_schema_bites(store, change, place):
    item = copy.deepcopy(load(documents(store[0])[2]))
    change(item)
    assert any(place in problem for problem in problems(item)), problems(item)


def test_core_schemas_are_those_pystac_ships():
    pystac = pytest.importorskip("pystac")
    shipped = Path(pystac.__file__).parent / "validation" / "jsonschemas"
    for path in (shipped / "stac-spec" / "v1.1.0").glob("*.json"):
        assert (DATA / f"core-v1.1.0-{path.name}").read_bytes() == path.read_bytes()


def test_schemas_are_themselves_valid_and_named_in_the_note():
    from jsonschema import Draft7Validator

    note = (DATA / "README.md").read_text()
    for path in DATA.glob("*.json"):
        Draft7Validator.check_schema(load(path))
        stem = path.name.split("-v1.1.0-")[0] if path.name.startswith("core-") else path.name
        assert stem.split("-")[0] in note
    assert len(_schemas()) == len(list(DATA.glob("*.json")))


def test_links_and_assets_lead_to_files(store):
    final = store[0]
    for path in documents(final):
        document = load(path)
        assets = document.get("assets", {}).values()
        for target in [link["href"] for link in document["links"]] + [a["href"] for a in assets]:
            assert target.startswith(("./", "../")), target
            assert (path.parent / target).resolve().is_file(), target


def test_checksums_are_sha256_multihashes_of_the_files(store):
    path = documents(store[0])[3]
    for asset in load(path)["assets"].values():
        data = (path.parent / asset["href"]).resolve().read_bytes()
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
        assert asset["file:size"] == len(data)


def test_items_say_what_rasterio_reads(store):
    path = documents(store[0])[3]
    item = load(path)
    for asset in item["assets"].values():
        with rasterio.open((path.parent / asset["href"]).resolve()) as dataset:
            assert list(dataset.shape) == item["properties"]["proj:shape"]
            assert list(dataset.transform)[:6] == item["properties"]["proj:transform"]
            assert dataset.crs.to_string() == item["properties"]["proj:code"]
            assert asset["data_type"] == dataset.dtypes[0]
            assert asset["nodata"] == dataset.nodata
            names = [band["name"] for band in asset["bands"]]
            assert names == list(dataset.descriptions)
            for band, scale in zip(asset["bands"], dataset.scales, strict=True):
                assert band.get("raster:scale", 1.0) == scale


def test_pystac_reads_the_whole_catalogue(store):
    pystac = pytest.importorskip("pystac")
    root = pystac.Catalog.from_file(str(store[0] / "catalog.json"))
    items = list(root.get_items(recursive=True))
    assert len(items) == 10
    collection = next(iter(root.get_children()))
    times = sorted(i.datetime for i in items)
    assert collection.extent.temporal.intervals == [[times[0], times[-1]]]
    boxes = collection.extent.spatial.bboxes[0]
    assert boxes == items[0].bbox


def test_footprint_covers_the_window_like_rasterio_says():
    full = grid(10980, 10980)
    geometry, bbox = footprint(full)
    expected = transform_bounds(full.crs, "EPSG:4326", *full.bounds, densify_pts=4)
    # coordinates are rounded to 1e-6 degrees, 0.1 m
    assert bbox == pytest.approx(expected, abs=2e-6)
    ring = geometry["coordinates"][0]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring))
    assert area > 0, "counter-clockwise"
    assert ring[0] == ring[-1]


def test_skipped_dates_are_published_with_their_reason(store):
    skipped = load(store[0] / "skipped.json")["skipped"]
    assert [s["reason"] for s in skipped] == ["outside swath"]
    assert "1 skipped" in load(store[0] / "collection.json")["description"]


def test_clear_share_becomes_cloud_cover_of_the_acquisition(store):
    final, made, _ = store
    item = load(final / "items" / f"{item_id(made[1])}.json")
    expected = 100 * (1 - made[1].facts["clear_share"])
    assert item["properties"]["eo:cloud_cover"] == pytest.approx(expected, abs=0.005)
    virtual = load(final / "items" / f"{item_id(made[9])}.json")
    assert "eo:cloud_cover" not in virtual["properties"]


def test_bytes_depend_on_inputs_only(store, tmp_path):
    final, made, _ = store
    context = Context(cpus=1, work=tmp_path, final=final)
    again = tmp_path / "again"
    again.mkdir()
    run(Inputs(reconstructions=made[::-1]), Params(id="hesbaye 2023"), again, context)
    for path in (final / "items").iterdir():
        assert (again / "items" / path.name).read_bytes() == path.read_bytes()
    assert (again / "skipped.json").read_bytes() == (final / "skipped.json").read_bytes()


def test_two_reconstructions_of_one_time_are_refused(store, tmp_path):
    made = store[1][0]
    context = Context(cpus=1, work=tmp_path, final=tmp_path)
    with pytest.raises(InternalError, match="two of the same"):
        run(Inputs(reconstructions=(made, made)), Params(), tmp_path, context)


def test_nothing_to_publish_is_a_skip(tmp_path):
    gone = Artifact(key="a", step="reconstruct", absent="outside swath")
    context = Context(cpus=1, work=tmp_path, final=tmp_path)
    with pytest.raises(SkipJob, match="nothing to publish"):
        run(Inputs(reconstructions=(gone,)), Params(), tmp_path, context)
