"""From scenes on disk to a patch store, through both steps."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from skymend.core.cog import write_cog
from skymend.core.encoding import BACKSCATTER, ELEVATION, FLAG, LABELS, REFLECTANCE
from skymend.core.errors import GridError, ProductError, SkipJob
from skymend.core.grid import Grid
from skymend.core.step import Artifact, Context, GridParams
from skymend.patches.store import PatchStore
from skymend.steps import dataset, patch_stats

SIDE = 384
EDGE = 168  # clouds end here: 40 of 64 columns of their last patch
GRID = Grid("EPSG:32631", (10.0, 0.0, 600_000.0, 0.0, -10.0, 4_900_020.0), (SIDE, SIDE))
BANDS = ("B04", "B08")
START = datetime(2020, 6, 1, 10, 30, tzinfo=UTC)
DATES = 14
SECRET, CLOUD = 0.7777, 0.9  # reflectance of hidden ground and of clouds; nothing else has them


def _context(folder: Path) -> Context:
    return Context(cpus=1, work=folder, final=folder, log=logging.getLogger("test"))


def _artifact(step: str, scene: str, when: datetime, files: dict[str, Path], **kwargs) -> Artifact:
    tags = {"id": scene, "datetime": when.isoformat(), **kwargs.pop("tags", {})}
    return Artifact(key=f"{step}-{scene}", step=step, tags=tags, files=files, **kwargs)


class Season:
    """Fourteen dates five days apart, a pass every six days, clouds on every third date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(11)
        self.optical, self.masks, self.hidden, self.radar = [], [], [], []
        self.values: dict[str, np.ndarray] = {}
        for number in range(DATES):
            self._optical_date(number)
        for number in range(12):
            self._radar_pass(number)
        self.stats = [self._stats(i) for i in range(DATES)] + [
            self._run_stats(patch_stats.Inputs(radar=a)) for a in self.radar
        ]
        height = np.arange(SIDE * SIDE // 4, dtype=np.float32).reshape(1, SIDE // 2, SIDE // 2) / 9
        path = folder / "dem.tif"
        write_cog(path, height, GRID.at_resolution(20), ("elevation",), ELEVATION)
        self.dem = _artifact("dem", "dem", START, {"dem": path})
        self.height = np.rint(height[0]).astype(np.int16)

    def _optical_date(self, number: int) -> None:
        scene = f"s2-{number:02d}"
        folder = self.folder / scene
        folder.mkdir()
        when = START + timedelta(days=5 * number)
        values = self.rng.uniform(0.05, 0.4, (2, SIDE, SIDE)).astype(np.float32)
        labels = np.ones((SIDE, SIDE), np.uint8)
        hidden = np.zeros((SIDE, SIDE), np.uint8)
        if number % 3 == 1:  # clouds in the west, shadow at their edge
            labels[:, :EDGE] = 2
            labels[:, EDGE - 8 : EDGE] = 3
            values[:, :, :EDGE] = CLOUD
        if number % 4 == 0:  # ground hidden for evaluation, by a small part of each patch
            hidden[5::64, 9::64] = 1
            hidden[labels != 1] = 0
            values[:, hidden == 1] = SECRET
        if number == 6:
            values[:, 100:110, 200:220] = np.nan
        write_cog(folder / "reflectance.tif", values, GRID, BANDS, REFLECTANCE)
        write_cog(folder / "mask.tif", labels[None], GRID, ("mask",), LABELS)
        write_cog(folder / "hidden.tif", hidden[None], GRID, ("hidden",), FLAG)
        self.values[scene] = REFLECTANCE.encode(values)
        file = {n: {n: folder / f"{n}.tif"} for n in ("reflectance", "mask", "hidden")}
        self.optical.append(_artifact("optical", scene, when, file["reflectance"]))
        self.masks.append(_artifact("mask", scene, when, file["mask"]))
        if number % 4 == 0:
            self.hidden.append(_artifact("hide", scene, when, file["hidden"]))
        else:
            self.hidden.append(_artifact("hide", scene, when, {}, absent="not clear enough"))

    def _radar_pass(self, number: int) -> None:
        scene = f"s1-{number:02d}"
        when = START + timedelta(days=6 * number, hours=-5)
        values = self.rng.gamma(4, 0.02, (2, SIDE, SIDE)).astype(np.float32)
        path = self.folder / f"{scene}.tif"
        write_cog(path, values, GRID, ("VV", "VH"), BACKSCATTER)
        self.values[scene] = values
        tags = {"relative_orbit": "37", "direction": "DES"}
        facts = {"convention": "sigma0"}
        files = {"backscatter": path}
        self.radar.append(_artifact("radar", scene, when, files, tags=tags, facts=facts))

    def _stats(self, number: int) -> Artifact:
        return self._run_stats(
            patch_stats.Inputs(
                optical=self.optical[number], mask=self.masks[number], hidden=self.hidden[number]
            )
        )

    def _run_stats(self, inputs: patch_stats.Inputs) -> Artifact:
        source = inputs.optical or inputs.radar
        out = self.folder / f"stats-{source.tags['id']}"
        out.mkdir()
        facts = patch_stats.run(inputs, patch_stats.Params(), out, _context(out))
        assert facts["patches"] == (SIDE // 64) ** 2
        files = {"stats": out / "stats.parquet"}
        return _artifact("patch-stats", source.tags["id"], source.time, files)

    def inputs(self, **changes) -> dataset.Inputs:
        fields = {
            "stats": tuple(self.stats),
            "optical": tuple(self.optical),
            "masks": tuple(self.masks),
            "hidden": tuple(self.hidden),
            "radar": tuple(self.radar),
            "dem": self.dem,
        }
        return dataset.Inputs(**(fields | changes))

    def make(self, name: str, inputs: dataset.Inputs | None = None, **params) -> PatchStore:
        out = self.folder / name
        out.mkdir()
        settings = {"bands": BANDS, "block_m": 640, "buffer_m": 640, "count": 120} | params
        options = dataset.Params(grid=GridParams.of(GRID), **settings)
        dataset.run(inputs or self.inputs(), options, out, _context(out))
        assert sorted(p.name for p in out.iterdir()) == ["patches", "summary.json"]
        return PatchStore(out / "patches")


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Season:
    return Season(tmp_path_factory.mktemp("season"))


@pytest.fixture(scope="module")
def clouded(season: Season) -> PatchStore:
    return season.make("clouded", layout=_short())


def _short(paint: str = "pixels") -> dict:
    """The short preset, with room for the pixels that each patch has hidden."""
    from skymend.patches.presets import preset

    document = preset("crga-os2-short").as_json()
    document["options"]["clouding"]["paint"] = paint
    return document


def _secret() -> int:
    return int(REFLECTANCE.encode(np.array([SECRET], np.float32))[0])


def _window(row) -> tuple[slice, slice]:
    return slice(row["row"], row["row"] + 64), slice(row["column"], row["column"] + 64)


def test_keys_and_card_say_what_is_in_the_store(clouded: PatchStore) -> None:
    assert clouded.keys == (
        "s2_tm1", "s1_tm1", "s2_t", "s1_t", "s2_tp1", "s1_tp1",
        "s2_target", "usable_target", "cloud_t", "dem",
    )  # fmt: skip
    card = clouded.card
    assert card.key("s2_t").bands == BANDS
    assert card.key("dem").shape == (32, 32, 1)
    assert card.convention == "sigma0"
    assert len(clouded) == sum(card.splits.values()) > 80
    assert set(card.splits) == {"train", "valid", "test"}
    clouded.verify()


def test_samples_are_the_pixels_of_their_scenes(season: Season, clouded: PatchStore) -> None:
    names = clouded.card.sampling["acquisitions"]
    scenes = clouded.card.scenes
    for i, row in enumerate(clouded.samples):
        batch = clouded.batch([i])
        part = _window(row)
        for a, name in enumerate(names):
            truth = season.values[scenes["optical"][row["optical"][a]]][:, *part]
            truth = np.where(truth == _secret(), -10000, truth)
            key = "s2_target" if name == "t" else f"s2_{name}"
            np.testing.assert_array_equal(batch[key][0], np.moveaxis(truth, 0, -1))
            power = season.values[scenes["radar"][row["radar"][a]]][:, *part]
            decoded = clouded.decode({f"s1_{name}": batch[f"s1_{name}"]})[f"s1_{name}"][0]
            # half a step of 0.01 dB is 0.12 % of the power
            np.testing.assert_allclose(decoded, np.moveaxis(power, 0, -1), rtol=1.2e-3)
        rows, columns = (slice(s.start // 2, s.stop // 2) for s in part)
        np.testing.assert_array_equal(batch["dem"][0, ..., 0], season.height[rows, columns])


def test_hidden_ground_is_nowhere_in_the_store(clouded: PatchStore) -> None:
    batch = clouded.batch(range(len(clouded)))
    for name, values in batch.items():
        if name.startswith("s2_"):
            assert not (values == _secret()).any(), name
    concealed = (batch["s2_target"] == -10000).any(axis=-1)
    assert concealed.any()
    assert not batch["usable_target"][..., 0][concealed].any()
    assert (batch["s2_t"][concealed] == -10000).all()


@pytest.mark.parametrize("paint", ["pixels", "nodata"])
def test_painted_clouds_have_the_shape_of_another_date(season: Season, paint: str) -> None:
    store = season.make(f"paint-{paint}", layout=_short(paint))
    batch = store.batch(range(len(store)))
    cloud = int(REFLECTANCE.encode(np.array([CLOUD], np.float32))[0])
    for i, row in enumerate(store.samples):
        donor = store.card.scenes["optical"][row["donor"]]
        assert int(donor[-2:]) % 3 == 1
        columns = np.arange(row["column"], row["column"] + 64)
        shape = np.broadcast_to(columns < EDGE, (64, 64))
        assert shape.any()
        hole = (batch["s2_target"][i] == -10000).all(axis=-1)
        expected = cloud if paint == "pixels" else -10000
        assert (batch["s2_t"][i][shape & ~hole] == expected).all()
        np.testing.assert_array_equal(batch["s2_t"][i][~shape], batch["s2_target"][i][~shape])
        np.testing.assert_array_equal(batch["cloud_t"][i, ..., 0], shape | hole)
        assert batch["usable_target"][i][..., 0][shape & ~hole].all()


def test_splits_in_space_are_a_buffer_apart(clouded: PatchStore) -> None:
    samples = clouded.samples
    for a in samples:
        other = samples[samples["split"] != a["split"]]
        apart = np.maximum(np.abs(other["row"] - a["row"]), np.abs(other["column"] - a["column"]))
        assert (apart - 64 >= 64).all()


def test_splits_in_time_share_no_image_and_keep_the_buffer(season: Season) -> None:
    layout = {
        "t": {"acquisition": {"S2": {"max_cloud_percent": 5}}, "timeframe_origin": True},
        "options": {"clouding": {}},
    }
    store = season.make("time", layout=layout, split_by="time", buffer_days=8, test_share=0)
    times = 5.0 * np.stack([store.samples["optical"][:, 0], store.samples["donor"]], axis=1)
    train, valid = times[store.split("train")], times[store.split("valid")]
    assert valid.size
    assert valid.min() - train.max() >= 8
    assert "s1_t" not in store.keys


def test_target_of_another_date_and_mask_of_its_clouds(season: Season) -> None:
    layout = {
        "t": {"acquisition": {"S2": {"min_cloud_percent": 1, "max_cloud_percent": 100}},
              "timeframe_origin": True},
        "target": {"acquisition": {"S2": {"max_cloud_percent": 70}},
                   "timeframe_start_hours": -360, "timeframe_end_hours": 360},
    }  # fmt: skip
    store = season.make("target", layout=layout, split_by="none", count=300)
    assert store.keys == ("s2_t", "s2_target", "usable_target", "cloud_t", "dem")
    batch = store.batch(range(len(store)))
    cloud = int(REFLECTANCE.encode(np.array([CLOUD], np.float32))[0])
    for key, flag, cloudy_is in (("s2_t", "cloud_t", 1), ("s2_target", "usable_target", 0)):
        cloudy = (batch[key] == cloud).all(axis=-1)
        assert cloudy.any()  # observed clouds stay as they are
        assert (batch[flag][..., 0][cloudy] == cloudy_is).all()


def test_patches_with_holes_are_no_sample(season: Season, clouded: PatchStore) -> None:
    with_hole = clouded.card.scenes["optical"].index("s2-06")
    used = (clouded.samples["optical"] == with_hole).any(axis=1)
    cells = {(int(r["row"]), int(r["column"])) for r in clouded.samples[used]}
    assert cells
    assert not cells & {(64, 192)}


def test_truth_without_clouding_is_no_input(season: Season) -> None:
    store = season.make("os1", layout=_os1(), split_by="none")
    assert "s2_t" not in store.keys
    assert {"s2_tm1", "s1_t", "s2_target", "usable_target"} <= set(store.keys)


def _os1() -> dict:
    from skymend.patches.presets import preset

    document = preset("crga-os1").as_json()
    for name in ("tm1", "t", "tp1"):
        document[name]["acquisition"]["S2"]["max_cloud_percent"] = 5
    return document


def test_same_inputs_same_bytes_whatever_their_order(season: Season, clouded: PatchStore) -> None:
    fields = ("stats", "optical", "masks", "hidden", "radar")
    turned = {name: tuple(reversed(getattr(season.inputs(), name))) for name in fields}
    again = season.make("again", inputs=season.inputs(**turned), layout=_short())
    digests = [
        {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in s.folder.iterdir()}
        for s in (clouded, again)
    ]
    assert digests[0] == digests[1]
    other = season.make("other", layout=_short(), seed=8)
    assert other.card.data_hash != clouded.card.data_hash


def test_patches_of_128_pixels(season: Season) -> None:
    store = season.make("large", layout=_os1(), patch_size=128, split_by="none")
    assert store.card.key("s2_tm1").shape == (128, 128, 2)
    assert set(store.samples["row"].tolist()) <= {0, 128, 256}


def test_nothing_fits_is_skipped_with_the_reason(season: Season) -> None:
    with pytest.raises(SkipJob, match="no patch serves t"):
        season.make("none", layout="meraner", inputs=season.inputs(radar=()))


def test_absent_scenes_are_left_out(season: Season) -> None:
    gone = season.optical[3].model_copy(update={"files": {}, "absent": "outside swath"})
    optical = (*season.optical[:3], gone, *season.optical[4:])
    store = season.make("absent", inputs=season.inputs(optical=optical), layout=_short())
    assert "s2-03" not in store.card.scenes["optical"]


def test_statistics_of_an_absent_scene_are_skipped(season: Season, tmp_path: Path) -> None:
    gone = season.optical[3].model_copy(update={"files": {}, "absent": "outside swath"})
    inputs = patch_stats.Inputs(optical=gone, mask=season.masks[3])
    with pytest.raises(SkipJob, match="outside swath"):
        patch_stats.run(inputs, patch_stats.Params(), tmp_path, _context(tmp_path))


def test_scenes_on_another_grid_are_refused(season: Season, tmp_path: Path) -> None:
    import dataclasses

    moved = dataclasses.replace(GRID, transform=(10.0, 0.0, 600_010.0, 0.0, -10.0, 4_900_020.0))
    options = dataset.Params(grid=GridParams.of(moved), bands=BANDS, layout=_os1(), block_m=640)
    with pytest.raises(GridError, match=r"s2-00|reflectance"):
        dataset.run(season.inputs(), options, tmp_path, _context(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_two_conventions_are_refused(season: Season) -> None:
    odd = season.radar[0].model_copy(update={"facts": {"convention": "gamma0"}})
    inputs = season.inputs(radar=(odd, *season.radar[1:]))
    with pytest.raises(ProductError, match="one backscatter convention"):
        season.make("conventions", inputs=inputs, layout=_short())


def test_summary_is_readable(season: Season, clouded: PatchStore) -> None:
    summary = json.loads((clouded.folder.parent / "summary.json").read_text())
    assert summary["samples"] == len(clouded)
    assert summary["found"].keys() == summary["splits"].keys()
    assert "truth" in "".join(summary["layout"])
