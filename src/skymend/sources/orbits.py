"""Orbit files of Sentinel-1: the precise one, else the restituted one.

Precise orbits (AUX_POEORB, 5 cm) come three weeks after the pass and cover 26 hours, restituted
ones (AUX_RESORB, 10 cm) within hours and cover three (GMES-GSEG-EOPG-TN-09-0043, sections 3.3
and 4). The Copernicus Data Space has both; ASF mirrors them in an open bucket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from skymend.core.errors import (
    AccessError,
    AnswerError,
    ConfigError,
    ProductError,
    RetryableError,
)
from skymend.products.sentinel1.markup import parse_xml
from skymend.sources.protocol import Filters, Settings, Source
from skymend.sources.versions import name_of

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Progress, Receipt

Kind = Literal["AUX_POEORB", "AUX_RESORB"]

KINDS: tuple[Kind, ...] = ("AUX_POEORB", "AUX_RESORB")
"""Best first."""

MARGIN = timedelta(seconds=60)
"""By how much the validity must reach beyond the scene on both sides."""

PROVIDERS = ("cdse", "asf")
"""Who has them; the files of ASF are open, those of the Data Space need its login."""

_LONGEST = timedelta(hours=27)
_NAME = re.compile(
    r"(S1[A-D])_OPER_(AUX_POEORB|AUX_RESORB)_OPOD_(\d{8}T\d{6})_V(\d{8}T\d{6})_(\d{8}T\d{6})"
    r"(?:\.EOF)?"
)
_SCENE = re.compile(r"(S1[A-D])_\w\w_\w{4}_\w{4}_(\d{8}T\d{6})_(\d{8}T\d{6})_.*")
_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Scene:
    """The acquisition that an orbit is looked for; ``platform`` is such as ``S1A``."""

    platform: str
    start: datetime
    end: datetime

    @classmethod
    def of_name(cls, name: str) -> Scene:
        """Read platform and times from a Sentinel-1 product's name.

        Raises
        ------
        ConfigError
            if it is none.
        """
        match = _SCENE.fullmatch(name)
        with suppress(ValueError):
            if match is not None:
                return cls(match[1], _time(match[2]), _time(match[3]))
        raise ConfigError(
            where="scene",
            expected="the name of a Sentinel-1 product, such as S1A_IW_GRDH_1SDV_...",
            found=repr(name[:80]),
            fix="give the name of the SAFE folder",
        )


@dataclass(frozen=True, slots=True)
class OrbitFile:
    """What the name of an orbit file says; ``start`` and ``end`` are its validity."""

    name: str
    platform: str
    kind: Kind
    created: datetime
    start: datetime
    end: datetime

    @classmethod
    def parse(cls, name: str) -> OrbitFile | None:
        """Read a file name; None if it is no orbit file."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            times = (_time(match[3]), _time(match[4]), _time(match[5]))
        except ValueError:
            return None
        kind: Kind = "AUX_POEORB" if match[2] == "AUX_POEORB" else "AUX_RESORB"
        return cls(f"{name.removesuffix('.EOF')}.EOF", match[1], kind, *times)

    def covers(self, scene: Scene) -> bool:
        """Say whether it is of the satellite and valid 60 s before, during and after the scene."""
        return (
            self.platform == scene.platform
            and self.start <= scene.start - MARGIN
            and self.end >= scene.end + MARGIN
        )


@dataclass(frozen=True, slots=True)
class Found:
    """An orbit file at a provider."""

    orbit: OrbitFile
    source: Source
    item: pystac.Item

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self.source.name


def best(orbits: Iterable[OrbitFile], scene: Scene) -> OrbitFile | None:
    """Return the file to use: precise before restituted, then the newest creation."""
    fit = [o for o in orbits if o.covers(scene)]
    return max(fit, key=lambda o: (-KINDS.index(o.kind), o.created, o.name), default=None)


