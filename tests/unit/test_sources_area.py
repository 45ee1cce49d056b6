"""Areas: reading, the antimeridian, poles, multipolygons, and shares of true size."""

from __future__ import annotations

import json
import math

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from shapely.geometry import MultiPolygon, Polygon, box, mapping

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.sources.area import Area, footprint_of, wkt_list, write_wkt_list
from skymend.sources.globe import on_map, size_km2

EARTH_KM2 = 510_065_621.7
"""Surface of the WGS 84 ellipsoid (NIMA TR8350.2, table 3.6), km2."""

latitudes = st.floats(-89, 88)
longitudes = st.floats(-180, 179)


@st.composite
def boxes(draw):
    """A box west of itself by up to 60 degrees, which may cross the antimeridian: (w, s, e, n)."""
    west, south = draw(longitudes), draw(latitudes)
    east = west + draw(st.floats(0.05, 60))
    return west, south, east, min(south + draw(st.floats(0.05, 30)), 90)


def ring_of(west, south, east, north):
    """The box as a provider may write it: longitudes wrapped into -180..180 one by one."""
    corners = [(west, south), (east, south), (east, north), (west, north)]
    return Polygon([((x + 180) % 360 - 180, y) for x, y in corners])


def test_the_whole_globe_has_its_size():
    assert size_km2(box(-180, -90, 180, 90)) == pytest.approx(EARTH_KM2, rel=1e-7)


@given(boxes())
def test_sizes_agree_with_an_equal_area_projection(corners):
    west, _, east, _ = corners
    project = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True).transform
    made = shapely.transform(box(*corners), project, interleaved=False)
    west_x, east_x = project([west, min(east, 180)], [0, 0])[0]
    height = made.bounds[3] - made.bounds[1]
    # the projection wraps at 180 degrees; the width of the box follows from one side of it
    width = (east_x - west_x) * (east - west) / (min(east, 180) - west)
    assert size_km2(box(*corners)) == pytest.approx(width * height / 1e6, rel=1e-6)


def test_sizes_agree_with_geodesics_where_edges_are_short():
    shape = Polygon([(5, 45), (5.4, 45.1), (5.5, 45.6), (5.1, 45.5)])
    geodesic = abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(shape, 0.01))[0])
    assert size_km2(shape) == pytest.approx(geodesic / 1e6, rel=1e-5)


@given(boxes())
def test_a_box_across_the_antimeridian_keeps_its_size_and_stays_on_the_map(corners):
    found = on_map(ring_of(*corners))
    assert size_km2(found) == pytest.approx(size_km2(box(*corners)), rel=1e-6)
    west, south, east, north = found.bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    assert found.is_valid
    assert all(g.bounds[2] - g.bounds[0] < 61 for g in found.geoms), "no part runs around the globe"


@given(boxes(), boxes())
def test_a_covered_and_an_uncovered_share_make_one(one, other):
    area = Area.of_shape(ring_of(*one))
    footprint = on_map(ring_of(*other))
    left = size_km2(area.shape.difference(footprint)) / area.km2
    assert area.coverage(footprint) + left == pytest.approx(1, abs=1e-6)


@given(boxes(), st.floats(0.1, 0.9), st.floats(0, 0.1))
def test_overlapping_tiles_cover_their_union_once(corners, cut, overlap):
    west, south, east, north = corners
    middle = west + cut * (east - west)
    lap = overlap * (east - west)
    tiles = [on_map(ring_of(west, south, min(middle + lap, east), north))]
    tiles.append(on_map(ring_of(max(middle - lap, west), south, east, north)))
    area = Area.of_shape(ring_of(*corners))
    assert area.coverage(shapely.union_all(tiles)) == pytest.approx(1, abs=1e-6)
    parts = sum(area.coverage(tile) for tile in tiles)
    assert parts >= 1 - 1e-6
    # the overlap is twice ``lap`` wide, unless it meets an end of the box
    assert parts <= 1 + 2 * overlap + 1e-6


@given(st.lists(boxes(), min_size=1, max_size=4))
def test_multipolygons_are_the_union_of_their_parts(many):
    rings = [ring_of(*corners) for corners in many]
    together = Area.of_shape(MultiPolygon(rings))
    apart = shapely.union_all([on_map(ring) for ring in rings])
    assert together.km2 == pytest.approx(size_km2(apart), rel=1e-9)
    for ring in rings:
        assert Area.of_shape(ring).coverage(together.shape) == pytest.approx(1, abs=1e-6)


