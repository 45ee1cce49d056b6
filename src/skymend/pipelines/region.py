"""The region file: the one document a user writes.

The JSON schema in ``config/`` and the Prefect form are made from these models. Paths are
relative to the folder of the region file.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid
from skymend.pipelines.region_sources import OpticalSource, Source, Sources

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Bounds = tuple[float, float, float, float]
Method = Literal["linear", "harmonic", "nearest", "regression", "network"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _ordered(box: Bounds | None, most_x: float, most_y: float) -> bool:
    if box is None:
        return True
    left, bottom, right, top = box
    inside = max(abs(left), abs(right)) <= most_x and max(abs(bottom), abs(top)) <= most_y
    return inside and all(map(math.isfinite, box)) and left < right and bottom < top


class Area(_Model):
    """Where: Sentinel-2 tiles, or a window of one.

    ``bounds`` are (left, bottom, right, top) in metres in the CRS of the tile; ``bbox`` is
    (west, south, east, north) in degrees; ``geojson`` is a file with one or more polygons,
    whose envelope is taken.
    """

    tiles: tuple[str, ...] = Field((), description="MGRS tiles such as 31TCJ.")
    bounds: Bounds | None = Field(None, description="Window of the tile, metres in its CRS.")
    bbox: Bounds | None = Field(None, description="West, south, east, north in degrees.")
    geojson: Path | None = Field(None, description="File with polygons in EPSG:4326.")

    @model_validator(mode="after")
    def _check(self) -> Area:
        given = [n for n in ("bounds", "bbox", "geojson") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"one of bounds, bbox and geojson, not {' and '.join(given)}")
        if not self.tiles and not given:
            raise ValueError("tiles, bbox or geojson")
        if self.bounds is not None and len(self.tiles) != 1:
            raise ValueError("exactly one tile beside bounds")
        if not _ordered(self.bounds, math.inf, math.inf):
            raise ValueError("bounds with left < right and bottom < top")
        if not _ordered(self.bbox, 180, 90):
            raise ValueError("a bbox with west < east within 180, south < north within 90 degrees")
        return self


class Period(_Model):
    """When; both days are included."""

    start: date
    end: date

    @model_validator(mode="after")
    def _check(self) -> Period:
        if self.end < self.start:
            raise ValueError("an end that is not before the start")
        return self

    @property
    def times(self) -> tuple[datetime, datetime]:
        """First and last instant, UTC."""
        return (
            datetime.combine(self.start, time.min, UTC),
            datetime.combine(self.end, time.max, UTC),
        )


class Mask(_Model):
    """How clouds and shadows are found and widened."""

    engine: Literal["product", "fmask", "s2cloudless", "csmask", "fmask-external", "consensus"] = (
        Field("product", description="Who finds clouds; all but `product` need level L1C.")
    )
    source: OpticalSource | None = Field(
        None, description="Level-1C products for the engine, where s2 is level 2A."
    )
    dilate_m: float = Field(60.0, ge=0, le=2000, description="Clouds and shadows grow by this.")
    snow_is_clear: bool = Field(True, description="Snow counts as an observation.")
    user: str | None = Field(
        None, description="Own mask GeoTIFF, non-zero = hidden; may hold {date} (YYYYMMDD)."
    )


class Reconstruct(_Model):
    """Rebuild what clouds hide."""

    method: Method = Field("linear", description="How hidden pixels are rebuilt.")
    model: str | None = Field(
        None, description="For `network`: 'bundle:FOLDER', or empty for the region's training."
    )
    bands: tuple[str, ...] = Field(("B02", "B03", "B04", "B08"), min_length=1)
    every: str = Field(
        "acquisition",
        pattern=r"^(acquisition|month|[1-9]\d* days)$",
        description="Output dates: each acquisition, or besides them every N days or month.",
    )
    mode: Literal["fill", "full"] = Field("fill", description="Keep observed pixels, or not.")
    window_days: float = Field(60.0, gt=0, le=400, description="The method's own window.")
    reach_days: float = Field(
        120.0, gt=0, le=400, description="Candidates beyond the window, used with QA 4."
    )
    max_gap_hours: float = Field(72.0, gt=0, description="Sentinel-1 within this of the date.")
    feather_m: float = Field(50.0, ge=0, description="Width of the seam blended inside the gap.")
    synthesize_missing: bool = Field(False, description="Rebuild dates outside the swath too.")

    @model_validator(mode="after")
    def _check(self) -> Reconstruct:
        if self.reach_days < self.window_days:
            raise ValueError("reach_days of at least window_days")
        if self.model is not None and self.method != "network":
            raise ValueError("method: network beside a model")
        return self


class Evaluate(_Model):
    """Hide clear pixels under cloud shapes of other dates and score every method on them."""

    hide: Literal["real-shapes"] = "real-shapes"
    share: float = Field(0.3, gt=0, lt=1, description="Share of a clear date that is hidden.")
    methods: tuple[Method, ...] = ("nearest", "linear", "harmonic", "regression")
    widen_days: tuple[float, ...] = Field(
        (0.0, 10.0, 20.0), min_length=1, description="Neighbours closer than this lose them too."
    )
    min_clear_share: float = Field(0.6, gt=0, le=1, description="Dates clearer than this score.")
    withhold_date: bool = Field(
        False, description="Hide the rest of the date too, as if it were wholly cloudy."
    )
    donor_days: float = Field(120.0, gt=0, description="Cloud shapes come from within this.")
    shapes: Source | None = Field(None, description="Another series to take cloud shapes from.")
    seed: int = 7


class Training(_Model):
    """Train the region's own network (only if asked)."""

    period: Period
    layout: str = Field("crga-os2-short", description="Acquisition layout (a preset's name).")
    architecture: str = Field("crga-os2-tiny", description="See `skymend models list`.")
    patch_px: int = Field(64, ge=64, multiple_of=64)
    patches: int = Field(2000, gt=0)
    steps: int = Field(1500, gt=0, description="Optimiser steps (a fixed budget keeps the key).")
    batch: int = Field(16, gt=0)
    learning_rate: float = Field(4e-3, gt=0)
    ema: float | None = Field(0.99, gt=0, lt=1, description="Momentum of averaged weights.")
    split_by: Literal["space", "time", "none"] = "space"
    block_m: float = Field(2560.0, gt=0, description="Side of a block given to one split.")
    buffer_m: float = Field(640.0, ge=0, description="Least distance between splits.")
    valid_share: float = Field(0.15, gt=0, lt=1, description="Held out to calibrate sigma.")
    test_share: float = Field(0.15, ge=0, lt=1, description="Held out of both.")
    seed: int = 7

    @model_validator(mode="after")
    def _check(self) -> Training:
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share that leave something to train on")
        return self