def find(scene: Scene, settings: Settings, providers: Sequence[str] = PROVIDERS) -> Found | None:
    """Look for the orbit of a scene: precise at each provider in turn, then restituted.

    Returns
    -------
    None if all providers answered and none has one; the orbit of a new scene comes later.

    Raises
    ------
    RetryableError
        if there is none, and not all providers could be asked.
    """
    failures: dict[str, str] = {}
    for kind in KINDS:
        for provider in providers:
            if provider in failures:
                continue
            try:
                found = _best_at(provider, kind, scene, settings)
            except (AccessError, AnswerError, RetryableError) as error:
                failures[provider] = error.found
                continue
            if found is not None:
                return found
    if failures:
        raise RetryableError(
            where=f"orbit of {scene.platform} at {scene.start:%Y-%m-%d %H:%M:%S}",
            expected="an answer of every provider",
            found="; ".join(f"{name}: {words}" for name, words in failures.items()),
            fix="try again later",
        )
    return None


def fetch(
    scene: Scene,
    settings: Settings,
    destination: Path,
    *,
    providers: Sequence[str] = PROVIDERS,
    progress: Progress | None = None,
) -> Receipt | None:
    """Bring the orbit file of a scene into a folder; None if there is none yet.

    A provider that shows the file but does not hand it out gives way to the next one.

    Raises
    ------
    AccessError
        if all that have it want a login.
    ProductError
        if the file is no orbit file, or not of the time that its name states.
    RetryableError
        as :func:`find`.
    """
    refusal: AccessError | RetryableError | None = None
    remaining = list(providers)
    while remaining:
        found = find(scene, settings, remaining)
        if found is None:
            break
        try:
            (receipt,) = found.source.fetch(found.item, (), destination, progress)
        except (AccessError, RetryableError) as error:
            refusal = error
            remaining.remove(found.provider)
            continue
        check(receipt.path)
        return receipt
    if refusal is not None:
        raise refusal
    return None


def check(path: Path) -> OrbitFile:
    """Check that a file is what its name says: satellite, kind and validity.

    Raises
    ------
    ProductError
        if it is not.
    """
    orbit = OrbitFile.parse(path.name)
    if orbit is None:
        raise _wrong(path, "a name like S1A_OPER_AUX_POEORB_OPOD_...EOF", path.name)
    text = _texts(path)
    stated = (text.get("Mission", ""), text.get("Validity_Start", ""), text.get("File_Type", ""))
    named = (
        f"Sentinel-{orbit.platform[1:]}",
        f"UTC={orbit.start:%Y-%m-%dT%H:%M:%S}",
        orbit.kind,
    )
    if stated != named:
        raise _wrong(path, " ".join(named), " ".join(stated).strip() or "no header")
    return orbit


def _texts(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    if len(content) > _MAX_BYTES:
        raise _wrong(path, "XML below 64 MiB", f"{len(content)} bytes")
    root = parse_xml(content, str(path)).element
    return {e.tag.rpartition("}")[2]: (e.text or "").strip() for e in root.iter()}


def _best_at(provider: str, kind: Kind, scene: Scene, settings: Settings) -> Found | None:
    from skymend.sources.registry import open_source

    if provider not in PROVIDERS:
        raise ConfigError(
            where="provider of orbits",
            expected=f"one of {', '.join(PROVIDERS)}",
            found=repr(provider),
            fix="choose one of these",
        )
    source = open_source(provider, settings)
    period = (scene.start - MARGIN - _LONGEST, scene.start - MARGIN)
    filters = Filters(platform=f"sentinel-{scene.platform[1:].lower()}")
    found = source.search(kind.lower().replace("_", "-"), None, period, filters)
    orbits = {OrbitFile.parse(name_of(item)): item for item in found}
    chosen = best((o for o in orbits if o is not None), scene)
    return None if chosen is None else Found(chosen, source, orbits[chosen])


def _wrong(path: Path, expected: str, found: str) -> ProductError:
    return ProductError(where=path, expected=expected, found=found, fix="fetch the file again")


def _time(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
