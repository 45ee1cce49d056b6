"""The card of a patch store: what lies in it, in which form, and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skymend.core.errors import ProductError

SPLITS = ("train", "valid", "test")
"""Names of the splits; their position is the number stored per sample."""

Kind = Literal["optical", "radar", "dem", "mask"]
OPTICAL_SCALE = 1e-4
OPTICAL_NODATA = -10000
RADAR_SCALE_DB = 0.01
RADAR_NODATA = -32768
DEM_NODATA = -32768

_STORED: dict[str, tuple[str, float, int | None, str]] = {
    "optical": ("int16", OPTICAL_SCALE, OPTICAL_NODATA, "1"),
    "radar": ("int16", RADAR_SCALE_DB, RADAR_NODATA, "dB"),
    "dem": ("int16", 1.0, DEM_NODATA, "metre"),
    "mask": ("uint8", 1.0, None, "boolean"),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeySpec(_Frozen):
    """One array of the store: ``<name>.npy`` of shape (samples, rows, columns, bands).

    Parameters
    ----------
    name : such as ``s2_tm1``, ``s1_t``, ``s2_target``, ``usable_target``, ``cloud_t``, ``dem``.
    kind : decides the stored form. Optical is int16 reflectance x 1e-4 (nodata -10000), radar
        int16 decibel x 0.01 (nodata -32768), dem int16 metres (nodata -32768), mask uint8 0/1.
    acquisition : name in the layout (``tm1``, ``t``, ``target``, ...); None for the DEM.
    bands : band names in the order of the last axis.
    size : rows and columns of a patch, in pixels of this key.
    resolution_ratio : pixel size over that of the patch grid, 1 or 2.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: Kind
    acquisition: str | None = None
    bands: tuple[str, ...] = Field(min_length=1)
    size: int = Field(gt=0)
    resolution_ratio: int = Field(1, ge=1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type."""
        return np.dtype(_STORED[self.kind][0])

    @property
    def scale(self) -> float:
        """Physical unit per stored number."""
        return _STORED[self.kind][1]

    @property
    def nodata(self) -> int | None:
        """Stored number that means "no value"; None for masks."""
        return _STORED[self.kind][2]

    @property
    def unit(self) -> str:
        """Unit of ``stored * scale``."""
        return _STORED[self.kind][3]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, bands) of one sample."""
        return (self.size, self.size, len(self.bands))


class StoreCard(_Frozen):
    """What a patch store says of itself.

    Parameters
    ----------
    keys : the arrays.
    samples : number of samples.
    splits : samples per split.
    patch_size : pixels a side at ``resolution_m``.
    layout : the acquisition layout the samples were searched with, as JSON.
    convention : backscatter convention (``sigma0``, ``gamma0``, ``gamma0-rtc``) or None.
    seed : seed of splits and sampling.
    scenes : identifiers of the scenes, as the table of samples counts them, per sensor
        (``optical``, ``radar``).
    sampling : further settings and the counts found by the search.
    data_hash : sha256 over the arrays and the table of samples.
    """

    format: Literal["skymend-patches-1"] = "skymend-patches-1"
    keys: tuple[KeySpec, ...]
    samples: int = Field(ge=0)
    splits: dict[str, int]
    patch_size: int = Field(gt=0)
    resolution_m: float = Field(gt=0)
    layout: dict[str, Any] = Field(default_factory=dict)
    convention: str | None = None
    seed: int = 0
    scenes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)
    data_hash: str = ""

    @model_validator(mode="after")
    def _check(self) -> StoreCard:
        names = [key.name for key in self.keys]
        if len(set(names)) != len(names):
            raise ValueError(f"key names must differ, got {', '.join(names)}")
        if set(self.splits) - set(SPLITS):
            raise ValueError(f"splits must be among {SPLITS}, got {tuple(self.splits)}")
        if sum(self.splits.values()) != self.samples:
            raise ValueError(f"splits must add up to {self.samples} samples, got {self.splits}")
        return self

    def key(self, name: str) -> KeySpec:
        """Return one key by name.

        Raises
        ------
        ProductError
            if the store has no such key.
        """
        for key in self.keys:
            if key.name == name:
                return key
        raise ProductError(
            where=f"patch store key {name!r}",
            expected=f"one of {', '.join(k.name for k in self.keys)}",
            found="an unknown key",
            fix="ask for a key of the store, or make the dataset with a layout that has it",
        )


def read_card(folder: Path) -> StoreCard:
    """Read the card of a patch store.

    Raises
    ------
    ProductError
        if there is no card or it is damaged.
    """
    path = folder / "card.json"
    try:
        return StoreCard.model_validate_json(path.read_bytes())
    except OSError as error:
        found = "no card.json" if not path.exists() else str(error)
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{'.'.join(str(p) for p in first['loc']) or 'card'}: {first['msg']}"
    raise ProductError(
        where=path,
        expected="a patch store (skymend-patches-1)",
        found=found[:300],
        fix="make the dataset again",
    )
