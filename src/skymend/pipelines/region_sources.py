"""The ``sources`` of a region file: where each kind of imagery comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Local = Literal["theia", "safe", "safe-l1c", "s1tiling", "safe-grd", "stac", "dem"]
Remote = Literal[
    "cdse", "cdse-odata", "cdse-s3", "sentinel-hub", "earthdata", "landsat-m2m", "usgs-landsat",
    "planetary-computer", "sara", "geodes", "asf", "earth-search", "earth-engine", "cop-dem-30",
    "stac-api", "s3", "srtm", "eodag",
]  # fmt: skip
Provider = Literal[Local, Remote]
Convention = Literal["gamma0-flattened", "gamma0", "sigma0", "beta0"]
Speckle = Literal["none", "boxcar", "lee", "refined-lee", "lee-sigma", "gamma-map"]

LOCAL: frozenset[str] = frozenset(Local.__args__)  # type: ignore[attr-defined]


class Source(BaseModel):
    """Where one kind of imagery comes from: a folder here, or a provider's catalogue.

    Logins come from the environment or ``~/.netrc``, never from this file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Provider = Field(
        description="Folders here: theia, safe (L2A), safe-l1c, s1tiling, safe-grd, stac, dem. "
        "Catalogues: see docs/sources.md."
    )
    path: Path | None = Field(
        None, description="Folder or catalogue on disk, relative to the region file."
    )
    collection: str | None = Field(
        None, description="Collection of a provider; the usual one of this imagery when omitted."
    )
    endpoints: dict[str, str] = Field(
        default_factory=dict, description="Addresses that replace the provider's own (mirrors)."
    )

    @model_validator(mode="after")
    def _check(self) -> Source:
        if self.is_local and self.path is None:
            raise ValueError(f"a path for provider {self.provider}")
        if not self.is_local and self.path is not None:
            raise ValueError(f"no path, because provider {self.provider} is a catalogue")
        return self

    @property
    def is_local(self) -> bool:
        """True for products that lie in a folder here."""
        return self.provider in LOCAL

    def resolved(self, base: Path) -> Source:
        """Return the source with its path taken from the folder ``base``."""
        return self if self.path is None else self.model_copy(update={"path": base / self.path})


class OpticalSource(Source):
    """Sentinel-2."""

    level: Literal["L2A", "L1C"] = Field("L2A", description="Surface or top-of-atmosphere.")
    max_cloud_cover: float = Field(
        100.0,
        ge=0,
        le=100,
        description="Products of a catalogue cloudier than this (percent) are left out.",
    )


class RadarSource(Source):
    """Sentinel-1: ready-made backscatter, or GRD products and the engine that processes them."""

    engine: Literal["embedded", "snap", "s1tiling", "otb"] = Field(
        "embedded", description="How GRD products become backscatter."
    )
    convention: Convention = Field("gamma0-flattened", description="What GRD is normalised to.")
    speckle: Speckle = Field("none", description="Speckle filter applied to GRD.")
    despeckle_days: float | None = Field(
        None,
        gt=0,
        le=200,
        description="Filter each pass with those of its orbit within so many days (Quegan).",
    )
    relative_orbits: tuple[int, ...] = Field((), description="Only these; all when empty.")
    orbits: Path | None = Field(
        None, description="Folder of EOF orbit files; else the annotation's orbit is used."
    )
    orbit_provider: Literal["none", "cdse", "asf", "any"] = Field(
        "none", description="Catalogue to search orbit files in; any: cdse, then asf."
    )

    def resolved(self, base: Path) -> Source:
        """Return the source with its paths taken from the folder ``base``."""
        moved = super().resolved(base)
        if self.orbits is None:
            return moved
        return moved.model_copy(update={"orbits": base / self.orbits})


class Sources(BaseModel):
    """The imagery a region is made from; Sentinel-1 and DEM are optional."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    s2: OpticalSource
    s1: RadarSource | None = None
    dem: Source | None = None

    def resolved(self, base: Path) -> Sources:
        """Return the sources with their paths taken from the folder ``base``."""
        moved = {n: s.resolved(base) for n in ("s2", "s1", "dem") if (s := getattr(self, n))}
        return self.model_copy(update=moved)