@given(st.floats(60, 89), st.integers(5, 60), st.booleans(), st.booleans(), st.floats(-180, 180))
def test_a_ring_around_a_pole_encloses_it(latitude, count, south, clockwise, start):
    sign = -1 if south else 1
    angles = [start + 360 * i / count for i in range(count)]
    ring = [
        ((a + 180) % 360 - 180, sign * latitude) for a in (angles[::-1] if clockwise else angles)
    ]
    cap = Area.of_shape(Polygon(ring))
    expected = size_km2(box(-180, latitude, 180, 90))
    assert cap.km2 == pytest.approx(expected, rel=1e-6)
    assert cap.shape.intersects(shapely.Point(0, sign * 89.999))
    assert cap.coverage(box(0, -90, 180, 90)) == pytest.approx(0.5, abs=1e-6)


def test_a_hole_across_the_antimeridian_is_a_hole():
    shell = [(170, 0), (-170, 0), (-170, 10), (170, 10)]
    hole = [(178, 4), (-178, 4), (-178, 6), (178, 6)]
    area = Area.of_shape(Polygon(shell, [hole]))
    assert area.km2 == pytest.approx(
        size_km2(box(0, 0, 20, 10)) - size_km2(box(0, 4, 4, 6)), rel=1e-9
    )
    assert not area.intersects(shapely.Point(179.9, 5))


def test_a_box_that_spans_the_map_is_taken_as_it_is():
    world = Area.of_shape(box(-180, -60, 180, 75))
    assert world.bounds == (-180, -60, 180, 75)
    cap = Polygon([(-180, 80), (0, 80), (180, 80), (180, 90), (-180, 90)])
    assert Area.of_shape(cap).km2 == pytest.approx(size_km2(box(-180, 80, 180, 90)), rel=1e-9)


def test_a_crossed_ring_is_mended():
    bow = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    area = Area.of_shape(bow)
    assert area.shape.is_valid
    assert len(area.shape.geoms) == 2


def test_bounds_across_the_antimeridian_run_eastward():
    area = Area.of_shape(Polygon([(177, -19), (-179, -19), (-179, -16), (177, -16)]))
    assert area.bounds == pytest.approx((177, -19, -179, -16))
    assert Area.of_bounds(*area.bounds).km2 == pytest.approx(area.km2)


def test_a_grid_of_fiji_is_split():
    tile = Grid.from_mgrs("01KAB")
    area = Area.of_grid(tile)
    assert len(area.shape.geoms) == 2
    left, bottom, right, top = tile.bounds
    # UTM's scale is 1.0016 at 400 km from the central meridian, its square 1.0032
    assert area.km2 == pytest.approx((right - left) * (top - bottom) / 1e6, rel=3.2e-3)


def test_geojson_wkt_and_text_say_the_same(tmp_path):
    shape = Polygon([(5, 45), (6, 45), (6, 46)])
    feature = {"type": "Feature", "properties": {}, "geometry": mapping(shape)}
    collection = {"type": "FeatureCollection", "features": [feature]}
    (tmp_path / "a.geojson").write_text(json.dumps(collection))
    (tmp_path / "a.wkt").write_text(shape.wkt + "\n")
    forms = [tmp_path / "a.geojson", str(tmp_path / "a.wkt"), shape.wkt, json.dumps(feature)]
    forms += [json.dumps(mapping(shape)), f"SRID=4326;{shape.wkt}"]
    for form in forms:
        assert Area.read(form).shape.equals(shape), form
    assert Area.read(shape.wkt).geojson()["type"] == "Polygon"


def test_a_shapefile_says_its_own_projection(tmp_path):
    import shapefile

    grid = Grid.from_mgrs("31TCJ")
    left, bottom, right, top = grid.bounds
    with shapefile.Writer(str(tmp_path / "tile.shp"), shapefile.POLYGON) as writer:
        writer.field("name", "C")
        writer.poly([[[left, bottom], [left, top], [right, top], [right, bottom], [left, bottom]]])
        writer.record("tile")
    with pytest.raises(ConfigError, match="in degrees"):
        Area.read(tmp_path / "tile.shp")  # metres, and no .prj to say so
    (tmp_path / "tile.prj").write_text(CRS.from_user_input(grid.crs).to_wkt("WKT1_ESRI"))
    area = Area.read(tmp_path / "tile.shp")
    assert area.coverage(Area.of_grid(grid).shape) == pytest.approx(1, abs=1e-4)
    assert Area.of_grid(grid).coverage(area.shape) == pytest.approx(1, abs=1e-4)


