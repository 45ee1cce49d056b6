"""The card of a bundle: all that a program must know to feed a net and read its answer."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from skymend.core.encoding import FloatArray

CARD_FORMAT: Literal[1] = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scaling(_Frozen):
    """How a physical value becomes the number a net sees: ``(x - low) / (high - low)``.

    ``kind`` ``db`` takes ``10 * log10`` first and clips to ``low .. high``; then ``low`` and
    ``high`` are dB. ``linear`` clips nothing.
    """

    kind: Literal["linear", "db"] = "linear"
    low: float = 0.0
    high: float = 1.0

    def apply(self, values: npt.NDArray[Any]) -> FloatArray:
        """Scale physical values of any shape; NaN stays NaN.

        Backscatter of zero or less has no logarithm and becomes NaN.
        """
        if self.kind == "linear":
            scaled = (values - np.float32(self.low)) * np.float32(1 / (self.high - self.low))
            return np.asarray(scaled, np.float32)
        positive = np.where(values > 0, values, np.nan).astype(np.float32)
        return self.from_db(np.float32(10) * np.log10(positive))

    def from_db(self, decibels: npt.NDArray[Any]) -> FloatArray:
        """Scale values that are dB already, any shape; NaN stays NaN."""
        clipped = np.clip(decibels, np.float32(self.low), np.float32(self.high))
        scaled = (clipped - np.float32(self.low)) * np.float32(1 / (self.high - self.low))
        return np.asarray(scaled, np.float32)

    def invert(self, scaled: npt.NDArray[Any]) -> FloatArray:
        """Return physical values from scaled ones, any shape."""
        values = np.asarray(scaled, np.float32) * np.float32(self.high - self.low)
        values = values + np.float32(self.low)
        if self.kind == "db":
            values = np.float32(10) ** (values / np.float32(10))
        return np.asarray(values, np.float32)


class InputSpec(_Frozen):
    """One input tensor, (batch, rows, columns, bands) float32 after scaling."""

    name: str
    """Name of the tensor in the Keras model and in ``model.onnx``."""
    acquisition: str
    """``tm1`` (before), ``t`` (target date), ``tp1`` (after); empty for elevation."""
    kind: Literal["optical", "radar", "dem", "days"]
    """Reflectance 0..1, backscatter in linear power, height in metres, or the days between
    the target and the pixel of the composite ``acquisition`` (positive on both sides)."""
    bands: tuple[str, ...]
    scaling: Scaling
    resolution_ratio: Literal[1, 2] = 1
    """2: half the rows and columns of the output (20 m instead of 10 m)."""
    fill: float
    """The scaled value that stands for "no usable value" (NaN)."""

    def prepare(self, values: npt.NDArray[Any]) -> FloatArray:
        """Scale physical values of any shape and put the fill value where they are NaN."""
        return self._filled(self.scaling.apply(values))

    def prepare_db(self, decibels: npt.NDArray[Any]) -> FloatArray:
        """Do the same for backscatter that is dB already."""
        return self._filled(self.scaling.from_db(decibels))

    def _filled(self, scaled: FloatArray) -> FloatArray:
        return np.where(np.isnan(scaled), np.float32(self.fill), scaled)


class OutputSpec(_Frozen):
    """One output tensor, (batch, rows, columns, bands) float32 in reflectance."""

    name: str
    quantity: Literal["mean", "sigma"]
    bands: tuple[str, ...]
    resolution_ratio: Literal[1, 2] = 1


class GapScale(_Frozen):
    """The factor of sigma for gaps of up to ``max_days`` (None: any length)."""

    max_days: float | None
    scale: float = Field(gt=0)
    pixels: int = 0
    """How many validation values it rests on."""


class Calibration(_Frozen):
    """Factors that make about 68 % of the validation truths fall within one sigma.

    ``gaps`` is in order of ``max_days``; a gap is the time between the nearest usable
    observations before and after the target.
    """

    gaps: tuple[GapScale, ...] = (GapScale(max_days=None, scale=1.0),)
    sigma: tuple[float, ...] = ()
    """For nets without an uncertainty head: a constant sigma per band, reflectance."""

    def factor(self, gap_days: npt.NDArray[Any]) -> FloatArray:
        """Return the factor per pixel; NaN and endless gaps take the last one.

        Parameters
        ----------
        gap_days : any shape, days.
        """
        limits = [math.inf if g.max_days is None else g.max_days for g in self.gaps]
        days = np.nan_to_num(np.asarray(gap_days, np.float64), nan=np.inf)
        index = np.searchsorted(np.asarray(limits), days, side="left")
        scales = np.asarray([g.scale for g in self.gaps], np.float32)
        return scales[np.minimum(index, len(scales) - 1)]


class Card(_Frozen):
    """What ``card.json`` says.

    File names and their sha256 (``files``) are filled in by :func:`save_bundle`.
    """

    format: Literal[1] = CARD_FORMAT
    name: str
    architecture: str
    uncertainty: bool = False
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    margin: int = Field(ge=0)
    """Receptive reach rounded up to the stride, pixels at the output's resolution."""
    stride: int = Field(ge=1)
    """Rows and columns given to the net must be multiples of this, pixels."""
    layout: str = ""
    """The acquisition layout it was trained on."""
    window_days: float | None = None
    """Largest distance in time of an input from the target, days."""
    radar_convention: str = ""
    """Of the backscatter it was trained on, such as ``sigma0``; empty: any."""
    radar_gap_hours: float | None = None
    """Largest distance between the target and its radar image, hours."""
    calibration: Calibration = Calibration()
    metrics: dict[str, float] = Field(default_factory=dict)
    """On the validation split; names say what and of what, as ``mae_network``."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Seed, steps, batch, learning rate, loss: enough to repeat the training."""
    parameters: int = 0
    data_hash: str = ""
    """sha256 of the training data."""
    licence: str = "unstated"
    note: str = ""
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def mean(self) -> OutputSpec:
        """The first output that is a mean."""
        return next(o for o in self.outputs if o.quantity == "mean")

    @property
    def sigma(self) -> OutputSpec | None:
        """The output that is a standard deviation, if there is one."""
        return next((o for o in self.outputs if o.quantity == "sigma"), None)

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of the mean, in order."""
        return self.mean.bands

    @property
    def needs_radar(self) -> bool:
        """Whether an input is backscatter."""
        return any(i.kind == "radar" for i in self.inputs)

    def input(self, name: str) -> InputSpec:
        """Return one input by name (KeyError if there is none)."""
        return {i.name: i for i in self.inputs}[name]
