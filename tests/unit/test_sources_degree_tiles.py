"""Which degree tiles an area needs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skymend.core.errors import ConfigError
from skymend.sources.area import Area
from skymend.sources.degree_tiles import Cell, cells_of


def boxes():
    """West, south, width and height, to the millidegree."""
    limits = ((-179, 176), (-89, 86), (0.01, 3), (0.01, 3))
    return st.tuples(*(st.integers(int(a * 1000), int(b * 1000)) for a, b in limits))


@given(boxes())
def test_a_box_needs_the_cells_that_share_ground_with_it(box):
    west, south, east, north = box[0], box[1], box[0] + box[2], box[1] + box[3]
    bounds = (v / 1000 for v in (west, south, east, north))
    found = cells_of(Area.of_bounds(*bounds), "test")
    expected = {
        Cell(row, column)
        for row in range(math.floor(south / 1000), math.ceil(north / 1000))
        for column in range(math.floor(west / 1000), math.ceil(east / 1000))
    }
    assert set(found) == expected
    assert found == sorted(found)


def test_the_antimeridian_and_the_poles():
    found = cells_of(Area.of_bounds(179.5, -0.5, -179.5, 0.5), "test")
    assert found == [Cell(-1, -180), Cell(-1, 179), Cell(0, -180), Cell(0, 179)]
    top = cells_of(Area.of_bounds(10.2, 89.2, 10.8, 90), "test")
    assert top == [Cell(89, 10)]


def test_edges_do_not_count():
    assert cells_of(Area.of_bounds(5, 45, 6, 46), "test") == [Cell(45, 5)]


@pytest.mark.parametrize("area", [None, Area.of_bounds(-180, -90, 180, 90)])
def test_no_area_and_too_much_are_refused(area):
    with pytest.raises(ConfigError, match="at most 2000 tiles"):
        cells_of(area, "test")


def test_names():
    assert (Cell(-8, -120).latitude, Cell(-8, -120).longitude) == ("S08", "W120")
    assert (Cell(0, 0).latitude, Cell(0, 0).longitude) == ("N00", "E000")
