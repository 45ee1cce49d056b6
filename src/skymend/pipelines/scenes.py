"""The jobs that turn products into scenes: fetch, optical, mask, backscatter, elevation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.core.keys import file_sha256
from skymend.core.plan import FrozenFile, FrozenProduct, PlanBuilder
from skymend.core.step import GridParams
from skymend.pipelines.region import Region
from skymend.pipelines.search import Catalogue, wide

_SLICE_GAP = timedelta(seconds=40)
"""Slices of one pass start about 25 s after one another."""

_LABELS = {"safe-l2a": "SCL"}
"""The classification that is fetched with the bands."""


@dataclass(frozen=True, slots=True)
class Dated:
    """The jobs of one optical acquisition, with its time."""

    time: datetime
    optical: str
    mask: str
    id: str


@dataclass(frozen=True, slots=True)
class Pass:
    """A radar scene with the time of its pass."""

    time: datetime
    radar: str


class SceneJobs:
    """Adds the jobs of one tile's scenes to a plan.

    Parameters
    ----------
    region, tile, grid : what is asked for, and where.
    catalogue : what the searches found.
    builder : takes the jobs.
    """

    def __init__(
        self, region: Region, tile: str, grid: Grid, catalogue: Catalogue, builder: PlanBuilder
    ) -> None:
        self.region = region
        self.tile = tile
        self.area = grid
        self.grid = GridParams.of(grid)
        self.catalogue = catalogue
        self.builder = builder
        self.notes: list[str] = []
        self._l1c = {_acquisition(p): p for p in catalogue.l1c}

    def tags(self, product: FrozenProduct) -> dict[str, str]:
        """Return the tags of jobs made from a product."""
        time = product_time(product)
        return {
            **{k: v for k, v in product.tags.items() if k != "tile"},
            "tile": self.tile,
            "date": time.strftime("%Y%m%d"),
            "datetime": time.isoformat(),
        }

    def product(self, product: FrozenProduct, assets: Sequence[str] = ()) -> str:
        """Return what other jobs take as input: the product, or the job that fetches it."""
        identity = self.builder.product(product)
        if product.order is None:
            return identity
        tags = {**self.tags(product), "kind": product.kind}
        return self.builder.add("fetch", {"assets": tuple(assets)}, {"product": identity}, tags)

    def optical(self, product: FrozenProduct) -> Dated:
        """Add the scene and the mask of one acquisition."""
        bands = self.region.reconstruct.bands
        label = _LABELS.get(product.kind)
        source = self.product(product, (*bands, label) if label else ())
        tags = self.tags(product)
        params = {"grid": self.grid, "bands": bands}
        optical = self.builder.add("optical", params, {"product": source}, tags)
        return Dated(product_time(product), optical, self._mask(product, source, tags), product.id)

    def mask_params(self, engine: str = "product") -> dict[str, Any]:
        """Return the parameters of a mask on the grid of the region."""
        mask = self.region.mask
        return {
            "grid": self.grid,
            "dilate_m": mask.dilate_m,
            "snow_is_clear": mask.snow_is_clear,
            **({} if engine == "product" else {"engine": engine}),
        }

    def _mask(self, product: FrozenProduct, source: str, tags: dict[str, str]) -> str:
        engine = self.region.mask.engine
        seen = self._seen_from_above(product, source)
        if seen is None:
            self.notes.append(f"{product.id}: no level-1C product for {engine}; its own mask")
            engine, seen = "product", source
        inputs = {"product": seen, "user_mask": self._user_mask(tags["date"])}
        if engine != "product":
            inputs["dem"] = self.dem()
        return self.builder.add("mask", self.mask_params(engine), inputs, tags)

    def _seen_from_above(self, product: FrozenProduct, source: str) -> str | None:
        """Return the input that the mask engine reads; None where it has none."""
        if self.region.mask.engine == "product" or product.kind == "safe-l1c":
            return source
        twin = self._l1c.get(_acquisition(product))
        return None if twin is None else self.product(twin)

    def _user_mask(self, date: str) -> str | None:
        """Return the identity of the user's own mask of a date, if there is one."""
        if self.region.mask.user is None:
            return None
        pattern = self.region.mask.user
        path = Path(pattern.replace("{date}", date))
        if not path.exists() and "{date}" in pattern:
            return None
        if not path.exists():
            raise ConfigError(
                where=f"mask.user {path}",
                expected="a GeoTIFF",
                found="no such file",
                fix="check the path, or put {date} into it for one mask a date",
            )
        return self.builder.product(file_product(path, "user-mask", [path]))

    def radar(self) -> list[Pass]:
        """Add one backscatter scene for each pass."""
        ready = [p for p in self.catalogue.radar if p.kind != "safe-grd"]
        slices = [p for p in self.catalogue.radar if p.kind == "safe-grd"]
        passes = [self._ready(p) for p in ready]
        passes += [self._processed(group) for group in same_pass(slices)]
        passes = sorted(passes, key=lambda p: (p.time, p.radar))
        source = self.region.sources.s1
        if source is None or source.despeckle_days is None:
            return passes
        span = timedelta(days=source.despeckle_days)
        return [self._despeckled(p, [o for o in passes if _near(p, o, span)]) for p in passes]

    def _despeckled(self, one: Pass, near: Sequence[Pass]) -> Pass:
        inputs = {"target": one.radar, "scenes": [p.radar for p in near]}
        key = self.builder.add(
            "despeckle", {"grid": self.grid}, inputs, self.builder.tags(one.radar)
        )
        return Pass(one.time, key)

    def _ready(self, product: FrozenProduct) -> Pass:
        inputs = {"product": self.product(product)}
        key = self.builder.add("radar", {"grid": self.grid}, inputs, self.tags(product))
        return Pass(product_time(product), key)

    def _processed(self, group: Sequence[FrozenProduct]) -> Pass:
        source = self.region.sources.s1
        if source is None or not self.catalogue.dem:
            raise ConfigError(
                where="sources.dem",
                expected="a DEM: Sentinel-1 GRD products are placed with one",
                found="none that touches the area",
                fix="add a dem source, such as {provider: cop-dem-30}",
            )
        orbit = self.catalogue.orbits.get(group[0].id)
        inputs = {
            "products": [self.product(p) for p in group],
            "dem": self._wide_dem(),
            "orbit": None if orbit is None else self.product(orbit),
        }
        params = {
            "grid": self.grid,
            "engine": source.engine,
            "convention": source.convention,
            "speckle": source.speckle,
        }
        key = self.builder.add("backscatter", params, inputs, self.tags(group[0]))
        return Pass(product_time(group[0]), key)

    def dem(self) -> str | None:
        """Add the heights of the area; None without a DEM source."""
        return self._heights(self.area) if self.catalogue.dem else None

    def _wide_dem(self) -> str:
        return self._heights(wide(self.area))

    def _heights(self, grid: Grid) -> str:
        products = [self.product(p) for p in self.catalogue.dem]
        params = {"grid": GridParams.of(grid)}
        return self.builder.add("dem", params, {"products": products}, {"tile": self.tile})


