"""Copernicus DEM GLO-30: the public bucket of cloud-optimised tiles.

Endpoint ``cop-dem-30.s3``: the S3 service (bucket ``copernicus-dem-30m``, open). Heights are in
metres above the EGM2008 geoid. Where the bucket has no tile there is sea, at 0 m: such cells give
items too, marked, and their fetch writes a tile of zeros on the lattice of the product. Tiles of
Armenia and Azerbaijan have been kept back from the public edition; a missing tile there is
refused, not taken for sea.

The licence asks that :data:`NOTICE` stands with the data and :data:`DERIVED_NOTICE` with all that
is made of them; every item carries both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skymend.core.errors import ConfigError, SkymendError
from skymend.sources import aws, naming
from skymend.sources.degree_tiles import Cell, cells_of, write_heights
from skymend.sources.fetching import Door, multihash, remote_of, write_item
from skymend.sources.protocol import Filters, Finding, Period, Settings, require_collection

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt

COLLECTION = "cop-dem-glo-30"
BUCKET = "copernicus-dem-30m"
REGION = "eu-central-1"
NOTICE = (
    "© DLR e.V. 2010-2014 and © Airbus Defence and Space GmbH 2014-2018 provided under COPERNICUS"
    " by the European Union and ESA; all rights reserved."
)
DERIVED_NOTICE = (
    "produced using Copernicus WorldDEM-30 © DLR e.V. 2010-2014 and © Airbus Defence and Space"
    " GmbH 2014-2018 provided under COPERNICUS by the European Union and ESA; all rights reserved."
)
NOTICES = {"skymend:notice": NOTICE, "skymend:derived_notice": DERIVED_NOTICE}
"""Properties of every item of this DEM, whoever serves it."""

SEA = "skymend:sea"
"""Property that marks a cell without tile."""

_ROWS = 3600
_KEPT_BACK = (38, 41, 43, 50)
"""South-west corners (south from-to, west from-to) among which tiles were not published."""


class CopDem:
    """Tiles of the Copernicus DEM with 30 m posting."""

    name = "cop-dem-30"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collections(self) -> tuple[str, ...]:
        """Name the collection."""
        return (COLLECTION,)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Return one item for each degree cell of the area; the period plays no part."""
        require_collection(self.name, collection, self.collections())
        return naming.collect(self._items(area), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch a tile, or write the zeros of a cell at sea; the item with its notices beside."""
        if item.properties.get(SEA):
            receipts: tuple[Receipt, ...] = (_write_sea(item, destination),)
        else:
            signer = aws.S3Signer(self.settings, self.name, region=REGION, unsigned=True)
            door = Door(self.name, self.settings, signer, None, progress)
            receipts = door.bring([remote_of(item, "data", self.name)], destination)
        write_item(item, {"data": receipts[0].path}, destination)
        return receipts

    def check(self) -> tuple[Finding, ...]:
        """Ask for one tile that must be there."""
        try:
            found = aws.head(self._client(), _url(Cell(45, 6)))
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        if found is None:
            return (Finding(self.name, False, f"the bucket {BUCKET} lacks its tile N45 E006"),)
        return (Finding(self.name, True, f"the bucket {BUCKET} answers"),)

    def _items(self, area: Area | None) -> Iterator[pystac.Item]:
        cells = cells_of(area, self.name)
        s3 = self._client()
        for cell in cells:
            yield _item(cell, aws.head(s3, _url(cell)))

    def _client(self) -> Any:
        return aws.client(self.settings, self.name, region=REGION, unsigned=True)


def tile_name(cell: Cell) -> str:
    """Return the product's name of a tile (Copernicus DEM Product Handbook, section 4)."""
    return f"Copernicus_DSM_COG_10_{cell.latitude}_00_{cell.longitude}_00_DEM"


def _url(cell: Cell) -> str:
    name = tile_name(cell)
    return f"s3://{BUCKET}/{name}/{name}.tif"


def _item(cell: Cell, found: aws.Object | None) -> pystac.Item:
    south_from, south_to, west_from, west_to = _KEPT_BACK
    doubtful = south_from <= cell.south <= south_to and west_from <= cell.west <= west_to
    if found is None and doubtful:
        raise ConfigError(
            where=f"cop-dem-30: {tile_name(cell)}",
            expected="a tile, or open sea",
            found="none, in a region whose tiles are not public",
            fix="use another DEM there, such as srtm, or a folder of your own",
        )
    properties: dict[str, Any] = {
        "platform": "tandem-x",
        "license": "proprietary",
        **NOTICES,
        "skymend:vertical_datum": "EGM2008",
        "gsd": 30,
    }
    asset: dict[str, Any] = {}
    if found is None:
        properties[SEA] = True
        properties["description"] = "no tile in the public bucket: sea level, 0 m"
    else:
        asset = {"href": found.url, "type": "image/tiff", "roles": ["data"]}
        asset["file:size"] = found.size
        if found.digests:
            asset["file:checksum"] = multihash(found.digests[0])
    feature = cell.feature(tile_name(cell), properties, asset)
    return naming.harmonise(feature, COLLECTION, CopDem.name, where=_url(cell))


def _write_sea(item: pystac.Item, destination: Path) -> Receipt:
    """Write zeros on the lattice of the product: pixel centres lie on whole degrees.

    Columns are fewer towards the poles (Product Handbook, table of longitude spacing).
    """
    west, south, _, _ = item.bbox
    cell = Cell(round(south), round(west))
    columns = _ROWS * 2 // _twice_spacing(cell)
    width, height = 1 / columns, 1 / _ROWS
    transform = (width, 0.0, cell.west - width / 2, 0.0, -height, cell.south + 1 + height / 2)
    zeros = np.zeros((_ROWS, columns), np.float32)
    return write_heights(destination / f"{item.id}.tif", zeros, transform)


def _twice_spacing(cell: Cell) -> int:
    """Return twice the longitude spacing in units of that at the equator."""
    nearest = cell.south if cell.south >= 0 else -cell.south - 1
    steps = ((85, 20), (80, 10), (70, 6), (60, 4), (50, 3), (0, 2))
    return next(twice for latitude, twice in steps if nearest >= latitude)
