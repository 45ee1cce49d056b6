"""Clear-enough optical images: true coverage of the area, and the cloud share inside it.

A provider states the cloud share of a whole product. Inside the area it may be anything
between two bounds, which follow from the sizes; :func:`stated` gives them. To know it, the
scene classes are fetched and counted inside the area (:func:`counted`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from skymend.core.errors import ConfigError
from skymend.sources.area import Area
from skymend.sources.candidates import (
    Candidate,
    Pass,
    Row,
    Table,
    best_first,
    gather,
    needed,
    percent,
)
from skymend.sources.globe import size_km2

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pystac

    from skymend.sources.protocol import Source

Best: TypeAlias = Literal["earliest", "latest", "clearest"]

SCENE_CLASS_PX = 1024
"""Scene classes are counted on at most so many rows and columns."""

_SCENE_CLASSES = re.compile(r"^scl|_SCL_\d\dm\.jp2$", re.IGNORECASE)
"""Keys of assets that hold them: by role, or by their path inside a SAFE."""

_CLOUD_CLASSES = (3, 8, 9, 10)
"""Cloud shadow, cloud of medium and high probability, cirrus (Sen2Cor scene classes)."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """Cloud share 0..1 inside the area; ``low`` and ``high`` are equal where it was counted.

    ``covered`` is the share of the area with data where pixels were counted, else None.
    """

    value: float
    low: float
    high: float
    covered: float | None = None


Clouds: TypeAlias = Callable[[Candidate, Area], Cloud | None]
"""How the cloud share of a product inside the area is found; None where it cannot be."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The pass that was chosen, None if none is clear enough, and the table of all."""

    best: Pass | None
    table: Table


@dataclass(frozen=True, eq=False)
class _Judged:
    one: Pass
    coverage: float
    cloud: Cloud | None

    @property
    def share(self) -> float | None:
        return None if self.cloud is None else self.cloud.value


def stated(candidate: Candidate, area: Area) -> Cloud | None:
    """Return what the stated share of the whole product says about the area.

    With c of the product's F km2 cloudy and a km2 of it inside the area, between
    c F - (F - a) and c F km2 of cloud lie inside.
    """
    share = candidate.item.properties.get("eo:cloud_cover")
    if share is None:
        return None
    cloudy = float(share) / 100 * candidate.km2
    inside = size_km2(area.part(candidate.footprint))
    low = max(0.0, (cloudy - (candidate.km2 - inside)) / inside)
    high = min(1.0, cloudy / inside)
    return Cloud(min(max(float(share) / 100, low), high), low, high)


def cloud_share(one: Pass, area: Area) -> float | None:
    """Return the cloud share 0..1 of a pass inside the area as stated; None where it is not."""
    cloud, _ = _cloud(one, area, stated)
    return None if cloud is None else cloud.value


def counted(source: Source, folder: Path) -> Clouds:
    """Return a function that fetches the scene classes of a product and counts inside the area.

    Parameters
    ----------
    source : who serves the products.
    folder : where the scene classes go; what is there already is not fetched again.
    """

    def count(candidate: Candidate, area: Area) -> Cloud | None:
        key = _scene_classes(candidate.item)
        if key is None:
            return stated(candidate, area)
        receipts = source.fetch(candidate.item, [key], folder / candidate.id)
        classes = next((r.path for r in receipts if "SCL" in r.path.stem.upper()), receipts[0].path)
        return count_classes(classes, area)

    return count


def count_classes(path: Path, area: Area) -> Cloud | None:
    """Count clouds among the valid pixels of a scene classification inside the area.

    Returns
    -------
    None if no pixel inside has data.
    """
    import shapely
    from pyproj import Transformer
    from rasterio.features import geometry_mask
    from rasterio.transform import Affine

    from skymend.core.raster import open_raster

    with open_raster(path) as dataset:
        rows, columns = (min(size, SCENE_CLASS_PX) for size in dataset.shape)
        classes = dataset.read(1, out_shape=(rows, columns))
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        wide, high = dataset.width / columns, dataset.height / rows
        transform = Affine(a * wide, b * high, c, d * wide, e * high, f)
        project = Transformer.from_crs("EPSG:4326", dataset.crs, always_xy=True).transform
    shape = shapely.transform(shapely.segmentize(area.shape, 0.05), project, interleaved=False)
    inside = geometry_mask([shape], (rows, columns), transform, invert=True)
    valid = inside & (classes != 0)
    if not valid.any():
        return None
    share = float(np.isin(classes[valid], _CLOUD_CLASSES).mean())
    pixel = abs(transform.a * transform.e) / 1e6
    return Cloud(share, share, share, min(1.0, float(valid.sum()) * pixel / area.km2))


