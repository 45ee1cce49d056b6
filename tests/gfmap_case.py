"""Recorded answers of the former CDSE OpenSearch service as STAC items."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pystac

from skymend.sources.naming import facts_of_name

NAMES = ("3c893698", "af8e6cd2", "e211bebd", "f99c6557")


def load(folder: Path, name: str, *, kind: str = "IW_GRDH_1S") -> list[pystac.Item]:
    """Return the items of one answer whose product type starts with ``kind``."""
    path = folder / "openeo-gfmap-s1-s2" / f"{name}_query_cdse_results.json"
    features = json.loads(path.read_text())["features"]
    return [_item(f) for f in features if f["properties"]["productType"].startswith(kind)]


def _item(feature):
    own = feature["properties"]
    title = own["title"].removesuffix(".SAFE")
    properties = {
        **facts_of_name(title),
        "title": title,
        "start_datetime": own["startDate"],
        "end_datetime": own["completionDate"],
        "sat:relative_orbit": own["relativeOrbitNumber"],
        "sat:orbit_state": own["orbitDirection"].lower(),
    }
    return pystac.Item(
        id=feature["id"],
        geometry=feature["geometry"],
        bbox=None,
        datetime=datetime.fromisoformat(own["startDate"]),
        properties=properties,
        collection="sentinel-1-grd",
    )


class Recorded:
    """A source that answers from recorded items."""

    name = "recorded"

    def __init__(self, items: list[pystac.Item]) -> None:
        self.items = items

    def search(self, collection, area, period, filters):
        """Return the items of the period, as a provider would."""
        start, end = period
        return pystac.ItemCollection([i for i in self.items if start <= i.datetime <= end])


def main() -> None:
    """Pair recorded radar with optical dates made up beside it; print and draw."""
    import sys
    from datetime import timedelta

    import shapely
    from shapely.geometry import mapping, shape

    from skymend.report.footprints import draw_footprints
    from skymend.sources.area import Area
    from skymend.sources.finding import Wish, find
    from skymend.sources.pairing import PairingRules

    data, picture = Path(sys.argv[1]), Path(sys.argv[2])
    items = load(data, "f99c6557")
    middle = shapely.union_all([shape(i.geometry) for i in items]).centroid
    area = Area.of_shape(shapely.box(*middle.buffer(0.3).bounds))
    optical = []
    for day, cloud, west in ((12, 3, -1.2), (12.01, 3, -0.2), (17, 60, -1.2)):
        moment = items[0].datetime.replace(hour=10) + timedelta(days=day)
        bounds = (middle.x + west, middle.y - 0.6, middle.x + west + 1.45, middle.y + 0.6)
        properties = {"platform": "sentinel-2a", "sat:relative_orbit": 51, "eo:cloud_cover": cloud}
        name = f"made-up-{moment:%Y%m%d}-{'west' if west < -1 else 'east'}"
        optical.append(
            pystac.Item(
                name,
                mapping(shapely.box(*bounds)),
                None,
                moment,
                properties,
                collection="sentinel-2-l2a",
            )
        )
    first = items[0].datetime
    found = find(
        Recorded(optical),
        Wish("sentinel-2-l2a", area, ((first, first + timedelta(days=20)),), best="clearest"),
        radar=Recorded(items),
        rules=PairingRules(window_days=8),
    )
    print(found.table.text(170))
    draw_footprints(found, picture)


if __name__ == "__main__":
    main()