def _near(one: Pass, other: Pass, span: timedelta) -> bool:
    """Tell whether another pass lies within a span; the step itself compares orbits."""
    return other is not one and abs(other.time - one.time) <= span


def same_pass(products: Iterable[FrozenProduct]) -> list[list[FrozenProduct]]:
    """Group the slices of a pass: same satellite and orbit, one right after the other."""
    groups: list[list[FrozenProduct]] = []
    for product in sorted(products, key=lambda p: (_track(p), product_time(p), p.id)):
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and _track(last) == _track(product)
            and product_time(product) - product_time(last) <= _SLICE_GAP
        ):
            groups[-1].append(product)
        else:
            groups.append([product])
    return groups


def product_time(product: FrozenProduct) -> datetime:
    """Return the sensing time of a product."""
    return datetime.fromisoformat(product.tags["datetime"])


def file_product(path: Path, kind: str, files: Sequence[Path]) -> FrozenProduct:
    """Freeze files that no catalogue knows: a user's mask, a bundle."""
    frozen = [FrozenFile(str(p), p.stat().st_size, file_sha256(p)) for p in files]
    tags = {"id": path.name, "kind": kind}
    return FrozenProduct(path.name, kind, str(path), tags, tuple(frozen))


def notices(catalogue: Catalogue) -> tuple[str, ...]:
    """Return the sentences that the licences of the DEM demand in everything derived."""
    found = {_notice(p) for p in catalogue.dem}
    return tuple(sorted(found - {""}))


def _notice(product: FrozenProduct) -> str:
    from skymend.sources.cop_dem import DERIVED_NOTICE

    if product.order is not None:
        properties = product.order["item"]["properties"]
        return str(properties.get("skymend:derived_notice", ""))
    # Tiles of the Copernicus DEM keep their names when they are copied to a folder.
    return DERIVED_NOTICE if Path(product.path).name.startswith("Copernicus_DSM") else ""


def _track(product: FrozenProduct) -> tuple[str, str]:
    return product.tags.get("platform", ""), product.tags.get("relative_orbit", "")


def _acquisition(product: FrozenProduct) -> tuple[str, str, str]:
    """Return what the L1C and L2A products of one datatake and tile have in common."""
    tags = product.tags
    return tags.get("platform", ""), tags.get("tile", ""), tags["datetime"][:19]
