"""What to simulate: one frozen model that every file of a series derives from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skymend.core.errors import ConfigError
from skymend.core.grid import Grid, Window
from skymend.simulate.noise import generator

BANDS_10M = ("B02", "B03", "B04", "B08")
BANDS_20M = ("B05", "B06", "B07", "B8A", "B11", "B12")
BANDS = BANDS_10M + BANDS_20M

_EPOCH = date(2015, 1, 1)


class Orbit(BaseModel):
    """One relative orbit of Sentinel-1 over the scene."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    relative_orbit: int = Field(ge=1, le=175)
    """Relative orbit number."""
    direction: Literal["ASC", "DES"]
    """Flight direction; ascending looks east, descending looks west."""
    incidence_degrees: float = Field(gt=20, lt=50)
    """Ellipsoid incidence angle at the middle of the tile."""
    utc_seconds: int = Field(ge=0, lt=86400)
    """Time of the pass, seconds of the UTC day."""
    every_days: int = Field(default=12, ge=1)
    """Repeat of the pass: 12 with one satellite, 6 with two."""
    first_day: int = 0
    """Shift of the repeat cycle, days."""


ORBITS = (
    Orbit(relative_orbit=110, direction="DES", incidence_degrees=37.5, utc_seconds=21608),
    Orbit(
        relative_orbit=30,
        direction="ASC",
        incidence_degrees=41.0,
        utc_seconds=64512,
        first_day=6,
    ),
)
"""One descending morning and one ascending evening pass, six days apart."""


class Scenario(BaseModel):
    """A co-registered Sentinel-1, Sentinel-2 and elevation series with known truth.

    Parcels, terrain and land events follow from ``seed`` and ``size_px`` alone; each
    acquisition follows from ``seed`` and its own date. A longer period therefore adds
    products and changes none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile: str = "31TCJ"
    """MGRS tile that holds the scene."""
    size_px: int = Field(default=384, ge=32, multiple_of=2)
    """Rows and columns at 10 m."""
    row_px: int = Field(default=5000, ge=0, multiple_of=2)
    """First row of the scene in the tile."""
    column_px: int = Field(default=5000, ge=0, multiple_of=2)
    """First column of the scene in the tile."""
    start: date = date(2018, 4, 1)
    """First day of the series."""
    days: int = Field(default=150, ge=1)
    """Length of the series, days."""
    seed: int = 7
    """Seed of everything random."""
    bands: tuple[str, ...] = BANDS_10M
    """Sentinel-2 bands written; those of 20 m go to 20 m files."""
    s2_every_days: int = Field(default=5, ge=1)
    """Repeat of the optical passes."""
    orbits: tuple[Orbit, ...] = ORBITS
    """Sentinel-1 passes; empty for a series without radar."""
    cloudiness: float = Field(default=0.5, ge=0, le=1)
    """0 always clear, 0.5 as in western Europe, 1 hardly ever clear."""
    spells: bool = True
    """Cloudy spells of 20 to 40 days, about one every two months."""
    haze: float = Field(default=0.006, ge=0, le=0.05)
    """Aerosol left after atmospheric correction: typical path reflectance of B02."""
    partial_swath_share: float = Field(default=0.07, ge=0, le=1)
    """Share of dates of which a swath edge cuts the scene."""
    outside_swath_share: float = Field(default=0.04, ge=0, le=1)
    """Share of optical dates that miss the scene: products full of nodata."""
    mask_errors: bool = False
    """Let the cloud masks miss thin clouds and take bright roofs and fields for clouds."""
    baseline: str = Field(default="05.00", pattern=r"^\d\d\.\d\d$")
    """Processing baseline of the SAFE products; offsets come with 04.00."""
    looks: float = Field(default=4.4, gt=0.5)
    """Equivalent number of looks of the radar images."""

    @model_validator(mode="after")
    def _known_bands(self) -> Scenario:
        unknown = [b for b in self.bands if b not in BANDS]
        if unknown or not self.bands or len(set(self.bands)) < len(self.bands):
            raise ConfigError(
                where="scenario.bands",
                expected="different bands out of " + ", ".join(BANDS),
                found=", ".join(self.bands) or "none",
                fix="choose among them",
            )
        return self

    @property
    def grid(self) -> Grid:
        """The 10 m grid of the scene."""
        window = Window(self.row_px, self.column_px, self.size_px, self.size_px)
        return Grid.from_mgrs(self.tile).crop(window)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) at 10 m."""
        return (self.size_px, self.size_px)

    def optical_dates(self) -> tuple[date, ...]:
        """Days with a Sentinel-2 pass, in order."""
        return self._every(self.s2_every_days, 0)

    def radar_passes(self) -> tuple[Pass, ...]:
        """Sentinel-1 passes, in order of time."""
        passes = [
            Pass(day, orbit)
            for orbit in self.orbits
            for day in self._every(orbit.every_days, orbit.first_day)
        ]
        return tuple(sorted(passes, key=lambda p: p.time))

    def _every(self, step_days: int, shift_days: int) -> tuple[date, ...]:
        first = (self.start - _EPOCH).days
        offset = (shift_days - first) % step_days
        return tuple(
            self.start + timedelta(days=day) for day in range(offset, self.days, step_days)
        )

    def optical_time(self, day: date) -> datetime:
        """Sensing time of the Sentinel-2 pass of a day, UTC, with milliseconds."""
        rng = generator(self.seed, "optical-time", day.toordinal())
        second, millisecond = int(rng.integers(0, 600)), int(rng.integers(20, 990))
        start = datetime.combine(day, time(10, 50), UTC)
        return start + timedelta(seconds=second, milliseconds=millisecond)

    def platform(self, day: date) -> str:
        """``SENTINEL2A`` and ``SENTINEL2B`` in turn."""
        count = (day - _EPOCH).days // self.s2_every_days
        return f"SENTINEL2{'AB'[count % 2]}"

    def product_name(self, day: date) -> str:
        """THEIA name of the optical product of a day."""
        stamp = self.optical_time(day)
        when = f"{stamp:%Y%m%d-%H%M%S}-{stamp.microsecond // 1000:03d}"
        return f"{self.platform(day)}_{when}_L2A_T{self.tile}_D_V1-8"


