"""Range-Doppler geometry against every real Sentinel-1 annotation there is."""

import zipfile
from datetime import timedelta

import numpy as np
import pytest

from skymend.products.sentinel1 import parse_annotation
from skymend.sar.doppler import (
    SPEED_OF_LIGHT,
    ellipsoid_normal,
    incidence_angle,
    to_earth_fixed,
    zero_doppler,
)
from skymend.sar.geolocation import RadarImage, track_of
from skymend.sar.orbit import Track, read_eof

pytestmark = pytest.mark.real

SOURCES = (
    "s1-safe-dem-rome-sarsen/*.SAFE/annotation/*.xml",
    "s1-slc-subset-eof/*.xml",
    "s1-grd-safe-metadata/*.zip",
    "s1-pyrosar/*.zip",
)


def annotations(shared_data):
    """Every annotation on disk, folders and zips, by name."""
    found = {}
    for pattern in SOURCES:
        for path in sorted(shared_data.glob(pattern)):
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        if "/annotation/s1" in name and name.endswith(".xml"):
                            found[f"{path.parent.name}/{name}"] = archive.read(name)
            else:
                found[str(path.relative_to(shared_data))] = path.read_bytes()
    return {name: parse_annotation(content, name) for name, content in found.items()}


@pytest.fixture(scope="module")
def solved(shared_data):
    """Annotation, and time, slant range, satellite and points at its geolocation grid."""
    out = {}
    for name, annotation in annotations(shared_data).items():
        grid = annotation.geolocation
        points = to_earth_fixed(grid.longitude, grid.latitude, grid.height)
        track = track_of(annotation.orbit, annotation)
        out[name] = (annotation, points, *zero_doppler(points, track))
    return out


def test_there_are_grd_and_slc_of_both_satellites(solved):
    kinds = {(a.product_type, a.polarisation) for a, *_ in solved.values()}
    assert kinds == {("GRD", "VV"), ("GRD", "VH"), ("SLC", "VV")}
    assert len(solved) == 9


def test_slant_range_is_that_of_the_grid_within_a_centimetre(solved):
    for name, (annotation, _, _, slant_range, _) in solved.items():
        expected = annotation.geolocation.slant_range_time * SPEED_OF_LIGHT / 2
        # Heights are printed to a micrometre, times to 1e-18 s: what is left is interpolation.
        assert np.abs(slant_range - expected).max() < 0.01, name


def test_zero_doppler_time_is_that_of_the_grid_within_a_hundredth_of_a_line(solved):
    for name, (annotation, _, seconds, _, _) in solved.items():
        late = (seconds - annotation.geolocation.seconds) / annotation.line_interval
        assert np.abs(late).max() < 0.01, name


def test_line_and_sample_of_grd_within_a_hundredth_of_a_pixel(solved):
    for name, (annotation, _, seconds, slant_range, _) in solved.items():
        if annotation.product_type != "GRD":
            continue
        image, grid = RadarImage.of(annotation), annotation.geolocation
        assert np.abs(image.line(seconds, slant_range) - grid.line).max() < 0.01, name
        # The processor took the record nearest in time for its grid.
        sample = image.sample(seconds, slant_range, nearest=True)
        assert np.abs(sample - grid.pixel).max() < 0.01, name


def test_interpolated_ground_range_stays_near_the_grid(solved):
    """Between records SNAP, OTB, sarsen and we interpolate; the grid does not (see docs)."""
    worst = 0.0
    for annotation, _, seconds, slant_range, _ in solved.values():
        if annotation.product_type == "GRD":
            sample = RadarImage.of(annotation).sample(seconds, slant_range)
            worst = max(worst, float(np.abs(sample - annotation.geolocation.pixel).max()))
    assert 0.1 < worst < 0.6


def test_without_the_residual_bistatic_delay_lines_are_off_by_a_fifth(solved):
    for annotation, _, seconds, slant_range, _ in solved.values():
        if annotation.product_type == "GRD":
            plain = RadarImage.of(annotation, residual_bistatic=False)
            late = np.abs(plain.line(seconds, slant_range) - annotation.geolocation.line).max()
            assert 0.15 < late < 0.2


def test_sample_of_slc_within_a_hundredth_of_a_pixel(solved):
    for name, (annotation, _, _, slant_range, _) in solved.items():
        if annotation.product_type == "SLC":
            time = 2 * slant_range / SPEED_OF_LIGHT - annotation.slant_range_time
            sample = time * annotation.range_sampling_rate
            assert np.abs(sample - annotation.geolocation.pixel).max() < 0.01, name


def test_incidence_is_that_of_the_grid_within_a_hundredth_of_a_degree(solved):
    for name, (annotation, points, _, _, satellite) in solved.items():
        grid = annotation.geolocation
        geocentric = incidence_angle(points, satellite, points)
        assert np.abs(geocentric - grid.incidence).max() < 0.01, name
        normal = ellipsoid_normal(grid.longitude, grid.latitude)
        ellipsoid = incidence_angle(points, satellite, normal)
        # The two verticals differ by 0.19 degree at most.
        assert np.abs(ellipsoid - grid.incidence).max() < 0.19, name


def test_orbit_file_agrees_with_the_annotation_within_five_centimetres(shared_data):
    folder = shared_data / "s1-slc-subset-eof"
    annotation = parse_annotation(next(folder.glob("s1a-iw3*.xml")).read_bytes(), "slc")
    states = read_eof(next(folder.glob("*20220918T093241*.EOF")))
    assert states.source == "RESORB"
    first = annotation.first_line
    span = (annotation.last_line - first) / timedelta(seconds=1)
    track = Track.of(states, first, 0.0, span)
    own = annotation.orbit.at_epoch(first)
    inside = (own.seconds > track.knots[1]) & (own.seconds < track.knots[-2])
    position, velocity = track.at(own.seconds[inside])
    assert inside.sum() >= 10
    assert np.linalg.norm(position - own.position[inside], axis=1).max() < 0.05
    assert np.linalg.norm(velocity - own.velocity[inside], axis=1).max() < 1e-3


def test_orbit_file_of_another_year_is_refused(shared_data):
    from skymend.core.errors import ProductError
    from skymend.sar.orbit import demand_cover

    folder = shared_data / "s1-slc-subset-eof"
    annotation = parse_annotation(next(folder.glob("s1a-iw3*.xml")).read_bytes(), "slc")
    path = next(folder.glob("*20230823*.EOF"))
    with pytest.raises(ProductError, match="an orbit that covers 2022-09-18"):
        demand_cover(read_eof(path), annotation.first_line, annotation.last_line, path)