class Output(_Model):
    """One entry of ``outputs``: a mapping with a single key."""

    reconstruct: Reconstruct | None = None
    evaluate: Evaluate | None = None

    @model_validator(mode="after")
    def _check(self) -> Output:
        if (self.reconstruct is None) == (self.evaluate is None):
            raise ValueError("one key in each output: reconstruct or evaluate")
        return self


class Region(_Model):
    """A region file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    area: Area
    period: Period
    sources: Sources
    mask: Mask = Mask()
    outputs: tuple[Output, ...] = Field(min_length=1)
    training: Training | None = None
    store: str = "./store"
    note: str = Field("", description="A remark that stands with the score table.")

    @property
    def reconstruct(self) -> Reconstruct:
        """The reconstruction wanted, with defaults when only an evaluation is asked."""
        return next((o.reconstruct for o in self.outputs if o.reconstruct), Reconstruct())

    @property
    def evaluate(self) -> Evaluate | None:
        """The evaluation wanted, or None."""
        return next((o.evaluate for o in self.outputs if o.evaluate), None)

    @model_validator(mode="after")
    def _check(self) -> Region:
        wants_network = self.reconstruct.method == "network" or (
            self.evaluate is not None and "network" in self.evaluate.methods
        )
        if wants_network and self.training is None and self.reconstruct.model is None:
            raise ValueError("reconstruct.model or a training block for the method network")
        return self


def load_region(path: Path) -> Region:
    """Read a region file and make its paths absolute.

    Raises
    ------
    ConfigError
        naming the first field that is wrong.
    """
    import yaml

    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except OSError as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ConfigError(
            where=path, expected="a region file", found=found, fix="check the path"
        ) from error
    # PyYAML lets through what int says of numbers that cannot be.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            where=path,
            expected="YAML in UTF-8",
            found=" ".join(str(error).split())[:200],
            fix="mend the line named",
        ) from error
    return parse_region(document, path.parent, where=str(path))


def _loader() -> Any:
    """Return the safe loader without days, so that pydantic names the field of a wrong one."""
    import yaml

    resolvers = {
        letter: [one for one in known if one[0] != "tag:yaml.org,2002:timestamp"]
        for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return type("DaysAsText", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})


def parse_region(document: Any, base: Path, *, where: str = "region") -> Region:
    """Validate a region given as plain data; relative paths are taken from ``base``."""
    try:
        region = Region.model_validate(document)
    except ValidationError as error:
        raise _region_error(where, error) from error
    return resolve_paths(region, base)


def _region_error(where: str, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "region"
    return ConfigError(
        where=f"{where}, {field}",
        expected=_wanted(first),
        found=_told(first),
        fix="see config/region.schema.json for the keys and their units",
    )


def _wanted(fault: ErrorDetails) -> str:
    """Return what pydantic expected, as the end of "expected ..."."""
    known = {
        "extra_forbidden": "a known key",
        "missing": "a value",
        "model_type": "keys with values",
        "too_short": "at least {min_length} of them",
        "too_long": "at most {max_length} of them",
    }
    if fault["type"] in known:
        return known[fault["type"]].format_map(fault.get("ctx", {}))
    return fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")


def _told(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return f"the unknown key {fault['loc'][-1]!r}"
    if fault["type"] == "missing" or fault["input"] is None:
        return "none"
    return repr(fault["input"])[:120]


def resolve_paths(region: Region, base: Path) -> Region:
    """Return the region with its relative paths taken from the folder ``base``."""
    base = base.resolve()

    area = region.area
    if area.geojson is not None:
        area = area.model_copy(update={"geojson": base / area.geojson})
    mask = region.mask
    if mask.user is not None:
        mask = mask.model_copy(update={"user": str(base / mask.user)})
    if mask.source is not None:
        mask = mask.model_copy(update={"source": mask.source.resolved(base)})
    outputs = tuple(_absolute_output(o, base) for o in region.outputs)
    store = region.store if "://" in region.store else str(base / region.store)
    return region.model_copy(
        update={
            "sources": region.sources.resolved(base),
            "area": area,
            "mask": mask,
            "outputs": outputs,
            "store": store,
        }
    )


def _absolute_output(output: Output, base: Path) -> Output:
    if output.evaluate is not None and output.evaluate.shapes is not None:
        shapes = output.evaluate.shapes
        moved = shapes.resolved(base)
        return Output(evaluate=output.evaluate.model_copy(update={"shapes": moved}))
    if output.reconstruct is not None and output.reconstruct.model is not None:
        model = output.reconstruct.model.removeprefix("bundle:")
        return Output(
            reconstruct=output.reconstruct.model_copy(update={"model": f"bundle:{base / model}"})
        )
    return output


def grids(region: Region) -> dict[str, Grid]:
    """Return the 10 m grid of each tile of the region.

    Raises
    ------
    ConfigError
        if the area lies outside its tiles.
    """
    area = region.area
    if area.bounds is not None:
        return {area.tiles[0]: Grid.from_mgrs(area.tiles[0]).clip(area.bounds)}
    box = area.bbox or (_envelope(area.geojson) if area.geojson else None)
    if box is None:
        return {tile: Grid.from_mgrs(tile) for tile in area.tiles}
    tiles = area.tiles or (Grid.mgrs_at((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),)
    return {tile: Grid.from_mgrs(tile).clip(_project(box, tile)) for tile in tiles}


def _project(box: Bounds, tile: str) -> Bounds:
    from pyproj import Transformer

    transformer = Transformer.from_crs("EPSG:4326", Grid.from_mgrs(tile).crs, always_xy=True)
    left, bottom, right, top = transformer.transform_bounds(*box, densify_pts=21)
    return (left, bottom, right, top)


def _envelope(path: Path) -> Bounds:
    from skymend.sources.area import Area as Place

    box = Place.read(path).bounds
    if box[0] > box[2]:
        raise ConfigError(
            where=path,
            expected="an area on one side of the antimeridian",
            found=f"{box[0]:g} to {box[2]:g} degrees east",
            fix="make a region of each side",
        )
    return box
