"""Objects of S3 buckets through boto3: listed by it, fetched by presigned addresses.

A login is ``access_key``, ``secret_key`` and perhaps ``session_token``; without one, requests are
unsigned, which public buckets take. Signatures name a region, so it must be the bucket's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from skymend.core.errors import AccessError, ConfigError, RetryableError
from skymend.sources.protocol import Settings

if TYPE_CHECKING:
    from skymend.sources.transfer import Digest, Remote

_NAMES = ("access_key", "secret_key", "session_token")
_VALID_S = 3600
_RENEW_S = 600.0


@dataclass(frozen=True, slots=True)
class Object:
    """An object of a bucket.

    Parameters
    ----------
    bucket, key : where it lies.
    size : bytes.
    etag : as S3 states it, without quotes.
    sealed : whether it is known to be encrypted with a key of KMS or the customer; a listing does
        not say so, :func:`head` does.
    """

    bucket: str
    key: str
    size: int
    etag: str
    sealed: bool = False

    @property
    def url(self) -> str:
        """The address ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The MD5 that an ETag is, unless the object came in parts or is sealed."""
        from skymend.sources.transfer import Digest

        plain = len(self.etag) == 32 and not set(self.etag) - set("0123456789abcdef")
        return (Digest("md5", self.etag),) if plain and not self.sealed else ()


def split(url: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``.

    Raises
    ------
    ConfigError
        if it is not such an address.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(
            where="S3 address",
            expected="s3://bucket/prefix",
            found=repr(url[:80]),
            fix="write bucket and prefix so",
        )
    return parts.netloc, parts.path.lstrip("/")


def client(
    settings: Settings,
    provider: str,
    *,
    region: str | None = "us-west-2",
    unsigned: bool = False,
    login: str | None = None,
) -> Any:
    """Return a boto3 client with the endpoint ``<provider>.s3``.

    Parameters
    ----------
    region : of the buckets; None leaves it to ``AWS_DEFAULT_REGION`` and boto3's own files.
    unsigned : sends no signature, whatever login there is.
    login : provider whose keys are used, the provider itself by default; without keys, requests
        are unsigned.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    keys = {} if unsigned else _keys(settings, login or provider)
    options: dict[str, Any] = {
        "s3": {"addressing_style": "path"},
        "retries": {"max_attempts": 4, "mode": "standard"},
        "connect_timeout": min(settings.timeout_s, 20),
        "read_timeout": settings.timeout_s,
        "signature_version": "s3v4" if keys else UNSIGNED,
        # AWS_ENDPOINT_URL may lead to the server of the store; a provider's address is its own.
        "ignore_configured_endpoint_urls": provider != "s3",
    }
    session = boto3.Session(region_name=region)
    return session.client(
        "s3",
        endpoint_url=settings.endpoints.get(f"{provider}.s3"),
        region_name=session.region_name or "us-east-1",
        aws_access_key_id=keys.get("access_key"),
        aws_secret_access_key=keys.get("secret_key"),
        aws_session_token=keys.get("session_token"),
        config=Config(**options),
    )


def _keys(settings: Settings, provider: str) -> Mapping[str, str]:
    found = settings.credentials.seek(provider, _NAMES)
    return found if {"access_key", "secret_key"} <= set(found) else {}


def objects(s3: Any, bucket: str, prefix: str, *, after: str = "") -> Iterator[Object]:
    """Yield the objects below a prefix, all pages, in the order of their keys.

    ``after`` leaves out the keys up to it.

    Raises
    ------
    AccessError, ConfigError, RetryableError
        if the bucket is closed, absent or out of reach.
    """
    asked = {"Bucket": bucket, "Prefix": prefix, **({"StartAfter": after} if after else {})}
    with errors(f"s3://{bucket}/{prefix}"):
        pages = s3.get_paginator("list_objects_v2").paginate(**asked)
        for page in pages:
            for entry in page.get("Contents", ()):
                etag = str(entry.get("ETag", "")).strip('"')
                yield Object(bucket, str(entry["Key"]), int(entry["Size"]), etag)


def head(s3: Any, url: str) -> Object | None:
    """Return an object, None if there is no such key (or its owner does not say)."""
    from botocore.exceptions import ClientError

    bucket, key = split(url)
    with errors(url):
        try:
            found = s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
    kms = str(found.get("ServerSideEncryption", "")).startswith("aws:kms")
    return Object(
        bucket,
        key,
        int(found["ContentLength"]),
        str(found["ETag"]).strip('"'),
        sealed=kms or "SSECustomerAlgorithm" in found,
    )


@contextmanager
def errors(where: str) -> Iterator[None]:
    """Turn the errors of boto3 into skymend's."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"].get("Code", "")
        if status in (401, 403):
            raise AccessError(
                where=where,
                expected="S3 keys that may read it",
                found=f"{status} {code}",
                fix="give access_key and secret_key of the provider; a requester-pays bucket"
                " also needs an account that can be charged",
            ) from error
        if status == 404:
            raise ConfigError(
                where=where, expected="a bucket of that name", found=code, fix="check the address"
            ) from error
        raise RetryableError(
            where=where, expected="an answer", found=f"{status} {code}", fix="try again later"
        ) from error
    except BotoCoreError as error:
        raise RetryableError(
            where=where,
            expected="an answer of the S3 service",
            found=type(error).__name__,
            fix="check the endpoint and the network, then try again",
        ) from error


class S3Signer:
    """Turns ``s3://`` addresses into presigned ones that last an hour; others pass as they are.

    Parameters
    ----------
    settings : endpoints and login.
    provider : whose endpoint and, unless ``login`` names another, whose keys.
    requester_pays : whether requests say that the caller pays; boto3 signs that header, so it
        must be sent with the address.
    region : of the buckets, as in :func:`client`.
    regions : bucket -> its region, for those in another.
    unsigned : for public buckets, whatever login there is.
    """

    def __init__(
        self,
        settings: Settings,
        provider: str,
        *,
        requester_pays: bool = False,
        region: str | None = "us-west-2",
        regions: Mapping[str, str] = MappingProxyType({}),
        unsigned: bool = False,
        login: str | None = None,
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._region = region
        self._regions = regions
        self._who = login or provider
        self._unsigned = unsigned or not _keys(settings, self._who)
        self._payer = {"RequestPayer": "requester"} if requester_pays else {}
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, str]] = {}
        self._clients: dict[str | None, Any] = {}

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return what a requester-pays bucket wants to see; other addresses get nothing."""
        if not self._payer or not remote.url.startswith("s3://"):
            return {}
        return {"x-amz-request-payer": "requester"}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the presigned address, renewed after ten minutes or a refusal."""
        if not remote.url.startswith("s3://"):
            return remote.url
        with self._lock:
            made, signed = self._known.get(remote.url, (0.0, ""))
            if refresh or time.monotonic() - made > _RENEW_S or not signed:
                signed = self._presigned(remote.url)
                self._known[remote.url] = (time.monotonic(), signed)
            return signed

    def _presigned(self, url: str) -> str:
        bucket, key = split(url)
        s3 = self._client(self._regions.get(bucket, self._region))
        if self._unsigned:
            return f"{s3.meta.endpoint_url}/{bucket}/{quote(key)}"
        asked = {"Bucket": bucket, "Key": key, **self._payer}
        return str(s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=_VALID_S))

    def _client(self, region: str | None) -> Any:
        if region not in self._clients:
            self._clients[region] = client(
                self._settings,
                self._provider,
                region=region,
                unsigned=self._unsigned,
                login=self._who,
            )
        return self._clients[region]
