"""Orbit files of Sentinel-1: the precise one, else the restituted one.

Precise orbits (AUX_POEORB, 5 cm) come three weeks after the pass and cover 26 hours, restituted
ones (AUX_RESORB, 10 cm) within hours and cover three (GMES-GSEG-EOPG-TN-09-0043, sections 3.3
and 4). The Copernicus Data Space has both; ASF mirrors them in a public bucket.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

from skymend.core.errors import (
    AccessError,
    AnswerError,
    ConfigError,
    ProductError,
    RetryableError,
)
from skymend.sources.credentials import Credentials
from skymend.sources.protocol import Filters, Settings

if TYPE_CHECKING:
    import pystac

    from skymend.sources import aws
    from skymend.sources.transfer import Progress, Receipt

Kind = Literal["AUX_POEORB", "AUX_RESORB"]

KINDS: tuple[Kind, ...] = ("AUX_POEORB", "AUX_RESORB")
"""Best first."""

MARGIN = timedelta(seconds=60)
"""By how much the validity must reach beyond the scene on both sides."""

ASF_BUCKET = "s1-orbits"
_ASF = "asf-orbits"
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
        if match is None:
            raise ConfigError(
                where="scene",
                expected="the name of a Sentinel-1 product, such as S1A_IW_GRDH_1SDV_...",
                found=repr(name[:80]),
                fix="give the name of the SAFE folder",
            )
        return cls(match[1], _time(match[2]), _time(match[3]))


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
        times = (_time(match[3]), _time(match[4]), _time(match[5]))
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
    """An orbit file at a provider; ``bring`` downloads it into a folder, verified."""

    orbit: OrbitFile
    provider: str
    bring: Callable[[Path, Progress | None], Receipt]


def best(orbits: Iterable[OrbitFile], scene: Scene) -> OrbitFile | None:
    """Return the file to use: precise before restituted, then the newest creation."""
    fit = [o for o in orbits if o.covers(scene)]
    return max(fit, key=lambda o: (-KINDS.index(o.kind), o.created, o.name), default=None)


def find(
    scene: Scene, settings: Settings, providers: Sequence[str] = ("cdse", "asf")
) -> Found | None:
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
    providers: Sequence[str] = ("cdse", "asf"),
    progress: Progress | None = None,
) -> Receipt | None:
    """Bring the orbit file of a scene into a folder; None if there is none yet.

    Raises
    ------
    ProductError
        if the file is no orbit file, or not of the time that its name states.
    RetryableError
        as :func:`find`.
    """
    found = find(scene, settings, providers)
    if found is None:
        return None
    receipt = found.bring(destination, progress)
    check(receipt.path)
    return receipt


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
    if len(content) > _MAX_BYTES or b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise _wrong(path, "plain XML below 64 MiB", "a longer file, or one with entities")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise _wrong(path, "well-formed XML", str(error)) from None
    return {e.tag.rpartition("}")[2]: (e.text or "").strip() for e in root.iter()}


def _best_at(provider: str, kind: Kind, scene: Scene, settings: Settings) -> Found | None:
    if provider not in _LISTINGS:
        raise ConfigError(
            where="provider of orbits",
            expected=f"one of {', '.join(_LISTINGS)}",
            found=repr(provider),
            fix="choose one of these",
        )
    for candidates in _LISTINGS[provider](kind, scene, settings):
        listed = {c.orbit: c for c in candidates}
        chosen = best(listed, scene)
        if chosen is not None:
            return listed[chosen]
    return None


def _at_cdse(kind: Kind, scene: Scene, settings: Settings) -> Iterator[list[Found]]:
    from skymend.sources.cdse import Cdse

    source = Cdse(settings)
    period = (scene.start - MARGIN - _LONGEST, scene.start - MARGIN)
    filters = Filters(platform=f"sentinel-{scene.platform[1:].lower()}")
    found = []
    for item in source.search(kind.lower().replace("_", "-"), None, period, filters):
        orbit = OrbitFile.parse(str(item.properties["title"]))
        if orbit is None:
            continue

        def bring(folder: Path, progress: Progress | None, item: pystac.Item = item) -> Receipt:
            return source.fetch(item, (), folder, progress)[0]

        found.append(Found(orbit, "cdse", bring))
    yield found


def _at_asf(kind: Kind, scene: Scene, settings: Settings) -> Iterator[list[Found]]:
    """List the public bucket: first the days on which such files are made, then everything."""
    from skymend.sources import aws

    # The bucket is public; keys of another service would only be refused.
    settings = replace(settings, credentials=Credentials({}, {}, Path(os.devnull)))
    client = aws.client(settings, _ASF)
    stem = f"{kind}/{scene.platform}_OPER_{kind}_OPOD_"
    usual = range(19, 24) if kind == "AUX_POEORB" else range(3)
    prefixes = [f"{stem}{scene.start + timedelta(days=d):%Y%m%d}" for d in usual]
    yield [f for p in prefixes for f in _listed(aws.objects(client, ASF_BUCKET, p), settings)]
    yield list(_listed(aws.objects(client, ASF_BUCKET, stem), settings))


def _listed(objects: Iterable[aws.Object], settings: Settings) -> Iterator[Found]:
    for entry in objects:
        orbit = OrbitFile.parse(entry.key.rsplit("/", 1)[-1])
        if orbit is not None:
            yield Found(orbit, "asf", _Bucket(entry, orbit.name, settings))


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Brings one object of the public bucket."""

    entry: aws.Object
    name: str
    settings: Settings

    def __call__(self, folder: Path, progress: Progress | None) -> Receipt:
        from skymend.sources.aws import S3Signer
        from skymend.sources.fetching import Door
        from skymend.sources.transfer import Remote

        remote = Remote(
            self.entry.url, "asf", self.name, self.entry.size, self.entry.digests, kind="xml"
        )
        signer = S3Signer(self.settings, _ASF)
        return Door("asf", self.settings, signer, None, progress).bring([remote], folder)[0]


_LISTINGS: dict[str, Callable[[Kind, Scene, Settings], Iterator[list[Found]]]] = {
    "cdse": _at_cdse,
    "asf": _at_asf,
}


def _wrong(path: Path, expected: str, found: str) -> ProductError:
    return ProductError(where=path, expected=expected, found=found, fix="fetch the file again")


def _time(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
