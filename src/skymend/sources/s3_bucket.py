"""Products in any S3 bucket: SAFE, THEIA and Landsat folders or archives below a prefix.

Endpoints: ``s3`` (``s3://bucket/prefix``), ``s3.s3`` (the S3 service, where it is not that of AWS)
and ``s3.region`` (the bucket's region, where boto3 does not know it). The login is ``access_key``
and ``secret_key``, also from boto3's own variables; without one the bucket must be public. An
object's ETag is its MD5 unless it came in parts or is encrypted with a key of KMS or the customer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from skymend.core.errors import AnswerError, ConfigError, SkymendError
from skymend.sources import aws, listing, naming
from skymend.sources.fetching import Door, fetch_archive, remote_of
from skymend.sources.protocol import Filters, Finding, Period, Settings, require_collection

if TYPE_CHECKING:
    import pystac

    from skymend.sources.area import Area
    from skymend.sources.transfer import Progress, Receipt, Remote


class S3Bucket:
    """A bucket with products in it."""

    name = "s3"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collections(self) -> tuple[str, ...]:
        """Name the collections that can be told by names."""
        return listing.COLLECTIONS

    def search(
        self, collection: str, area: Area | None, period: Period | None, filters: Filters
    ) -> pystac.ItemCollection:
        """List the bucket below the prefix and return the products that answer."""
        require_collection(self.name, collection, self.collections())
        found = listing.items(self._entries(), collection, self.name, area, period)
        return naming.collect(found, filters)

    def fetch(
        self,
        item: pystac.Item,
        assets: Sequence[str],
        destination: Path,
        progress: Progress | None = None,
    ) -> tuple[Receipt, ...]:
        """Fetch a product, or the bands asked for with all metadata, in its own folders."""
        s3 = self._client()
        signer = aws.S3Signer(self.settings, self.name, region=self._region())
        door = Door(self.name, self.settings, signer, None, progress)
        if naming.PRODUCT in item.assets:
            return (fetch_archive(self._remote(s3, item, naming.PRODUCT), destination, door),)
        folders: dict[Path, list[Remote]] = defaultdict(list)
        for key in listing.choose(item, assets):
            folder = destination / folder_of(item.assets[key])
            folders[folder].append(self._remote(s3, item, key))
        return tuple(r for folder, remotes in folders.items() for r in door.bring(remotes, folder))

    def check(self) -> tuple[Finding, ...]:
        """List the first object below the prefix."""
        try:
            first = next(iter(self._entries()), None)
        except SkymendError as error:
            return (Finding(self.name, False, str(error)),)
        where = self._root()
        if first is None:
            return (Finding(self.name, False, f"{where} holds nothing"),)
        return (Finding(self.name, True, f"{where} can be listed"),)

    def _remote(self, s3: Any, item: pystac.Item, key: str) -> Remote:
        """Return a file to download; a sealed object has no digest, whatever its ETag looks like.

        Only a request for the object says whether it is sealed, and an ETag that is no MD5 would
        bring an intact file into quarantine.
        """
        remote = remote_of(item, key, self.name)
        if not remote.digests:
            return remote
        found = aws.head(s3, remote.url)
        return remote if found is None else replace(remote, digests=found.digests)

    def _entries(self) -> Iterator[listing.Entry]:
        bucket, prefix = aws.split(self._root() + "/")
        for found in aws.objects(self._client(), bucket, prefix):
            path = found.key.removeprefix(prefix)
            if path and not path.endswith("/"):
                yield listing.Entry(path, found.url, found.size, found.digests)

    def _client(self) -> Any:
        return aws.client(self.settings, self.name, region=self._region())

    def _region(self) -> str | None:
        return self.settings.endpoints.get(f"{self.name}.region")

    def _root(self) -> str:
        root = self.settings.endpoint(self.name, "")
        if not root:
            raise ConfigError(
                where=f"endpoint {self.name!r}",
                expected="s3://bucket/prefix",
                found="no address",
                fix="set the endpoint 's3' of the source to the bucket",
            )
        return root


def folder_of(asset: pystac.Asset) -> PurePosixPath:
    """Return the folder of a file inside its product's folder.

    Raises
    ------
    AnswerError
        if the path leaves it.
    """
    path = PurePosixPath(str(asset.extra_fields["file:local_path"]))
    if path.is_absolute() or ".." in path.parts or "\\" in str(path):
        raise AnswerError(
            where=asset.href,
            expected="a path inside the product",
            found=repr(str(path)),
            fix="rename the object; its path would leave the folder of the product",
        )
    return path.parent
