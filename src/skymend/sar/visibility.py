"""Layover and shadow: which nodes of the terrain the radar sees alone, together, or not.

The terrain is swept away from the sensor, one column or row of the map at a time. Each node
looks back along the ground to where the line through it meets the column before and takes over,
interpolated between two nodes there, the height of the shadow's edge and the farthest sample
so far. Sweeping the other way gives the nearest sample beyond. A node lies in *shadow* below
the shadow's edge, in *layover* where a nearer node has a larger, or a farther node a smaller,
slant range (G. Schreier, "SAR Geocoding: Data and Systems", 1993).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.sar.engine import LAYOVER, SHADOW
from skymend.sar.speckle.compiled import compiled

_TOLERANCE_M = 0.05
_TOLERANCE_PX = 0.01


def visibility(
    heights: FloatArray,
    away: FloatArray,
    look: npt.NDArray[np.float64],
    width: float,
    height: float,
) -> ByteArray:
    """Return the state of every node: bits ``LAYOVER`` and ``SHADOW``.

    Parameters
    ----------
    heights : (rows, columns) float32 metres.
    away : (rows, columns) float32, anything that grows with slant range and nothing else along
        the line of sight: the sample of the image.
    look : (3,) unit vector to the sensor: map east, north, up; one for the block.
    width, height : metres a pixel along columns and rows.
    """
    east, north, up = (float(v) for v in look)
    flat = math.hypot(east, north)
    drop = up / flat
    columns, rows = east / flat / width, -north / flat / height
    state = np.zeros(heights.shape, np.uint8)
    if abs(columns) >= abs(rows):
        aside, metres = rows / abs(columns), 1 / abs(columns)
        _sweep_both(heights, away, state, columns > 0, aside, metres * drop)
    else:
        aside, metres = columns / abs(rows), 1 / abs(rows)
        _sweep_both(heights.T, away.T, state.T, rows > 0, aside, metres * drop)
    return state


def _sweep_both(
    heights: FloatArray,
    away: FloatArray,
    state: ByteArray,
    sensor_beyond: bool,
    aside: float,
    fall: float,
) -> None:
    sweep_from_sensor(heights, away, state, sensor_beyond, aside, fall)
    sweep_to_sensor(away, state, sensor_beyond, aside)


@compiled
def sweep_from_sensor(
    heights: FloatArray,
    away: FloatArray,
    state: ByteArray,
    sensor_beyond: bool,
    aside: float,
    fall: float,
) -> None:
    """Mark shadow, and layover by nearer nodes.

    Parameters
    ----------
    state : (rows, columns) uint8, bits added.
    sensor_beyond : the sensor is at the end of the columns, not at their beginning.
    aside : rows that the way to the sensor goes down for each column.
    fall : metres that the line of sight falls for each column away from the sensor.
    """
    rows, columns = heights.shape
    edge = np.empty(rows, np.float32)
    largest = np.empty(rows, np.float32)
    new_edge = np.empty(rows, np.float32)
    new_largest = np.empty(rows, np.float32)
    first = columns - 1 if sensor_beyond else 0
    way = -1 if sensor_beyond else 1
    for i in range(rows):
        edge[i] = heights[i, first]
        largest[i] = away[i, first]
    for n in range(1, columns):
        j = first + way * n
        for i in range(rows):
            at = min(max(i + aside, 0.0), rows - 1.0)
            low = min(int(at), rows - 2)
            share = np.float32(at - low)
            shadow = edge[low] * (1 - share) + edge[low + 1] * share - np.float32(fall)
            reach = largest[low] * (1 - share) + largest[low + 1] * share
            if shadow > heights[i, j] + _TOLERANCE_M:
                state[i, j] |= SHADOW
            if reach > away[i, j] + _TOLERANCE_PX:
                state[i, j] |= LAYOVER
            new_edge[i] = max(shadow, heights[i, j])
            new_largest[i] = max(reach, away[i, j])
        edge, new_edge = new_edge, edge
        largest, new_largest = new_largest, largest


@compiled
def sweep_to_sensor(
    away: FloatArray,
    state: ByteArray,
    sensor_beyond: bool,
    aside: float,
) -> None:
    """Mark layover by farther nodes; parameters as for :func:`sweep_from_sensor`."""
    rows, columns = away.shape
    least = np.empty(rows, np.float32)
    new_least = np.empty(rows, np.float32)
    first = 0 if sensor_beyond else columns - 1
    way = 1 if sensor_beyond else -1
    for i in range(rows):
        least[i] = away[i, first]
    for n in range(1, columns):
        j = first + way * n
        for i in range(rows):
            at = min(max(i - aside, 0.0), rows - 1.0)
            low = min(int(at), rows - 2)
            share = np.float32(at - low)
            reach = least[low] * (1 - share) + least[low + 1] * share
            if reach < away[i, j] - _TOLERANCE_PX:
                state[i, j] |= LAYOVER
            new_least[i] = min(reach, away[i, j])
        least, new_least = new_least, least
