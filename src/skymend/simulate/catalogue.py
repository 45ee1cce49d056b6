"""The same series as a STAC catalogue of COGs on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.grid import Grid
from skymend.simulate.geotiff import write_band
from skymend.simulate.optical import CLOUD, NODATA, WATERS, Image
from skymend.simulate.radar import POLARISATIONS
from skymend.simulate.scenario import BANDS_20M, Pass, Scenario

S1, S2 = "sentinel-1-grd", "sentinel-2-l2a"
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(slots=True)
class Catalogue:
    """Writes items one by one and, at the end, their collections and the catalogue."""

    folder: Path
    scenario: Scenario
    _items: dict[str, list[str]] = field(default_factory=lambda: {S1: [], S2: []})

    def add_optical(self, day: date, image: Image) -> None:
        """Write one Sentinel-2 item: bands as uint16 x 1e-4 with nodata 0, and SCL."""
        name = f"S2_{self.scenario.tile}_{day:%Y%m%d}"
        assets = {}
        for index, band in enumerate(self.scenario.bands):
            step = 2 if band in BANDS_20M else 1
            numbers = _unsigned(image.reflectance[index, ::step, ::step])
            bands = {"scale": 1e-4, "offset": 0.0, "nodata": 0, "data_type": "uint16"}
            assets[band] = self._asset(S2, name, band, numbers, 0, bands)
        scl = scene_classes(image, self.scenario.bands)
        assets["SCL"] = self._asset(S2, name, "SCL", scl, 0, None, ["data", "cloud"])
        seen = image.labels != NODATA
        cloud = 100 * float((image.labels == CLOUD).sum() / max(int(seen.sum()), 1))
        properties = {"eo:cloud_cover": round(cloud, 2)}
        platform = f"sentinel-2{self.scenario.platform(day)[-1].lower()}"
        self._item(S2, name, self.scenario.optical_time(day), platform, properties, assets)

    def add_radar(self, acquisition: Pass, image: FloatArray) -> None:
        """Write one Sentinel-1 item: VV and VH as linear sigma nought, NaN outside."""
        orbit = acquisition.orbit
        name = f"S1_{self.scenario.tile}_{acquisition.day:%Y%m%d}_{orbit.relative_orbit:03d}"
        bands = {"unit": "sigma0 linear", "nodata": "nan", "data_type": "float32"}
        assets = {
            p.lower(): self._asset(S1, name, p.lower(), values, float("nan"), bands)
            for p, values in zip(POLARISATIONS, image, strict=True)
        }
        properties = {
            "sar:instrument_mode": "IW",
            "sar:product_type": "GRD",
            "sar:polarizations": list(POLARISATIONS),
            "sat:orbit_state": {"ASC": "ascending", "DES": "descending"}[orbit.direction],
            "sat:relative_orbit": orbit.relative_orbit,
        }
        self._item(S1, name, acquisition.time, "sentinel-1a", properties, assets)

    def finish(self) -> None:
        """Write collections and catalogue."""
        children = [c for c in (S1, S2) if self._items[c]]
        for collection in children:
            document = self._collection(collection)
            _write_json(self.folder / collection / "collection.json", document)
        links = [_link("root", "./catalog.json")]
        links += [_link("child", f"./{c}/collection.json") for c in children]
        document = {
            "type": "Catalog",
            "id": f"simulated-{self.scenario.tile}-{self.scenario.seed}",
            "stac_version": "1.1.0",
            "description": "Simulated Sentinel-1 (sigma0) and Sentinel-2 L2A series, 10 m UTM.",
            "links": links,
        }
        _write_json(self.folder / "catalog.json", document)

    def _asset(
        self,
        collection: str,
        name: str,
        key: str,
        values: npt.NDArray[Any],
        nodata: float,
        bands: dict[str, Any] | None,
        roles: list[str] | None = None,
    ) -> dict[str, Any]:
        path = self.folder / collection / name / f"{name}_{key}.tif"
        write_band(path, values, self._grid(values), nodata=nodata, cog=True)
        asset: dict[str, Any] = {"href": f"./{path.name}", "type": _COG}
        if bands:
            asset["raster:bands"] = [bands]
        return asset | {"file:size": path.stat().st_size, "roles": roles or ["data"]}

    def _grid(self, values: npt.NDArray[Any]) -> Grid:
        grid = self.scenario.grid
        return grid if values.shape == grid.shape else grid.at_resolution(20)

    def _item(
        self,
        collection: str,
        name: str,
        when: datetime,
        platform: str,
        properties: dict[str, Any],
        assets: dict[str, Any],
    ) -> None:
        grid = self.scenario.grid
        box = _geographic(grid)
        document = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": [],
            "id": name,
            "geometry": {"type": "Polygon", "coordinates": [_ring(box)]},
            "bbox": box,
            "properties": {
                "proj:code": grid.crs,
                "proj:shape": list(grid.shape),
                "proj:transform": list(grid.transform),
                "gsd": 10.0,
                "platform": platform,
                **properties,
                "datetime": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            },
            "links": [
                _link("root", "../../catalog.json"),
                _link("collection", "../collection.json"),
                _link("parent", "../collection.json"),
            ],
            "assets": assets,
            "collection": collection,
        }
        _write_json(self.folder / collection / name / f"{name}.json", document)
        self._items[collection].append(name)

    def _collection(self, collection: str) -> dict[str, Any]:
        last = self.scenario.start + timedelta(days=self.scenario.days)
        interval = [f"{self.scenario.start}T00:00:00Z", f"{last}T00:00:00Z"]
        items = [
            _link("item", f"./{name}/{name}.json", "application/geo+json")
            for name in self._items[collection]
        ]
        return {
            "type": "Collection",
            "id": collection,
            "stac_version": "1.1.0",
            "description": f"Simulated {collection}",
            "links": [
                _link("root", "../catalog.json"),
                *items,
                _link("parent", "../catalog.json"),
            ],
            "extent": {
                "spatial": {"bbox": [_geographic(self.scenario.grid)]},
                "temporal": {"interval": [interval]},
            },
            "license": "CC0-1.0",
        }


def scene_classes(image: Image, bands: tuple[str, ...]) -> ByteArray:
    """Return Sen2Cor's scene classes from the CLM bits and the image.

    0 nodata, 3 shadow, 4 vegetation, 5 bare, 6 water, 8 and 9 cloud of medium and high
    probability, 10 cirrus.
    """
    classes = np.full(image.labels.shape, 5, np.uint8)
    if {"B04", "B08"} <= set(bands):
        red, infrared = (image.reflectance[bands.index(b)] for b in ("B04", "B08"))
        with np.errstate(invalid="ignore"):
            classes[(infrared - red) > 0.4 * (infrared + red)] = 4
    classes[image.labels == WATERS] = 6
    cloudy, shadow = (image.clm & 2) > 0, (image.clm & 1) > 0
    classes[shadow & ~cloudy] = 3
    classes[cloudy] = 9
    classes[cloudy & ((image.clm & 16) > 0)] = 8
    classes[cloudy & ((image.clm & 128) > 0) & ((image.clm & 4) == 0)] = 10
    classes[image.edge] = 0
    return classes


def _unsigned(values: FloatArray) -> npt.NDArray[np.uint16]:
    numbers = np.clip(np.rint(values * np.float32(1e4)), 1, 65535)
    return np.asarray(np.nan_to_num(numbers, nan=0), np.uint16)


def _geographic(grid: Grid) -> list[float]:
    from rasterio.warp import transform_bounds

    return [round(float(v), 7) for v in transform_bounds(grid.crs, "EPSG:4326", *grid.bounds)]


def _ring(box: list[float]) -> list[list[float]]:
    west, south, east, north = box
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _link(relation: str, href: str, kind: str = "application/json") -> dict[str, str]:
    return {"rel": relation, "href": href, "type": kind}


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
