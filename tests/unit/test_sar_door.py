"""Doors of the radar engines: the plain one, the step, the table."""

import numpy as np
import pytest

from skymend.core.errors import ConfigError, ProductError, SkipJob
from skymend.core.grid import Grid
from skymend.core.raster import describe, read
from skymend.products.s1tiling import open_product
from skymend.sar.door import backscatter
from skymend.sar.engine import Chain
from skymend.sar.engines import open_engine
from tests.embedded_case import AREA, make


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("grd"))


def test_the_door_writes_a_scene_and_s1tiling_names(made, tmp_path):
    tile = Grid.mgrs_at(3.02, 43.35)
    scene = backscatter(
        made[0],
        tmp_path / "door",
        dem=made[1],
        epsg=32631,
        bounds=(500_500.0, 4_798_600.0, 501_495.0, 4_799_600.0),
    )
    assert describe(scene.backscatter).grid.shape == (100, 100)
    assert (tmp_path / "door" / "backscatter.json").is_file()
    assert not list((tmp_path / "door").glob(".work*"))
    assert scene.state == tmp_path / "door" / "state.tif"
    with pytest.raises(ProductError):
        backscatter(made[0], tmp_path / "none", dem=tmp_path / "no.tif", grid="31TDH")
    assert not (tmp_path / "none").exists()
    from skymend.sar.door import write_s1tiling

    paths = write_s1tiling(scene, made[0], Chain(), tmp_path / "door", tile)
    assert [p.name for p in paths] == [
        f"s1a_{tile}_{p}_DES_110_20200506txxxxxx_GammaNaughtRTC.tif" for p in ("vv", "vh")
    ]
    product = open_product(paths[0])
    assert product.convention == "gamma0-flattened"
    grid = describe(scene.backscatter).grid
    np.testing.assert_array_equal(product.read(("VV", "VH"), grid), read(scene.backscatter))


def test_the_door_refuses_contradictions(made, tmp_path):
    def door(**options):
        return backscatter(made[0], tmp_path, dem=made[1], **options)

    with pytest.raises(ConfigError, match="either a tile or an EPSG code, found both"):
        door(grid="31TDH", epsg=32631, bounds=(0, 0, 1, 1))
    with pytest.raises(ConfigError, match="bounds"):
        door(epsg=32631)
    with pytest.raises(ConfigError, match="an EPSG code beside the bounds"):
        door(bounds=(0, 0, 1, 1))
    for wrong, sentence in (
        ({"epsg": 32631, "bounds": (0, 0, 1, 1)}, "a tile"),
        ({"grid": "31TDH", "chain": Chain(decibel=True)}, "linear power"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            door(s1tiling_names=True, **wrong)
    with pytest.raises(ConfigError, match="left < right"):
        door(epsg=32631, bounds=(1, 0, 0, 1))
    with pytest.raises(ConfigError, match="a pixel size above 0"):
        door(epsg=32631, bounds=(0, 0, 1, 1), resolution=0)
    for size in (0, 7, -10, float("nan")):
        with pytest.raises(ConfigError, match="a pixel size that divides a tile of 109800 m"):
            door(grid="31TDH", resolution=size)
    with pytest.raises(ConfigError, match="an EPSG code, found 1"):
        door(epsg=1, bounds=(0, 0, 1, 1))
    with pytest.raises(ConfigError, match="embedded needs no other install"):
        door(epsg=32631, bounds=(500_500, 4_798_000, 501_000, 4_799_000), engine="gamma")


def test_the_step_gives_what_reconstruct_reads(made, tmp_path):
    from skymend.core.step import Artifact, Context, GridParams
    from skymend.steps.backscatter import Inputs, Params
    from skymend.steps.backscatter import run as run_step

    products = tuple(
        Artifact(key=str(n), step="product", files={"product": p}) for n, p in enumerate(made[0])
    )
    dem = Artifact(key="d", step="dem", files={"dem": made[1]})
    out = tmp_path / "out"
    out.mkdir()
    context = Context(cpus=1, work=tmp_path / "work", final=out)
    params = Params(grid=GridParams.of(AREA))
    facts = run_step(Inputs(products=products, dem=dem), params, out, context)
    assert {p.name for p in out.iterdir()} == {"backscatter.tif", "incidence.tif", "state.tif"}
    assert facts["valid_share"] > 0.95
    assert (facts["convention"], facts["direction"]) == ("gamma0-flattened", "descending")
    with pytest.raises(ConfigError, match="a DEM: radar images are placed with one"):
        run_step(Inputs(products=products), params, out, context)
    gone = Artifact(key="0", step="fetch", absent="quota")
    with pytest.raises(SkipJob, match="no radar product"):
        run_step(Inputs(products=(gone,), dem=dem), params, out, context)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ConfigError, match="one of embedded"):
        open_engine("gamma")


def test_chains_are_checked():
    with pytest.raises(ConfigError, match="odd number"):
        Chain(speckle_window=4)
    with pytest.raises(ConfigError, match="channels out of"):
        Chain(polarisations=("XX",))
    with pytest.raises(ConfigError, match="from 1 to 64"):
        Chain(multilook=0)
    with pytest.raises(ConfigError, match="each channel once"):
        Chain(polarisations=("VV", "VV"))
