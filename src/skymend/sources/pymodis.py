"""pymodis, out of process: MODIS tiles from mirrors that still speak its protocol.

Endpoint ``pymodis`` (a mirror; it has no default, because the host that pymodis was made for,
``e4ftl01.cr.usgs.gov``, stopped serving MODIS on 30 June 2025: take the provider ``earthdata``).
``SKYMEND_PYMODIS`` names a Python that has pymodis; its package is GPL and is never imported here.
The login is ``username`` and ``password``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skymend.core.errors import (
    ConfigError,
    ProductError,
    RetryableError,
    SkymendError,
    ToolMissingError,
)
from skymend.core.files import store_errors
from skymend.sources import cksum, naming
from skymend.sources.answers import field, read_json
from skymend.sources.earthdata import tiles
from skymend.sources.fetching import ledger_of
from skymend.sources.json_client import take_turn
from skymend.sources.outlines import touching
from skymend.sources.protocol import (
    Filters,
    Finding,
    Period,
    Settings,
    require_collection,
    timestamp,
)

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt

VARIABLE = "SKYMEND_PYMODIS"
STOPPED = "e4ftl01.cr.usgs.gov"
REPLACEMENT = "take the provider 'earthdata', which has the same products"

FOLDERS: Mapping[str, str] = MappingProxyType({"mod": "MOLT", "myd": "MOLA"})
"""Folder of a mirror by the first letters of a product: Terra and Aqua."""

COLLECTIONS = tuple(
    f"{satellite}{kind}"
    for satellite in FOLDERS
    for kind in ("11a1", "21a1d", "21a1n", "09gq", "09ga")
)
_VERSION = "061"
_NAME = re.compile(r"(\w+)\.A(\d{7})\.(h\d\dv\d\d)\.(\d{3})\.(\d{13})\.hdf")
_MISSING = 3
_LONGEST_S = 3600.0
_HDF = (b"\x0e\x03\x13\x01", b"\x89HDF\r\n\x1a\n")


class Pymodis:
    """A mirror spoken to by pymodis in a process of its own."""

    name = "pymodis"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return COLLECTIONS

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """List tiles of a mirror, day by day.

        Raises
        ------
        ConfigError
            if there is no mirror, no period, or neither area nor tile.
        """
        require_collection(self.name, collection, COLLECTIONS)
        wanted = self._tiles(area, filters)
        if period is None:
            raise _unasked("a period", "give first and last day")
        first, last = (moment.astimezone(UTC).date() for moment in period)
        question = {**self._question(collection, wanted), "first": f"{first}", "last": f"{last}"}
        answer = self._ask({**question, "action": "list", "names": []})
        found = (i for i in self._items(answer, collection) if period[0] <= _end(i))
        inside = (i for i in found if i.datetime <= period[1])
        return naming.collect(touching(inside, area), replace(filters, tile=None))

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch a tile; it is checked against the CRC of the description beside it.

        Raises
        ------
        ProductError
            if it is no HDF file, or differs from its description.
        """
        from skymend.sources.transfer import Receipt

        began = time.monotonic()
        name = str(item.assets[naming.PRODUCT].extra_fields["file:local_path"])
        target = destination / name
        with store_errors(destination):
            destination.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".pymodis-", dir=destination))
        try:
            path = self._brought(item, name, work)
            verified = _verified(path, path.with_name(f"{name}.xml"))
            with store_errors(target):
                path.replace(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        seconds = time.monotonic() - began
        return (Receipt(target, target.stat().st_size, verified, 0, 0, seconds),)

    def check(self) -> tuple[Finding, ...]:
        """Say whether there is a mirror, an interpreter and a login.

        Whoever has an Earthdata login but asked for no mirror is not told that one is missing.
        """
        if not (self.settings.endpoint(self.name, "") or os.environ.get(VARIABLE)):
            sentence = f"not set up, and {STOPPED} stopped in June 2025: {REPLACEMENT}"
            return (Finding(self.name, True, sentence),)
        try:
            mirror, python = self._mirror(), _interpreter()
            self._login()
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        return (Finding(self.name, True, f"{python} will ask {mirror}"),)

    def _brought(self, item: pystac.Item, name: str, work: Path) -> Path:
        day = item.datetime.date()
        tile = tiles.of_name(item.id)
        question = self._question(str(item.collection_id), [] if tile is None else [tile])
        names = [name, f"{name}.xml"]
        days = {"first": f"{day}", "last": f"{day}"}
        self._ask({**question, **days, "action": "fetch", "names": names, "folder": str(work)})
        path = work / name
        if path.is_file() and path.stat().st_size:
            return path
        raise RetryableError(
            where=f"{self.name}: {name}",
            expected="a file",
            found="none after pymodis had finished",
            fix=f"try again later, or {REPLACEMENT}",
        )

    def _tiles(self, area: Area | None, filters: Filters) -> list[tiles.Tile]:
        if filters.tile is not None:
            return [tiles.parse(filters.tile)]
        if area is None:
            raise _unasked("an area or a tile", "give one of them")
        return tiles.touched(area)

    def _items(self, answer: dict[str, Any], collection: str) -> Iterator[pystac.Item]:
        product = collection.upper()
        for number in range(len(field(answer, "files", list, self.name))):
            name = field(answer, f"files.{number}", str, self.name)
            match = _NAME.fullmatch(name)
            if match and match[1] == product and match[4] == _VERSION:
                yield self._item(name, match, collection)

    def _item(self, name: str, match: re.Match[str], collection: str) -> pystac.Item:
        from shapely.geometry import mapping

        start = _day(match[2])
        tile = tiles.parse(match[3])
        stem = name.removesuffix(".hdf")
        feature = {
            "id": stem,
            "geometry": dict(mapping(tiles.outline(tile))),
            "properties": {
                "datetime": timestamp(start),
                "start_datetime": timestamp(start),
                "end_datetime": timestamp(start + timedelta(days=1, seconds=-1)),
                "platform": "terra" if collection.startswith("mod") else "aqua",
                "processing:version": match[4],
                "created": timestamp(_day(match[5][:7])),
                "grid:code": tile.code,
            },
            "assets": {
                naming.PRODUCT: {
                    "href": f"{self._mirror()}/{name}",
                    "roles": ["data"],
                    "file:local_path": name,
                }
            },
        }
        return naming.harmonise(feature, collection, self.name, where=self.name, title=stem)

    def _question(self, collection: str, wanted: Sequence[tiles.Tile]) -> dict[str, Any]:
        login = self._login()
        return {
            "url": self._mirror(),
            "path": FOLDERS[collection[:3]],
            "product": f"{collection.upper()}.{_VERSION}",
            "tiles": [str(t) for t in wanted],
            "user": login["username"],
            "password": login["password"],
            "timeout_s": int(self.settings.timeout_s) or 1,
            "folder": tempfile.gettempdir(),
        }

    def _login(self) -> Mapping[str, str]:
        return self.settings.credentials.find(self.name, ["username", "password"])

    def _mirror(self) -> str:
        url = self.settings.endpoint(self.name, "")
        if url and urlsplit(url).hostname != STOPPED:
            return url
        found = f"{STOPPED}, which stopped serving MODIS on 30 June 2025" if url else "none"
        raise ConfigError(
            where=f"endpoint {self.name!r}",
            expected=f"a mirror that still speaks the protocol of {STOPPED} (stopped in June 2025)",
            found=found,
            fix=f"{REPLACEMENT}, or set the endpoint to a mirror",
        )

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        python = _interpreter()
        take_turn(ledger_of(self.settings, self.name), self.name)
        child = Path(__file__).with_name("pymodis_child.py")
        try:
            done = subprocess.run(
                [python, str(child)],
                input=json.dumps(question),
                capture_output=True,
                text=True,
                timeout=_LONGEST_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(type(error).__name__) from None  # its text holds the question
        lines = done.stdout.strip().splitlines()
        if done.returncode == _MISSING:
            raise _missing(f"{python}, which has none")
        if not lines:
            raise self._failed(f"exit code {done.returncode} and no answer")
        answer = read_json(lines[-1], f"{self.name}: {python}")
        if "error" in answer:
            said = field(answer, "error", str, self.name)
            raise self._failed(said.replace(question["password"], "***")[:200])
        return answer

    def _failed(self, found: str) -> RetryableError:
        return RetryableError(
            where=f"{self.name}: {self._mirror()}",
            expected="an answer",
            found=found,
            fix=f"try again later, or {REPLACEMENT}",
        )


def _interpreter() -> str:
    own = os.environ.get(VARIABLE, "")
    found = shutil.which(own) if own else None
    if found is None:
        raise _missing(repr(own) if own else "nothing")
    return found


def _missing(found: str) -> ToolMissingError:
    return ToolMissingError(
        where=VARIABLE,
        expected="a Python that has pymodis",
        found=found,
        fix=f"install pymodis (GPL) in an environment of its own and name its python,"
        f" or {REPLACEMENT}",
    )


def _verified(path: Path, description: Path) -> str:
    """Check a file against the description beside it; return what it was checked against."""
    with path.open("rb") as stream:
        head = stream.read(8)
    if not head.startswith(_HDF):
        raise _wrong(path, f"a file that begins with {head!r}")
    text = (
        description.read_text(encoding="utf-8", errors="replace") if description.is_file() else ""
    )
    size = re.search(r"<FileSize>\s*(\d+)\s*</FileSize>", text)
    stated = re.search(
        r"<ChecksumType>\s*CKSUM\s*</ChecksumType>\s*<Checksum>\s*(\d+)\s*</Checksum>", text
    )
    if size and int(size[1]) != path.stat().st_size:
        raise _wrong(path, f"{path.stat().st_size} bytes instead of {size[1]}")
    if stated and int(stated[1]) != cksum.of_file(path):
        raise _wrong(path, f"another CRC than {stated[1]}")
    return "crc" if stated else "size"


def _wrong(path: Path, found: str) -> ProductError:
    return ProductError(
        where=path.name,
        expected="the HDF file that its description states",
        found=found,
        fix="fetch it again; if it stays so, the mirror is damaged",
    )


def _unasked(expected: str, fix: str) -> ConfigError:
    return ConfigError(where="search at pymodis", expected=expected, found="none", fix=fix)


def _day(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y%j").replace(tzinfo=UTC)


def _end(item: pystac.Item) -> datetime:
    moment: datetime = item.datetime + timedelta(days=1)
    return moment
