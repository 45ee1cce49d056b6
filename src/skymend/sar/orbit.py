"""Orbits: precise and restituted orbit files (EOF), and interpolation of state vectors.

Earth Observation Ground Segment file format (EOF); times are read from the ``UTC`` field, never
from ``TAI``, which is 37 s ahead. Between states, position follows the cubic that has the given
positions and velocities at both ends: for 10 s spacing its error is
``h^4 / 384 * |d4x/dt4|`` = 0.2 mm.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ProductError
from skymend.products.sentinel1.annotation import OrbitSource, StateVectors, check_states
from skymend.products.sentinel1.markup import Node, parse_xml, seconds_since

if TYPE_CHECKING:
    from skymend.products.sentinel1 import GrdProduct

Doubles = npt.NDArray[np.float64]

MARGIN_S = 40.0
"""Seconds of orbit an image needs before its first and after its last line."""

_MAX_BYTES = 40_000_000
_NAME = re.compile(
    r"(S1[A-D])_OPER_AUX_(POEORB|RESORB)_OPOD_(\d{8}T\d{6})_V(\d{8}T\d{6})_(\d{8}T\d{6})\.EOF"
)
_SOURCES = ("POEORB", "RESORB")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class OrbitName:
    """What the name of an EOF file says; sorts by quality, then by age."""

    rank: int
    made: datetime
    platform: str
    start: datetime
    stop: datetime

    @classmethod
    def parse(cls, name: str) -> OrbitName | None:
        """Return the parts of a file name, None if it is not one."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        letters, kind, *stamps = match.groups()
        try:
            times = [datetime.strptime(s, "%Y%m%dT%H%M%S").replace(tzinfo=UTC) for s in stamps]
        except ValueError:
            return None
        platform = f"sentinel-1{letters[-1].lower()}"
        return cls(-_SOURCES.index(kind), times[0], platform, times[1], times[2])


