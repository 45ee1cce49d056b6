"""Outlines that fit into an address still hold the whole area."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, box

from skymend.sources.area import Area
from skymend.sources.outlines import LONGEST, MOST_PARTS, outlines


@given(st.integers(1, 40), st.integers(3, 400), st.integers(0, 2**32 - 1))
def test_outlines_are_short_and_hold_the_area(parts, corners, seed):
    rng = np.random.default_rng(seed)
    shapes = [
        Point(*rng.uniform(-60, 60, 2)).buffer(rng.uniform(0.1, 0.4), quad_segs=-(-corners // 4))
        for _ in range(parts)
    ]
    whole = shapely.union_all(shapes)
    area = Area(whole if isinstance(whole, MultiPolygon) else MultiPolygon([whole]))
    found = outlines(area)
    assert len(found) <= MOST_PARTS
    assert all(len(text) <= LONGEST for text in found)
    held = shapely.union_all([shapely.from_wkt(text) for text in found]).buffer(1e-5)
    assert held.covers(area.shape)


def test_simple_areas_stay_as_they_are():
    area = Area.of_bounds(179.5, -0.5, -179.5, 0.5)
    assert len(outlines(area)) == 2
    assert shapely.from_wkt(outlines(area)[0]).equals(box(179.5, -0.5, 180, 0.5))
