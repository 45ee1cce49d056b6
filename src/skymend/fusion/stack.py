"""The seam of all filling methods: a stack goes in, an estimate comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import InternalError

BoolArray = npt.NDArray[np.bool_]
DayArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything a method may look at for one block of one target date.

    Parameters
    ----------
    times : (n,) float64, days UTC since 1970-01-01, ascending; the candidates, target excluded.
    optical : (n, bands, rows, columns) float32 reflectance; NaN where not usable (cloud,
        shadow, outside the swath).
    target_time : days UTC since 1970-01-01.
    bands : band names, in the order of the second axis of ``optical``.
    radar_times : (m,) float64 days, ascending; empty without radar.
    radar : (m, 2, rows, columns) float32 linear power of VV, VH; NaN where invalid.
    radar_orbits : (m,) relative orbits; passes of one orbit share their geometry.
    target : (bands, rows, columns) float32, the part of the target date that is visible,
        NaN elsewhere; None for a virtual or withheld date.
    wanted : (rows, columns) bool. In a prediction: where an estimate is asked for. In a
        sample: which pixels may be used (the others are margin). All when None.
    dem : (rows, columns) float32 heights in metres, or None.
    """

    times: DayArray
    optical: FloatArray
    target_time: float
    bands: tuple[str, ...]
    radar_times: DayArray | None = None
    radar: FloatArray | None = None
    radar_orbits: IntArray | None = None
    target: FloatArray | None = None
    wanted: BoolArray | None = None
    dem: FloatArray | None = None

    def __post_init__(self) -> None:
        n, bands = self.optical.shape[:2]
        if len(self.times) != n or len(self.bands) != bands:
            raise InternalError(
                where="stack",
                expected=f"{len(self.times)} dates of {len(self.bands)} bands",
                found=f"an array of {n} dates and {bands} bands",
                fix="build times, bands and optical from the same list",
            )
        if n > 1 and bool(np.any(np.diff(self.times) < 0)):
            raise InternalError(
                where="stack",
                expected="times in ascending order",
                found=str([round(float(t), 3) for t in self.times]),
                fix="sort the candidates by time",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return (self.optical.shape[2], self.optical.shape[3])

    def keep(self, dates: BoolArray) -> Stack:
        """Return the stack with only the candidates where ``dates`` (n,) is True."""
        return replace(self, times=self.times[dates], optical=self.optical[dates])


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a method says about one block.

    Parameters
    ----------
    mean : (bands, rows, columns) float32 reflectance, NaN where nothing can be said.
    sigma : (bands, rows, columns) float32, one standard deviation of ``mean``'s error.
    outside : (rows, columns) bool, True where an observation beyond the method's window
        had to be used.
    gap_days : (rows, columns) float32, days between the nearest usable observations before
        and after; infinite where one side has none, NaN where both have none.
    used_radar : (rows, columns) bool.
    same_date : (rows, columns) bool, True where only radar and the target date itself were
        used (QA 5); None when nowhere.
    """

    mean: FloatArray
    sigma: FloatArray
    outside: BoolArray
    gap_days: FloatArray
    used_radar: BoolArray
    same_date: BoolArray | None = None


class Fitted(Protocol):
    """A method that has seen the sample of its job."""

    def predict(self, block: Stack) -> Estimate:
        """Estimate the target date where ``block.wanted``; NaN elsewhere."""
        ...


class Method(Protocol):
    """How reconstruct and trial see every filling method.

    ``margin`` is how many pixels around a block the method looks at, ``window_days`` how far
    from the target it looks, ``needs_radar`` whether it is useless without radar.
    """

    @property
    def name(self) -> str:
        """The name used in region files."""
        ...

    @property
    def margin(self) -> int:
        """Receptive reach in pixels."""
        ...

    @property
    def window_days(self) -> float:
        """Reach in time to either side of the target, days."""
        ...

    @property
    def needs_radar(self) -> bool:
        """Whether the method can use radar."""
        ...

    def fit(self, sample: Stack) -> Fitted:
        """Learn from the sample whatever the method needs."""
        ...
