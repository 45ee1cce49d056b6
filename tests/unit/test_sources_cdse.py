"""The parts of the Copernicus Data Space client, on recorded and hand-built answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import from_wkt
from shapely.geometry import MultiPolygon, Point

from skymend.core.errors import AnswerError, ConfigError, ProductError, RetryableError
from skymend.sources import versions
from skymend.sources.area import Area
from skymend.sources.cdse import odata
from skymend.sources.cdse.access import Shelf, folder_name
from skymend.sources.cdse.catalogue import COLLECTIONS, LIMITS
from skymend.sources.cdse.contents import Entry, choose, names, read_manifest
from skymend.sources.cdse.stac import StacCatalogue, comparisons
from skymend.sources.credentials import Credentials
from skymend.sources.protocol import Filters, Settings, digests_of

START = datetime(2020, 1, 1, tzinfo=UTC)
NOBODY = Settings(credentials=Credentials({}, {}, Path("none")), cache=Path("none"))
ENTRY = Entry("MTD_MSIL2A.xml", 3, None)


@pytest.fixture
def settings(tmp_path):
    return Settings(credentials=Credentials({}, {}, tmp_path / "none"), cache=tmp_path)


@pytest.fixture
def recorded(shared_data, settings):
    path = shared_data / "api-cdse-stac-geopyspark/stac/issue1043-api-proj-code"
    (feature,) = json.loads((path / "FeatureCollection.json").read_text())["features"]
    return StacCatalogue(settings).document(feature, "sentinel-2-l2a")


def manifest_of(shared_data, level):
    (path,) = (shared_data / "s2-safe-metadata-stactools").glob(f"*_{level}_*/manifest.safe")
    return read_manifest(path.read_bytes(), level)


def test_the_recorded_item_speaks_our_words(recorded):
    assert recorded.id == "S2B_MSIL2A_20200322T074609_N0500_R135_T36NYH_20230612T214223"
    properties = recorded.properties
    assert properties["platform"] == "sentinel-2b"
    assert properties["grid:code"] == "MGRS-36NYH"
    assert properties["processing:version"] == "05.00"
    assert properties["sat:relative_orbit"] == 135
    assert properties["eo:cloud_cover"] == 87.94
    assert folder_name(recorded) == f"{recorded.id}.SAFE"


def test_the_recorded_item_s_digests_are_read_and_the_contradictory_ones_left(recorded):
    def algorithms(key):
        return {d.algorithm for d in digests_of(recorded.assets[key])}

    assert algorithms("B02_10m") == {"sha3-256"}
    assert algorithms("safe_manifest") == {"md5"}
    assert algorithms("product") == {"md5"}
    # Labelled as MD5, but of 32 bytes: the manifest, which has an MD5, says what they must be.
    assert algorithms("product_metadata") == set()


def test_files_of_the_recorded_item_are_asked_for_where_they_lie(recorded, settings):
    uuid = "e7f0819d-8cf8-40a8-8114-86ade385ec04"
    root = "Sentinel-2/MSI/L2A_N0500/2020/03/22"
    tile = "GRANULE/L2A_T36NYH_A015891_20200322T075811/MTD_TL.xml"
    entry = choose(read_manifest(_manifest([tile]), "x"), ["metadata"], "x")[0]
    https = Shelf(recorded, settings, s3=False).remote(entry)
    # The recorded alternate address of this file has an empty Nodes() in it.
    assert https.url == (
        f"https://download.dataspace.copernicus.eu/odata/v1/Products({uuid})"
        f"/Nodes({recorded.id}.SAFE)/Nodes(GRANULE)"
        "/Nodes(L2A_T36NYH_A015891_20200322T075811)/Nodes(MTD_TL.xml)/$value"
    )
    s3 = Shelf(recorded, settings, s3=True).remote(entry)
    assert s3.url == f"s3://eodata/{root}/{recorded.id}.SAFE/{tile}"
    archive = Shelf(recorded, settings, s3=False).archive()
    assert archive.url.endswith(f"/Products({uuid})/$value")
    assert (archive.size, archive.kind) == (1063027451, "safe-zip")


def test_the_token_may_follow_within_the_service_only(recorded, settings):
    remote = Shelf(recorded, settings, s3=False).archive()
    assert set(remote.trusted_hosts) == {
        "download.dataspace.copernicus.eu",
        "zipper.dataspace.copernicus.eu",
        "catalogue.dataspace.copernicus.eu",
    }
    mirror = Settings({"cdse.download": "http://127.0.0.1:1"}, settings.credentials)
    assert Shelf(recorded, mirror, s3=False).archive().trusted_hosts == ()


def test_bands_of_a_recorded_l2a_manifest(shared_data):
    entries = manifest_of(shared_data, "MSIL2A")
    assert {"B02", "B8A", "SCL"} <= set(names(entries))
    chosen = [e.path.rsplit("/", 1)[-1] for e in choose(entries, ["B02", "B11"], "x")]
    assert "T33XWJ_20220413T150759_B02_10m.tif" in chosen
    assert "T33XWJ_20220413T150759_B11_20m.tif" in chosen
    assert "T33XWJ_20220413T150759_SCL_20m.tif" in chosen
    assert {"MTD_MSIL2A.xml", "MTD_TL.xml"} <= set(chosen)
    assert not any("B03" in n or "TCI" in n or "_60m" in n for n in chosen)
    assert all(e.digest is not None and e.digest.algorithm == "md5" for e in entries)


def test_bands_of_a_recorded_l1c_manifest(shared_data):
    entries = manifest_of(shared_data, "MSIL1C")
    chosen = choose(entries, ["B10", "B02"], "x")
    paths = [e.path.rsplit("/", 1)[-1] for e in chosen]
    assert {"T46RER_20210908T042701_B02.jp2", "T46RER_20210908T042701_B10.jp2"} <= set(paths)
    assert any("CLOUDS_B00" in p for p in paths)
    assert not any(p.endswith("_B03.jp2") for p in paths)
    assert {e.digest.algorithm for e in chosen} == {"sha3-256"}
    assert all(e.size for e in chosen)


def test_polarisations_of_a_recorded_radar_manifest(shared_data):
    folder = shared_data / "s1-safe-dem-rome-sarsen"
    (path,) = folder.glob("S1B_IW_GRDH*/manifest.safe")
    entries = read_manifest(path.read_bytes(), "x")
    assert names(entries) == ("VH", "VV")
    paths = {e.path for e in choose(entries, ["VV"], "x")}
    assert sum(p.startswith("measurement/") for p in paths) == 1
    assert any(p.startswith("annotation/calibration/calibration-") for p in paths)
    assert any(p.startswith("annotation/calibration/noise-") for p in paths)
    assert not any("-vh-" in p or p.startswith("support/") for p in paths)


def test_a_path_or_stem_may_be_asked_for(shared_data):
    entries = manifest_of(shared_data, "MSIL2A")
    by_path = choose(entries, ["INSPIRE.xml"], "x")
    assert "INSPIRE.xml" in {e.path for e in by_path}
    assert by_path == choose(entries, ["INSPIRE"], "x")
    assert choose(entries, (), "x") == entries


def test_an_absent_band_lists_those_there_are(shared_data):
    with pytest.raises(ConfigError, match=r"expected a band B10, found AOT, B01, B02"):
        choose(manifest_of(shared_data, "MSIL2A"), ["B10"], "x")


def _manifest(paths, extra=""):
    files = "".join(
        f'<dataObject><byteStream size="3"><fileLocation href="{p}"/>'
        '<checksum checksumName="MD5">d41d8cd98f00b204e9800998ecf8427e</checksum>'
        "</byteStream></dataObject>"
        for p in paths
    )
    return f"{extra}<x><dataObjectSection>{files}</dataObjectSection></x>".encode()


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../b", "C:/x", "a\\b", "", "./"]
)
def test_a_manifest_that_leads_out_of_the_product_is_refused(path):
    with pytest.raises(ProductError, match="inside the product"):
        read_manifest(_manifest(["MTD_MSIL2A.xml", path]), "x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"<html>", "well-formed XML"),
        (b"<x/>", "files in dataObject"),
        (_manifest(["a"], '<!DOCTYPE x [<!ENTITY e "e">]>'), "document type"),
    ],
)
def test_what_is_no_manifest_is_refused(text, words):
    with pytest.raises(ProductError, match=words):
        read_manifest(text, "x")


@pytest.mark.parametrize("name", ["../../etc/x", "a b", "x/y", ".hidden-name"])
def test_an_item_s_name_cannot_leave_the_folder(name):
    import pystac

    item = pystac.Item(name, None, None, START, {"title": name})
    with pytest.raises(AnswerError, match="a product name in field 'id'"):
        folder_name(item)


def test_the_quotas_of_a_general_user_are_kept():
    quota = LIMITS
    assert (quota.connections, quota.requests_per_minute) == (4, 2000)
    assert quota.bytes_per_30_days == 12e12


def query(area=None, period=None, collection="sentinel-2-l2a", **filters):
    return odata.Query(COLLECTIONS[collection], area, period, Filters(**filters))


def test_a_question_to_odata():
    text = query(Area.of_bounds(1, 43, 2, 44), (START, START), tile="31TCJ", limit=2).text()
    assert text.startswith("Collection/Name eq 'SENTINEL-2' and Attributes/OData.CSC.String")
    assert "att/Name eq 'productType' and att/OData.CSC.StringAttribute/Value eq 'S2MSI2A'" in text
    assert "ContentDate/Start ge 2020-01-01T00:00:00.000Z" in text
    assert "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON ((" in text
    assert "'tileId' and att/OData.CSC.StringAttribute/Value eq '31TCJ'" in text


def test_quotes_in_a_question_are_doubled():
    assert "startswith(Name,'x'' or 1 eq 1 or ''')" in query(product_id="x' or 1 eq 1 or '").text()


def test_several_product_types_are_alternatives():
    text = query(collection="sentinel-1-grd", platform="sentinel-1a").text()
    assert "'IW_GRDH_1S') or Attributes" in text
    assert "startswith(Name,'S1A')" in text


def test_an_area_across_the_antimeridian_is_two_polygons():
    text = query(Area.of_bounds(179, -17, -179, -16)).text()
    assert text.count("OData.CSC.Intersects") == 2
    assert " or OData.CSC.Intersects" in text
    assert "MULTI" not in text


@given(st.integers(4, 4000), st.floats(0.1, 5))
def test_a_long_outline_is_asked_for_with_a_short_one_around_it(corners, size):
    disc = Point(10, 50).buffer(size, quad_segs=corners)
    text = odata._intersects(Area(MultiPolygon([disc])))
    outline = from_wkt(text.split("SRID=4326;")[1].split("'")[0])
    assert len(text) < 3200
    assert outline.buffer(1e-6).covers(disc)


def test_a_question_to_stac():
    filters = Filters(cloud_cover_max=30, tile="31TCJ", product_id="X.SAFE", platform="sentinel-2a")
    tests = {t["args"][0]["property"]: t for t in comparisons("sentinel-2-l2a", filters)}
    assert tests["eo:cloud_cover"] == {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 30]}
    assert tests["grid:code"]["args"][1] == "MGRS-31TCJ"
    assert tests["id"]["args"][1] == "X"
    radar = comparisons("sentinel-1-grd", Filters(cloud_cover_max=30, orbit_direction="ascending"))
    assert [t["args"][1] for t in radar] == ["ascending"]


class Catalogue:
    """Answers like ``Products``: at most 1,000 a page, ``$skip`` up to 10,000.

    ``together`` products start at each second.
    """

    def __init__(self, total, together=1, hidden=0):
        self.products = [
            {"Id": str(i), "ContentDate": {"Start": _second(i // together)}} for i in range(total)
        ]
        self.hidden = hidden
        self.asked = 0

    def __call__(self, query):
        self.asked += 1
        skip, top = int(query["$skip"]), int(query["$top"])
        assert top <= 1000
        assert skip <= 10_000
        first = query["$filter"].partition("Start ge ")[2].partition(" ")[0]
        found = [p for p in self.products if p["ContentDate"]["Start"] >= first]
        rest = found[self.hidden :] if self.hidden else found
        return {"@odata.count": len(found), "value": rest[skip : skip + top]}


def _second(i):
    return f"{START + timedelta(seconds=i):%Y-%m-%dT%H:%M:%S}.000Z"


@pytest.mark.parametrize(
    ("total", "together"),
    [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 1), (26_000, 1), (25_000, 7)],
)
def test_windows_of_dates_reach_beyond_the_most_that_can_be_skipped(total, together):
    catalogue = Catalogue(total, together)
    found = [p["Id"] for p in odata.search(catalogue, query())]
    assert found == [p["Id"] for p in catalogue.products]


def test_windows_are_read_on_where_the_service_does_not_count():
    counting = Catalogue(26_000)

    def silent(query):
        return {"value": counting(query)["value"]}

    assert len(list(odata.search(silent, query()))) == 26_000


def test_more_products_of_one_instant_than_can_be_paged_are_told():
    with pytest.raises(RetryableError, match="expected all 12000 products"):
        list(odata.search(Catalogue(12_000, together=12_000), query()))


def test_an_answer_shorter_than_it_says_is_told():
    with pytest.raises(RetryableError, match="expected all 50 products of the answer, found 47"):
        list(odata.search(Catalogue(50, hidden=3), query()))


def test_an_offline_product_is_marked(shared_data):
    path = shared_data / "api-eodag/provider_responses/cop_dataspace_search.json"
    product = json.loads(path.read_text())["value"][0]
    online = odata.to_item(product, "sentinel-2-l1c", "https://x")
    offline = odata.to_item({**product, "Online": False}, "sentinel-2-l1c", "https://x")
    assert "order:status" not in online.properties
    assert offline.properties["order:status"] == "orderable"
    assert online.properties["eo:cloud_cover"] == pytest.approx(95.1367, abs=1e-4)
    assert online.properties["grid:code"] == "MGRS-54PXA"
    assert online.properties["sat:relative_orbit"] == 45


JUNK = [None, 0, -1, 1.5, True, "", "x", "two\nlines", [], [1], {}, {"a": 1}]


def places(document, path=()):
    """Yield the path of every field of a document; of long lists, of the first entries only."""
    children = document.items() if isinstance(document, dict) else ()
    children = list(enumerate(document))[:2] if isinstance(document, list) else children
    for key, value in children:
        yield (*path, key)
        yield from places(value, (*path, key))


def spoilt(document):
    """Yield the document with each field in turn replaced by each piece of junk, or missing."""
    for path in places(document):
        for junk in (*JUNK, "missing"):
            copy = json.loads(json.dumps(document))
            target = copy
            for key in path[:-1]:
                target = target[key]
            if junk == "missing":
                del target[path[-1]]
            else:
                target[path[-1]] = junk
            yield path, copy


def refusals(document, use):
    """Use each spoilt document; return the refusals, after a look at their sentences."""
    found = []
    for path, copy in spoilt(document):
        try:
            use(copy)
        except AnswerError as error:
            found.append((path, str(error)))
    for path, sentence in found:
        assert "\n" not in sentence, path
        assert len(sentence) < 500, path
    return found


def test_whatever_is_wrong_in_a_product_is_one_sentence(shared_data):
    """Any field of a recorded product may hold anything: an item, or an error that names it."""
    path = shared_data / "api-eodag/provider_responses/cop_dataspace_search.json"
    product = json.loads(path.read_text())["value"][0]

    def use(document):
        item = odata.to_item(document, "sentinel-2-l1c", "https://x")
        Shelf(item, NOBODY, s3=False).archive()
        Shelf(item, NOBODY, s3=True).remote(ENTRY)

    found = refusals(product, use)
    named = {path[0] for path, sentence in found if str(path[-1]) in sentence}
    assert {"Id", "Name", "ContentDate", "GeoFootprint", "Attributes", "Checksum"} <= named
    assert len(found) > 100


def test_whatever_is_wrong_in_an_item_is_one_sentence(shared_data):
    folder = shared_data / "api-cdse-stac-geopyspark/stac/issue1043-api-proj-code"
    (feature,) = json.loads((folder / "FeatureCollection.json").read_text())["features"]
    kept = ("B04_10m", "Product", "safe_manifest")
    feature["assets"] = {key: feature["assets"][key] for key in kept}

    def use(document):
        item = StacCatalogue(NOBODY).document(document, "sentinel-2-l2a")
        for s3 in (False, True):
            shelf = Shelf(item, NOBODY, s3=s3)
            shelf.archive()
            shelf.remote(ENTRY)
        versions.newest([item])
        versions.offset_dn(item)

    found = refusals(feature, use)
    named = {path[0] for path, sentence in found if str(path[-1]) in sentence}
    assert {"id", "geometry", "properties", "assets"} <= named