@dataclass(frozen=True, slots=True)
class Pass:
    """One Sentinel-1 pass: a day and an orbit."""

    day: date
    orbit: Orbit

    @property
    def time(self) -> datetime:
        """Sensing time, UTC."""
        midnight = datetime.combine(self.day, time(0), UTC)
        return midnight + timedelta(seconds=self.orbit.utc_seconds)

    def file_name(self, tile: str, polarisation: str) -> str:
        """S1Tiling name of one polarisation (``vv`` or ``vh``)."""
        orbit = f"{self.orbit.direction}_{self.orbit.relative_orbit:03d}"
        return f"s1a_{tile}_{polarisation}_{orbit}_{self.time:%Y%m%dt%H%M%S}.tif"


def growing_season(*, days: int = 150, seed: int = 9) -> Scenario:
    """Return a growing season with harvests: 3.84 km square, 30 optical and 25 radar dates."""
    return Scenario(days=days, seed=seed)


def demo(*, days: int = 91, seed: int = 9) -> Scenario:
    """Return the summer of that season: a month of clouds over the harvest, clear around it.

    19 optical and 15 radar dates; ``config/demo.yaml`` has the same area and period.
    """
    return Scenario(start=date(2018, 5, 20), days=days, seed=seed)


def tiny(*, days: int = 40, seed: int = 47) -> Scenario:
    """Return eight optical and seven radar dates of a scene under 1 km: written in 2 s."""
    return Scenario(
        size_px=96,
        start=date(2018, 6, 1),
        days=days,
        seed=seed,
        partial_swath_share=0.12,
        outside_swath_share=0.0,
    )
