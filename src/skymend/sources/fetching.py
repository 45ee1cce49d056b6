"""From the assets of an item to verified files: which assets, which addresses, where they go."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skymend.core.errors import AnswerError, ConfigError, ProductError
from skymend.core.files import write_json
from skymend.products.stac_item import asset_name
from skymend.sources.answers import malformed
from skymend.sources.naming import PRODUCT
from skymend.sources.protocol import Settings, digests_of, size_of

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Digest, Ledger, Limits, Progress, Receipt, Remote, Signer
    from skymend.sources.transfer.types import Kind, Orders

_PICTURES = {"thumbnail", "overview", "visual", "tiles"}
_WEB_PAGES = {"text/html", "application/vnd.stac.tilejson+json"}
_CODES = {"md5": "d501", "sha1": "11", "sha256": "12", "sha512": "13", "sha3-256": "16"}


@dataclass(frozen=True, slots=True)
class Door:
    """How one provider lets files out.

    Parameters
    ----------
    provider : whose limits count.
    settings : cache, patience and connections.
    signer : what signs the requests, None for open files.
    limits : what the provider allows, None for no limit.
    progress : is told how it goes, None for nobody.
    orders : brings back offline files, None if the provider cannot.
    """

    provider: str
    settings: Settings
    signer: Signer | None = None
    limits: Limits | None = None
    progress: Progress | None = None
    orders: Orders | None = None

    def bring(self, remotes: Sequence[Remote], destination: Path) -> tuple[Receipt, ...]:
        """Download files into one folder through the transfer engine."""
        from skymend.sources.transfer import (
            TransferOptions,
            anonymous,
            download_all,
            silent,
        )

        ledger = ledger_of(self.settings, self.provider, self.limits)
        most = ledger.of(self.provider).connections or 64
        return download_all(
            remotes,
            destination,
            signer=self.signer or anonymous(),
            options=TransferOptions(
                connections=min(self.settings.connections, most), stall_s=self.settings.timeout_s
            ),
            ledger=ledger,
            progress=self.progress or silent,
            orders=self.orders,
        )


class BasicSigner:
    """Sends a name and password with each request (RFC 7617), to the first host only."""

    def __init__(self, login: Mapping[str, str]) -> None:
        raw = f"{login['username']}:{login['password']}".encode()
        self._value = f"Basic {base64.b64encode(raw).decode()}"

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return the header."""
        return {"Authorization": self._value}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the address as it is."""
        return remote.url


class HeaderSigner:
    """Sends fixed headers, such as a key, with each request, to the first host only."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return the headers."""
        return self._headers

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the address as it is."""
        return remote.url


def ledger_of(settings: Settings, provider: str, limits: Limits | None = None) -> Ledger:
    """Return the machine's ledger with the limits of one provider."""
    from skymend.sources.transfer import Ledger

    return Ledger(settings.cache / "ledger", {} if limits is None else {provider: limits})


def fetch_assets(
    item: pystac.Item, names: Sequence[str], destination: Path, door: Door
) -> tuple[Receipt, ...]:
    """Fetch assets of an item.

    An item that is one archive is fetched and unpacked into ``destination``; one with a file for
    each band goes into ``destination/<item>``, beside a copy of the item whose assets are those
    files.

    Raises
    ------
    ConfigError
        if the item has no such asset.
    """
    keys = choose(item, names)
    folder = destination / _safe(item.id)
    if keys == [PRODUCT]:
        return (fetch_archive(remote_of(item, PRODUCT, door.provider), destination, door),)
    remotes = [remote_of(item, key, door.provider) for key in keys]
    _refuse_twins(item, remotes)
    receipts = door.bring(remotes, folder)
    paths = {key: receipt.path for key, receipt in zip(keys, receipts, strict=True)}
    write_item(item, paths, folder)
    return receipts


def fetch_archive(remote: Remote, destination: Path, door: Door) -> Receipt:
    """Fetch a product's archive and unpack it, unless its SAFE is there and whole.

    Raises
    ------
    ProductError
        if the archive is hostile, or is not one folder.
    """
    stem = remote.name.removesuffix(".zip").removesuffix(".SAFE")
    known = whole_safe(destination / f"{stem}.SAFE") if remote.kind == "safe-zip" else None
    if known is not None:
        (destination / remote.name).unlink(missing_ok=True)
        return known
    (receipt,) = door.bring([remote], destination)
    return unpacked(receipt, destination)


def whole_safe(folder: Path) -> Receipt | None:
    """Return the receipt of a SAFE whose every file is as its manifest says, None of another."""
    from skymend.sources.archives import MANIFEST, verify_safe
    from skymend.sources.transfer import Receipt

    if not (folder / MANIFEST).is_file():
        return None
    try:
        verify_safe(folder)
    except ProductError:
        return None  # a part of it, or damaged
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Receipt(folder, size, "manifest", 0, 0, 0.0)


