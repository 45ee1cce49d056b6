"""Product annotation of simulated GRD.

Sentinel-1 Product Specification (S1-RS-MDA-52-7441), section on the product annotation data
set; every element that its schema demands is there, and all that matters is true: timing,
orbit, ground-range polynomials and geolocation grid describe the simulated image exactly.
"""

from __future__ import annotations

import numpy as np

from skymend.simulate import safe_s1_records as records
from skymend.simulate.markup import Node, listing, node
from skymend.simulate.s1_frame import SPEED_OF_LIGHT, Frame
from skymend.simulate.s1_orbit import Doubles, geodetic
from skymend.simulate.s1_product import Slice, iso, number
from skymend.simulate.safe_s1_tables import incidence_at

SAMPLING_RATE_HZ = 6.434523812571428e7
RADAR_HZ = 5.405000454334350e9
GRID_LINES, GRID_PIXELS = 10, 21
STATES, STATE_STEP_S, STATES_BEFORE = 17, 10.0, 6


def header(part: Slice, polarisation: str) -> Node:
    """Return ``adsHeader``, the same in all annotation files of an image."""
    return node(
        "adsHeader",
        node("missionId", part.platform),
        node("productType", "GRD"),
        node("polarisation", polarisation),
        node("mode", "IW"),
        node("swath", "IW"),
        node("startTime", iso(part.start)),
        node("stopTime", iso(part.stop)),
        node("absoluteOrbitNumber", part.absolute_orbit),
        node("missionDataTakeId", part.take),
        node("imageNumber", f"{part.polarisations.index(polarisation) + 1:03d}"),
    )


def annotation(part: Slice, polarisation: str, mean: float, deviation: float) -> Node:
    """Return the product annotation of one polarisation.

    Parameters
    ----------
    mean, deviation : of the image's numbers.
    """
    start, stop = iso(part.start), iso(part.stop)
    near = 2 * float(part.frame.ground_range.origin[0]) / SPEED_OF_LIGHT
    return node(
        "product",
        header(part, polarisation),
        records.quality(start, _statistics(mean, deviation)),
        _general(part, start, stop, near),
        node(
            "imageAnnotation",
            _image(part, near, _statistics(mean, deviation)),
            _processing(start),
        ),
        node(
            "dopplerCentroid",
            listing("dcEstimateList", [records.doppler(start, start, stop, near)]),
        ),
        node("antennaPattern", listing("antennaPatternList", _patterns(part, start))),
        node(
            "swathTiming",
            *records.fields("linesPerBurst=0 samplesPerBurst=0"),
            listing("burstList", []),
        ),
        node("geolocationGrid", _geolocation(part)),
        node("coordinateConversion", _conversions(part)),
        node("swathMerging", listing("swathMergeList", _merges(part, start))),
    )


def _statistics(mean: float, deviation: float) -> Node:
    parts = {"outputDataMean": mean, "outputDataStdDev": deviation}
    return node(
        "imageStatistics",
        *(node(n, node("re", f"{v:.6e}"), node("im", "0.000000e+00")) for n, v in parts.items()),
    )


def _general(part: Slice, start: str, stop: str, near: float) -> Node:
    swaths = records.SWATHS
    rate = node("azimuthFmRatePolynomial", "-2.3268e+03 4.5145e+05 -7.928e+07", count=3)
    fm_rate = node("azimuthFmRate", node("azimuthTime", start), node("t0", repr(near)), rate)
    height = number(part.terrain_m)
    terrain = [
        node("terrainHeight", node("azimuthTime", t), node("value", height)) for t in (start, stop)
    ]
    return node(
        "generalAnnotation",
        node(
            "productInformation",
            node("pass", "Ascending" if part.direction == "ASC" else "Descending"),
            node("timelinessCategory", "Fast-24h"),
            node("platformHeading", number(heading(part.frame))),
            node("projection", "Ground Range"),
            node("rangeSamplingRate", number(SAMPLING_RATE_HZ)),
            node("radarFrequency", number(RADAR_HZ)),
            node("azimuthSteeringRate", number(1.590368784)),
        ),
        listing("downlinkInformationList", [records.downlink(s, start, stop) for s in swaths]),
        listing("orbitList", _states(part.frame)),
        listing("attitudeList", [records.attitude(start)]),
        listing("rawDataAnalysisList", [records.raw_analysis(start)]),
        listing("replicaInformationList", [records.replica(s, start) for s in swaths]),
        listing("noiseList", []),
        listing("terrainHeightList", terrain),
        listing("azimuthFmRateList", [fm_rate]),
    )


