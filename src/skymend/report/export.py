"""One reconstructed date, or a window of it, as GeoTIFF or NetCDF; a whole store as xarray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skymend.core import cog, raster
from skymend.core.encoding import REFLECTANCE
from skymend.core.errors import ConfigError, StoreError
from skymend.core.files import store_errors
from skymend.core.grid import Grid
from skymend.core.record import Record
from skymend.core.store import Store
from skymend.core.store import open_store as open_any_store

if TYPE_CHECKING:
    import xarray

STEP = "reconstruct"


def open_store(store: Path | str, *, tile: str | None = None) -> xarray.Dataset:
    """Open the reconstructed series of a store.

    Parameters
    ----------
    store : its folder or ``s3://`` prefix.
    tile : which tile, if there are several.

    Returns
    -------
    Dataset with ``reflectance`` and ``uncertainty`` (time, band, y, x) float32, 0..1, NaN
    where invalid, and ``qa`` (time, y, x) uint8; times in UTC without zone.

    Raises
    ------
    StoreError
        if nothing was reconstructed there.
    """
    import xarray

    opened = open_any_store(store)
    series = sorted(_records(opened, tile), key=lambda r: r.tags["datetime"])
    if not series:
        raise _nothing(opened)
    return xarray.concat([_dataset(opened, record) for record in series], dim="time")


def export_date(
    store: Path | str,
    date: str,
    output: Path,
    *,
    tile: str | None = None,
    bounds: str | None = None,
) -> str:
    """Write one date of a store to a new file.

    Parameters
    ----------
    store : its folder or ``s3://`` prefix.
    date : ``YYYYMMDD``.
    output : ``.tif`` (reflectance only) or ``.nc`` (with QA and uncertainty).
    tile : which tile, if there are several.
    bounds : ``left,bottom,right,top`` in metres in the CRS of the tile.
    """
    opened = open_any_store(store)
    record = _record(opened, date, tile)
    path = opened.bring(record)["reflectance"]
    info = raster.describe(path)
    grid = info.grid if bounds is None else info.grid.clip(_bounds(bounds))
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".tif":
        cog.write_cog(output, raster.read_on(path, grid), grid, info.bands, REFLECTANCE)
    elif output.suffix == ".nc":
        _write_netcdf(_dataset(opened, record, grid), output)
    else:
        raise ConfigError(
            where=output, expected="a name that ends in .tif or .nc", found=output.suffix or "none",
            fix="choose one",
        )  # fmt: skip
    return f"{output}: {date}, {grid.shape[0]} x {grid.shape[1]} pixels, {', '.join(info.bands)}"


def _records(store: Store, tile: str | None) -> Iterator[Record]:
    for record in store.records():
        if record.step == STEP and record.status == "done" and tile in {None, record.tags["tile"]}:
            yield record


def _record(store: Store, date: str, tile: str | None) -> Record:
    found = [r for r in _records(store, tile) if r.tags["date"] == date]
    if not found:
        raise _nothing(store, date, sorted({r.tags["date"] for r in _records(store, tile)}))
    tiles = sorted({r.tags["tile"] for r in found})
    if len(tiles) > 1:
        raise ConfigError(
            where="--tile", expected=f"one of {', '.join(tiles)}", found="none", fix="choose one"
        )
    return max(found, key=lambda r: (r.started, r.key))


def _nothing(store: Store, date: str = "a date", dates: Sequence[str] = ()) -> StoreError:
    return StoreError(
        where=store.uri,
        expected=f"a reconstruction of {date}",
        found=", ".join(dates) or "none",
        fix="choose one of these dates"
        if dates
        else "run a region with an output `reconstruct` into this store",
    )


def _bounds(text: str) -> tuple[float, float, float, float]:
    try:
        left, bottom, right, top = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            where="--bounds",
            expected="left,bottom,right,top in metres",
            found=repr(text),
            fix="give four numbers",
        ) from error
    return left, bottom, right, top


def _dataset(store: Store, record: Record, grid: Grid | None = None) -> xarray.Dataset:
    import pandas
    import xarray

    paths = store.bring(record)
    info = raster.describe(paths["reflectance"])
    grid = grid or info.grid
    window = grid.window_in(info.grid)
    rows, columns = grid.shape
    size, left, top = grid.resolution, grid.transform[2], grid.transform[5]
    time = pandas.Timestamp(record.tags["datetime"]).tz_convert(None)
    coordinates: dict[str, Any] = {
        "time": [time],
        "band": list(info.bands),
        "y": top - size * (np.arange(rows) + 0.5),
        "x": left + size * (np.arange(columns) + 0.5),
    }
    axes = ("time", "band", "y", "x")
    return xarray.Dataset(
        {
            "reflectance": (axes, raster.read_on(paths["reflectance"], grid)[None]),
            "uncertainty": (axes, raster.read_on(paths["uncertainty"], grid)[None]),
            "qa": (("time", "y", "x"), raster.read_labels(paths["qa"], window=window)[None]),
        },
        coords=coordinates,
        attrs={"crs": grid.crs, "tile": record.tags["tile"]},
    )


def _write_netcdf(dataset: xarray.Dataset, output: Path) -> None:
    part = output.with_name(f".{output.name}.part")
    with store_errors(output):
        dataset.to_netcdf(part, engine="scipy")
        part.replace(output)
