"""Multi-temporal filter: against the formula written out, and on stacks of known speckle."""

from __future__ import annotations

import numpy as np
import pytest

from skymend.core.cog import write_cog
from skymend.core.encoding import BACKSCATTER
from skymend.core.errors import ConfigError, SkipJob
from skymend.core.grid import Grid
from skymend.core.raster import read
from skymend.core.step import Artifact, Context, GridParams
from skymend.sar.quegan import margin, quegan
from skymend.steps.despeckle import Inputs, Params, run

LOOKS = 4.4


def stack(dates=12, shape=(60, 64), seed=0):
    """Return a stack and its truth: a fixed pattern of fine detail under a level per date."""
    generator = np.random.default_rng(seed)
    pattern = np.where(np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 8 < 2, 0.4, 0.1)
    level = generator.uniform(0.5, 2.0, (dates, 1, 1))
    truth = level * pattern
    speckle = generator.gamma(LOOKS, 1 / LOOKS, truth.shape)
    return (truth * speckle).astype(np.float32), truth


def test_it_is_the_formula_of_the_paper():
    power, _ = stack(5, (20, 22))
    power[2, 4:7, 8:12] = np.nan
    power[:, 15, 15] = np.nan
    half = 2
    padded = np.pad(power, ((0, 0), (half, half), (half, half)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded.astype(float), (5, 5), axis=(1, 2))
    count = np.isfinite(windows).sum(axis=(3, 4))
    mean = np.nansum(windows, axis=(3, 4)) / count
    ratios = power / mean
    dates = np.isfinite(ratios).sum(axis=0)
    with np.errstate(invalid="ignore"):
        expected = mean * np.nansum(ratios, axis=0) / dates
    expected[np.isnan(power)] = np.nan
    # float32 holds the local means.
    np.testing.assert_allclose(quegan(power, 5), expected, rtol=1e-6)


def test_speckle_falls_and_detail_stays():
    power, truth = stack(20)
    out = quegan(power, 7)
    before = np.var(power / truth)
    after = np.var(out / truth)
    # N dates, a window of 49: Quegan and Yu's gain for 20 dates and 49 pixels is N M / (M + N - 1)
    # = 14.4 on flat ground; stripes inside the window make the local means vary a little more.
    assert before / after > 10
    stripes = out.mean(axis=0)
    pattern = truth.mean(axis=0)
    # Speckle of 20 dates is one pattern of 88 looks in every output: of the stripes' variance
    # 0.0169, it adds 0.0475 / 88, so that 0.984 is what can be had.
    assert np.corrcoef(stripes.ravel(), pattern.ravel())[0, 1] > 0.98


def test_one_date_alone_comes_back():
    power, _ = stack(1)
    np.testing.assert_allclose(quegan(power), power, rtol=1e-6)


def test_a_date_of_choice_is_that_of_the_whole_stack():
    power, _ = stack(6)
    whole = quegan(power)
    np.testing.assert_array_equal(quegan(power, dates=[4, 1]), whole[[4, 1]])


def test_nothing_is_filled():
    power, _ = stack(4)
    power[1, 10:20, 10:20] = np.nan
    power[:, 0, :5] = np.nan
    out = quegan(power)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(power))


def test_a_block_with_its_margin_is_the_whole():
    power, _ = stack(5)
    whole = quegan(power, 9)
    reach = margin(9)
    part = quegan(power[:, 20 - reach : 40 + reach, 10 - reach : 30 + reach], 9)
    np.testing.assert_array_equal(part[:, reach:-reach, reach:-reach], whole[:, 20:40, 10:30])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"window": 4}, "expected an odd number of pixels, 3 or more, found 4"),
        ({"stack": np.zeros((4, 4), np.float32)}, r"expected \(dates, rows, columns\)"),
    ],
)
def test_wrong_questions_get_a_sentence(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        quegan(**{"stack": np.ones((2, 9, 9), np.float32), **arguments})


# The step --------------------------------------------------------------------------------------

GRID = Grid("EPSG:32631", (10.0, 0.0, 300_000.0, 0.0, -10.0, 4_900_000.0), (300, 64))


def scene(folder, number, values, *, orbit=22, **facts):
    """A backscatter scene of one date, as the step radar leaves it."""
    path = folder / f"{number}.tif"
    write_cog(path, values, GRID, ("VV", "VH"), BACKSCATTER)
    return Artifact(
        key=f"{number:064d}",
        step="radar",
        tags={"datetime": f"2021-01-{1 + number:02d}T06:00:00+00:00"},
        files={"backscatter": path},
        facts={"convention": "gamma0-flattened", "relative_orbit": orbit, **facts},
    )


def despeckled(tmp_path, target, scenes, **params):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    facts = run(
        Inputs(target=target, scenes=scenes),
        Params(grid=GridParams.of(GRID), **params),
        out,
        Context(cpus=1, work=tmp_path, final=out),
    )
    return read(out / "backscatter.tif"), facts


def test_the_step_filters_the_target_with_its_orbit(tmp_path, monkeypatch):
    power = np.stack([stack(5, GRID.shape, seed)[0] for seed in (0, 1)], axis=1)
    power[2, :, 40:60] = np.nan
    dates = [scene(tmp_path, n, values) for n, values in enumerate(power)]
    other = scene(tmp_path, 9, power[0] * 3, orbit=95)
    missing = dates[0].model_copy(update={"absent": "outside the swath", "files": {}, "key": "x"})
    scenes = (dates[4], other, dates[2], missing, dates[3], dates[1], dates[0])
    filtered, facts = despeckled(tmp_path, dates[1], scenes)
    in_order = power[[1, 0, 2, 3, 4]]
    for channel in (0, 1):
        expected = quegan(in_order[:, channel], 7, dates=[0])[0]
        np.testing.assert_array_equal(filtered[channel], expected)
    assert facts["dates"] == 5
    assert facts["relative_orbit"] == 22
    # 64 rows a strip instead of one strip: the same bits.
    monkeypatch.setattr("skymend.steps.despeckle.MEMORY_BYTES", 1)
    again, _ = despeckled(tmp_path, dates[1], scenes)
    np.testing.assert_array_equal(again, filtered)


def test_a_scene_without_companions_stays_as_it_is(tmp_path):
    power = np.stack([stack(1, GRID.shape, seed)[0][0] for seed in (0, 1)])
    filtered, facts = despeckled(tmp_path, scene(tmp_path, 0, power), ())
    np.testing.assert_allclose(filtered, power, rtol=1e-6)
    assert facts["dates"] == 1


def test_an_absent_target_is_skipped_and_decibel_refused(tmp_path):
    power = np.stack([stack(1, GRID.shape, seed)[0][0] for seed in (0, 1)])
    target = scene(tmp_path, 0, power)
    with pytest.raises(SkipJob, match="outside the swath"):
        despeckled(tmp_path, target.model_copy(update={"absent": "outside the swath"}), ())
    with pytest.raises(ConfigError, match="expected linear power, found decibel"):
        despeckled(tmp_path, scene(tmp_path, 1, power, decibel=True), ())