def choose(
    items: Iterable[pystac.Item],
    area: Area,
    *,
    best: Best = "clearest",
    cloud_max: float = 0.1,
    coverage_min: float = 0.99,
    clouds: Clouds = stated,
) -> Chosen:
    """Choose the best clear-enough pass over an area.

    Parameters
    ----------
    items : optical products, one version of each acquisition.
    best : ``earliest``, ``latest`` or ``clearest`` of those clear enough.
    cloud_max : largest cloud share 0..1 inside the area.
    coverage_min : smallest share 0..1 of the area that the pass must cover.
    clouds : how the cloud share inside the area is found; asked only about passes that cover.

    Raises
    ------
    ConfigError
        if ``best`` is none of the three.
    """
    if best not in _ORDER:
        raise ConfigError(
            where="--best", expected=", ".join(_ORDER), found=repr(best), fix="choose one"
        )
    passes, rows = gather(items, area)
    clear: list[_Judged] = []
    for one in passes:
        judged = _judge(one, area, rows, coverage_min, clouds)
        if judged is None:
            continue
        refusal = _too_cloudy(judged, cloud_max)
        if refusal is None:
            clear.append(judged)
        else:
            rows += judged.one.rows(area, refusal, cloud=judged.share)
    winner = min(clear, key=_ORDER[best], default=None)
    for judged in clear:
        chosen = judged is winner
        reason = _praise(judged, best) if chosen else _beaten(winner, best)
        rows += judged.one.rows(area, reason, chosen=chosen, cloud=judged.share)
    return Chosen(None if winner is None else winner.one, Table(best_first(rows)))


def _judge(
    one: Pass, area: Area, rows: list[Row], coverage_min: float, clouds: Clouds
) -> _Judged | None:
    """Look at one pass; one that covers too little goes into the rows."""
    slim, spared = needed(one, area)
    coverage = area.coverage(slim.footprint)
    if coverage >= coverage_min:
        cloud, covered = _cloud(slim, area, clouds)
        if covered >= coverage_min:
            rows += spared
            return _Judged(slim, coverage, cloud)
        reason = f"data in {percent(covered)} of the area only, {percent(coverage_min)} wanted"
    else:
        reason = f"covers {percent(coverage)} of the area, {percent(coverage_min)} wanted"
    rows += one.rows(area, reason)
    return None


def _cloud(one: Pass, area: Area, clouds: Clouds) -> tuple[Cloud | None, float]:
    """Return the cloud share of a pass and the share of the area with data.

    Each product answers for the part of the area that the ones before it leave.
    """
    left, whole, covered = area.shape, 0.0, 0.0
    sums = np.zeros(3)
    for candidate in one.candidates:
        share = size_km2(left.intersection(candidate.footprint)) / area.km2
        left = left.difference(candidate.footprint)
        cloud = clouds(candidate, area)
        if cloud is None:
            return None, 1.0
        within = area.coverage(candidate.footprint)
        whole += share
        covered += share * (1.0 if cloud.covered is None else min(1.0, cloud.covered / within))
        sums += share * np.array(_of_part(cloud, share / within) if share else (0, 0, 0))
    return Cloud(*(float(v) for v in sums / whole)), covered


def _of_part(cloud: Cloud, part: float) -> tuple[float, float, float]:
    """Return value and bounds for a part 0..1 of the ground that a cloud share is known of.

    All of the cloud may lie in the part, or as much of it as fits beside. What was counted is
    taken to be spread evenly.
    """
    if part >= 1.0 or cloud.covered is not None:
        return (cloud.value, cloud.low, cloud.high)
    low, high = max(0.0, (cloud.low - (1 - part)) / part), min(1.0, cloud.high / part)
    return (min(max(cloud.value, low), high), low, high)


def _too_cloudy(judged: _Judged, cloud_max: float) -> str | None:
    cloud, most = judged.cloud, percent(cloud_max) or "0 %"
    if cloud is None:
        return "its cloud share is not stated"
    if cloud.low > cloud_max:
        least = "at least " if cloud.high > cloud.low else ""
        return f"{least}{percent(cloud.low)} of the area is cloud, {most} allowed"
    if cloud.value > cloud_max:
        return f"{percent(cloud.value)} of the product is cloud, {most} allowed"
    return None


def _praise(judged: _Judged, best: Best) -> str:
    cloud = judged.cloud
    if cloud is None or cloud.high - cloud.low < 0.005:
        return f"the {best} that is clear enough"
    known = f"between {percent(cloud.low)} and {percent(cloud.high)}"
    return f"the {best} that is clear enough; inside the area the cloud share is {known}"


def _beaten(winner: _Judged | None, best: Best) -> str:
    when = "" if winner is None else f"{winner.one.time:%Y-%m-%d}"
    word = {"earliest": "earlier", "latest": "later", "clearest": "clearer"}[best]
    return f"clear enough, but {when} is {word}"


_ORDER: dict[str, Callable[[_Judged], tuple[object, ...]]] = {
    "earliest": lambda j: (j.one.time, j.one.id),
    "latest": lambda j: (-j.one.time.timestamp(), j.one.id),
    "clearest": lambda j: (
        1.0 if j.cloud is None else round(j.cloud.value, 6),
        -round(j.coverage, 6),
        j.one.time,
        j.one.id,
    ),
}


def _scene_classes(item: pystac.Item) -> str | None:
    """Return the key of the scene classification: a COG before a JPEG 2000, coarse before fine."""
    found = [key for key in item.assets if _SCENE_CLASSES.search(key)]
    return min(found, key=lambda k: ("jp2" in k.lower(), "60m" not in k.lower(), k), default=None)
