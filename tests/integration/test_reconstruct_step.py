"""The steps hide, reconstruct and trial on a small simulated series with radar."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skymend.core.cog import write_cog
from skymend.core.encoding import BACKSCATTER, FLAG, LABELS, REFLECTANCE
from skymend.core.errors import GridError, SkipJob
from skymend.core.raster import describe, read, read_labels, read_stored
from skymend.core.step import Artifact, Context, GridParams
from skymend.evaluate.scores import read_scores
from skymend.simulate import Scenario
from skymend.simulate.optical import observe
from skymend.simulate.radar import backscatter
from skymend.steps import hide, reconstruct, trial

BANDS = ("B02", "B03", "B04", "B08")
SCENARIO = Scenario(
    size_px=96, days=60, seed=5, cloudiness=0.35, spells=False, outside_swath_share=0
)
GRID = GridParams.of(SCENARIO.grid)


@dataclass(frozen=True)
class Series:
    """The artifacts of a simulated series, in order of time."""

    optical: tuple[Artifact, ...]
    masks: tuple[Artifact, ...]
    radar: tuple[Artifact, ...]
    labels: tuple[np.ndarray, ...]

    def clear(self, index: int) -> float:
        return float(np.isin(self.labels[index], (1, 4, 5)).mean())

    def pick(self, low: float, high: float) -> int:
        """Return the most central date whose clear share lies between the limits."""
        middle = len(self.optical) / 2
        found = [i for i in range(len(self.optical)) if low <= self.clear(i) <= high]
        return min(found, key=lambda i: abs(i - middle))

    def inputs(self, target: int) -> dict[str, Any]:
        others = [i for i in range(len(self.optical)) if i != target]
        return {
            "target_optical": self.optical[target],
            "target_mask": self.masks[target],
            "candidates_optical": tuple(self.optical[i] for i in others),
            "candidates_mask": tuple(self.masks[i] for i in others),
            "radar": self.radar,
        }


def artifact(step: str, name: str, time: datetime, file: str, path: Path, **tags: str) -> Artifact:
    tags = {"id": name, "datetime": time.isoformat(), **tags}
    return Artifact(key=f"{step}-{name}", step=step, tags=tags, files={file: path})


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    folder, grid = tmp_path_factory.mktemp("series"), SCENARIO.grid
    optical, masks, radar, labels = [], [], [], []
    for day in SCENARIO.optical_dates():
        image, time, name = observe(SCENARIO, day), SCENARIO.optical_time(day), f"s2-{day}"
        paths = folder / f"{name}.tif", folder / f"{name}-mask.tif"
        write_cog(paths[0], image.reflectance, grid, BANDS, REFLECTANCE)
        write_cog(paths[1], image.labels[None], grid, ("mask",), LABELS)
        optical.append(artifact("optical", name, time, "reflectance", paths[0]))
        masks.append(artifact("mask", name, time, "mask", paths[1]))
        labels.append(image.labels)
    for one in SCENARIO.radar_passes():
        path = folder / f"s1-{one.time:%Y%m%d}.tif"
        write_cog(path, backscatter(SCENARIO, one), grid, ("VV", "VH"), BACKSCATTER)
        orbit = str(one.orbit.relative_orbit)
        radar.append(
            artifact("radar", path.stem, one.time, "backscatter", path, relative_orbit=orbit)
        )
    return Series(tuple(optical), tuple(masks), tuple(radar), tuple(labels))


Run = Callable[..., tuple[Path, dict[str, Any]]]


@pytest.fixture
def rebuild(tmp_path: Path, series: Series) -> Run:
    """Run reconstruct on one date; keyword arguments replace inputs or parameters."""
    count = iter(range(100))

    def run(target: int, *, cpus: int = 1, inputs: Any = None, **params: Any) -> Any:
        out = tmp_path / f"out{next(count)}"
        out.mkdir()
        context = Context(cpus=cpus, work=tmp_path, final=out)
        given = reconstruct.Inputs(**{**series.inputs(target), **(inputs or {})})
        wanted = reconstruct.Params(**{"grid": GRID, "bands": BANDS, **params})
        return out, dict(reconstruct.run(given, wanted, out, context))

    return run


def digest(folder: Path) -> list[str]:
    return [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.tif"))]


def test_observed_pixels_are_bit_exact_and_the_rest_is_filled(series: Series, rebuild: Run) -> None:
    target = series.pick(0.3, 0.9)
    out, facts = rebuild(target, method="linear")
    seen = np.isin(series.labels[target], (1, 4, 5))
    stored = read_stored(out / "reflectance.tif")
    original = read_stored(series.optical[target].file("reflectance"))
    qa = read_labels(out / "qa.tif")
    np.testing.assert_array_equal(stored[:, seen], original[:, seen])
    assert (qa[seen] == 1).all()
    assert set(np.unique(qa[~seen])) <= {3, 4}
    assert (stored != -10000).all()
    sigma = read(out / "uncertainty.tif")
    assert np.isfinite(sigma).all()
    assert np.median(sigma[:, ~seen]) > np.median(sigma[:, seen])
    assert facts["clear_share"] == pytest.approx(seen.mean(), abs=1e-6)
    assert facts["valid_share"] == 1.0
    assert facts["method"] == "linear"
    assert "time alone" in facts["notes"][0]
    assert {c["id"] for c in facts["candidates"]} == {
        a.tags["id"] for i, a in enumerate(series.optical) if i != target
    }


@pytest.mark.parametrize("method", ["nearest", "linear", "harmonic", "regression"])
def test_block_size_threads_and_order_of_inputs_change_no_byte(
    series: Series, rebuild: Run, method: str
) -> None:
    target = series.pick(0.2, 0.9)
    given = series.inputs(target)
    turned = {k: v[::-1] for k, v in given.items() if isinstance(v, tuple)}
    turned["candidates_mask"] = given["candidates_mask"]
    whole, facts = rebuild(target, method=method)
    parts, again = rebuild(target, method=method, block_px=64, cpus=2, inputs=turned)
    assert digest(whole) == digest(parts)
    assert facts == again


def test_radar_is_used_and_reported(series: Series, rebuild: Run) -> None:
    target = series.pick(0.0, 0.5)
    out, facts = rebuild(target, method="regression")
    assert (read_labels(out / "qa.tif") == 2).any()
    assert facts["radar"]["gap_hours"] <= 72
    out, facts = rebuild(target, method="regression", inputs={"radar": ()})
    assert not (read_labels(out / "qa.tif") == 2).any()
    assert facts["radar"] is None
    assert "no Sentinel-1" in facts["notes"][0]


def test_full_mode_keeps_no_observation(series: Series, rebuild: Run) -> None:
    out, facts = rebuild(series.pick(0.3, 1.0), mode="full")
    assert not (read_labels(out / "qa.tif") == 1).any()
    assert "1" not in facts["qa_shares"]


def test_a_virtual_date_has_no_observation(series: Series, rebuild: Run) -> None:
    nothing = {"target_optical": None, "target_mask": None}
    out, facts = rebuild(3, inputs=nothing, target_datetime="2018-05-01T10:50:00+00:00")
    assert not (read_labels(out / "qa.tif") == 1).any()
    assert facts["clear_share"] == 0


def test_absent_candidates_are_reported_with_their_reason(series: Series, rebuild: Run) -> None:
    target = series.pick(0.0, 0.9)
    given = series.inputs(target)["candidates_optical"]
    gone = given[0].model_copy(update={"absent": "outside the swath", "files": {}})
    _, facts = rebuild(target, inputs={"candidates_optical": (gone, *given[1:])})
    fact = next(c for c in facts["candidates"] if c["id"] == gone.tags["id"])
    assert not fact["used"]
    assert fact["reason"] == "outside the swath"


def test_an_absent_target_is_skipped_unless_asked_for(series: Series, rebuild: Run) -> None:
    gone = {
        name: one.model_copy(update={"absent": "outside the swath", "files": {}})
        for name, one in series.inputs(3).items()
        if name.startswith("target")
    }
    with pytest.raises(SkipJob, match="outside the swath"):
        rebuild(3, inputs=gone)
    out, _ = rebuild(3, inputs=gone, synthesize_missing=True)
    assert (read_labels(out / "qa.tif") >= 3).all()


def test_without_any_clear_pixel_the_date_is_skipped(series: Series, rebuild: Run) -> None:
    nothing = {"target_optical": None, "target_mask": None}
    empty = {"candidates_optical": (), "candidates_mask": (), **nothing}
    with pytest.raises(SkipJob, match="no clear observation"):
        rebuild(3, inputs=empty, target_datetime="2018-05-01T10:50:00+00:00")


def test_scenes_on_another_grid_are_refused(series: Series, rebuild: Run, tmp_path: Path) -> None:
    target = series.pick(0.0, 0.9)
    given = series.inputs(target)["candidates_mask"]
    path = tmp_path / "small.tif"
    small = replace(SCENARIO.grid, shape=(40, 40))
    write_cog(path, np.ones((1, 40, 40), np.uint8), small, ("mask",), LABELS)
    wrong = given[0].model_copy(update={"files": {"mask": path}})
    with pytest.raises(GridError, match="96 x 96"):
        rebuild(target, inputs={"candidates_mask": (wrong, *given[1:])})


def hidden_under(series: Series, target: int, out: Path) -> Artifact:
    out.mkdir(exist_ok=True)
    others = tuple(m for i, m in enumerate(series.masks) if i != target)
    facts = hide.run(
        hide.Inputs(mask=series.masks[target], donors=others),
        hide.Params(share=0.3),
        out,
        Context(cpus=1, work=out, final=out),
    )
    tags, path = series.masks[target].tags, out / "hidden.tif"
    return Artifact(key="hide", step="hide", tags=tags, files={"hidden": path}, facts=dict(facts))


def test_hide_flags_clear_pixels_of_a_clear_date(series: Series, tmp_path: Path) -> None:
    target = series.pick(0.75, 1.0)
    one = hidden_under(series, target, tmp_path / "a")
    flags = read_labels(one.file("hidden"))
    assert describe(one.file("hidden")).grid == SCENARIO.grid
    seen = np.isin(series.labels[target], (1, 4, 5))
    assert not (flags[~seen]).any()
    assert 0.1 <= flags[seen].mean() <= 0.5
    assert one.facts["hidden_share"] == pytest.approx(flags[seen].mean(), abs=1e-6)
    assert one.facts["donor_date"] != series.optical[target].date
    with pytest.raises(SkipJob, match="is clear"):
        hidden_under(series, series.pick(0.0, 0.2), tmp_path / "b")


def score(series: Series, target: int, hidden: Artifact, out: Path, **inputs: Any) -> list[Any]:
    out.mkdir(exist_ok=True)
    trial.run(
        trial.Inputs(**{**series.inputs(target), "hidden": hidden, **inputs}),
        trial.Params(grid=GRID, bands=BANDS, methods=("linear", "regression"), widen_days=(0, 10)),
        out,
        Context(cpus=1, work=out, final=out),
    )
    return list(read_scores(out / "scores.json"))


def test_trial_scores_all_methods_on_the_same_pixels(series: Series, tmp_path: Path) -> None:
    target = series.pick(0.75, 1.0)
    hidden = hidden_under(series, target, tmp_path / "hide")
    rows = score(series, target, hidden, tmp_path / "out")
    pixels = {
        m: sorted((r.gap_class, r.stratum, r.pixels) for r in rows if r.method == m)
        for m in ("linear", "regression")
    }
    assert pixels["linear"] == pixels["regression"]
    flags = read_labels(hidden.file("hidden"))
    assert sum(n for *_, n in pixels["linear"]) == 2 * flags.sum()
    assert {r.shape for r in rows} == {hidden.facts["donor_date"]}
    # Two widths of the gap: the second has longer ones.
    assert len({r.gap_class for r in rows}) > 1


def test_a_trial_never_sees_the_hidden_truth(series: Series, tmp_path: Path) -> None:
    """Another truth under the hidden pixels moves every error by exactly the difference."""
    target = series.pick(0.75, 1.0)
    hidden = hidden_under(series, target, tmp_path / "hide")
    flags = read_labels(hidden.file("hidden")) == 1
    stored = read_stored(series.optical[target].file("reflectance"))
    stored[:, flags] += 1000
    path = tmp_path / "poisoned.tif"
    write_cog(path, stored, SCENARIO.grid, BANDS, REFLECTANCE)
    poisoned = series.optical[target].model_copy(update={"files": {"reflectance": path}})
    before = score(series, target, hidden, tmp_path / "a")
    after = score(series, target, hidden, tmp_path / "b", target_optical=poisoned)
    for one, other in zip(before, after, strict=True):
        assert one.pixels == other.pixels
        moved = np.subtract(one.err_sum, other.err_sum) / one.pixels
        # 1,000 stored steps; sums of float32 errors.
        np.testing.assert_allclose(moved, 0.1, atol=1e-5)


def test_external_shapes_serve_where_no_date_lends_any(series: Series, tmp_path: Path) -> None:
    target = series.pick(0.75, 1.0)
    shape = series.masks[series.pick(0.5, 0.8)]
    facts = hide.run(
        hide.Inputs(mask=series.masks[target], shapes=(shape,)),
        hide.Params(share=0.3),
        tmp_path,
        Context(cpus=1, work=tmp_path, final=tmp_path),
    )
    assert facts["donor_source"] == "another place"
    assert describe(tmp_path / "hidden.tif").dtype == FLAG.dtype


def test_days_are_utc() -> None:
    from skymend.fusion.scenes import days

    assert days(datetime(1970, 1, 2, 12, tzinfo=UTC)) == 1.5
