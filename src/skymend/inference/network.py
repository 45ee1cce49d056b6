"""A trained network as a filling method, beside nearest, linear, harmonic and regression.

The inputs are composed per pixel from the stack of a block as the card of the bundle says:
before and after are the clear observations closest to the target inside the layout's window,
each with the radar image nearest to its own date; the target date itself takes part with
what is visible of it and its nearest radar image (decloud.md, sections 7, 16 and 24).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import BundleError
from skymend.fusion.compositing import composite
from skymend.fusion.stack import Estimate, Stack
from skymend.inference.predictor import Predictor, from_bundle
from skymend.inference.tiler import predict_arrays
from skymend.models.bundle import Bundle, load_bundle
from skymend.models.card import Card, InputSpec

DEFAULT_WINDOW_DAYS = 60.0
"""Reach in time where a card states none."""

SIGMA_FLOOR = 0.002
"""No estimate is better than the sensor: reflectance noise of a clear pixel."""

RADAR_BANDS = ("VV", "VH")

_HOURS = 24.0
_BLOCK = 512


class NetworkMethod:
    """A bundle that follows the protocol of all filling methods.

    Parameters
    ----------
    bundle_folder : a bundle written by ``skymend train`` or ``skymend models import``.
    cpus : threads of the prediction.
    radar_convention : of the scenes (``sigma0``, ``gamma0``, ...); None where none is known.
    backend : ``onnx`` or ``keras``.

    Raises
    ------
    BundleError
        if the bundle is damaged, wants acquisitions other than before, target and after, or
        was trained on another backscatter convention than that of the scenes.
    """

    name = "network"

    def __init__(
        self,
        bundle_folder: Path,
        cpus: int = 1,
        *,
        radar_convention: str | None = None,
        backend: Literal["onnx", "keras"] = "onnx",
    ) -> None:
        self.bundle: Bundle = load_bundle(Path(bundle_folder))
        self.cpus = cpus
        self.backend: Literal["onnx", "keras"] = backend
        _check_acquisitions(self.bundle)
        if radar_convention is not None:
            self.check_convention(radar_convention)

    @property
    def card(self) -> Card:
        """The card of the bundle."""
        return self.bundle.card

    @property
    def margin(self) -> int:
        """Receptive reach rounded up to the stride, pixels."""
        return self.card.margin

    @property
    def stride(self) -> int:
        """Blocks must start at multiples of it, so that results do not depend on them."""
        return self.card.stride

    @property
    def window_days(self) -> float:
        """Reach in time to either side of the target, days."""
        return self.card.window_days or DEFAULT_WINDOW_DAYS

    @property
    def needs_radar(self) -> bool:
        """Whether the net has a radar input; without radar it sees fill values there."""
        return self.card.needs_radar

    @cached_property
    def predictor(self) -> Predictor:
        """The net, opened when first used."""
        return from_bundle(self.bundle, self.cpus, backend=self.backend)

    def check_convention(self, convention: str) -> None:
        """Refuse scenes whose backscatter is not what the net was trained on.

        Raises
        ------
        BundleError
            if both conventions are stated and differ.
        """
        known = self.card.radar_convention
        if self.needs_radar and known and convention and convention != known:
            raise BundleError(
                where=self.bundle.folder,
                expected=f"backscatter as {known}, which the bundle was trained on",
                found=f"scenes of {convention}",
                fix="make the radar scenes in that convention or choose another bundle",
            )

    def fit(self, sample: Stack) -> FittedNetwork:
        """Return the net as it is: it has been trained, only bands are checked.

        Raises
        ------
        BundleError
            if the stack lacks a band of the net or asks for one it does not rebuild.
        """
        _check_bands(self.bundle, sample.bands)
        return FittedNetwork(self)


@dataclass(frozen=True, slots=True)
class Composed:
    """What the net sees of a block, in physical units.

    Parameters
    ----------
    optical, radar : acquisition -> (bands, rows, columns) float32, NaN where nothing usable.
    age_days : acquisition (``tm1``, ``tp1``) -> (rows, columns) days from the target, NaN
        likewise.
    dated : the same, but where nothing is usable the distance of the closest candidate of
        that side, as for a pixel under a cloud of that date; NaN without any candidate.
    outside : (rows, columns) bool, where an observation beyond the window had to be taken.
    """

    optical: dict[str, FloatArray]
    radar: dict[str, FloatArray]
    age_days: dict[str, FloatArray]
    dated: dict[str, FloatArray]
    outside: npt.NDArray[np.bool_]

    @property
    def gap_days(self) -> FloatArray:
        """(rows, columns) days between before and after; inf with one only, NaN with none."""
        before, after = self.age_days["tm1"], self.age_days["tp1"]
        gap = np.nan_to_num(before, nan=np.inf) + np.nan_to_num(after, nan=np.inf)
        gap[np.isnan(before) & np.isnan(after)] = np.nan
        return np.asarray(gap, np.float32)

    @property
    def has_time(self) -> npt.NDArray[np.bool_]:
        """(rows, columns) bool, where a date before or after takes part."""
        return np.isfinite(self.age_days["tm1"]) | np.isfinite(self.age_days["tp1"])

    @property
    def has_radar(self) -> npt.NDArray[np.bool_]:
        """(rows, columns) bool, where a radar image of the target date takes part."""
        return np.asarray(np.isfinite(self.radar["t"]).any(axis=0), np.bool_)


@dataclass(frozen=True, slots=True)
class FittedNetwork:
    """A network ready to predict blocks."""

    method: NetworkMethod

    def predict(self, block: Stack) -> Estimate:
        """Estimate the target date where ``block.wanted``; NaN elsewhere.

        The mean is clipped to 0..1. Sigma is the uncertainty head (the card's constant of the
        band for nets without one) times the card's factor for the pixel's gap; NaN where the
        card has neither.
        """
        card = self.method.card
        _check_bands(self.method.bundle, block.bands)
        composed = compose(block, self.method.window_days, card.radar_gap_hours)
        used_radar = composed.has_radar & self.method.needs_radar
        wanted = composed.has_time | used_radar
        if block.wanted is not None:
            wanted &= block.wanted
        inputs = {spec.name: _prepare(spec, composed, block) for spec in card.inputs}
        values = predict_arrays(
            self.method.predictor, inputs, block.shape, block=_BLOCK, wanted=wanted
        )
        order = [card.bands.index(band) for band in block.bands]
        mean = np.moveaxis(values[card.mean.name], -1, 0)[order]
        gap = composed.gap_days
        return Estimate(
            mean=np.clip(mean, 0.0, 1.0),
            sigma=_sigma(card, values, order, gap, wanted),
            outside=composed.outside & wanted,
            gap_days=gap,
            used_radar=used_radar & wanted,
            same_date=used_radar & ~composed.has_time & wanted,
        )


def compose(block: Stack, window_days: float, radar_gap_hours: float | None) -> Composed:
    """Compose what the net sees from the candidates of a block.

    A side without a usable observation in the window stays empty, as under a cloud; only
    pixels empty on both sides take farther observations and are flagged ``outside``.

    Parameters
    ----------
    window_days : reach in time of the layout.
    radar_gap_hours : farthest radar image from its optical date; the window when None.
    """
    sides: dict[str, tuple[FloatArray, FloatArray]] = {}
    far: dict[str, tuple[FloatArray, FloatArray]] = {}
    for name, side in _SIDES:
        sides[name] = composite(block, side, window_days)
    empty = np.isnan(sides["tm1"][1]) & np.isnan(sides["tp1"][1])
    if empty.any():
        for name, side in _SIDES:
            far[name] = composite(block, side, math.inf)
            for near, distant in zip(sides[name], far[name], strict=True):
                np.copyto(near, distant, where=empty)
    found = ~np.isnan(sides["tm1"][1]) | ~np.isnan(sides["tp1"][1])
    gap_days = window_days if radar_gap_hours is None else radar_gap_hours / _HOURS
    age = {name: values[1] for name, values in sides.items()}
    dated = {name: _dated(block, side, age[name], window_days) for name, side in _SIDES}
    now = np.zeros(block.shape, np.float32)
    offsets = {"tm1": -dated["tm1"], "t": now, "tp1": dated["tp1"]}
    nothing = np.full((len(block.bands), *block.shape), np.nan, np.float32)
    target = nothing if block.target is None else block.target
    return Composed(
        optical={"tm1": sides["tm1"][0], "t": target, "tp1": sides["tp1"][0]},
        radar={n: nearest_radar(block, offset, gap_days) for n, offset in offsets.items()},
        age_days=age,
        dated=dated,
        outside=empty & found,
    )


_SIDES: tuple[tuple[str, Literal["before", "after"]], ...] = (("tm1", "before"), ("tp1", "after"))


def _dated(
    block: Stack, side: Literal["before", "after"], age_days: FloatArray, window_days: float
) -> FloatArray:
    """Date the pixels without a usable observation by the closest candidate.

    A net is trained on patches whose clouds hide the optical pixels of a date, while its
    distance in time and its radar image are known.
    """
    days = block.times - block.target_time
    own = np.abs(days[days <= 0 if side == "before" else days > 0])
    own = own[own <= window_days]
    closest = np.float32(own.min() if len(own) else np.nan)
    return np.where(np.isnan(age_days), closest, age_days)


def nearest_radar(block: Stack, offset_days: FloatArray, max_gap_days: float) -> FloatArray:
    """Take, per pixel, the valid backscatter nearest in time to a date of that pixel.

    Parameters
    ----------
    offset_days : (rows, columns) date wanted, days from the target; NaN for none.
    max_gap_days : images farther away are left alone; the limit itself is inside.

    Returns
    -------
    (2, rows, columns) float32 linear power of VV, VH; NaN where none.
    """
    values = np.full((len(RADAR_BANDS), *block.shape), np.nan, np.float32)
    if block.radar is None or block.radar_times is None:
        return values
    days = block.radar_times - block.target_time
    for offset in np.unique(offset_days[np.isfinite(offset_days)]):
        missing = offset_days == offset
        distance = np.abs(days - float(offset))
        for index in np.argsort(distance, kind="stable"):
            # Offsets are float32: a tenth of a second decides no gap.
            if distance[index] > max_gap_days + 1e-6 or not missing.any():
                break
            take = missing & np.isfinite(block.radar[index]).all(axis=0)
            np.copyto(values, block.radar[index], where=take)
            missing &= ~take
    return values


def halve(values: FloatArray) -> FloatArray:
    """Average 2 x 2 pixels, leaving NaN out.

    Parameters
    ----------
    values : (bands, rows, columns).

    Returns
    -------
    (bands, rows / 2, columns / 2) rounded up; NaN where all four are.
    """
    bands, rows, columns = values.shape
    even = np.full((bands, rows + rows % 2, columns + columns % 2), np.nan, np.float32)
    even[:, :rows, :columns] = values
    cells = even.reshape(bands, even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    count = np.isfinite(cells).sum(axis=(2, 4))
    total = np.nansum(cells, axis=(2, 4))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(mean, np.float32)


def _prepare(spec: InputSpec, composed: Composed, block: Stack) -> FloatArray:
    """Return one input tensor (rows, columns, bands): scaled, its gaps filled."""
    values = _physical(spec, composed, block)
    if spec.resolution_ratio == 2:
        values = halve(values)
    return np.moveaxis(spec.prepare(values), 0, -1)


def _physical(spec: InputSpec, composed: Composed, block: Stack) -> FloatArray:
    if spec.kind == "optical":
        order = [block.bands.index(band) for band in spec.bands]
        return composed.optical[spec.acquisition][order]
    if spec.kind == "radar":
        order = [RADAR_BANDS.index(band) for band in spec.bands]
        return composed.radar[spec.acquisition][order]
    if spec.kind == "days":
        return composed.dated[spec.acquisition][np.newaxis]
    if block.dem is None:
        return np.full((1, *block.shape), np.nan, np.float32)
    return block.dem[np.newaxis]


def _sigma(
    card: Card,
    values: dict[str, FloatArray],
    order: list[int],
    gap_days: FloatArray,
    wanted: npt.NDArray[np.bool_],
) -> FloatArray:
    if card.sigma is not None:
        spread = np.moveaxis(values[card.sigma.name], -1, 0)[order]
    else:
        constant = card.calibration.sigma or (math.nan,) * len(card.bands)
        each = np.asarray(constant, np.float32)[order][:, np.newaxis, np.newaxis]
        spread = np.where(wanted, each, np.float32(np.nan))
    scaled = spread * card.calibration.factor(gap_days)
    return np.asarray(np.maximum(scaled, np.float32(SIGMA_FLOOR)), np.float32)


def _check_acquisitions(bundle: Bundle) -> None:
    for spec in bundle.card.inputs:
        dates = ("tm1", "tp1") if spec.kind == "days" else ("tm1", "t", "tp1")
        if spec.kind != "dem" and spec.acquisition not in dates:
            raise BundleError(
                where=f"{bundle.folder}: input {spec.name}",
                expected=f"one of the acquisitions {', '.join(dates)}",
                found=repr(spec.acquisition),
                fix="choose a bundle that rebuilds one date from before, target and after",
            )


def _check_bands(bundle: Bundle, bands: tuple[str, ...]) -> None:
    card = bundle.card
    needed = {b for spec in card.inputs if spec.kind == "optical" for b in spec.bands}
    if not needed <= set(bands) or not set(bands) <= set(card.bands):
        raise BundleError(
            where=bundle.folder,
            expected=f"a stack of the bands {', '.join(card.bands)}",
            found=", ".join(bands),
            fix="ask for the bands of the bundle in the region file, or choose another bundle",
        )
