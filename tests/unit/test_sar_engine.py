"""The embedded engine on a made pass: what was put in comes out, on the grid asked for."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from skymend.core.grid import Window
from skymend.core.raster import describe
from skymend.products.sentinel1 import open_grd
from skymend.sar.embedded import EmbeddedEngine
from skymend.sar.engine import LAYOVER, SHADOW
from tests.embedded_case import AREA, GAMMA0, LITTLE, SURVEY, make, make_little, run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("grd"))


@pytest.fixture(scope="module")
def flattened(made, tmp_path_factory):
    return run(*made, tmp_path_factory.mktemp("out"))


def test_flattening_gives_back_the_backscatter_of_the_ground(flattened):
    _, power, _, state = flattened
    good = (state == 0) & np.isfinite(power).all(axis=0)
    assert good.mean() > 0.95
    for index, truth in enumerate(GAMMA0.values()):
        error = 10 * np.log10(power[index][good].mean() / truth)
        # The facets of the simulator are 5 m cubic splines of the DEM that is read bilinearly.
        assert abs(error) < 0.1


def test_flattened_means_do_not_depend_on_the_slope(made, flattened, tmp_path):
    _, power, incidence, state = flattened
    _, sigma0, _, _ = run(*made, tmp_path, convention="sigma0")
    good = (state == 0) & np.isfinite(power).all(axis=0)
    flat, plain = [], []
    for low in range(0, 90, 5):
        inside = good & (incidence[0] >= low) & (incidence[0] < low + 5)
        if inside.sum() >= 1000:
            flat.append(10 * np.log10(power[0][inside].mean()))
            plain.append(10 * np.log10(sigma0[0][inside].mean()))
    assert max(plain) - min(plain) > 3
    assert max(flat) - min(flat) < 0.3


def test_a_flat_ground_has_the_angles_of_its_orbit(tmp_path):
    products, dem = make_little(tmp_path / "flat", relief=1e-6)
    _, power, incidence, state = run(products, dem, tmp_path / "out", grid=LITTLE)
    assert (state == 0).all()
    assert np.nanmean(incidence[1]) == pytest.approx(38.0, abs=0.1)
    # A level surface on the geoid leans against the ellipsoid by some 1e-4 rad; 0.01 degree steps.
    assert np.nanmax(np.abs(incidence[0] - incidence[1])) < 0.03
    beta0 = run(products, dem, tmp_path / "beta", grid=LITTLE, convention="beta0")[1]
    ratio = power[0] / (beta0[0] * np.tan(np.radians(incidence[1])))
    # gamma0 = beta0 tan(theta) on the level: what the sum over facets must reproduce.
    # Bilinear shares of nodes one pixel apart ripple by up to 2 %.
    assert np.nanmax(np.abs(ratio - 1)) < 0.02
    assert np.nanstd(ratio) < 0.005
    assert np.nanmean(ratio) == pytest.approx(1, abs=0.002)


def test_facts_say_how_it_was_made(flattened):
    facts = flattened[0].facts
    assert facts["convention"] == "gamma0-flattened"
    assert facts["orbit"] == ["annotation"]
    assert facts["geoid"] == "egm96_15.gtx"
    assert facts["ipf"] == ["003.31"]
    assert facts["thermal_noise_removed"] is True
    assert facts["thermal_noise_layout"] == ["range-azimuth"]
    assert facts["relative_orbit"] == 110
    assert facts["direction"] == "descending"
    assert facts["datetime"].endswith("+00:00")
    assert len(facts["products"]) == 2


def test_the_grid_is_exactly_the_one_asked_for(flattened):
    info = describe(flattened[0].backscatter)
    assert info.grid == AREA
    assert info.bands == ("VV", "VH")
    assert describe(flattened[0].incidence).bands == ("local", "ellipsoid")


def test_two_slices_join_without_a_seam(tmp_path, made, flattened):
    whole, dem = make(tmp_path / "one", survey=replace(SURVEY, slices=1))
    assert (len(whole), len(made[0])) == (1, 2)
    power = run(whole, dem, tmp_path / "out")[1]
    joined = flattened[1]
    both = np.isfinite(power) & np.isfinite(joined)
    assert (np.isfinite(power) == np.isfinite(joined)).mean() > 0.9999
    difference = np.abs(10 * np.log10(joined[both] / power[both]))
    # At the seam the nearest line stands for the one interpolated between two.
    assert np.percentile(difference, 99) < 0.05
    assert difference.max() < 1.5


def test_order_of_slices_does_not_matter(made, flattened, tmp_path):
    power = run(made[0][::-1], made[1], tmp_path)[1]
    np.testing.assert_array_equal(power, flattened[1])


def test_two_threads_write_the_same_bytes(made, tmp_path):
    engine = EmbeddedEngine(block=128)
    first = run(*made, tmp_path / "a", engine=engine)[0]
    second = run(*made, tmp_path / "b", engine=engine, cpus=2)[0]
    for name in ("backscatter", "incidence", "state"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes()


def test_blocks_do_not_show(made, flattened, tmp_path):
    power = run(*made, tmp_path, engine=EmbeddedEngine(block=64))[1]
    both = np.isfinite(power) & np.isfinite(flattened[1])
    difference = np.abs(10 * np.log10(power[both] / flattened[1][both]))
    # Lattices begin at each block: coordinates differ by some thousandths of a pixel.
    assert np.percentile(difference, 99.9) < 0.05


@pytest.mark.parametrize(
    "chain",
    [{"multilook": 4}, {"multilook": 3, "speckle": "boxcar"}, {"speckle": "lee-sigma"}],
    ids=str,
)
def test_blocks_do_not_show_after_filters_and_multilook(tmp_path, chain):
    survey = replace(SURVEY, slices=1)
    products, dem = make_little(tmp_path / "grd", survey=survey, grainless=False)
    power, blocks = (
        run(products, dem, tmp_path / str(n), LITTLE, EmbeddedEngine(block=n), **chain)[1]
        for n in (128, 32)
    )
    np.testing.assert_array_equal(np.isfinite(power), np.isfinite(blocks))
    difference = np.abs(10 * np.log10(blocks / power))
    assert np.nanpercentile(difference, 99) < 0.05


@pytest.mark.parametrize(
    "chain",
    [{"multilook": 8}, {"speckle": "boxcar", "speckle_window": 15}, {"multilook": 12}],
    ids=str,
)
def test_blocks_do_not_show_on_level_ground_however_wide_the_averages(tmp_path, chain):
    """Hills would give a wide margin of terrain, which hides one that is too narrow."""
    survey = replace(SURVEY, slices=1)
    products, dem = make_little(tmp_path / "grd", survey=survey, relief=2.0)
    power, blocks = (
        run(products, dem, tmp_path / str(n), LITTLE, EmbeddedEngine(block=n), **chain)[1]
        for n in (128, 32)
    )
    np.testing.assert_array_equal(np.isfinite(power), np.isfinite(blocks))
    assert np.nanmax(np.abs(10 * np.log10(blocks / power))) < 0.02


def test_a_zip_gives_what_its_folder_gives(made, flattened, tmp_path):
    packed = []
    for product in made[0]:
        path = tmp_path / f"{product.name.removesuffix('.SAFE')}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(product.rglob("*")):
                archive.write(file, file.relative_to(product.parent))
        packed.append(path)
    power = run(packed, made[1], tmp_path / "out")[1]
    np.testing.assert_array_equal(power, flattened[1])
    assert not list(tmp_path.glob("*.SAFE"))


def test_coarser_pixels_are_means(made, flattened, tmp_path):
    coarse = AREA.at_resolution(40.0)
    _, power, incidence, _ = run(*made, tmp_path, grid=coarse)
    assert describe(tmp_path / "backscatter.tif").grid == coarse
    fine = np.nanmean(flattened[1][0].reshape(50, 4, 50, 4), axis=(1, 3))
    assert np.nanmedian(np.abs(power[0] / fine - 1)) < 0.03
    assert np.isfinite(incidence).mean() > 0.98


def test_steep_ground_is_marked_and_left_out(tmp_path):
    products, dem = make_little(tmp_path / "steep", relief=700.0)
    _, power, _, state = run(products, dem, tmp_path / "out", grid=LITTLE)
    hidden = (state & (LAYOVER | SHADOW)) > 0
    assert ((state & LAYOVER) > 0).mean() > 0.05
    assert np.isnan(power[:, hidden]).all()
    _, sigma0, _, _ = run(products, dem, tmp_path / "sigma", grid=LITTLE, convention="sigma0")
    # The ring of terrain around so small an area leaves parts of the image without ground.
    assert np.isfinite(sigma0[0][hidden]).mean() > 0.8


@pytest.fixture(scope="module")
def grained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grain")
    survey = replace(SURVEY, slices=1, noise={"VV": 10**-2.4})
    products, dem = make_little(folder, survey=survey, gamma0={"VV": 0.1}, grainless=False)
    return products, dem, run(products, dem, folder / "raw", grid=LITTLE)[1]


@pytest.mark.parametrize("name", ["boxcar", "lee", "refined-lee", "lee-sigma", "gamma-map"])
def test_speckle_filters_keep_the_mean_and_calm(grained, tmp_path, name):
    products, dem, raw = grained
    calm = run(products, dem, tmp_path / "calm", grid=LITTLE, speckle=name)[1]
    assert np.nanstd(calm[0]) < 0.75 * np.nanstd(raw[0])
    assert 10 * np.log10(np.nanmean(calm[0]) / np.nanmean(raw[0])) == pytest.approx(0, abs=0.4)


def test_multilook_and_decibels(made, flattened, tmp_path):
    _, power, _, _ = run(*made, tmp_path, multilook=2, decibel=True, polarisations=("VH",))
    assert power.shape[0] == 1
    assert np.nanmedian(power) == pytest.approx(10 * np.log10(GAMMA0["VH"]), abs=0.1)


def test_nearest_takes_radar_pixels_as_they_are(made, tmp_path):
    _, power, _, _ = run(
        *made,
        tmp_path,
        convention="beta0",
        resampling="nearest",
        remove_thermal_noise=False,
        remove_border_noise=False,
        polarisations=("VV",),
    )
    found = []
    for path in made[0]:
        product = open_grd(path)
        dn = product.dn("VV", Window(0, 0, *product.annotation("VV").shape)).astype(np.float64)
        a = product.calibration("VV").tables["beta0"].values[0][0]
        found.append(((dn / a) ** 2).astype(np.float32).ravel())
    known = np.unique(np.concatenate(found))
    values = power[np.isfinite(power)]
    near = known[np.clip(np.searchsorted(known, values), 0, known.size - 1)]
    assert np.isclose(values, near, rtol=1e-6).mean() > 0.99
