"""The objects of an S3 bucket below a prefix: small texts, verified files, conditional writes.

Everything that speaks to S3 except GDAL goes through here, so that every error of the network,
the credentials or the bucket is one sentence. Credentials come from boto3's own chain
(environment, shared files, roles); they are never read, written or printed here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from skymend.core.errors import ConfigError, RetryableError, SkymendError
from skymend.core.files import store_errors
from skymend.core.s3errors import AbsentError, ConditionError, refusal, s3_errors, vanished

PART_BYTES = 16 << 20
"""Size of a part of a multipart upload; at most 10,000 parts make 160 GB a file."""

CONNECTIONS = 8
"""Requests at once of one process."""

_CHUNK = 1 << 20
_DELETE_AT_ONCE = 1000
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket and a prefix within it, which may be empty; ``s3://bucket/prefix`` as text."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read ``s3://bucket/prefix``.

        Raises
        ------
        ConfigError
            if it is not of that form.
        """
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        parts = prefix.split("/")
        wrong = not uri.startswith("s3://") or _BUCKET.fullmatch(bucket) is None
        if wrong or ".." in parts or "" in parts[1:]:
            # The text is not repeated: people paste keys and tokens into addresses.
            raise ConfigError(
                where="--store",
                expected="s3://bucket/prefix with a valid bucket name and nothing else in it",
                found="an address of another form",
                fix="give credentials through the environment or the shared credentials file",
            )
        return cls(bucket, prefix)

    def key(self, path: str) -> str:
        """Return the key of a path relative to the prefix."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def path(self, key: str) -> str:
        """Return the path relative to the prefix."""
        return key.removeprefix(f"{self.prefix}/") if self.prefix else key

    def uri(self, path: str = "") -> str:
        """Return the address of a path, or of the prefix itself."""
        return "s3://" + "/".join(p for p in (self.bucket, self.prefix, path) if p)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the bucket lists it; ``etag`` without quotes."""

    path: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Text:
    """A small object with its content; ``age_s`` is its age by the server's own clock."""

    data: bytes
    etag: str
    age_s: float | None