def heading(frame: Frame) -> float:
    """Return the direction of flight at mid image, degrees from north, -180..180."""
    middle = (frame.first + frame.last) / 2
    points = frame.orbit.at(np.array([middle - 0.5, middle + 0.5]))[0]
    longitude, latitude, _ = geodetic(points)
    east = (longitude[1] - longitude[0]) * np.cos(np.radians(latitude.mean()))
    return float(np.degrees(np.arctan2(east, latitude[1] - latitude[0])))


def _states(frame: Frame) -> list[Node]:
    first = np.floor(frame.first) - STATE_STEP_S * STATES_BEFORE
    found = []
    for seconds in first + STATE_STEP_S * np.arange(STATES):
        position, velocity, _ = frame.orbit.at(seconds)
        found.append(
            node(
                "orbit",
                node("time", iso(frame.utc(float(seconds)))),
                node("frame", "Earth Fixed"),
                _vector("position", position),
                _vector("velocity", velocity),
            )
        )
    return found


def _vector(tag: str, values: Doubles) -> Node:
    return node(tag, *(node(a, number(v)) for a, v in zip("xyz", values.tolist(), strict=True)))


def _image(part: Slice, near: float, statistics: Node) -> Node:
    frame = part.frame
    slices = [
        node(
            "slice",
            node("sliceNumber", count + 1),
            node("sensingStartTime", iso(part.start)),
            node("sensingStopTime", iso(part.stop)),
        )
        for count in range(part.total)
    ]
    middle = incidence_at(
        frame, np.array([frame.shape[0] / 2]), np.array([frame.shape[1] / 2]), part.terrain_m
    )
    return node(
        "imageInformation",
        node("productFirstLineUtcTime", iso(part.start)),
        node("productLastLineUtcTime", iso(part.stop)),
        node("ascendingNodeTime", iso(part.node_time)),
        node("anchorTime", iso(part.node_time)),
        node("productComposition", "Slice"),
        node("sliceNumber", part.number),
        listing("sliceList", slices),
        node("slantRangeTime", number(near)),
        node("pixelValue", "Detected"),
        node("outputPixels", "16 bit Unsigned Integer"),
        node("rangePixelSpacing", f"{frame.spacing_m:.6e}"),
        node("azimuthPixelSpacing", f"{frame.spacing_m:.6e}"),
        node("azimuthTimeInterval", number(frame.interval)),
        node("azimuthFrequency", "4.864863102995529e+02"),
        node("numberOfSamples", frame.shape[1]),
        node("numberOfLines", frame.shape[0]),
        node("zeroDopMinusAcqTime", number(200.2)),
        node("incidenceAngleMidSwath", number(float(np.degrees(middle[0, 0])))),
        statistics,
    )


def _processing(start: str) -> Node:
    swaths = records.SWATHS
    dimensions = [
        node(
            "inputDimensions",
            node("azimuthTime", start),
            node("swath", swath),
            *records.fields("numberOfInputSamples=23802 numberOfInputLines=15020"),
        )
        for swath in swaths
    ]
    return node(
        "processingInformation",
        *records.fields(
            "rawDataAnalysisUsed=true orbitDataFileUsed=true attitudeDataFileUsed=false "
            "rxVariationCorrectionApplied=true antennaElevationPatternApplied=true "
            "antennaAzimuthPatternApplied=true antennaAzimuthElementPatternApplied=true "
            "dcMethod=Data_Analysis dcInputData=Range_Compressed "
            "rangeSpreadingLossCompensationApplied=true srgrConversionApplied=true "
            "detectionPerformed=true thermalNoiseCorrectionPerformed=false chirpSource=Nominal "
            "pgSource=Extracted rrfSpectrum=Extended_Tapered"
        ),
        node("applicationLutId", "IW_Default"),
        listing("swathProcParamsList", [records.processing(s) for s in swaths]),
        listing("inputDimensionsList", dimensions),
        *records.fields(
            "referenceRange=8.0e+05 ellipsoidName=WGS84 "
            "ellipsoidSemiMajorAxis=6.378137000000000e+06 "
            "ellipsoidSemiMinorAxis=6.356752314245000e+06 bistaticDelayCorrectionApplied=true "
            "topsFilterConvention=Only_Echo_Lines orbitSource=Auxiliary attitudeSource=Downlink"
        ),
    )


