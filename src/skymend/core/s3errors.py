"""What boto3 raises, in one sentence each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from skymend.core.errors import ConfigError, RetryableError, SkymendError, StoreError

_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}
_REFUSED_CONDITION = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
_REFUSED_LOGIN = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
}
_REFUSED_ACCESS = {"403", "AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden"}
_DAMAGED = {
    "BadDigest",
    "InvalidDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
}
_BUSY = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "500", "502", "503"}


class AbsentError(Exception):
    """There is no such object."""


class ConditionError(Exception):
    """A conditional write found another state."""


@contextmanager
def s3_errors(where: str) -> Iterator[None]:
    """Turn what boto3 raises into one sentence each.

    Raises
    ------
    StoreError
        for a missing bucket, missing or refused credentials, and refused access.
    RetryableError
        for an endpoint that cannot be reached or is busy.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _ABSENT:
            raise AbsentError from error
        if code in _REFUSED_CONDITION:
            raise ConditionError from error
        raise refusal(where, code) from error
    except BotoCoreError as error:
        raise _trouble(where, error) from error
    except ValueError as error:
        if "endpoint" not in str(error):
            raise
        raise ConfigError(
            where="AWS_ENDPOINT_URL",
            expected="an address such as https://host:port",
            found="something else",
            fix="correct or unset it",
        ) from error


def refusal(where: str, code: str) -> SkymendError:
    """Return the error for what the server answered, by its code."""
    if code == "NoSuchBucket":
        found, expected, fix = "no bucket of that name", "a bucket", "create it or correct --store"
    elif code in _REFUSED_LOGIN:
        found, expected = f"credentials that the server refuses ({code})", "valid credentials"
        fix = "renew AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the shared credentials file"
    elif code in _REFUSED_ACCESS:
        found, expected = f"access denied ({code})", "the right to list, read, write and delete"
        fix = "ask the owner of the bucket for these rights, or use other credentials"
    elif code in _BUSY | _DAMAGED:
        return RetryableError(
            where=where, expected="the server to take the request", found=code, fix="run again"
        )
    else:
        found, expected, fix = f"the error {code}", "the server to take the request", "see its docs"
    return StoreError(where=where, expected=expected, found=found, fix=fix)


def _trouble(where: str, error: Exception) -> SkymendError:
    from botocore import exceptions

    if isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.ProfileNotFound
        | exceptions.TokenRetrievalError,
    ):
        return StoreError(
            where=where,
            expected="S3 credentials",
            found="none that are complete",
            fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or write them "
            "into ~/.aws/credentials",
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return RetryableError(
        where=where,
        expected=f"an S3 endpoint that answers{f' at {_host(endpoint)}' if endpoint else ''}",
        found=type(error).__name__,
        fix="check the network and AWS_ENDPOINT_URL, then run again",
    )


def _host(endpoint: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def vanished(where: str) -> RetryableError:
    """Return the error of an object that a record names and the bucket lacks."""
    return RetryableError(
        where=where, expected="the object", found="none", fix="run again: it will be made anew"
    )
