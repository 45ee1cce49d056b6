"""From map nodes to radar coordinates, and from radar pixels to the map (compiled).

Every function works on one block held in memory and releases the interpreter's lock.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.sar.geolocation import BETA, HEIGHT, LINE, LOOK, SAMPLE, UNDULATION, WIDTH
from skymend.sar.speckle.compiled import compiled

Doubles = npt.NDArray[np.float64]


@compiled
def locate(
    heights: FloatArray,
    fields: Doubles,
    step: int,
    middle: float,
    half: float,
    first_line: float,
    first_sample: float,
    line: FloatArray,
    sample: FloatArray,
    area: FloatArray,
    with_area: bool,
) -> None:
    """Compute radar coordinates and illuminated area of every node of a block.

    The area is that of the facet between this node and its neighbours to the right, below and
    across: ``n . s`` with n the area vector of the facet and s the unit vector to the sensor,
    that is the area projected on the plane across the line of sight (Small 2011, equation 8), in
    units of ``A_beta``, the area of a radar pixel in the slant plane (azimuth spacing on the
    ground times slant spacing). It is negative where the facet faces away.

    Parameters
    ----------
    heights : (rows, columns) float32, metres above the geoid, without NaN.
    fields, step, middle, half : see :class:`~skymend.sar.geolocation.Lattice`.
    first_line, first_sample : origin of the coordinates written.
    line, sample, area : (rows, columns) float32, written; the area of the last row and column
        is 0.
    with_area : False to leave ``area`` as it is.
    """
    rows, columns = heights.shape
    count, _, nodes = fields.shape
    across = np.empty((nodes, count))
    here = np.empty(count)
    slope = np.empty(count)
    for i in range(rows):
        node = i // step
        share = (i - node * step) / step
        for k in range(count):
            for j in range(nodes):
                across[j, k] = fields[k, node, j] * (1 - share) + fields[k, node + 1, j] * share
        for j in range(columns):
            if j % step == 0:
                left = j // step
                for k in range(count):
                    here[k] = across[left, k]
                    slope[k] = (across[left + 1, k] - across[left, k]) / step
            else:
                for k in range(count):
                    here[k] += slope[k]
            u = (heights[i, j] + here[UNDULATION] - middle) / half
            y = here[LINE] + u * (here[LINE + 1] + u * here[LINE + 2])
            x = here[SAMPLE] + u * (here[SAMPLE + 1] + u * here[SAMPLE + 2])
            line[i, j] = y - first_line
            sample[i, j] = x - first_sample
            if not with_area:
                continue
            area[i, j] = 0.0
            if i + 1 < rows and j + 1 < columns:
                area[i, j] = facet_area(heights, i, j, here, u)


@compiled
def facet_area(heights: FloatArray, i: int, j: int, here: Doubles, u: float) -> float:
    """Return ``A_gamma / A_beta`` of the facet right below a node."""
    h00 = heights[i, j]
    h01 = heights[i, j + 1]
    h10 = heights[i + 1, j]
    h11 = heights[i + 1, j + 1]
    width = here[WIDTH]
    height = here[HEIGHT]
    # Area vector: (-dh/dx, -dh/dy, 1) * width * height, of the mean slopes of the four sides.
    east = (h01 + h11 - h00 - h10) * 0.5 * height * (here[LOOK] + u * here[LOOK + 3])
    north = (h00 + h01 - h10 - h11) * 0.5 * width * (here[LOOK + 1] + u * here[LOOK + 4])
    up = width * height * (here[LOOK + 2] + u * here[LOOK + 5])
    return float((up - east - north) * here[BETA])


@compiled
def measure_incidence(
    heights: FloatArray,
    fields: Doubles,
    step: int,
    middle: float,
    half: float,
    local: FloatArray,
    ellipsoid: FloatArray,
    fresh: npt.NDArray[np.bool_],
    top: int,
    left: int,
) -> None:
    """Compute both incidence angles of the inner part of a block, degrees.

    Parameters
    ----------
    heights, fields, step, middle, half : see :func:`locate`.
    local, ellipsoid : (rows, columns) float32, written; angles to the normal of the terrain
        (central differences) and to that of the ellipsoid.
    fresh : (rows, columns) boolean, where they are written.
    top, left : where the inner part begins; at least one node lies around it.

    The nine fields from ``LOOK`` on are used: look, its change, undulation, width, height.
    """
    degrees = np.float32(180.0 / math.pi)
    nodes = fields.shape[2]
    wanted = 9
    across = np.empty((nodes, wanted))
    here = np.empty(wanted)
    slope = np.empty(wanted)
    for i in range(local.shape[0]):
        row = i + top
        node = row // step
        share = (row - node * step) / step
        for k in range(wanted):
            field = fields[LOOK + k]
            for j in range(nodes):
                across[j, k] = field[node, j] * (1 - share) + field[node + 1, j] * share
        for j in range(local.shape[1]):
            column = j + left
            if j == 0 or column % step == 0:
                beside = column // step
                for k in range(wanted):
                    slope[k] = (across[beside + 1, k] - across[beside, k]) / step
                    here[k] = across[beside, k] + slope[k] * (column - beside * step)
            else:
                for k in range(wanted):
                    here[k] += slope[k]
            if not fresh[i, j]:
                continue
            u = (heights[row, column] + here[6] - middle) / half
            z = here[2] + u * here[5]
            east = (heights[row, column + 1] - heights[row, column - 1]) / (2 * here[7])
            north = (heights[row - 1, column] - heights[row + 1, column]) / (2 * here[8])
            facing = z - east * (here[0] + u * here[3]) - north * (here[1] + u * here[4])
            cosine = facing / math.sqrt(1 + east * east + north * north)
            local[i, j] = degrees * math.acos(np.float32(min(max(cosine, -1.0), 1.0)))
            ellipsoid[i, j] = degrees * math.acos(np.float32(min(max(z, -1.0), 1.0)))


@compiled
def sample_bilinear(
    image: FloatArray, line: FloatArray, sample: FloatArray, edge: float, out: FloatArray
) -> None:
    """Interpolate power at radar coordinates, bilinearly over valid pixels.

    Half a pixel beyond the first and last line the nearest line is taken, so that two slices of
    one pass meet without a gap.

    Parameters
    ----------
    image : (lines, samples) float32, NaN where invalid.
    line, sample : (rows, columns) float32 relative to the image.
    edge : pixels beyond the outermost centres that still belong to the image.
    out : (rows, columns) float32, written; NaN where the nearest pixel is invalid or outside.
    """
    lines, samples = image.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y = line[i, j]
            x = sample[i, j]
            out[i, j] = np.nan
            if not (-edge <= y < lines - 1 + edge and -edge <= x < samples - 1 + edge):
                continue
            y = min(max(y, np.float32(0)), np.float32(lines - 1))
            x = min(max(x, np.float32(0)), np.float32(samples - 1))
            nearest = image[int(y + 0.5), int(x + 0.5)]
            if math.isnan(nearest):
                continue
            y0 = min(int(y), max(lines - 2, 0))
            x0 = min(int(x), max(samples - 2, 0))
            y1 = min(y0 + 1, lines - 1)
            x1 = min(x0 + 1, samples - 1)
            v = y - y0
            w = x - x0
            total = 0.0
            weight = 0.0
            for a in range(2):
                for b in range(2):
                    value = image[y1 if a else y0, x1 if b else x0]
                    if not math.isnan(value):
                        share = (v if a else 1 - v) * (w if b else 1 - w)
                        total += share * value
                        weight += share
            out[i, j] = total / weight if weight > 0 else nearest


@compiled
def sample_nearest(
    image: FloatArray, line: FloatArray, sample: FloatArray, edge: float, out: FloatArray
) -> None:
    """Take the nearest radar pixel; parameters as for :func:`sample_bilinear`."""
    lines, samples = image.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y = line[i, j]
            x = sample[i, j]
            out[i, j] = np.nan
            if -edge <= y < lines - 1 + edge and -edge <= x < samples - 1 + edge:
                row = min(max(math.floor(y + 0.5), 0), lines - 1)
                column = min(max(math.floor(x + 0.5), 0), samples - 1)
                out[i, j] = image[row, column]
