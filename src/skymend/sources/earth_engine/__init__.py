"""Google Earth Engine: search, tiles by computePixels, and yearly extremes of bands.

Endpoint ``earth-engine`` (the high-volume service by default). A ``project`` is mandatory: since
April 2026 free projects have a monthly allowance of compute. The login is a ``key_file`` of a
service account, or what ``earthengine authenticate`` left. An item found with an area brings the
part of it that the area's box covers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.cog import CogWriter
from skymend.core.encoding import Encoding
from skymend.core.errors import ProductError, SkymendError
from skymend.core.grid import Grid
from skymend.sources import naming
from skymend.sources.answers import malformed
from skymend.sources.earth_engine import tiling
from skymend.sources.earth_engine.engine import LIMITS, NAME, Engine
from skymend.sources.earth_engine.offer import OFFERS, PUBLIC, item, plain_name
from skymend.sources.fetching import choose, write_item
from skymend.sources.outlines import places, touching
from skymend.sources.places import folder_of, grid_of_asset, part_of
from skymend.sources.protocol import (
    Filters,
    Finding,
    Period,
    Settings,
    require_collection,
    timestamp,
)
from skymend.sources.sessions import need
from skymend.sources.transfer import Receipt, silent
from skymend.sources.transfer.progress import Meter

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress

PAGE = 500


@dataclass(frozen=True, slots=True)
class Extremes:
    """Smallest and largest value of a band over a year, in stored numbers.

    None where no valid pixel was seen.
    """

    band: str
    smallest: float | None
    largest: float | None


class EarthEngine:
    """Images of Earth Engine's public catalogue."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        need(self.name, "ee")
        self.settings = settings
        self._engine = Engine(settings)

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return tuple(OFFERS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find images (see :class:`skymend.sources.protocol.Source`)."""
        require_collection(self.name, collection, self.collections())
        found = (
            item(image, collection, self.name, self._engine.url)
            for place in places(area)
            for image in self._images(collection, place, period)
        )
        near = touching(found, area)
        own = near if area is None else (part_of(i, area) for i in near)
        return naming.collect(own, filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Compute bands of an image into COGs below ``destination/<item>``, beside the item.

        Each band stays on its own grid; tiles keep below 48 MB.

        Raises
        ------
        ProductError
            if what comes is no image of the size asked for.
        """
        folder = destination / folder_of(item)
        receipts, paths = [], {}
        for key in choose(item, assets):
            path = folder / f"{key}.tif"
            receipts.append(self._band(item, key, path, progress or silent))
            paths[key] = path
        write_item(item, paths, folder)
        return tuple(receipts)

    def extremes(
        self, collection: str, area: Area, year: int, bands: Sequence[str], scale_m: float
    ) -> tuple[Extremes, ...]:
        """Return the least and greatest number of each band over an area and a year.

        Parameters
        ----------
        bands : skymend's names, such as ``B04``.
        scale_m : pixel size at which images are looked at.

        Raises
        ------
        AnswerError
            if the answer lacks a band.
        """
        require_collection(self.name, collection, self.collections())
        with self._engine.calls() as ee:
            region = ee.Geometry(area.geojson(), None, False)
            theirs = [_their_name(b) for b in bands]
            images = (
                ee.ImageCollection(OFFERS[collection].id)
                .filterBounds(region)
                .filterDate(f"{year}-01-01", f"{year + 1}-01-01")
                .select(theirs)
            )
            reduced = images.reduce(ee.Reducer.minMax()).reduceRegion(
                reducer=ee.Reducer.minMax(),
                geometry=region,
                scale=scale_m,
                maxPixels=10**13,
                tileScale=4,
            )
            answer = reduced.getInfo()
        return tuple(
            Extremes(
                band,
                self._number(answer, f"{own}_min_min"),
                self._number(answer, f"{own}_max_max"),
            )
            for band, own in zip(bands, theirs, strict=True)
        )

    def check(self) -> tuple[Finding, ...]:
        """Log in and list one image."""
        try:
            with self._engine.calls() as ee:
                parent = f"{PUBLIC}/{OFFERS['sentinel-2-l2a'].id}"
                ee.data.listImages({"parent": parent, "pageSize": 1})
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        return (Finding(self.name, True, f"{self._engine.url} answers for the project"),)

    def _images(
        self, collection: str, place: str | None, period: Period | None
    ) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"parent": f"{PUBLIC}/{OFFERS[collection].id}", "pageSize": PAGE}
        if place is not None:
            asked["region"] = place
        if period is not None:
            asked["startTime"], asked["endTime"] = map(timestamp, period)
        seen: set[str] = set()
        while True:
            with self._engine.calls() as ee:
                page = ee.data.listImages(asked)
            images = page.get("images")
            if not isinstance(images, list):
                raise malformed(self._engine.url, "a list in field 'images'", repr(images)[:60])
            yield from images
            token = page.get("nextPageToken")
            if not token:
                return
            if token in seen:
                raise malformed(self._engine.url, "a new 'nextPageToken'", "the same again")
            seen.add(token)
            asked["pageToken"] = token

    def _band(self, item: pystac.Item, key: str, path: Path, progress: Progress) -> Receipt:
        began = time.monotonic()
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            grid = grid_of_asset(item, key)
            facts = item.assets[key].extra_fields["raster:bands"][0]
            nodata = float(facts["nodata"])
            encoding = Encoding(key, facts["data_type"], 1.0, nodata, "1")
            done, meter = 0, Meter(path.name)
            with CogWriter(path, grid, [key], encoding) as writer:
                writer.work.unlink(missing_ok=True)
                size = np.dtype(encoding.dtype).itemsize
                for window in tiling.windows(grid, 2 * size, 2):
                    stored = self._pixels(item, key, grid.crop(window), encoding)
                    writer.write_stored(stored, window)
                    done += window.rows * window.columns * size
                    total = grid.shape[0] * grid.shape[1] * size
                    progress(meter.moment(done, total))
        return Receipt(path, path.stat().st_size, "size", 0, 0, time.monotonic() - began)

    def _pixels(
        self, item: pystac.Item, key: str, grid: Grid, encoding: Encoding
    ) -> npt.NDArray[Any]:
        """Return (1, rows, columns) of a window: the band, its mask turned into nodata."""
        own = str(item.assets[key].extra_fields["earth-engine:band"])
        a, b, c, d, e, f = grid.transform
        with self._engine.calls() as ee:
            band = ee.Image(str(item.properties["earth-engine:id"])).select([own])
            numbers = _cast(band.unmask(0), encoding.dtype)
            both = numbers.addBands(_cast(band.mask().gt(0), encoding.dtype).rename("valid"))
            crs = {"crsCode": grid.crs} if grid.crs.startswith("EPSG:") else _wkt(grid.crs)
            rows, columns = grid.shape
            body = ee.data.computePixels(
                {
                    "expression": both,
                    "fileFormat": "GEO_TIFF",
                    "grid": {
                        **crs,
                        "dimensions": {"width": columns, "height": rows},
                        "affineTransform": {
                            "scaleX": a,
                            "shearX": b,
                            "translateX": c,
                            "shearY": d,
                            "scaleY": e,
                            "translateY": f,
                        },
                    },
                }
            )
        return _decoded(body, grid, encoding, self._engine.url)

    def _number(self, answer: Any, name: str) -> float | None:
        if not isinstance(answer, dict) or name not in answer:
            raise malformed(self._engine.url, f"a number in field {name!r}", "no such field")
        value = answer[name]
        if value is not None and not isinstance(value, (int, float)):
            raise malformed(self._engine.url, f"a number in field {name!r}", repr(value)[:60])
        return None if value is None else float(value)