def test_features_become_lines_for_snap(tmp_path):
    shapes = [box(149.7, -35, 150, -34.5), Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])]
    features = [{"type": "Feature", "properties": {}, "geometry": mapping(s)} for s in shapes]
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert write_wkt_list(path, tmp_path / "cells.wkt") == 2
    lines = (tmp_path / "cells.wkt").read_text().splitlines()
    assert lines == list(wkt_list(path))
    assert shapely.from_wkt(lines[0]).equals(shapes[0])
    assert lines[1].startswith("MULTIPOLYGON")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{not json", "no GeoJSON"),
        ("{}", "no geometry"),
        ('{"type": "Polygon", "coordinates": [[[0]]]}', "no geometry"),
        ('{"type": "Point", "coordinates": [1, 2]}', "at least one polygon"),
        ('{"type": "Polygon", "coordinates": [[[0,0],[1,1],[0,0],[0,0]]]}', "with an area"),
        ('{"type": "FeatureCollection", "features": []}', "at least one polygon"),
        ('{"type":"Polygon","coordinates":[[[0,0],[9e5,0],[9e5,5e6],[0,0]]]}', "in degrees"),
        (
            '{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]],'
            '"crs":{"properties":{"name":"EPSG:32631"}}}',
            "EPSG:32631",
        ),
        ("POLYGON((0 0, 1", "GeoJSON, Shapefile or WKT"),
        ("SRID=3857;POLYGON((0 0,1 0,1 1,0 0))", "SRID 3857"),
        ("nowhere.geojson", "no such file"),
        ("POLYGON((0 0,1 0,\x001 1,0 0))", "GeoJSON, Shapefile or WKT"),
        ('{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,0],[0,0]]]}', "with an area"),
        ('{"type":"Point","crs":{"properties":{"name":"a\\nb"}}}', "found a b"),
        (f'{{"type":"Polygon","coordinates":[[[0,{"9" * 400}]]]}}', "no geometry"),
    ],
)
def test_what_is_no_area_is_one_sentence(text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Area.read(text)
    assert str(caught.value).isprintable()


def test_damaged_and_huge_files_are_refused(tmp_path):
    (tmp_path / "a.shp").write_bytes(b"\x00\x00\x27\x0a" + b"x" * 200)
    with pytest.raises(ConfigError, match="damaged Shapefile"):
        Area.read(tmp_path / "a.shp")
    with (tmp_path / "big.geojson").open("wb") as stream:
        stream.truncate(60 << 20)
    with pytest.raises(ConfigError, match="are refused"):
        Area.read(tmp_path / "big.geojson")
    (tmp_path / "a.kml").write_text("<kml/>")
    with pytest.raises(ConfigError, match=r"ends in \.kml"):
        Area.read(tmp_path / "a.kml")


def test_a_shapefile_may_hold_null_shapes(tmp_path):
    import shapefile

    with shapefile.Writer(str(tmp_path / "a.shp"), shapefile.POLYGON) as writer:
        writer.field("n", "N")
        writer.null()
        writer.record(1)
        writer.poly([[(0, 0), (0, 1), (1, 1), (0, 0)]])
        writer.record(2)
    assert Area.read(tmp_path / "a.shp").shape.area == pytest.approx(0.5)

    with shapefile.Writer(str(tmp_path / "none.shp"), shapefile.POLYGON) as writer:
        writer.field("n", "N")
        writer.null()
        writer.record(1)
    with pytest.raises(ConfigError, match="at least one polygon"):
        Area.read(tmp_path / "none.shp")


@pytest.mark.parametrize(("part", "place"), [("shp", 108), ("dbf", 43)])
def test_a_shapefile_of_unknown_kinds_is_refused(tmp_path, part, place):
    import shapefile

    with shapefile.Writer(str(tmp_path / "a.shp")) as writer:
        writer.field("n", "N")
        writer.poly([[(0, 0), (0, 1), (1, 1), (0, 0)]])
        writer.record(1)
    path = tmp_path / f"a.{part}"
    content = bytearray(path.read_bytes())
    content[place] = 250
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="a damaged Shapefile"):
        Area.read(tmp_path / "a.shp")


@pytest.mark.parametrize(
    ("crs", "corner", "words"),
    [
        ('LOCAL_CS["drawing",UNIT["metre",1]]', 1.0, "no coordinate reference system"),
        ("nonsense", 1.0, "no coordinate reference system"),
        (32631, 1e300, "no coordinates of its projection"),
    ],
)
def test_a_shapefile_that_no_projection_fits_is_refused(tmp_path, crs, corner, words):
    import shapefile
    from pyproj import CRS

    with shapefile.Writer(str(tmp_path / "a.shp")) as writer:
        writer.field("n", "N")
        writer.poly([[(0, 0), (0, corner), (1e-12, 1e-12), (0, 0)]])
        writer.record(1)
    text = crs if isinstance(crs, str) else CRS.from_epsg(crs).to_wkt("WKT1_ESRI")
    (tmp_path / "a.prj").write_text(text)
    with pytest.raises(ConfigError, match=words):
        Area.read(tmp_path / "a.shp")


def test_a_footprint_that_is_none_is_one_sentence():
    with pytest.raises(ConfigError, match="item x"):
        footprint_of(None, "item x")
    found = footprint_of(mapping(Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])), "item y")
    assert math.isclose(found.area, 2.0)
