"""Reading and predicting one cell of an image, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import FloatArray
from skymend.core.errors import BundleError
from skymend.core.grid import Window
from skymend.inference.predictor import Predictor
from skymend.inference.readers import Reader
from skymend.inference.windows import Axis, Tiling, padded_axis, ramp

BATCH_PIXELS = 384 * 1024
"""Pixels of one batch, margins included; more gains no speed on CPUs and costs memory."""

Outputs = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Padded:
    """The inputs of a cell with their margins.

    Parameters
    ----------
    region : what they cover, at output resolution; may reach outside the image.
    inputs : name -> (rows, columns, channels) float32 at own resolution, without NaN.
    known : (rows, columns) bool, where the evidence has a value.
    """

    region: Window
    inputs: Outputs
    known: npt.NDArray[np.bool_]


class CellPredictor:
    """One image: what to read for a cell, and how to predict it."""

    def __init__(
        self, predictor: Predictor, reader: Reader, block: int, evidence: Iterable[str] | None
    ) -> None:
        self.predictor = predictor
        self.reader = reader
        self.evidence = tuple(predictor.ratios if evidence is None else evidence)
        self.tiling = Tiling.plan(
            reader.shape,
            margin=predictor.margin,
            stride=predictor.stride,
            ratios=predictor.ratios.values(),
            block=block,
        )
        self.predict = self._predict_exact if predictor.finite_reach else self._predict_blended

    def identity(self, extra: Mapping[str, object] | None) -> dict[str, object]:
        """Return everything of this job that changes the pixels."""
        t = self.tiling
        return {
            "shape": t.shape,
            "margin": t.margin,
            "unit": t.unit,
            "block": t.block,
            "evidence": sorted(self.evidence),
            **(extra or {}),
        }

    def read(self, cell: Window, wanted: npt.NDArray[np.bool_] | None = None) -> Padded:
        """Read the inputs of a cell, once, with their margins.

        Pixels that are not ``wanted``, (rows, columns) of the cell, count as unknown.
        """
        context = self.tiling.padded(cell)
        if not self.predictor.finite_reach:
            context = context.padded(self.tiling.block + self.tiling.margin)
        axes = {n: _axes(context, self.tiling.shape, r) for n, r in self.predictor.ratios.items()}
        windows = {
            n: Window(r.start, c.start, r.stop - r.start, c.stop - c.start)
            for n, (r, c) in axes.items()
        }
        known = np.zeros((context.rows, context.columns), np.bool_)
        inputs: Outputs = {}
        for name, values in self.reader.read(windows).items():
            rows, columns = axes[name]
            full = np.ascontiguousarray(_take(_take(values, rows, 0), columns, 1), np.float32)
            finite = np.isfinite(full)
            complete = bool(finite.all())
            if name in self.evidence and complete:
                known[:] = True
            elif name in self.evidence:
                known |= _spread(_any_channel(finite), self.predictor.ratios[name])
            if not complete:
                full = np.where(finite, full, np.float32(self.predictor.fills.get(name, 0.0)))
            inputs[name] = full
        if wanted is not None:
            _crop(known, context, cell)[:] &= wanted
        return Padded(context, inputs, known)

    def _predict_exact(self, cell: Window, padded: Padded) -> Outputs:
        """Predict a cell window by window; margins make the windows independent."""
        known = _crop(padded.known, padded.region, cell)
        result = self._empty(cell)
        groups: dict[tuple[int, int], list[Window]] = {}
        for window in self.tiling.windows(cell):
            if _crop(known, cell, window).any():
                area = self.tiling.padded(window)
                groups.setdefault((area.rows, area.columns), []).append(window)
        for windows in groups.values():
            for values, window in self._batches(windows, padded):
                area = self.tiling.padded(window)
                for name, full in values.items():
                    _crop(result[name], cell, window)[:] = _crop(full, area, window)
        return _masked(result, known)

    def _batches(
        self, windows: list[Window], padded: Padded
    ) -> Iterator[tuple[Mapping[str, FloatArray], Window]]:
        """Predict equal windows in batches whose make-up depends on nothing but the cell."""
        area = self.tiling.padded(windows[0])
        size = max(1, BATCH_PIXELS // (area.rows * area.columns))
        for start in range(0, len(windows), size):
            batch = windows[start : start + size]
            values = self._run([self.tiling.padded(window) for window in batch], padded)
            for index, window in enumerate(batch):
                yield {name: full[index] for name, full in values.items()}, window

    def _run(self, regions: list[Window], padded: Padded) -> Mapping[str, FloatArray]:
        inputs = {}
        for name, ratio in self.predictor.ratios.items():
            whole = _coarse(padded.region, ratio)
            parts = [_crop(padded.inputs[name], whole, _coarse(r, ratio)) for r in regions]
            inputs[name] = np.stack(parts) if len(parts) > 1 else parts[0][np.newaxis]
        values = self.predictor.predict(inputs)
        for name, channels in self.predictor.outputs.items():
            expected = (len(regions), regions[0].rows, regions[0].columns, channels)
            if values[name].shape != expected:
                raise BundleError(
                    where=f"output {name}",
                    expected=f"(batch, rows, columns, channels) = {expected}",
                    found=str(values[name].shape),
                    fix="export the bundle again with its real stride and ratios",
                )
        return values

    def _predict_blended(self, cell: Window, padded: Padded) -> Outputs:
        """Predict a cell as the weighted mean of all windows whose margin touches it."""
        known = _crop(padded.known, padded.region, cell)
        if not known.any():
            return self._empty(cell)
        result = {name: np.nan_to_num(values) for name, values in self._empty(cell).items()}
        total = np.full((cell.rows, cell.columns, 1), 1e-12, np.float32)
        margin = self.tiling.margin
        for window, reach in self._around(cell):
            values = self._run([self.tiling.padded(window)], padded)
            weights = np.outer(ramp(window.rows, margin), ramp(window.columns, margin))
            part = _crop(weights, window.padded(margin), reach)[..., np.newaxis]
            _crop(total, cell, reach)[:] += part
            for name, full in values.items():
                inside = _crop(full[0], self.tiling.padded(window), reach)
                _crop(result[name], cell, reach)[:] += part * inside
        return _masked({name: values / total for name, values in result.items()}, known)

    def _around(self, cell: Window) -> Iterator[tuple[Window, Window]]:
        """Yield windows whose margin touches a cell, with what they share with it.

        The windows form one lattice over the image, so that neighbouring cells blend alike.
        """
        rows, columns = self.tiling.shape
        size, margin = self.tiling.block, self.tiling.margin
        for row in _starts(cell.row, cell.rows, margin, size, rows):
            for column in _starts(cell.column, cell.columns, margin, size, columns):
                window = Window(row, column, min(size, rows - row), min(size, columns - column))
                reach = _common(window.padded(margin), cell)
                if reach is not None:
                    yield window, reach

    def _empty(self, cell: Window) -> Outputs:
        return {
            name: np.full((cell.rows, cell.columns, channels), np.nan, np.float32)
            for name, channels in self.predictor.outputs.items()
        }


def _masked(values: Outputs, known: npt.NDArray[np.bool_]) -> Outputs:
    for array in values.values():
        array[~known] = np.nan
    return values


def _starts(start: int, length: int, margin: int, size: int, stop: int) -> range:
    """Return lattice positions from one window before a cell to one after it."""
    first = max(0, (start - margin) // size - 1) * size
    return range(first, min(stop, start + length + margin), size)


def _axes(region: Window, shape: tuple[int, int], ratio: int) -> tuple[Axis, Axis]:
    """Return the padded row and column axes of an input of one resolution ratio."""
    coarse = _coarse(region, ratio)
    return (
        padded_axis(coarse.row, coarse.row + coarse.rows, -(-shape[0] // ratio)),
        padded_axis(coarse.column, coarse.column + coarse.columns, -(-shape[1] // ratio)),
    )


def _coarse(region: Window, ratio: int) -> Window:
    return Window(*(n // ratio for n in (region.row, region.column, region.rows, region.columns)))


def _take(values: FloatArray, axis: Axis, number: int) -> FloatArray:
    """Mirror one axis; without any copy where nothing lies outside the image."""
    if len(axis.take) == values.shape[number] and axis.take[0] == 0:
        return values
    return np.take(values, axis.take, axis=number)


def _any_channel(finite: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Reduce the last, short axis; ten times faster than ``any`` along it."""
    found = finite[..., 0].copy()
    for channel in range(1, finite.shape[-1]):
        found |= finite[..., channel]
    return found


def _spread(values: npt.NDArray[np.bool_], ratio: int) -> npt.NDArray[np.bool_]:
    return values if ratio == 1 else values.repeat(ratio, 0).repeat(ratio, 1)


def _crop(values: npt.NDArray[Any], region: Window, part: Window) -> npt.NDArray[Any]:
    """Return the view of ``part`` in an array that covers ``region``."""
    row, column = part.row - region.row, part.column - region.column
    return values[row : row + part.rows, column : column + part.columns]


def _common(a: Window, b: Window) -> Window | None:
    """Return what two windows share."""
    row, column = max(a.row, b.row), max(a.column, b.column)
    rows = min(a.row + a.rows, b.row + b.rows) - row
    columns = min(a.column + a.columns, b.column + b.columns) - column
    return Window(row, column, rows, columns) if rows > 0 and columns > 0 else None