def read_eof(path: Path) -> StateVectors:
    """Read an orbit file.

    Raises
    ------
    ProductError
        if it cannot be read, is not Earth-fixed in UTC, or holds no orbit.
    """
    if not path.is_file():
        raise _refuse(path, "an orbit file", "no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise _refuse(path, f"at most {_MAX_BYTES} bytes", f"{path.stat().st_size}")
    return parse_eof(path.read_bytes(), path.name)


def parse_eof(content: bytes, where: str) -> StateVectors:
    """Parse the text of an orbit file; see :func:`read_eof`."""
    root = parse_xml(content, where)
    header = root.get("Earth_Explorer_Header")
    kind = header.text("Fixed_Header/File_Type").removeprefix("AUX_")
    frame = header.text("Variable_Header/Ref_Frame")
    clock = header.text("Variable_Header/Time_Reference")
    if kind not in _SOURCES or frame != "EARTH_FIXED" or clock != "UTC":
        raise root.error(
            "a POEORB or RESORB file, EARTH_FIXED, UTC", f"{kind[:20]}, {frame[:20]}, {clock[:20]}"
        )
    nodes = list(root.get("Data_Block/List_of_OSVs").children("OSV"))
    if not nodes:
        raise root.error("state vectors", "none")
    return check_states(root, _states(nodes, cast("OrbitSource", kind), where))


def _states(nodes: list[Node], kind: OrbitSource, where: str) -> StateVectors:
    epoch = nodes[0].time("UTC")
    seconds = np.array([seconds_since(epoch, n.time("UTC")) for n in nodes])
    position = np.array([[n.number(axis) for axis in "XYZ"] for n in nodes])
    velocity = np.array([[n.number(f"V{axis}") for axis in "XYZ"] for n in nodes])
    return StateVectors(epoch, seconds, position, velocity, kind, where)


def choose_orbit(orbit: Path | None, product: GrdProduct, polarisation: str) -> StateVectors:
    """Return the best orbit there is for an image.

    Parameters
    ----------
    orbit : an EOF file, which then must fit; or a folder of them, of which the best is taken
        (POEORB before RESORB, then the youngest); None for the annotation's state vectors.

    Raises
    ------
    ProductError
        if the file given is missing, of another satellite, or of another time.
    """
    annotation = product.annotation(polarisation)
    if orbit is None:
        return annotation.orbit
    if orbit.is_dir():
        found = best_orbit_file(orbit, product.platform, product.time, product.stop)
        if found is None:
            _log.warning("%s: no orbit file of it in %s; annotation used", product.id, orbit)
            return annotation.orbit
        orbit = found
    states = read_eof(orbit)
    name = OrbitName.parse(orbit.name)
    if name is not None and name.platform != product.platform:
        raise _refuse(orbit, f"an orbit of {product.platform}", f"one of {name.platform}")
    demand_cover(states, annotation.first_line, annotation.last_line, orbit)
    return states


def demand_cover(states: StateVectors, start: datetime, stop: datetime, where: Path) -> None:
    """Check that an orbit reaches over an image with a margin.

    Raises
    ------
    ProductError
        if it does not.
    """
    margin = timedelta(seconds=MARGIN_S)
    first = states.epoch + timedelta(seconds=float(states.seconds[0]))
    last = states.epoch + timedelta(seconds=float(states.seconds[-1]))
    if first > start - margin or last < stop + margin:
        raise _refuse(
            where,
            f"an orbit that covers {start:%Y-%m-%dT%H:%M:%S} UTC with {MARGIN_S:g} s to spare",
            f"one from {first:%Y-%m-%dT%H:%M:%S} to {last:%Y-%m-%dT%H:%M:%S}",
        )


def best_orbit_file(folder: Path, platform: str, start: datetime, stop: datetime) -> Path | None:
    """Return the best orbit file of a folder for a time, None if there is none."""
    margin = timedelta(seconds=MARGIN_S)
    candidates = [
        (name, path)
        for path in sorted(folder.glob("*.EOF"))
        if (name := OrbitName.parse(path.name)) is not None
        and name.platform == platform
        and name.start <= start - margin
        and name.stop >= stop + margin
    ]
    return max(candidates)[1] if candidates else None


def _refuse(path: Path, expected: str, found: str) -> ProductError:
    return ProductError(
        where=path,
        expected=expected,
        found=found,
        fix="give the orbit file of this acquisition, or none to use the annotation's orbit",
    )


@dataclass(frozen=True, slots=True)
class Track:
    """An orbit as piecewise cubics.

    Parameters
    ----------
    epoch : origin of time, UTC.
    knots : (states,) float64 seconds.
    cubics : (states - 1, 4, 3) float64, lowest power first: position in metres over seconds
        since the knot before.
    """

    epoch: datetime
    knots: Doubles
    cubics: Doubles

    @classmethod
    def of(cls, states: StateVectors, epoch: datetime, start: float, stop: float) -> Track:
        """Build the cubics around a span of seconds after ``epoch`` (Hermite interpolation)."""
        shifted = states.at_epoch(epoch)
        near = (shifted.seconds > start - MARGIN_S - 30) & (shifted.seconds < stop + MARGIN_S + 30)
        knots = shifted.seconds[near]
        p, v = shifted.position[near], shifted.velocity[near]
        h = np.diff(knots)[:, None]
        rise = np.diff(p, axis=0) / h
        cubic = np.stack(
            [
                p[:-1],
                v[:-1],
                (3 * rise - 2 * v[:-1] - v[1:]) / h,
                (v[:-1] + v[1:] - 2 * rise) / h**2,
            ],
            axis=1,
        )
        return cls(epoch, knots, np.ascontiguousarray(cubic))

    def at(self, seconds: npt.ArrayLike) -> tuple[Doubles, Doubles]:
        """Return positions (..., 3) in metres and velocities (..., 3) in metres a second."""
        t = np.asarray(seconds, np.float64)
        piece = np.clip(np.searchsorted(self.knots, t, side="right") - 1, 0, len(self.cubics) - 1)
        u = (t - self.knots[piece])[..., None]
        c = self.cubics[piece]
        position = c[..., 0, :] + u * (c[..., 1, :] + u * (c[..., 2, :] + u * c[..., 3, :]))
        velocity = c[..., 1, :] + u * (2 * c[..., 2, :] + 3 * u * c[..., 3, :])
        return position, velocity
