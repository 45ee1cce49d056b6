"""Acquisition layouts: which images, at which distance in time, make one training sample.

The JSON form is decloud's, read without evaluating anything: an object of acquisitions, each
with ``acquisition.S2`` (cloud range of the patch), ``acquisition.S1`` (a SAR image is wanted),
``max_s1s2_gap_hours`` and either ``timeframe_origin`` or a time window, plus ``options``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from skymend.core.errors import ConfigError

TARGET = "target"
"""Name of the acquisition that serves as truth; without it the origin is the truth."""

_RANDOM = re.compile(r"\s*(?:random\.)?randint\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*")
_MAX_ACQUISITIONS = 12


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class RandomPercent(_Frozen):
    """A whole percentage drawn anew for each query, both ends included."""

    min: int = Field(ge=0, le=100)
    max: int = Field(ge=0, le=100)

    @model_validator(mode="after")
    def _check(self) -> RandomPercent:
        if self.min > self.max:
            raise ValueError(f"min must not exceed max, got {self.min} and {self.max}")
        return self


def _random_percent(value: object) -> object:
    """Accept decloud's ``"random.randint(0, 2)"`` by its form alone; nothing is evaluated."""
    if not isinstance(value, str):
        return value
    match = _RANDOM.fullmatch(value)
    if match is None:
        raise ValueError(f'a number or {{"min": 0, "max": 2}} is wanted, got {value!r}')
    return {"min": int(match.group(1)), "max": int(match.group(2))}


Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Hours = Annotated[float, Field(allow_inf_nan=False)]


class OpticalQuery(_Frozen):
    """The Sentinel-2 image of an acquisition: share of cloud in the patch, percent, inclusive."""

    type: Literal["S2"] = "S2"
    min_cloud_percent: Annotated[RandomPercent | Percent, BeforeValidator(_random_percent)] = 0.0
    max_cloud_percent: Percent = 0.0

    @model_validator(mode="after")
    def _check(self) -> OpticalQuery:
        low = self.min_cloud_percent
        if not isinstance(low, RandomPercent) and low > self.max_cloud_percent:
            raise ValueError(
                f"min_cloud_percent must not exceed max_cloud_percent, "
                f"got {low:g} and {self.max_cloud_percent:g}"
            )
        return self


class RadarQuery(_Frozen):
    """The Sentinel-1 image paired with it: the nearest in time that is valid in the patch.

    Parameters
    ----------
    orbit : only passes of this direction.
    relative_orbits : only these orbits; any when empty.
    """

    type: Literal["S1"] = "S1"
    orbit: Literal["ascending", "descending"] | None = None
    relative_orbits: tuple[int, ...] = ()


class Pair(_Frozen):
    """What an acquisition consists of."""

    s2: OpticalQuery = Field(alias="S2")
    s1: RadarQuery | None = Field(None, alias="S1")


class Acquisition(_Frozen):
    """One acquisition: what it holds and when it may lie.

    Parameters
    ----------
    acquisition : its images.
    max_s1s2_gap_hours : largest time between both images, inclusive; wanted with S1.
    timeframe_origin : True for the one reference the windows are counted from.
    timeframe_start_hours, timeframe_end_hours : window relative to the reference, inclusive.
    """

    acquisition: Pair
    max_s1s2_gap_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    timeframe_origin: bool = False
    timeframe_start_hours: Hours | None = None
    timeframe_end_hours: Hours | None = None

    @model_validator(mode="after")
    def _check(self) -> Acquisition:
        if self.acquisition.s1 is not None and self.max_s1s2_gap_hours is None:
            raise ValueError("max_s1s2_gap_hours is wanted where both S1 and S2 are")
        limits = (self.timeframe_start_hours, self.timeframe_end_hours)
        if self.timeframe_origin and limits != (None, None):
            raise ValueError("the origin has no timeframe_start_hours or timeframe_end_hours")
        if not self.timeframe_origin and None in limits:
            raise ValueError(
                "timeframe_start_hours and timeframe_end_hours are wanted, or timeframe_origin"
            )
        return self

    @property
    def window_hours(self) -> tuple[float, float]:
        """(start, end) relative to the reference, in order; (0, 0) for the origin."""
        if self.timeframe_start_hours is None or self.timeframe_end_hours is None:
            return (0.0, 0.0)
        start, end = self.timeframe_start_hours, self.timeframe_end_hours
        return (min(start, end), max(start, end))

    @property
    def has_radar(self) -> bool:
        """Whether a SAR image belongs to it."""
        return self.acquisition.s1 is not None


class Clouding(_Frozen):
    """Clouds painted over a clear reference, so that truth and clouds share one date.

    The shape of the clouds is that of another date of the series at the same place (the
    donor), found in the same statistics. With it the truth is the reference itself: nothing
    changed between input and truth, and a short season yields many samples.

    Parameters
    ----------
    min_cloud_percent, max_cloud_percent : share of cloud of the donor in the patch, inclusive.
    paint : ``pixels`` copies the donor's cloudy pixels, ``nodata`` leaves a hole.
    """

    min_cloud_percent: Percent = 10.0
    max_cloud_percent: Percent = 100.0
    paint: Literal["pixels", "nodata"] = "pixels"

    @model_validator(mode="after")
    def _check(self) -> Clouding:
        if self.min_cloud_percent > self.max_cloud_percent:
            raise ValueError("min_cloud_percent must not exceed max_cloud_percent")
        if self.min_cloud_percent == 0:
            raise ValueError("min_cloud_percent must be above 0, or nothing would be painted")
        return self