def unpacked(receipt: Receipt, destination: Path) -> Receipt:
    """Unpack a product's zip and return the receipt of its folder; other files stay as they are.

    Raises
    ------
    ProductError
        if the archive is hostile, or is not one folder.
    """
    from skymend.sources.archives import extract

    if receipt.path.suffix.lower() != ".zip":
        return receipt
    paths = extract(receipt.path, destination)
    tops = sorted({p.relative_to(destination).parts[0] for p in paths})
    if len(tops) != 1:
        raise ProductError(
            where=receipt.path,
            expected="an archive of one folder",
            found=", ".join(tops[:4]) or "an empty archive",
            fix="report it to the provider",
        )
    receipt.path.unlink()
    return replace(receipt, path=destination / tops[0])


def choose(item: pystac.Item, names: Sequence[str]) -> list[str]:
    """Return the keys of the assets asked for; ``B04`` finds ``red`` or ``B04_10m`` too.

    Without names: the whole product if there is one, else all data and metadata.
    """
    if not names:
        return [PRODUCT] if PRODUCT in item.assets else _all_data(item)
    return [_key(item, name) for name in dict.fromkeys(names)]


def _key(item: pystac.Item, name: str) -> str:
    if name in item.assets:
        return name
    alike = [
        (asset_name(key, asset.to_dict()), key)
        for key, asset in item.assets.items()
        if not _PICTURES & set(asset.roles or ())
    ]
    finest = sorted((size, key) for (band, size), key in alike if band == name)
    if finest:
        return str(finest[0][1])
    raise ConfigError(
        where=f"item {item.id}",
        expected=f"an asset {name}",
        found=", ".join(sorted(item.assets)) or "no asset",
        fix="ask for one that it has",
    )


def _all_data(item: pystac.Item) -> list[str]:
    keys = [
        key
        for key, asset in item.assets.items()
        if not _PICTURES & set(asset.roles or ())
        and asset.media_type not in _WEB_PAGES
        and key not in {"thumbnail", "visual", "preview", "index", "tilejson", "rendered_preview"}
    ]
    if keys:
        return keys
    raise AnswerError(
        where=f"item {item.id}",
        expected="assets with data",
        found=", ".join(sorted(item.assets)) or "no asset",
        fix="choose another collection; this one holds pictures only",
    )


def remote_of(item: pystac.Item, key: str, provider: str) -> Remote:
    """Return an asset as a file to download."""
    from skymend.sources.transfer import Remote

    asset = item.assets[key]
    name = str(asset.extra_fields.get("file:local_path") or _file_name(asset.href))
    return Remote(
        url=asset.href,
        provider=provider,
        name=_safe(name.rsplit("/", 1)[-1]),
        size=size_of(asset),
        digests=digests_of(asset),
        kind=_kind(name, asset.media_type or ""),
        online=asset.extra_fields.get("storage:tier", "online") != "offline",
    )


def _file_name(href: str) -> str:
    return urlsplit(href).path.rstrip("/").rsplit("/", 1)[-1] or "file"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "file"


def _kind(name: str, media_type: str) -> Kind:
    suffix = name.lower().rsplit(".", 1)[-1]
    if suffix == "zip" or media_type == "application/zip":
        return "safe-zip" if re.match(r"S[12][A-D]_", name) else "zip"
    if suffix in {"tif", "tiff"} or "geotiff" in media_type:
        return "geotiff"
    if suffix == "hdf":
        return "hdf"
    return "xml" if suffix in {"xml", "eof"} else "file"


def _refuse_twins(item: pystac.Item, remotes: Sequence[Remote]) -> None:
    names = [r.name for r in remotes]
    twins = sorted({n for n in names if names.count(n) > 1})
    if twins:
        raise AnswerError(
            where=f"item {item.id}",
            expected="assets with different file names",
            found=f"two called {twins[0]}",
            fix="ask for one of them by its name",
        )


def write_item(item: pystac.Item, paths: dict[str, Path], folder: Path) -> Path:
    """Write a copy of an item whose assets are local files, as the STAC reader opens it."""
    document = plain(item)
    document["links"] = []
    document["assets"] = {
        key: {
            "roles": ["data"],
            **document["assets"].get(key, {}),
            "href": path.relative_to(folder).as_posix(),
        }
        for key, path in paths.items()
    }
    target = folder / f"{_safe(item.id)}.json"
    write_json(target, document)
    return target


def plain(item: pystac.Item) -> dict[str, Any]:
    """Return an item as a JSON document."""
    document: dict[str, Any] = json.loads(
        json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False))
    )
    return document


def md5_of(text: str, where: str, path: str) -> str:
    """Write an MD5 that an answer states as ``file:checksum``.

    Raises
    ------
    AnswerError
        naming the field, if it is none.
    """
    from skymend.sources.transfer import Digest

    try:
        return multihash(Digest("md5", text))
    except ProductError as error:
        raise malformed(where, f"an MD5 in field {path!r}", error.found) from None


def multihash(digest: Digest) -> str:
    """Write a digest as ``file:checksum`` of the STAC file extension (multihash, hexadecimal)."""
    code = _CODES[digest.algorithm] if digest.algorithm != "blake3" else "1e"
    return f"{code}{len(digest.value) // 2:02x}{digest.value}"
