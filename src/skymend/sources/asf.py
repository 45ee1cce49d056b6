"""Alaska Satellite Facility: Sentinel-1 products and orbit files.

Endpoints: ``asf`` (search), ``asf.orbits`` (bucket of orbit files, ``s3://s1-orbits``) and
``asf.s3`` (its S3 service). Search and orbit files are open. Products need an Earthdata login: a
``token``, or ``username`` and ``password`` (endpoint ``asf.login`` makes a token of them), and the
ASF end-user licence agreement accepted once in the Earthdata profile.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.core.errors import AccessError
from skymend.sources import aws, naming
from skymend.sources.answers import field, malformed
from skymend.sources.fetching import Door, HeaderSigner, fetch_assets, ledger_of, md5_of, multihash
from skymend.sources.json_client import JsonClient
from skymend.sources.outlines import places, touching
from skymend.sources.protocol import (
    Filters,
    Finding,
    Period,
    Settings,
    findings,
    require_collection,
    timestamp,
)

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt

URL = "https://api.daac.asf.alaska.edu/services/search/param"
ORBITS = "s3://s1-orbits"
LOGIN = "https://urs.earthdata.nasa.gov/api/users/find_or_create_token"
AGREEMENT = "Alaska Satellite Facility Data Access"
"""Name of the application and licence that an Earthdata account must accept for ASF."""

PAGE = 1000
_LEVELS = {"sentinel-1-grd": "GRD_HD", "sentinel-1-slc": "SLC"}
_FOLDERS = {"aux-poeorb": "AUX_POEORB", "aux-resorb": "AUX_RESORB"}
_ORBIT = re.compile(
    r"(S1[A-D])_OPER_AUX_(?:POE|RES)ORB_OPOD_(\d{8}T\d{6})_V(\d{8}T\d{6})_(\d{8}T\d{6})\.EOF(?:\.zip)?"
)
_LETTERS = "ABCD"
_LONGEST = timedelta(days=2)
"""No orbit file is valid for longer (a precise one for 26 hours)."""


class Asf:
    """Sentinel-1 of the Alaska Satellite Facility."""

    name = "asf"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._url = settings.endpoint("asf", URL)
        self._client = JsonClient("asf", settings.timeout_s, ledger=ledger_of(settings, "asf"))

    def collections(self) -> tuple[str, ...]:
        """Name the collections."""
        return (*_LEVELS, *_FOLDERS)

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """Find items; orbit files are chosen by validity, which the period must touch."""
        require_collection(self.name, collection, self.collections())
        if collection in _FOLDERS:
            return naming.collect(self._orbits(collection, period, filters), filters)
        found = (
            scene
            for place in places(area)
            for scene in self._scenes(collection, place, period, filters)
        )
        return naming.collect(touching(found, area), filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch a product's archive, or an orbit file.

        Raises
        ------
        AccessError
            naming the agreement to accept, where that is what ASF misses.
        """
        if item.collection_id in _FOLDERS:
            signer = aws.S3Signer(self.settings, self.name, unsigned=True)
            door = Door(self.name, self.settings, signer, None, progress)
            return fetch_assets(item, (naming.PRODUCT,), destination, door)
        bearer = HeaderSigner({"Authorization": f"Bearer {self._token()}"})
        door = Door(self.name, self.settings, bearer, None, progress)
        try:
            return fetch_assets(item, (naming.PRODUCT,), destination, door)
        except AccessError as error:
            raise _unaccepted(error) from error

    def check(self) -> tuple[Finding, ...]:
        """Ask for one scene, and look for a login."""
        return findings(self.name, self._news())

    def _news(self) -> Iterator[str]:
        self._client.get(self._url, {**_query("sentinel-1-grd"), "maxResults": "1"})
        yield f"{self._url} answers"
        self._token()
        yield "there is an Earthdata token"

    def _scenes(
        self, collection: str, place: str | None, period: Period | None, filters: Filters
    ) -> Iterator[pystac.Item]:
        """Walk back in time: the API gives the newest ``maxResults`` and has no pages."""
        query = {**_query(collection, place, filters), "maxResults": str(PAGE)}
        if period is not None:
            query["start"], query["end"] = map(timestamp, period)
        seen: set[str] = set()
        while True:
            answer = self._client.get(self._url, query)
            count = len(field(answer, "features", list, self._url))
            items = [_scene(answer, i, collection, self._url) for i in range(count)]
            fresh = [i for i in items if i.id not in seen]
            seen |= {i.id for i in fresh}
            yield from fresh
            if count < PAGE:
                return
            if not fresh:
                raise malformed(self._url, "older scenes in field 'features'", "the same again")
            oldest = min(i.datetime for i in items)
            query["end"] = timestamp(oldest)

    def _orbits(
        self, collection: str, period: Period | None, filters: Filters
    ) -> Iterator[pystac.Item]:
        bucket, prefix = aws.split(self.settings.endpoint("asf.orbits", ORBITS) + "/")
        s3 = aws.client(self.settings, self.name, unsigned=True)
        letters = (filters.platform or "")[-1:].upper() or _LETTERS
        for letter in letters:
            name = _FOLDERS[collection]
            start = f"{prefix}{name}/S1{letter}_OPER_{name}_OPOD_"
            # Names begin with the time of making, which is never before the validity begins.
            after = "" if period is None else f"{start}{period[0] - _LONGEST:%Y%m%d}"
            for found in aws.objects(s3, bucket, start, after=after):
                item = _orbit(found, collection, period)
                if item is not None:
                    yield item

    def _token(self) -> str:
        login = self.settings.credentials.seek(self.name, ["token"])
        if "token" in login:
            return login["token"]
        user = self.settings.credentials.find(self.name, ["username", "password"])
        raw = base64.b64encode(f"{user['username']}:{user['password']}".encode()).decode()
        url = self.settings.endpoint("asf.login", LOGIN)
        headers = {"Authorization": f"Basic {raw}"}
        answer = JsonClient(self.name, self.settings.timeout_s, headers).post(url, {})
        return field(answer, "access_token", str, url)