class Layout(_Frozen):
    """A whole layout; acquisitions are kept in order of time, whatever order they come in.

    Parameters
    ----------
    acquisitions : by name; exactly one is the origin.
    siblings : groups of acquisitions that may share one image.
    clouding : clouds painted over the origin, which then is the truth too.
    """

    acquisitions: dict[str, Acquisition]
    siblings: tuple[tuple[str, ...], ...] = ()
    clouding: Clouding | None = None

    @field_validator("acquisitions")
    @classmethod
    def _order(cls, value: dict[str, Acquisition]) -> dict[str, Acquisition]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"names are small letters, digits and _, got {name!r}")
        if len(value) > _MAX_ACQUISITIONS:
            raise ValueError(f"at most {_MAX_ACQUISITIONS} acquisitions, got {len(value)}")
        return dict(sorted(value.items(), key=lambda item: (sum(item[1].window_hours), item[0])))

    @model_validator(mode="after")
    def _check(self) -> Layout:
        origins = [n for n, a in self.acquisitions.items() if a.timeframe_origin]
        if len(origins) != 1:
            raise ValueError(
                f"exactly one acquisition has timeframe_origin, got {', '.join(origins) or 'none'}"
            )
        unknown = {n for group in self.siblings for n in group} - set(self.acquisitions)
        if unknown:
            raise ValueError(f"siblings name {', '.join(sorted(unknown))}, which are not there")
        if self.clouding is not None and TARGET in self.acquisitions:
            raise ValueError("with clouding the origin is the truth: leave target out")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the acquisitions, in order of time."""
        return tuple(self.acquisitions)

    @cached_property
    def origin(self) -> str:
        """Name of the reference."""
        return next(n for n, a in self.acquisitions.items() if a.timeframe_origin)

    @property
    def truth(self) -> str:
        """Name of the acquisition whose optical image is the truth."""
        return TARGET if TARGET in self.acquisitions else self.origin

    @property
    def shows_origin(self) -> bool:
        """Whether the optical image of the origin is an input; never where it is the truth."""
        return self.truth != self.origin or self.clouding is not None

    def may_share(self, one: str, other: str) -> bool:
        """Tell whether two acquisitions may be served by one image."""
        return any(one in group and other in group for group in self.siblings)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form; the inverse of :meth:`from_json`."""
        document: dict[str, Any] = {
            name: a.model_dump(by_alias=True, exclude_defaults=True)
            for name, a in self.acquisitions.items()
        }
        for entry in document.values():
            entry["acquisition"].setdefault("S2", {})
        options: dict[str, Any] = {}
        if self.siblings:
            options["siblings"] = [list(group) for group in self.siblings]
        if self.clouding is not None:
            options["clouding"] = self.clouding.model_dump()
        return document | ({"options": options} if options else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "layout") -> Layout:
        """Build a layout from its JSON form.

        Raises
        ------
        ConfigError
            naming the field at fault.
        """
        options = document.get("options") or {} if isinstance(document, Mapping) else None
        if not isinstance(options, Mapping):
            raise ConfigError(
                where=where,
                expected="a layout: an object of acquisitions, with options as an object",
                found=str(document)[:80],
                fix="write one with Layout.as_json()",
            )
        options = dict(options)
        if "sibling" in options:  # decloud's documentation and code disagree on the name
            options.setdefault("siblings", options.pop("sibling"))
        rest = {name: spec for name, spec in document.items() if name != "options"}
        try:
            return cls.model_validate({"acquisitions": rest, **options})
        except ValidationError as error:
            raise _config_error(where, error) from error

    def summarize(self) -> str:
        """Return a table: one line per acquisition with cloud range, window and SAR gap."""
        lines = [f"{'name':<8} {'cloud %':<12} {'window':<22} {'SAR gap':<8} role"]
        for name, spec in self.acquisitions.items():
            start, end = spec.window_hours
            when = "reference" if spec.timeframe_origin else f"{start:+g} .. {end:+g} h"
            gap = f"{spec.max_s1s2_gap_hours:g} h" if spec.has_radar else "-"
            lines.append(
                f"{name:<8} {_range(spec.acquisition.s2):<12} {when:<22} {gap:<8} "
                f"{self._role(name)}"
            )
        return "\n".join(lines)

    def _role(self, name: str) -> str:
        if name != self.truth:
            return "input"
        if name == self.origin and self.clouding is not None:
            c = self.clouding
            return f"truth; input under clouds of {c.min_cloud_percent:g}-{c.max_cloud_percent:g} %"
        return "truth"


def _range(query: OpticalQuery) -> str:
    low = query.min_cloud_percent
    text = f"({low.min}..{low.max})" if isinstance(low, RandomPercent) else f"{low:g}"
    return f"{text}-{query.max_cloud_percent:g}"


def _config_error(where: str, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    inner = {"acquisitions", "RandomPercent", "float"}
    parts = [str(p) for p in first["loc"] if str(p) not in inner and "[" not in str(p)]
    field = ".".join(parts)
    missing = first["type"] == "missing"
    shown = "nothing" if missing else json.dumps(first.get("input"), default=str)[:120]
    wanted = first["msg"].removeprefix("Value error, ").partition(", got ")[0]
    return ConfigError(
        where=f"{where}.{field}" if field else where,
        expected="this field" if missing else wanted,
        found=shown,
        fix="see the preset `crga-os2` for a layout that works",
    )


def load_layout(source: str | Mapping[str, Any] | Path) -> Layout:
    """Return a layout from a preset's name, its JSON form or a JSON file.

    Raises
    ------
    ConfigError
        if the name is unknown or the document is not a layout.
    """
    from skymend.patches.presets import preset

    if isinstance(source, Mapping):
        return Layout.from_json(source)
    if isinstance(source, str):
        return preset(source)
    try:
        document = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            where=source,
            expected="a layout in JSON",
            found=str(error)[:160],
            fix="write one with Layout.as_json()",
        ) from error
    return Layout.from_json(document, str(source))
