"""The same passes and acquisitions, told by different providers, lead to the same choices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest

from skymend.sources.geodes import Geodes
from skymend.sources.pairing import PairingRules, pair
from skymend.sources.planetary_computer import PlanetaryComputer
from skymend.sources.protocol import Filters, Source
from skymend.sources.registry import open_source
from skymend.sources.versions import newest
from tests.provider_case import AREA, SPRING, settings
from tests.servers import asf as asf_server
from tests.servers import geodes as geodes_server
from tests.servers import sara as sara_server
from tests.servers.routes import serve
from tests.servers.stac import HandBuilt, feature

# Absolute orbits of one relative orbit (33, 1 and 13 April) and of another (106, 6 April).
PASSES = {
    "S1A_IW_GRDH_1SDV_20230401T054013_20230401T054038_047905_05C1B4_6B5A": (1, 47905),
    "S1A_IW_GRDH_1SDV_20230406T173213_20230406T173238_047985_05C1B5_7C6B": (6, 47985),
    "S1A_IW_GRDH_1SDV_20230413T054014_20230413T054039_048080_05C1B6_8D7C": (13, 48080),
}
ORBITS = {(absolute - 73) % 175 + 1 for _, absolute in PASSES.values()}
DATES = [datetime(2023, 4, day, 10, 36, 29, tzinfo=UTC) for day in (3, 14)]
BOX = (4.9, 44.9, 5.5, 45.4)
OLD = "S2B_MSIL2A_20230405T103629_N0509_R008_T31TFL_20230405T174503"
NEW = "S2B_MSIL2A_20230405T103629_N0510_R008_T31TFL_20240801T010203"


def _iso(stamp: str) -> str:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").isoformat() + "Z"


@contextmanager
def from_asf(tmp_path) -> Iterator[Source]:
    state = asf_server.AsfServer([asf_server.scene(n, b"") for n in PASSES], {})
    with serve(state.routes()) as server:
        state.loopback = server
        yield open_source("asf", settings(tmp_path, {"asf": f"{server.url}/search"}))


@contextmanager
def from_sara(tmp_path) -> Iterator[Source]:
    records = []
    for name, (_, absolute) in PASSES.items():
        start, end = name.split("_")[4:6]
        stamps = [_iso(s) for s in (start, end)]
        own = {
            "startDate": stamps[0],
            "completionDate": stamps[1],
            "orbitNumber": absolute,
            "relativeOrbitNumber": (absolute - 73) % 175 + 1,
            "cloudCover": None,
            "mgrs": None,
        }
        records.append(sara_server.record(name, b"", day="2023-04-01", kind="GRD", **own))
    optical = {"startDate": "2023-04-05T10:36:29.024Z", "relativeOrbitNumber": 8}
    for name in (OLD, NEW):
        entry = sara_server.record(name, b"", day="2023-04-05", kind="S2MSI2A", **optical)
        records.append(entry)
    state = sara_server.SaraServer(records, {})
    with serve(state.routes()) as server:
        state.loopback = server
        yield open_source("sara", settings(tmp_path, {"sara": f"{server.url}/api"}))


@contextmanager
def from_planetary_computer(tmp_path) -> Iterator[Source]:
    features = []
    for name, (day, absolute) in PASSES.items():
        own = {
            "datetime": f"2023-04-{day:02d}T{name[26:28]}:{name[28:30]}:{name[30:32]}Z",
            "platform": "SENTINEL-1A",
            "sat:relative_orbit": (absolute - 73) % 175 + 1,
            "sat:orbit_state": "descending",
            "sar:polarizations": ["VV", "VH"],
        }
        features.append(feature(name[:-5], "sentinel-1-grd", BOX, own, {}))
    for name in (OLD, NEW):
        own = {
            "datetime": "2023-04-05T10:36:29.024Z",
            "platform": "Sentinel-2B",
            "s2:product_uri": f"{name}.SAFE",
            "eo:cloud_cover": 1.0,
        }
        short = name.replace(name[26:32], "")
        features.append(feature(short, "sentinel-2-l2a", BOX, own, {}))
    built = HandBuilt(features)
    with serve(built.routes()) as server:
        built.loopback = server
        endpoints = {"planetary-computer": f"{server.url}/stac"}
        yield open_source("planetary-computer", settings(tmp_path, endpoints))


@contextmanager
def from_geodes(tmp_path) -> Iterator[Source]:
    items = []
    for name, (_, absolute) in PASSES.items():
        start, end = name.split("_")[4:6]
        own = {
            "platform": "S1A",
            "start_datetime": _iso(start),
            "end_datetime": _iso(end),
            "sat:absolute_orbit": absolute,
            "sat:orbit_state": "Descending",
            "sar:polarizations": "VV VH",
        }
        items.append(geodes_server.item(name, b"", "PEPS_S1_L1", own))
    state = geodes_server.GeodesServer(items, {})
    with serve(state.routes()) as server:
        state.loopback = server
        yield open_source("geodes", settings(tmp_path, {"geodes": f"{server.url}/stac"}))


RADAR = {
    "asf": from_asf,
    "sara": from_sara,
    "planetary-computer": from_planetary_computer,
    "geodes": from_geodes,
}


@pytest.mark.parametrize("provider", sorted(RADAR))
def test_passes_are_paired_alike(tmp_path, provider):
    """Two dates want two passes of one orbit: 1 and 13 April, not the nearer one of 6 April."""
    with RADAR[provider](tmp_path) as source:
        items = source.search("sentinel-1-grd", AREA, SPRING, Filters(polarisations=("VV", "VH")))
    assert len(items) == 3
    assert {i.properties["sat:relative_orbit"] for i in items} == ORBITS
    assert {i.properties["sat:orbit_state"] for i in items} == {"descending"}
    found = pair(DATES, newest(items).kept, AREA, PairingRules(window_days=5))
    assert [p.time.day for p in found.passes] == [1, 13]
    assert found.coverage == pytest.approx(1.0)


@pytest.mark.parametrize("provider", ["sara", "planetary-computer"])
def test_the_newest_baseline_wins_alike(tmp_path, provider):
    with RADAR[provider](tmp_path) as source:
        items = source.search("sentinel-2-l2a", AREA, SPRING, Filters(tile="31TFL"))
    choice = newest(items)
    assert [i.properties["title"] for i in choice.kept] == [NEW]
    assert [i.properties["processing:version"] for i in choice.kept] == ["05.10"]
    assert len(choice.dropped) == 1


def test_every_provider_of_these_opens_by_its_name(tmp_path):
    names = (
        *("stac-api", "earth-search", "planetary-computer", "landsat-m2m", "usgs-landsat"),
        *("sara", "geodes", "asf", "cop-dem-30", "srtm", "s3", "folder"),
    )
    for name in names:
        source = open_source(name, settings(tmp_path, {}))
        assert source.name == name
    with ExitStack() as stack:
        assert isinstance(stack.enter_context(from_geodes(tmp_path)), Geodes)
        other = stack.enter_context(from_planetary_computer(tmp_path))
        assert isinstance(other, PlanetaryComputer)
