"""Earth Search: recorded STAC answers; a hand-built one whose assets lie in moto's S3 server."""

from __future__ import annotations

import json

import pytest

from skymend.core.errors import AccessError
from skymend.sources import naming
from skymend.sources.earth_search import EarthSearch
from skymend.sources.protocol import Filters
from tests.provider_case import AREA, SPRING, geotiff_of, settings
from tests.servers.routes import Request, Response, file_response, serve
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, serve_s3
from tests.servers.stac import HandBuilt, Replayed, feature

GRD = "S1A_IW_GRDH_1SDV_20230401T054013_20230401T054038_047905_05C1B4"


@pytest.fixture(scope="module")
def s3():
    with serve_s3("sentinel-s1-l1c") as server:
        key = "GRD/2023/4/1/IW/DV/measurement/iw-vv.tiff"
        server.client().put_object(Bucket="sentinel-s1-l1c", Key=key, Body=geotiff_of(7))
        yield server


def _features() -> list[dict]:
    grd = {
        "datetime": "2023-04-01T05:40:25Z",
        "start_datetime": "2023-04-01T05:40:13Z",
        "end_datetime": "2023-04-01T05:40:38Z",
        "platform": "sentinel-1a",
        "sar:polarizations": ["vv", "VH"],
        "sat:orbit_state": "descending",
    }
    s3 = {
        "href": "s3://sentinel-s1-l1c/GRD/2023/4/1/IW/DV/measurement/iw-vv.tiff",
        "roles": ["data"],
        "type": "image/tiff; application=geotiff",
    }
    old = {
        "datetime": "2023-04-05T10:36:29.024Z",
        "s2:product_uri": "S2B_MSIL2A_20230405T103629_N0509_R008_T31TFL_20230405T174503.SAFE",
        "eo:cloud_cover": 4.0,
    }
    new = {**old, "s2:product_uri": old["s2:product_uri"].replace("N0509", "N0510")}
    cog = {"href": "{server}/cog/B04.tif", "roles": ["data"], "type": "image/tiff"}
    box = (4.9, 44.9, 5.5, 45.4)
    return [
        feature(GRD, "sentinel-1-grd", box, grd, {"vv": s3}),
        feature("S2B_31TFL_20230405_0_L2A", "sentinel-2-l2a", box, old, {"red": cog}),
        feature("S2B_T31TFL_20230405T103629_L2A", "sentinel-2-c1-l2a", box, new, {"red": cog}),
    ]


def _cog(request: Request) -> Response:
    return file_response(request, geotiff_of(3), "image/tiff")


@pytest.fixture
def api():
    built = HandBuilt(_features())
    with serve({**built.routes(), r"GET /cog/B04\.tif": _cog}) as server:
        built.loopback = server
        yield server


def source(tmp_path, api, bucket=None, **logins) -> EarthSearch:
    endpoints = {"earth-search": f"{api.url}/stac"}
    if bucket is not None:
        endpoints["earth-search.s3"] = bucket.url
    return EarthSearch(settings(tmp_path, endpoints, **logins))


def test_sentinel_1_through_presigned_addresses(tmp_path, api, s3):
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    own = source(tmp_path, api, s3, s3=keys)
    (item,) = own.search("sentinel-1-grd", AREA, SPRING, Filters(polarisations=("VV", "VH")))
    (receipt,) = own.fetch(item, ["VV"], tmp_path / "got")
    assert receipt.path.read_bytes() == geotiff_of(7)
    assert item.properties["sat:relative_orbit"] == (47905 - 73) % 175 + 1
    assert item.properties["sat:absolute_orbit"] == 47905
    assert own.search("sentinel-1-grd", AREA, SPRING, Filters(polarisations=("HH",))).items == []


def test_sentinel_2_stands_there_twice_and_both_are_found(tmp_path, api):
    own = source(tmp_path, api)
    found = own.search("sentinel-2-l2a", AREA, SPRING, Filters())
    assert sorted(i.properties["processing:version"] for i in found) == ["05.09", "05.10"]
    (receipt,) = own.fetch(found.items[0], ["B04"], tmp_path / "got")
    assert receipt.path.read_bytes() == geotiff_of(3)


def test_recorded_pages(tmp_path, shared_data):
    """Two pages of ten items of several collections; all become items in skymend's words."""
    cassettes = shared_data / "api-pystac-client-cassettes" / "cassettes"
    replayed = Replayed([cassettes / "test_cli" / "TestCLISearch.test_filter[inprocess].yaml"])
    for exchange in replayed.exchanges:  # the recording asked by CQL2; skymend asks otherwise
        if "filter" in exchange["asked"]:
            exchange["asked"] = {"collections": ["sentinel-1-grd"]}
    with serve(replayed.routes()) as server:
        replayed.loopback = server
        own = EarthSearch(settings(tmp_path, {"earth-search": f"{server.url}/v1"}))
        found = own.search("sentinel-1-grd", None, None, Filters(limit=20))
    assert len(found) == 20
    radar = [i for i in found if i.id.startswith("S1A")]
    assert radar
    for item in radar:
        # The name's absolute orbit gives the relative orbit that the catalogue states.
        stated = item.properties["sat:relative_orbit"]
        assert naming.facts_of_name(f"{item.id}_")["sat:relative_orbit"] == stated
        assert item.properties["sar:polarizations"] in (["HH"], ["VV", "VH"], ["HH", "HV"], ["VV"])


def test_recorded_level_1c_item(shared_data):
    path = shared_data / "api-eodag" / "provider_responses" / "earth_search_search.json"
    recorded = json.loads(path.read_text())["features"][0]
    item = naming.harmonise(recorded, "sentinel-2-l1c", "earth-search", where="recorded")
    assert item.properties["processing:version"] == "05.10"
    assert item.properties["grid:code"] == "MGRS-27VWK"
    assert item.properties["sat:relative_orbit"] == 81
    assert item.properties["eopf:datastrip_id"].endswith("S20240206T131359_N05.10")


def test_closed_buckets_say_what_is_missing(tmp_path, api):
    def closed(request: Request) -> Response:
        return Response(b"<Error><Code>AccessDenied</Code></Error>", 403)

    with serve({"(GET|HEAD) /sentinel-s1-l1c/.*": lambda r, _: closed(r)}) as shut:
        own = source(tmp_path, api, shut)
        (item,) = own.search("sentinel-1-grd", AREA, SPRING, Filters())
        with pytest.raises(AccessError):
            own.fetch(item, ["VV"], tmp_path / "got")