def _their_name(band: str) -> str:
    """Return Earth Engine's ``B4`` for ``B04``."""
    short = f"B{band[2:]}"
    return short if band.startswith("B0") and plain_name(short) == band else band


def _cast(image: Any, dtype: str) -> Any:
    casts: Mapping[str, str] = {
        "uint8": "toUint8",
        "uint16": "toUint16",
        "int16": "toInt16",
        "uint32": "toUint32",
        "int32": "toInt32",
        "float32": "toFloat",
    }
    return getattr(image, casts[dtype])()


def _wkt(crs: str) -> dict[str, str]:
    from pyproj import CRS

    return {"crsWkt": CRS.from_user_input(crs).to_wkt("WKT1_GDAL")}


def _decoded(body: Any, grid: Grid, encoding: Encoding, where: str) -> npt.NDArray[Any]:
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(bytes(body)) as memory, memory.open(driver="GTiff") as dataset:
            values, valid = dataset.read()
    except (RasterioError, OSError, ValueError, TypeError) as error:
        raise _strange(where, repr(body)[:60]) from error
    if values.shape != grid.shape:
        raise _strange(where, f"{values.shape} pixels")
    stored: npt.NDArray[Any] = values.astype(encoding.dtype)
    stored[valid == 0] = encoding.nodata
    return stored[None]


def _strange(where: str, found: str) -> ProductError:
    return ProductError(
        where=f"{NAME}: {where}",
        expected="a GeoTIFF of band and mask, of the rows and columns asked for",
        found=found,
        fix="try again; if it stays so, report it",
    )


__all__ = ["LIMITS", "EarthEngine", "Extremes"]