def _patterns(part: Slice, start: str) -> list[Node]:
    """Return one short pattern per sub-swath: angles are true, gain is flat."""
    edges = np.linspace(0, part.frame.shape[1] - 1, 4)
    found = []
    for swath, first, last in zip(records.SWATHS, edges[:-1], edges[1:], strict=True):
        pixels = np.linspace(first, last, 5)
        incidence = incidence_at(part.frame, np.zeros(1), pixels, part.terrain_m)[0]
        slant = part.frame.times(np.zeros(5), pixels)[1]
        times = " ".join(number(2 * s / SPEED_OF_LIGHT) for s in slant)
        angle = " ".join(f"{np.degrees(a):.6e}" for a in incidence)
        below = elevation_angle(part.frame, np.zeros(5), pixels, part.terrain_m)
        found.append(
            node(
                "antennaPattern",
                node("swath", swath),
                node("azimuthTime", start),
                node("slantRangeTime", times, count=5),
                node("elevationAngle", " ".join(f"{a:.6e}" for a in below), count=5),
                node("elevationPattern", " ".join(["1.0 0.0"] * 5), count=5),
                node("incidenceAngle", angle, count=5),
                node("terrainHeight", number(part.terrain_m)),
                node("roll", number(29.45)),
            )
        )
    return found


def elevation_angle(frame: Frame, line: Doubles, pixel: Doubles, height: float) -> Doubles:
    """Return the angle at the satellite between the Earth's centre and a pixel, degrees."""
    satellite = frame.orbit.at(frame.times(line, pixel)[0])[0]
    return _angle(frame.locate(line, pixel, height) - satellite, -satellite)


def _angle(first: Doubles, second: Doubles) -> Doubles:
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    cosine = np.einsum("...i,...i", first, second) / lengths
    return np.asarray(np.degrees(np.arccos(cosine)))


def grid_points(frame: Frame) -> tuple[Doubles, Doubles]:
    """Return line and pixel of the 210 points of the geolocation grid, whole numbers."""
    lines = np.rint(np.linspace(0, frame.shape[0] - 1, GRID_LINES))
    pixels = np.rint(np.linspace(0, frame.shape[1] - 1, GRID_PIXELS))
    line, pixel = np.meshgrid(lines, pixels, indexing="ij")
    return line.ravel(), pixel.ravel()


def _geolocation(part: Slice) -> Node:
    frame = part.frame
    line, pixel = grid_points(frame)
    seconds, slant = frame.times(line, pixel)
    points = frame.locate(line, pixel, part.terrain_m)
    longitude, latitude, height = geodetic(points)
    satellite = frame.orbit.at(seconds)[0]
    # Real grids measure incidence from the direction of the Earth's centre.
    incidence = _angle(satellite - points, points)
    elevation = _angle(points - satellite, -satellite)
    rows = zip(
        *(a.tolist() for a in (seconds, slant, line, pixel, latitude, longitude, height)),
        incidence.tolist(),
        elevation.tolist(),
        strict=True,
    )
    nodes = [
        node(
            "geolocationGridPoint",
            node("azimuthTime", iso(frame.utc(time))),
            node("slantRangeTime", number(2 * distance / SPEED_OF_LIGHT)),
            node("line", int(row)),
            node("pixel", int(column)),
            node("latitude", number(north)),
            node("longitude", number(east)),
            node("height", number(up)),
            node("incidenceAngle", number(theta)),
            node("elevationAngle", number(below)),
        )
        for time, distance, row, column, north, east, up, theta, below in rows
    ]
    return listing("geolocationGridPointList", nodes)


def _conversions(part: Slice) -> Node:
    frame, ground = part.frame, part.frame.ground_range
    found = []
    for seconds, near, to_ground, to_slant in zip(
        ground.seconds, ground.origin.tolist(), ground.to_ground, ground.to_slant, strict=True
    ):
        found.append(
            node(
                "coordinateConversion",
                node("azimuthTime", iso(frame.utc(float(seconds)))),
                node("slantRangeTime", number(2 * near / SPEED_OF_LIGHT)),
                node("sr0", number(near)),
                node("srgrCoefficients", " ".join(map(number, to_ground)), count=len(to_ground)),
                node("gr0", number(0.0)),
                node("grsrCoefficients", " ".join(map(number, to_slant)), count=len(to_slant)),
            )
        )
    return listing("coordinateConversionList", found)


def _merges(part: Slice, start: str) -> list[Node]:
    edges = np.rint(np.linspace(0, part.frame.shape[1], 4)).astype(int).tolist()
    return [
        node(
            "swathMerge",
            node("swath", swath),
            listing(
                "swathBoundsList",
                [
                    node(
                        "swathBounds",
                        node("azimuthTime", start),
                        node("firstAzimuthLine", 0),
                        node("firstRangeSample", first),
                        node("lastAzimuthLine", part.frame.shape[0] - 1),
                        node("lastRangeSample", after - 1),
                    )
                ],
            ),
        )
        for swath, first, after in zip(records.SWATHS, edges[:-1], edges[1:], strict=True)
    ]