def _query(
    collection: str, place: str | None = None, filters: Filters | None = None
) -> dict[str, str]:
    query = {
        "dataset": "SENTINEL-1",
        "processingLevel": _LEVELS[collection],
        "beamMode": "IW",
        "output": "geojson",
    }
    if place is not None:
        query["intersectsWith"] = place
    if filters is not None and filters.relative_orbit is not None:
        query["relativeOrbit"] = str(filters.relative_orbit)
    if filters is not None and filters.orbit_direction is not None:
        query["flightDirection"] = filters.orbit_direction.upper()
    return query


def _scene(answer: dict[str, Any], number: int, collection: str, url: str) -> pystac.Item:
    place = f"features.{number}.properties"
    name = field(answer, f"{place}.sceneName", str, url)
    channels = field(answer, f"{place}.polarization", str, url)
    properties = {
        "datetime": field(answer, f"{place}.startTime", str, url),
        "start_datetime": field(answer, f"{place}.startTime", str, url),
        "end_datetime": field(answer, f"{place}.stopTime", str, url),
        "platform": field(answer, f"{place}.platform", str, url),
        "sat:relative_orbit": field(answer, f"{place}.pathNumber", int, url),
        "sat:absolute_orbit": field(answer, f"{place}.orbit", int, url),
        "sat:orbit_state": field(answer, f"{place}.flightDirection", str, url),
        "sar:polarizations": re.split(r"\W+", channels.strip()),
        "sar:instrument_mode": field(answer, f"{place}.beamModeType", str, url),
        "created": field(answer, f"{place}.processingDate", str, url, default=""),
    }
    feature = {
        "id": name,
        "geometry": field(answer, f"features.{number}.geometry", dict, url),
        "properties": {k: v for k, v in properties.items() if v},
        "assets": {naming.PRODUCT: _archive(answer, place, url)},
    }
    return naming.harmonise(feature, collection, Asf.name, where=url)


def _archive(answer: dict[str, Any], place: str, url: str) -> dict[str, Any]:
    asset: dict[str, Any] = {
        "href": field(answer, f"{place}.url", str, url),
        "type": "application/zip",
        "roles": ["data"],
        "file:local_path": field(answer, f"{place}.fileName", str, url),
    }
    size = int(field(answer, f"{place}.bytes", float, url, default=0.0))
    if size > 0:
        asset["file:size"] = size
    md5 = field(answer, f"{place}.md5sum", str, url, default="")
    return {**asset, "file:checksum": md5_of(md5, url, f"{place}.md5sum")} if md5 else asset


def _orbit(found: aws.Object, collection: str, period: Period | None) -> pystac.Item | None:
    name = found.key.rsplit("/", 1)[-1]
    match = _ORBIT.fullmatch(name)
    if match is None:
        return None
    satellite, made, start, end = match.groups()
    first, last = _moment(start), _moment(end)
    if period is not None and (last < period[0] or first > period[1]):
        return None
    asset: dict[str, Any] = {
        "href": found.url,
        "roles": ["data"],
        "file:local_path": name,
        "file:size": found.size,
    }
    if found.digests:
        asset["file:checksum"] = multihash(found.digests[0])
    properties = {
        "datetime": timestamp(first),
        "start_datetime": timestamp(first),
        "end_datetime": timestamp(last),
        "created": timestamp(_moment(made)),
        "platform": satellite,
    }
    feature = {
        "id": name.split(".", maxsplit=1)[0],
        "properties": properties,
        "assets": {naming.PRODUCT: asset},
    }
    return naming.harmonise(feature, collection, Asf.name, where=found.url)


def _moment(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        where = f"{Asf.name}: the name of an orbit file"
        raise malformed(where, "a time of the calendar", repr(stamp)) from None


def _unaccepted(error: AccessError) -> AccessError:
    """Say which agreement is missing: ASF refuses a good token until it is accepted."""
    return AccessError(
        where=error.where,
        expected=f"an Earthdata account that has accepted the agreement {AGREEMENT!r}",
        found=error.found,
        fix=f"log in at urs.earthdata.nasa.gov, open Applications > Authorized Apps, approve"
        f" {AGREEMENT!r} and accept its EULA; if that is done, make a new token",
    )