class Objects:
    """The objects below one address.

    Parameters
    ----------
    address : bucket and prefix.
    part_bytes : files above this size are uploaded in parts of this size.
    patience_s : a request that is not answered within this is given up, and not repeated;
        None waits a minute, and repeats it some times.
    """

    def __init__(
        self, address: Address, *, part_bytes: int = PART_BYTES, patience_s: float | None = None
    ) -> None:
        self.address = address
        self.part_bytes = part_bytes
        self.patience_s = patience_s

    def hasty(self, patience_s: float) -> Objects:
        """Return the same objects through a client that gives up soon; see ``patience_s``."""
        return Objects(self.address, part_bytes=self.part_bytes, patience_s=patience_s)

    @cached_property
    def endpoint(self) -> str | None:
        """The endpoint that environment or profile names instead of Amazon's."""
        named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if named:
            return named
        with s3_errors(self.address.uri()):
            import boto3

            # Sessions of boto3 have no door to the profile's settings but this one.
            profile: Mapping[str, Any] = boto3.Session()._session.get_scoped_config()
            found = profile.get("endpoint_url")
            return str(found) if found else None

    @cached_property
    def client(self) -> Any:
        """The boto3 client; other endpoints than Amazon's are spoken to in path style."""
        with s3_errors(self.address.uri()):
            import boto3
            from botocore.config import Config

            config = Config(
                s3={"addressing_style": "path" if self.endpoint else "auto"},
                retries={"mode": "standard", "total_max_attempts": self._attempts},
                connect_timeout=min(10, self.patience_s or 10),
                read_timeout=self.patience_s or 60,
                max_pool_connections=2 * CONNECTIONS,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            # A session of our own: the shared one keeps the credentials it saw first.
            return boto3.Session().client("s3", config=config, endpoint_url=self.endpoint)

    @property
    def _attempts(self) -> int:
        return 1 if self.patience_s else int(os.environ.get("AWS_MAX_ATTEMPTS", "5"))

    def get(self, path: str) -> Text | None:
        """Return a small object, or None if there is none."""
        try:
            with s3_errors(self.address.uri(path)):
                answer = self.client.get_object(**self._named(path))
                data = answer["Body"].read()
        except AbsentError:
            return None
        return Text(data, _plain(answer["ETag"]), _age(answer))

    def put(
        self, path: str, data: bytes, *, absent: bool = False, match: str | None = None
    ) -> str | None:
        """Write a small object and return its ETag.

        Parameters
        ----------
        absent : write only if there is no such object (``If-None-Match: *``).
        match : write only over the object of this ETag (``If-Match``).

        Returns
        -------
        None if the condition does not hold.
        """
        condition = {"IfNoneMatch": "*"} if absent else {}
        if match is not None:
            condition = {"IfMatch": f'"{match}"'}
        try:
            with s3_errors(self.address.uri(path)):
                answer = self.client.put_object(**self._named(path), Body=data, **condition)
        except (AbsentError, ConditionError):
            return None
        return _plain(answer["ETag"])

    def head(self, path: str) -> Stored | None:
        """Return size and ETag of an object, or None if there is none."""
        try:
            with s3_errors(self.address.uri(path)):
                answer = self.client.head_object(**self._named(path))
        except AbsentError:
            return None
        return Stored(path, answer["ContentLength"], _plain(answer["ETag"]))

    def list(self, prefix: str, *, most: int | None = None) -> Iterator[Stored]:
        """Yield the objects whose path starts with ``prefix``, by path."""
        with s3_errors(self.address.uri()):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.address.bucket,
                Prefix=self.address.key(prefix),
                PaginationConfig={"MaxItems": most},
            )
            for page in pages:
                for found in page.get("Contents", []):
                    path = self.address.path(found["Key"])
                    yield Stored(path, found["Size"], _plain(found["ETag"]))

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; those that are gone already are no error."""
        keys = [{"Key": self.address.key(path)} for path in paths]
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            some = keys[start : start + _DELETE_AT_ONCE]
            with s3_errors(self.address.uri()):
                answer = self.client.delete_objects(
                    Bucket=self.address.bucket, Delete={"Objects": some, "Quiet": True}
                )
            for error in answer.get("Errors", [])[:1]:
                raise refusal(self.address.uri(), str(error.get("Code", "unknown")))

    def copy(self, source: str, target: str) -> Stored:
        """Copy an object on the server."""
        try:
            with s3_errors(self.address.uri(source)):
                self.client.copy(self._named(source), **self._named(target))
        except AbsentError:
            raise vanished(self.address.uri(source)) from None
        copied = self.head(target)
        if copied is None:
            raise vanished(self.address.uri(target))
        return copied

    def download(self, path: str, target: Path, sha256: str) -> None:
        """Bring an object to a local file, which appears only if its checksum is right.

        Raises
        ------
        RetryableError
            if it is gone or has another checksum.
        """
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        with store_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as stream:
                    found = self._stream(path, stream.write)
                if found != sha256:
                    raise RetryableError(
                        where=self.address.uri(path),
                        expected=f"the checksum of its record, {sha256[:12]}...",
                        found=f"{found[:12]}...",
                        fix="run again: what is damaged will be made anew",
                    )
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)

    def sha256(self, path: str) -> str:
        """Return the checksum of an object, read as a whole."""
        return self._stream(path, lambda _: None)

    def upload(self, source: Path, path: str, sha256: str) -> Stored:
        """Upload a file under its final name, every part with its sha256; see S3's checksums.

        The server refuses a part that differs from its checksum. One that answers without
        checksums is not believed: the object is read back.

        Raises
        ------
        RetryableError
            if what the bucket holds then is not the file.
        """
        size = source.stat().st_size
        try:
            if size <= self.part_bytes:
                confirmed = self._upload_whole(source, path)
            else:
                confirmed = self._upload_parts(source, path, size)
        except AbsentError:  # somebody dropped the parts
            raise vanished(self.address.uri(path)) from None
        stored = self.head(path)
        if stored is None:
            raise vanished(self.address.uri(path))
        if stored.size != size or (not confirmed and self.sha256(path) != sha256):
            raise RetryableError(
                where=self.address.uri(path),
                expected=f"the {size} bytes that were sent",
                found=f"{stored.size} bytes of another checksum",
                fix="run again",
            )
        return stored

    def unfinished(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield path and upload id of multipart uploads that were never completed."""
        with s3_errors(self.address.uri()):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.address.bucket, Prefix=self.address.key(prefix)
            )
            for page in pages:
                for found in page.get("Uploads", []):
                    yield self.address.path(found["Key"]), found["UploadId"]

    def abort(self, path: str, upload: str) -> None:
        """Drop the parts of an upload; one that has ended already is no error."""
        with suppress(AbsentError), s3_errors(self.address.uri(path)):
            self.client.abort_multipart_upload(**self._named(path), UploadId=upload)

    def _named(self, path: str) -> dict[str, str]:
        return {"Bucket": self.address.bucket, "Key": self.address.key(path)}

    def _stream(self, path: str, sink: Any) -> str:
        state = hashlib.sha256()
        try:
            with s3_errors(self.address.uri(path)):
                body = self.client.get_object(**self._named(path))["Body"]
                for chunk in body.iter_chunks(_CHUNK):
                    state.update(chunk)
                    sink(chunk)
        except AbsentError:
            raise vanished(self.address.uri(path)) from None
        return state.hexdigest()

    def _upload_whole(self, source: Path, path: str) -> bool:
        data = source.read_bytes()
        wanted = _checksum(data)
        with s3_errors(self.address.uri(path)):
            answer = self.client.put_object(
                **self._named(path), Body=data, ChecksumAlgorithm="SHA256", ChecksumSHA256=wanted
            )
        return bool(answer.get("ChecksumSHA256") == wanted)

    def _upload_parts(self, source: Path, path: str, size: int) -> bool:
        from concurrent.futures import ThreadPoolExecutor

        with s3_errors(self.address.uri(path)):
            begun = self.client.create_multipart_upload(
                **self._named(path), ChecksumAlgorithm="SHA256"
            )
            upload = begun["UploadId"]
            try:
                with ThreadPoolExecutor(min(4, CONNECTIONS)) as pool:
                    numbers = range(1, -(-size // self.part_bytes) + 1)
                    sent = list(pool.map(lambda n: self._part(source, path, upload, n), numbers))
                self.client.complete_multipart_upload(
                    **self._named(path),
                    UploadId=upload,
                    MultipartUpload={"Parts": [part for part, _ in sent]},
                )
            except BaseException:
                with suppress(SkymendError):  # what failed first is told; `cache gc` finds the rest
                    self.abort(path, upload)
                raise
        return all(confirmed for _, confirmed in sent)

    def _part(
        self, source: Path, path: str, upload: str, number: int
    ) -> tuple[dict[str, Any], bool]:
        with source.open("rb") as stream:
            stream.seek((number - 1) * self.part_bytes)
            data = stream.read(self.part_bytes)
        wanted = _checksum(data)
        answer = self.client.upload_part(
            **self._named(path),
            UploadId=upload,
            PartNumber=number,
            Body=data,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=wanted,
        )
        part = {"ETag": answer["ETag"], "PartNumber": number, "ChecksumSHA256": wanted}
        return part, answer.get("ChecksumSHA256") == wanted


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _plain(etag: str) -> str:
    return etag.strip('"')


def _age(answer: Mapping[str, Any]) -> float | None:
    from email.utils import parsedate_to_datetime

    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    changed: datetime | None = answer.get("LastModified")
    if date is None or changed is None:
        return None
    return (parsedate_to_datetime(date) - changed).total_seconds()
