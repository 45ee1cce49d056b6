"""Product annotation: image timing, orbit, ground range, geolocation grid, swaths.

Fields as in the Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section 6.3. Times are
seconds after the first line of the image (``first_line``), in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from skymend.products.sentinel1.markup import Doubles, Node, increasing, parse_xml, seconds_since

OrbitSource = Literal["POEORB", "RESORB", "annotation"]

_MAX_SIDE = 120_000
_MAX_STATES = 20_000


@dataclass(frozen=True, slots=True)
class StateVectors:
    """Orbit state vectors, Earth-fixed.

    Parameters
    ----------
    epoch : origin of ``seconds``, UTC.
    seconds : (states,) float64, rising.
    position, velocity : (states, 3) float64, metres and metres a second.
    source : where they come from.
    name : the file they come from; empty for the annotation.
    """

    epoch: datetime
    seconds: Doubles
    position: Doubles
    velocity: Doubles
    source: OrbitSource
    name: str = ""

    def at_epoch(self, epoch: datetime) -> StateVectors:
        """Return the same vectors with another origin of time."""
        shift = seconds_since(epoch, self.epoch)
        return StateVectors(
            epoch, self.seconds + shift, self.position, self.velocity, self.source, self.name
        )


@dataclass(frozen=True, slots=True)
class GroundRangeRecords:
    """Polynomials between slant range and ground range, one record about each second.

    Parameters
    ----------
    seconds : (records,) float64, rising; azimuth time of each record.
    slant_origin, ground_origin : (records,) metres, ``sr0`` and ``gr0``.
    to_ground, to_slant : (records, terms), lowest power first: ground range from
        ``slant - slant_origin``, slant range from ``ground - ground_origin``.
    """

    seconds: Doubles
    slant_origin: Doubles
    to_ground: Doubles
    ground_origin: Doubles
    to_slant: Doubles


@dataclass(frozen=True, slots=True)
class GeolocationGrid:
    """Points whose radar and geographic coordinates the processor computed; all (points,).

    Parameters
    ----------
    line, pixel : image coordinates.
    seconds : zero-Doppler azimuth time after the first line.
    slant_range_time : two-way, seconds.
    latitude, longitude, height : degrees, degrees, metres above WGS 84.
    incidence, elevation : degrees; incidence refers to the geocentric vertical.
    """

    line: Doubles
    pixel: Doubles
    seconds: Doubles
    slant_range_time: Doubles
    latitude: Doubles
    longitude: Doubles
    height: Doubles
    incidence: Doubles
    elevation: Doubles


@dataclass(frozen=True, slots=True)
class Annotation:
    """The annotation of one image.

    Parameters
    ----------
    first_line, last_line : azimuth times, UTC.
    line_interval : seconds between lines.
    shape : (lines, samples).
    slant_range_time : two-way time of the first sample, seconds.
    range_spacing, azimuth_spacing : metres; ground range for GRD, slant range for SLC.
    range_sampling_rate : hertz.
    heading : degrees from north.
    ground_range : None for SLC.
    """

    product_type: str
    mode: str
    polarisation: str
    first_line: datetime
    last_line: datetime
    line_interval: float
    shape: tuple[int, int]
    slant_range_time: float
    range_spacing: float
    azimuth_spacing: float
    range_sampling_rate: float
    heading: float
    thermal_noise_removed: bool
    orbit: StateVectors
    geolocation: GeolocationGrid
    ground_range: GroundRangeRecords | None


def parse_annotation(content: bytes, where: str) -> Annotation:
    """Parse an annotation file of a GRD or SLC image.

    Raises
    ------
    ProductError
        if something is missing, not a number, or contradicts itself.
    """
    root = parse_xml(content, where)
    image = root.get("imageAnnotation/imageInformation")
    general = root.get("generalAnnotation/productInformation")
    processing = root.get("imageAnnotation/processingInformation")
    first = image.time("productFirstLineUtcTime")
    annotation = Annotation(
        product_type=root.text("adsHeader/productType"),
        mode=root.text("adsHeader/mode"),
        polarisation=root.text("adsHeader/polarisation").upper(),
        first_line=first,
        last_line=image.time("productLastLineUtcTime"),
        line_interval=_between(image, "azimuthTimeInterval", 1e-5, 0.1),
        shape=(
            image.whole("numberOfLines", low=1, high=_MAX_SIDE),
            image.whole("numberOfSamples", low=1, high=_MAX_SIDE),
        ),
        slant_range_time=_between(image, "slantRangeTime", 1e-3, 0.1),
        range_spacing=_between(image, "rangePixelSpacing", 0.1, 1_000),
        azimuth_spacing=_between(image, "azimuthPixelSpacing", 0.1, 1_000),
        range_sampling_rate=_between(general, "rangeSamplingRate", 1e5, 1e10),
        heading=general.number("platformHeading"),
        thermal_noise_removed=_flag(processing, "thermalNoiseCorrectionPerformed"),
        orbit=_orbit(root, first),
        geolocation=_geolocation(root, first),
        ground_range=_ground_range(root, first),
    )
    _check_times(root, annotation)
    return annotation


def _between(node: Node, path: str, low: float, high: float) -> float:
    value = node.number(path)
    if not low <= value <= high:
        raise node.error(f"{path} between {low:g} and {high:g}", f"{value:g}")
    return value


def _flag(node: Node, path: str) -> bool:
    found = node.find(path)
    return found is not None and found.content == "true"


def _check_times(root: Node, annotation: Annotation) -> None:
    lasting = (annotation.shape[0] - 1) * annotation.line_interval
    said = seconds_since(annotation.first_line, annotation.last_line)
    # SLC bursts overlap, so only detected images have one line an interval.
    if annotation.product_type == "GRD" and abs(lasting - said) > 0.1:
        raise root.error(f"a last line {lasting:.3f} s after the first", f"{said:.3f} s")


def _orbit(root: Node, epoch: datetime) -> StateVectors:
    nodes = list(root.get("generalAnnotation/orbitList").children("orbit"))
    seconds = np.array([seconds_since(epoch, n.time("time")) for n in nodes])
    position, velocity = (
        np.array([[n.number(f"{kind}/{axis}") for axis in "xyz"] for n in nodes]).reshape(-1, 3)
        for kind in ("position", "velocity")
    )
    return check_states(root, StateVectors(epoch, seconds, position, velocity, "annotation"))


def check_states(root: Node, states: StateVectors) -> StateVectors:
    """Return the state vectors if they can be an orbit of Sentinel-1.

    Raises
    ------
    ProductError
        if there are fewer than four, times do not rise, or height or speed are impossible.
    """
    count = states.seconds.size
    if not 4 <= count <= _MAX_STATES or not increasing(states.seconds):
        raise root.error("4 or more state vectors with rising times", f"{count} of them")
    radius = np.linalg.norm(states.position, axis=1)
    speed = np.linalg.norm(states.velocity, axis=1)
    if not ((radius > 6.9e6) & (radius < 7.3e6) & (speed > 7e3) & (speed < 8.2e3)).all():
        raise root.error(
            "state vectors some 700 km above the ground at 7.6 km/s",
            f"radius {radius.min():.0f} to {radius.max():.0f} m",
        )
    return states


def _columns(root: Node, nodes: Sequence[Node], names: Sequence[str]) -> list[Doubles]:
    return [np.array([n.number(name) for n in nodes], np.float64) for name in names]


def _geolocation(root: Node, epoch: datetime) -> GeolocationGrid:
    nodes = list(root.each("geolocationGridPoint"))
    if len(nodes) < 4:
        raise root.error("4 or more geolocation grid points", f"{len(nodes)}")
    seconds = np.array([seconds_since(epoch, n.time("azimuthTime")) for n in nodes])
    names = ("slantRangeTime", "latitude", "longitude", "height")
    time, latitude, longitude, height = _columns(root, nodes, names)
    if np.abs(latitude).max() > 90 or np.abs(longitude).max() > 180:
        raise root.error("latitudes and longitudes in degrees", "numbers beyond")
    line, pixel = _columns(root, nodes, ("line", "pixel"))
    incidence, elevation = _columns(root, nodes, ("incidenceAngle", "elevationAngle"))
    return GeolocationGrid(
        line, pixel, seconds, time, latitude, longitude, height, incidence, elevation
    )


def _ground_range(root: Node, epoch: datetime) -> GroundRangeRecords | None:
    nodes = [n for n in root.each("coordinateConversion") if n.find("sr0") is not None]
    if not nodes:
        return None
    seconds = np.array([seconds_since(epoch, n.time("azimuthTime")) for n in nodes])
    sr0, gr0 = _columns(root, nodes, ("sr0", "gr0"))
    to_ground = [n.numbers("srgrCoefficients") for n in nodes]
    to_slant = [n.numbers("grsrCoefficients") for n in nodes]
    lengths = {a.size for a in to_ground} | {a.size for a in to_slant}
    if len(lengths) != 1 or not 2 <= min(lengths) <= 20 or not increasing(seconds):
        raise root.error("polynomials of one length with rising times", f"lengths {lengths}")
    return GroundRangeRecords(seconds, sr0, np.stack(to_ground), gr0, np.stack(to_slant))
