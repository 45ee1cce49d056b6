"""EOPatch folders as eo-learn lays them out: NumPy arrays, JSON, and nothing pickled."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ConfigError
from skymend.core.files import store_errors, write_json
from skymend.core.grid import Grid


def write_patch(
    folder: Path,
    grid: Grid,
    times: Sequence[datetime],
    data: Mapping[str, npt.NDArray[Any]],
    masks: Mapping[str, npt.NDArray[Any]],
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write an EOPatch; it appears complete or not at all.

    Parameters
    ----------
    folder : the patch; one that is there is replaced.
    times : sensing times.
    data, masks : (times, rows, columns, bands) by name of feature.
    facts : what ``meta_info`` holds, by name.

    Raises
    ------
    ConfigError
        if an array does not fit times and grid, or a name is no plain word.
    """
    part = folder.with_name(f".{folder.name}.part")
    with store_errors(folder):
        shutil.rmtree(part, ignore_errors=True)
        for kind, features in (("data", data), ("mask", masks)):
            (part / kind).mkdir(parents=True)
            for name, values in features.items():
                _check(name, values, (len(times), *grid.shape))
                np.save(part / kind / f"{name}.npy", values, allow_pickle=False)
        write_json(part / "bbox.geojson", _box(grid))
        write_json(part / "timestamps.json", [_naive(t) for t in times])
        for name, value in (facts or {}).items():
            write_json(part / "meta_info" / f"{name}.json", value)
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    return folder


def _box(grid: Grid) -> dict[str, Any]:
    left, bottom, right, top = grid.bounds
    ring = [[left, bottom], [left, top], [right, top], [right, bottom], [left, bottom]]
    name = f"urn:ogc:def:crs:{grid.crs.replace(':', '::')}"
    crs = {"type": "name", "properties": {"name": name}}
    return {"crs": crs, "type": "Polygon", "coordinates": [ring]}


def _naive(moment: datetime) -> str:
    """Write a time in UTC without a zone, whole seconds, as eo-learn does."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def _check(name: str, values: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if re.fullmatch(r"[\w-]+", name) and values.ndim == 4 and values.shape[:3] == shape:
        return
    raise ConfigError(
        where=f"feature {name!r} of an EOPatch",
        expected=f"a plain name and an array of {shape} and bands",
        found=f"{values.shape}",
        fix="give times, rows, columns and bands in this order",
    )
