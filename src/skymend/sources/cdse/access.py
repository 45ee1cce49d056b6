"""How files are asked for: with a token over HTTPS, or with S3 keys."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from skymend.sources.answers import field, malformed
from skymend.sources.cdse.catalogue import (
    BUCKET,
    CLIENT_ID,
    ENDPOINTS,
    PROVIDER,
    REDIRECT_HOSTS,
    S3_REGION,
)
from skymend.sources.cdse.contents import Entry
from skymend.sources.naming import PRODUCT
from skymend.sources.protocol import Settings
from skymend.sources.tokens import TokenChain

if TYPE_CHECKING:
    import pystac

    from skymend.sources.transfer import Digest, Remote, Signer
    from skymend.sources.transfer.types import Kind

_UUID = re.compile(r"Products\('?([0-9A-Za-z-]{8,64})'?\)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{7,150}")
_S3_KEYS = ("access_key", "secret_key")


def chain_of(settings: Settings) -> TokenChain:
    """Return the token chain of the account that the settings name."""
    return TokenChain(
        PROVIDER,
        settings.endpoint("cdse.token", ENDPOINTS["cdse.token"]),
        CLIENT_ID,
        settings.credentials,
        settings.cache,
        settings.timeout_s,
    )


def has_keys(settings: Settings) -> bool:
    """Say whether S3 keys are given."""
    return len(settings.credentials.seek(PROVIDER, _S3_KEYS)) == len(_S3_KEYS)


def first_object(settings: Settings) -> str | None:
    """Return the key of any Sentinel-2 object, which shows that the S3 keys work.

    Raises
    ------
    AccessError
        if there are no keys, or they are refused.
    RetryableError
        if the service cannot be reached.
    """
    from skymend.sources import aws

    settings.credentials.find(PROVIDER, _S3_KEYS)
    client = aws.client(_with_endpoints(settings), PROVIDER, region=S3_REGION)
    found = next(aws.objects(client, BUCKET, "Sentinel-2/MSI/"), None)
    return None if found is None else found.key


def _with_endpoints(settings: Settings) -> Settings:
    return replace(settings, endpoints={**ENDPOINTS, **settings.endpoints})


class Bearer:
    """Puts the account's access token on requests; a refused one is replaced once for all."""

    def __init__(self, chain: TokenChain) -> None:
        self._chain = chain
        self._given = threading.local()

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return the ``Authorization`` header."""
        before = getattr(self._given, "token", None)
        token = self._chain.access(rejected=before if refresh else None)
        self._given.token = token
        return {"Authorization": f"Bearer {token}"}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the address as it is."""
        return remote.url


class Shelf:
    """The files of one product behind one way of access.

    Parameters
    ----------
    item : the product, as either catalogue describes it.
    settings : endpoints and login.
    s3 : through S3 instead of HTTPS.
    """

    def __init__(self, item: pystac.Item, settings: Settings, *, s3: bool) -> None:
        self.item = item
        self.folder = folder_name(item)
        self._settings = settings
        self._s3 = s3

    def signer(self) -> Signer:
        """Return what signs the requests."""
        if not self._s3:
            return Bearer(chain_of(self._settings))
        from skymend.sources.aws import S3Signer

        self._settings.credentials.find(PROVIDER, _S3_KEYS)
        return S3Signer(_with_endpoints(self._settings), PROVIDER, region=S3_REGION)

    def remote(self, entry: Entry, digests: tuple[Digest, ...] = ()) -> Remote:
        """Return a file of the product."""
        stated = digests if entry.digest is None else (entry.digest,)
        name = PurePosixPath(entry.path).name
        if self._s3:
            return self._file(f"{self._root()}/{entry.path}", name, entry.size, stated, entry.kind)
        nodes = "".join(f"/Nodes({part})" for part in (self.folder, *entry.path.split("/")))
        return self._file(f"{self._product()}{nodes}/$value", name, entry.size, stated, entry.kind)

    def archive(self) -> Remote:
        """Return the whole product: a zip, or the file itself where the product is one file."""
        from skymend.sources.protocol import digests_of, size_of

        asset = self.item.assets.get(PRODUCT)
        size = None if asset is None else size_of(asset)
        digests = () if asset is None else digests_of(asset)
        single = self.folder.endswith(".EOF")
        if single and self._s3:
            return self._file(self._root(), self.folder, size, digests, "xml")
        name = self.folder if single else f"{self.folder.removesuffix('.SAFE')}.zip"
        kind: Kind = "xml" if single else "safe-zip"
        return self._file(f"{self._product()}/$value", name, size, digests, kind)

    def _file(
        self, url: str, name: str, size: int | None, digests: tuple[Digest, ...], kind: Kind
    ) -> Remote:
        from skymend.sources.transfer import Remote

        return Remote(
            url, PROVIDER, name, size, digests, kind=kind, trusted_hosts=self._trusted(url)
        )

    def _trusted(self, url: str) -> tuple[str, ...]:
        own = "dataspace.copernicus.eu/" in url
        return REDIRECT_HOSTS if own and not self._s3 else ()

    def _product(self) -> str:
        base = self._settings.endpoint("cdse.download", ENDPOINTS["cdse.download"])
        return f"{base}/Products({product_uuid(self.item)})"

    def _root(self) -> str:
        """Return the address of the product's folder in the bucket."""
        stated = str(self.item.properties.get("cdse:s3_path") or "")
        if stated:
            return f"s3://{stated.strip('/')}"
        for asset in self.item.assets.values():
            before, found, _ = asset.href.partition(self.folder)
            if asset.href.startswith("s3://") and found:
                return f"{before}{found}"
        raise malformed(f"item {self.item.id}", "an asset with an s3:// address", "none")


def folder_name(item: pystac.Item) -> str:
    """Return the name of the product's folder (or file), such as ``S2A_MSIL2A_...SAFE``.

    Raises
    ------
    AnswerError
        if the item's name is none that a folder may have.
    """
    title = str(item.properties.get("title") or item.id)
    local = next(
        (
            str(a.extra_fields["file:local_path"]).split("/", maxsplit=1)[0]
            for key, a in sorted(item.assets.items())
            if key != PRODUCT and a.extra_fields.get("file:local_path")
        ),
        "",
    )
    if local.removesuffix(".SAFE") == title:
        title = local
    if not title.endswith((".SAFE", ".EOF")):
        title = f"{title}.SAFE"
    if not _NAME.fullmatch(title):
        raise malformed(f"item {item.id[:80]}", "a product name in field 'id'", repr(title[:80]))
    return title


def product_uuid(item: pystac.Item) -> str:
    """Return the identifier under which OData serves an item's product.

    Raises
    ------
    AnswerError
        if no field states it.
    """
    own = item.properties.get("cdse:id")
    if own and _UUID.fullmatch(f"Products({own})"):
        return str(own)
    for key, asset in sorted(item.assets.items()):
        where = f"item {item.id}, asset {key}"
        https = field(asset.extra_fields, "alternate.https.href", str, where, default="")
        match = _UUID.search(f"{asset.href} {https}")
        if match:
            return match[1]
    raise malformed(f"item {item.id}", "an https address with Products(...) in 'assets'", "none")
