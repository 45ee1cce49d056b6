"""Folders of SRTM tiles (``N45E006.hgt``), as USGS and others distribute them.

Endpoint ``srtm``: the folder. A tile is 3601 x 3601 (one arc second) or 1201 x 1201 (three)
big-endian 16-bit heights in metres above the EGM96 geoid, -32768 where there is none, row 0 in
the north (SRTM Collection User Guide, section 2.1.4). Fetching writes it as a GeoTIFF.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ConfigError, ProductError
from skymend.sources import naming
from skymend.sources.degree_tiles import Cell, cells_of, write_heights
from skymend.sources.fetching import write_item
from skymend.sources.protocol import Filters, Finding, Period, Settings, require_collection

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt

_POSTINGS = {3601 * 3601 * 2: 3601, 1201 * 1201 * 2: 1201}
_VOID = -32768


class Srtm:
    """SRTM heights that lie on this machine."""

    name = "srtm"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collections(self) -> tuple[str, ...]:
        """Name the collection."""
        return ("srtm",)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Return the tiles of the area that the folder holds; the period plays no part."""
        require_collection(self.name, collection, self.collections())
        return naming.collect(self._items(area), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Write the tile as GeoTIFF, NaN where it has no height.

        Raises
        ------
        ProductError
            if the file is not of the size of an SRTM tile.
        """
        source = Path(item.assets["data"].href)
        heights = read_hgt(source)
        west, south, _, _ = item.bbox
        step = 1 / (heights.shape[0] - 1)
        transform = (step, 0.0, west - step / 2, 0.0, -step, south + 1 + step / 2)
        receipt = write_heights(destination / f"{item.id}.tif", heights, transform)
        write_item(item, {"data": receipt.path}, destination)
        return (receipt,)

    def check(self) -> tuple[Finding, ...]:
        """Say how many tiles the folder holds."""
        try:
            count = len(self._tiles())
        except ConfigError as error:
            return (Finding(self.name, False, str(error)),)
        return (Finding(self.name, count > 0, f"the folder holds {count} SRTM tiles"),)

    def _items(self, area: Area | None) -> Iterator[pystac.Item]:
        tiles = self._tiles()
        for cell in cells_of(area, self.name):
            name = f"{cell.latitude}{cell.longitude}"
            if name in tiles:
                yield _item(cell, name, tiles[name])

    def _tiles(self) -> dict[str, Path]:
        """Return the tiles by name; ``N45E006.SRTMGL1.hgt`` is one too."""
        text = self.settings.endpoints.get(self.name, "")
        folder = Path(text)
        if not text or not folder.is_dir():
            raise ConfigError(
                where=f"endpoint {self.name!r}",
                expected="a folder of SRTM tiles (.hgt)",
                found=text or "no folder",
                fix="set the endpoint 'srtm' of the source to the folder",
            )
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() == ".hgt")
        return {p.name.split(".")[0].upper(): p for p in reversed(files)}


def read_hgt(path: Path) -> npt.NDArray[np.float32]:
    """Read a tile.

    Returns
    -------
    (rows, columns) float32 in metres, NaN where there is no height; row 0 in the north.
    """
    size = path.stat().st_size
    if size not in _POSTINGS:
        raise ProductError(
            where=path,
            expected=f"an SRTM tile of {' or '.join(map(str, _POSTINGS))} bytes",
            found=f"{size} bytes",
            fix="unpack or fetch the tile again",
        )
    posts = _POSTINGS[size]
    raw = np.fromfile(path, ">i2").reshape(posts, posts)
    return np.where(raw == _VOID, np.nan, raw).astype(np.float32)


def _item(cell: Cell, name: str, path: Path) -> pystac.Item:
    asset: dict[str, Any] = {"href": str(path), "roles": ["data"], "file:size": path.stat().st_size}
    properties = {"platform": "sts-99", "skymend:vertical_datum": "EGM96"}
    feature = cell.feature(name, properties, asset)
    return naming.harmonise(feature, "srtm", Srtm.name, where=str(path))
