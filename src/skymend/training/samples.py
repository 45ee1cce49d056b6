"""From stored patches to the tensors of a net and the truth they are compared with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import ConfigError
from skymend.models.branch_unet import UNetSpec
from skymend.models.card import InputSpec
from skymend.training.augment import turn
from skymend.training.normalise import input_specs, kind_of

BoolArray = npt.NDArray[np.bool_]

_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d{2})-?(\d{2})-?(\d{2})(?:[T-]?(\d{2}):?(\d{2}):?(\d{2}))?(?!\d)"
)


class PatchSource(Protocol):
    """What training needs of a patch store (see :class:`skymend.patches.store.PatchStore`)."""

    card: Any
    samples: npt.NDArray[Any]

    def __len__(self) -> int: ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the arrays."""

    def split(self, name: str) -> npt.NDArray[np.int64]:
        """Return the sample numbers of a split."""

    def batch(
        self, indices: npt.NDArray[np.int64], keys: Iterable[str] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return stored samples."""

    def decode(
        self, batch: Mapping[str, npt.NDArray[Any]], *, decibel: bool = False
    ) -> dict[str, npt.NDArray[Any]]:
        """Return physical samples."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One batch: what the net sees, what it should say, and what interpolation needs."""

    inputs: dict[str, FloatArray]
    """(samples, rows, columns, channels), scaled and filled as the card says."""
    target: FloatArray
    """(samples, rows, columns, bands) reflectance, NaN where unknown."""
    hidden: BoolArray
    """(samples, rows, columns): the target date is not seen here."""
    before: FloatArray
    """The optical input before the target, reflectance, NaN where unusable."""
    after: FloatArray
    """The optical input after it."""
    days: FloatArray
    """(samples, 2) days from the date before to the target, and on to the date after."""

    def truth(self, clear_weight: float) -> FloatArray:
        """Return target and weight as :mod:`skymend.training.losses` wants them.

        Parameters
        ----------
        clear_weight : weight of pixels whose target date is seen; hidden ones weigh 1,
            pixels with an unknown band 0.
        """
        known = ~np.isnan(self.target).any(axis=-1, keepdims=True)
        weight = np.where(self.hidden[..., None], 1.0, clear_weight) * known
        target = np.nan_to_num(self.target, nan=0.0)
        return np.concatenate([target, weight.astype(np.float32)], axis=-1)


class Feeder:
    """Turns sample numbers into :class:`Feed`.

    Parameters
    ----------
    store : a patch store with the architecture's inputs and a target.
    spec : the architecture.

    Raises
    ------
    ConfigError
        if the store lacks an input, the target or the dates the architecture needs.
    """

    def __init__(self, store: PatchSource, spec: UNetSpec) -> None:
        self.store = store
        self.spec = spec
        self.target_key = "s2_target" if "s2_target" in store.keys else "s2_t"
        self._require()
        bands = {k.name: tuple(k.bands) for k in store.card.keys}
        self.inputs: tuple[InputSpec, ...] = input_specs(spec, bands)
        self.bands = bands[self.target_key]
        self.days = sample_days(store)
        if spec.days is not None and np.isnan(self.days).any():
            raise ConfigError(
                where="patch store",
                expected="dates of the acquisitions before and after each sample",
                found="scenes without a date in their identifier",
                fix="choose crga-os2-tiny-undated",
            )

    @property
    def window_days(self) -> float | None:
        """Largest distance of an input from the reference that the layout allows, days."""
        hours = [
            abs(value)
            for name, spec in self._acquisitions.items()
            for field in ("timeframe_start_hours", "timeframe_end_hours")
            if name != "target" and (value := spec.get(field)) is not None
        ]
        return max(hours) / 24 if hours else None

    @property
    def radar_gap_hours(self) -> float | None:
        """Largest distance between an optical image and its radar image in the layout."""
        gaps = [a.get("max_s1s2_gap_hours") for a in self._acquisitions.values()]
        return max((gap for gap in gaps if gap is not None), default=None)

    @property
    def _acquisitions(self) -> dict[str, Any]:
        return {k: v for k, v in self.store.card.layout.items() if k != "options"}

    def _require(self) -> None:
        keys = {n for n, _ in self.spec.channels if kind_of(n) not in ("dem", "days")}
        missing = sorted((keys | {self.target_key, "s2_tm1", "s2_tp1"}) - set(self.store.keys))
        if missing:
            raise ConfigError(
                where="patch store",
                expected=f"the key {missing[0]}, which the architecture needs",
                found=", ".join(self.store.keys),
                fix="make the dataset with a layout that has it, or choose another architecture",
            )

    def feed(self, indices: npt.NDArray[np.int64], rng: np.random.Generator | None = None) -> Feed:
        """Read a batch.

        Parameters
        ----------
        indices : sample numbers.
        rng : given in training: patches are turned, and some inputs are hidden further.
        """
        batch = dict(self.store.batch(indices, self._keys()))
        if rng is not None:
            batch = turn(batch, rng)
        values = self.store.decode(batch, decibel=True)
        days = self.days[indices]
        hidden = self._hide(values, rng)
        return Feed(
            self._scaled(values, days, len(indices)),
            values["target"],
            hidden,
            values["s2_tm1"],
            values["s2_tp1"],
            days,
        )

    def _keys(self) -> list[str]:
        wanted = {name for name, _ in self.spec.channels} | {self.target_key}
        wanted |= {"s2_tm1", "s2_tp1", "usable_target", "usable_t"}
        wanted |= {f"cloud_{date}" for date in ("tm1", "t", "tp1")}
        return [key for key in self.store.keys if key in wanted]

    def _hide(self, values: dict[str, Any], rng: np.random.Generator | None) -> BoolArray:
        """Put NaN where an input or the target must not be seen; return where t is not."""
        target = values[self.target_key].copy()
        usable = values.get(f"usable_{self.target_key[3:]}")
        if usable is not None:
            target[~usable[..., 0]] = np.nan
        values["target"] = target
        for date in ("tm1", "t", "tp1"):
            cloud = values.get(f"cloud_{date}")
            if cloud is not None and f"s2_{date}" in values:
                values[f"s2_{date}"][cloud[..., 0]] = np.nan
        if "s2_t" in values and self.target_key == "s2_t" and "cloud_t" not in values:
            values["s2_t"][:] = np.nan
        if rng is not None:
            _hide_more(values, rng)
        if "s2_t" not in values:
            return np.ones(target.shape[:3], np.bool_)
        return np.asarray(np.isnan(values["s2_t"]).any(axis=-1))

    def _scaled(
        self, values: dict[str, Any], days: FloatArray, samples: int
    ) -> dict[str, FloatArray]:
        rows, columns = values["target"].shape[1:3]
        scaled = {}
        for item in self.inputs:
            shape = (samples, rows // item.resolution_ratio, columns // item.resolution_ratio, 1)
            if item.kind == "days":
                column = days[:, 0 if item.acquisition == "tm1" else 1]
                physical = np.broadcast_to(column[:, None, None, None], shape)
            elif item.name not in values:
                physical = np.full(shape, np.nan, np.float32)
            else:
                physical = _at_ratio(values[item.name], rows, item.resolution_ratio)
            prepare = item.prepare_db if item.kind == "radar" else item.prepare
            scaled[item.name] = np.ascontiguousarray(prepare(physical))
        return scaled


def _hide_more(values: dict[str, Any], rng: np.random.Generator) -> None:
    """Hide further inputs in training, so that the net learns to do without.

    Three samples in ten lose the target date altogether; one in ten loses, on one side, what
    lies under the clouds of its neighbour in the batch.
    """
    if "s2_t" in values:
        values["s2_t"][rng.random(len(values["s2_t"])) < 0.3] = np.nan
    cloud = values.get("cloud_t")
    for date, other in (("tm1", "tp1"), ("tp1", "tm1")):
        chosen = rng.random(len(values["s2_tm1"])) < 0.1
        if cloud is None:
            continue
        shape = np.roll(cloud[..., 0], 1, axis=0) & chosen[:, None, None]
        shape &= ~np.isnan(values[f"s2_{other}"]).any(axis=-1)
        values[f"s2_{date}"][shape] = np.nan


def _at_ratio(values: npt.NDArray[Any], rows: int, ratio: int) -> npt.NDArray[Any]:
    """Average 2 x 2 pixels where the store holds 10 m and the net wants 20 m."""
    if values.shape[1] * ratio == rows:
        return values
    samples, height, width, bands = values.shape
    blocks = values.reshape(samples, height // ratio, ratio, width // ratio, ratio, bands)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)


def sample_days(store: PatchSource) -> FloatArray:
    """Return the days from the date before to the target, and from it to the date after.

    The dates are read from the identifiers of the scenes, as every provider writes them.

    Returns
    -------
    (samples, 2) float32; NaN where a date is unknown.
    """
    names = [name for name in store.card.layout if name != "options"]
    scenes = np.array([_seconds(name) for name in store.card.scenes.get("optical", ())] + [np.nan])
    target = "target" if "target" in names else "t"
    times = {}
    for date in ("tm1", target, "tp1"):
        if date not in names or "optical" not in (store.samples.dtype.names or ()):
            return np.full((len(store), 2), np.nan, np.float32)
        times[date] = scenes[store.samples["optical"][:, names.index(date)]]
    spans = (times[target] - times["tm1"], times["tp1"] - times[target])
    return (np.stack(spans, axis=1) / 86_400).astype(np.float32)


def _seconds(name: str) -> float:
    """Return the time in a scene's identifier, UTC seconds since 1970, or NaN."""
    for match in _DATE.finditer(name):
        day, clock = match.groups()[:3], match.groups()[3:]
        clock = clock if clock[0] else ("12", "00", "00")
        try:
            moment = datetime.strptime("".join((*day, *clock)), "%Y%m%d%H%M%S")
        except ValueError:
            continue
        return moment.replace(tzinfo=UTC).timestamp()
    return float("nan")
