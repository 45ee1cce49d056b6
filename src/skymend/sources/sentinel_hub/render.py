"""Rendering on a grid by the Process API: requests below its size limit, checked one by one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ProductError
from skymend.core.files import store_errors
from skymend.core.grid import Grid, Window
from skymend.sources.protocol import Period, timestamp
from skymend.sources.sentinel_hub.access import Hub
from skymend.sources.sentinel_hub.offer import Band, Offer

if TYPE_CHECKING:
    from sentinelhub.download import DownloadRequest

LARGEST = 2500
"""Pixels along a side of one request (Process API, limits)."""

_AROUND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Script:
    """An evalscript of ``sources/evalscripts``, or of the user's own.

    Parameters
    ----------
    text : JavaScript, version 3, which declares ``BANDS``, ``UNITS`` and ``SAMPLE_TYPE``.
    """

    text: str

    @classmethod
    def named(cls, name: str) -> Script:
        """Read one that comes with skymend: ``bands`` or ``pansharpened``."""
        path = files("skymend.sources.evalscripts") / f"{name}.js"
        return cls(path.read_text(encoding="utf-8"))

    def filled(self, bands: Mapping[str, Band]) -> str:
        """Return the script for bands of one type.

        Raises
        ------
        ProductError
            if the script lacks one of the three declarations.
        """
        first = next(iter(bands.values()))
        values = {
            "BANDS": list(bands),
            "UNITS": [b.units for b in bands.values()],
            "SAMPLE_TYPE": first.sample_type,
        }
        text = self.text
        for name, value in values.items():
            form = re.compile(rf"^const {name} = .*;$", re.MULTILINE)
            if not form.search(text):
                raise ProductError(
                    where="evalscript",
                    expected=f"a line 'const {name} = ...;'",
                    found="none",
                    fix="declare it as bands.js does; skymend fills it in",
                )
            line = f"const {name} = {json.dumps(value)};"
            before, after = form.split(text, maxsplit=1)
            text = f"{before}{line}{after}"
        return text


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders one collection at one time.

    Parameters
    ----------
    hub : the deployment.
    offer : the collection.
    period : from when to when images may be; of several the most recent covers the others.
    script : what is computed of the bands.
    work : folder for finished tiles, so that a later run goes on; None keeps none.
    """

    hub: Hub
    offer: Offer
    period: Period
    script: Script
    work: Path | None = None

    def tiles(
        self, names: Sequence[str], grid: Grid
    ) -> Iterator[tuple[Window, npt.NDArray[Any], npt.NDArray[np.bool_]]]:
        """Yield windows of the grid with stored numbers and validity.

        Parameters
        ----------
        names : bands of one type.

        Yields
        ------
        (bands, rows, columns) of the bands' type, and (rows, columns) True where valid.
        """
        bands = self.offer.chosen(names)
        for window in grid.blocks(LARGEST):
            stored = self._tile(bands, grid.crop(window))
            yield window, stored[:-1], stored[-1] > 0

    def _tile(self, bands: Mapping[str, Band], grid: Grid) -> npt.NDArray[Any]:
        request = self._request(bands, grid)
        path = self._path(request)
        if path is not None and path.is_file():
            with suppress(ProductError):  # a power cut may have damaged it: ask again
                return _decoded(path.read_bytes(), len(bands) + 1, grid, self.hub.where)
        body = self.hub.download(request)
        stored = _decoded(body, len(bands) + 1, grid, self.hub.where)
        if path is not None:
            _keep(path, body)
        return stored

    def _request(self, bands: Mapping[str, Band], grid: Grid) -> DownloadRequest:
        from sentinelhub import CRS, BBox, MimeType, SentinelHubRequest

        rows, columns = grid.shape
        start, end = (timestamp(t) for t in self.period)
        data: dict[str, Any] = {
            "type": self.offer.type,
            "dataFilter": {"timeRange": {"from": start, "to": end}},
        }
        if self.offer.processing:
            data["processing"] = dict(self.offer.processing)
        request = SentinelHubRequest(
            evalscript=self.script.filled(bands),
            input_data=[data],
            responses=[SentinelHubRequest.output_response("default", MimeType.TIFF)],
            bbox=BBox(grid.bounds, CRS(grid.crs.removeprefix("EPSG:"))),
            size=(columns, rows),
            config=self.hub.config(),
        )
        (download,) = request.download_list
        return download

    def _path(self, request: DownloadRequest) -> Path | None:
        if self.work is None:
            return None
        asked = json.dumps([request.url, request.post_values], sort_keys=True)
        return self.work / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.tif"


def around(moment: Any) -> Period:
    """Return the period that holds one acquisition: the API counts in seconds."""
    return (moment - _AROUND, moment + _AROUND)


def _decoded(body: bytes, count: int, grid: Grid, where: str) -> npt.NDArray[Any]:
    """Return the bands of a TIFF, refused unless it is what was asked for."""
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(body) as memory, memory.open(driver="GTiff") as dataset:
            stored: npt.NDArray[Any] = dataset.read()
    except (RasterioError, OSError) as error:
        raise _strange(where, f"{body[:40]!r}") from error
    if stored.shape != (count, *grid.shape):
        raise _strange(where, f"{stored.shape} instead of {(count, *grid.shape)}")
    return stored


def _strange(where: str, found: str) -> ProductError:
    return ProductError(
        where=where,
        expected="a TIFF of the bands, rows and columns asked for",
        found=found,
        fix="try again; if it stays so, report it",
    )


def _keep(path: Path, body: bytes) -> None:
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(body)
        part.replace(path)
