"""What a download is asked for, and what it hands back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from skymend.core.errors import ConfigError, ProductError
from skymend.sources.transfer.digests import Digest

Kind = Literal["file", "zip", "safe-zip", "hdf", "geotiff", "xml"]

_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file at a provider.

    Parameters
    ----------
    url : where it lies, http or https. A :class:`Signer` may replace it at each request.
    provider : whose limits in the ledger count.
    name : the name it will have here; no folder.
    size : bytes, where the provider states them.
    digests : what the provider states; the strongest is checked.
    kind : what the first bytes must look like; zips without a digest are checked by their CRCs,
        SAFE zips by their manifest.
    online : False if the provider says that it must be ordered first.
    trusted_hosts : hosts that may see the signer's headers after a redirect. Others never do.
    """

    url: str
    provider: str
    name: str
    size: int | None = None
    digests: tuple[Digest, ...] = ()
    kind: Kind = "file"
    online: bool = True
    trusted_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.startswith("."):
            raise ProductError(
                where=self.public_url,
                expected="a plain file name that starts with no dot",
                found=repr(self.name[:80]),
                fix="report the answer to its provider",
            )
        if self.size is not None and self.size < 0:
            raise ProductError(
                where=self.name,
                expected="a size of at least 0 bytes",
                found=str(self.size),
                fix="report the answer to its provider",
            )

    @property
    def public_url(self) -> str:
        """The address without query and user, which may hold secrets: for logs and errors."""
        return public(self.url)


class QuarantinedError(ProductError):
    """A file came twice with the same wrong content, so it is not asked for again."""


def public(url: str) -> str:
    """Return an address without its query, fragment and user."""
    bare = url.split("?", 1)[0].split("#", 1)[0]
    return re.sub(r"//[^/@]*@", "//", bare)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A finished download.

    Parameters
    ----------
    path : the file, complete and in place.
    bytes : its size.
    verified : what it was checked against: the algorithm of the provider's digest, ``manifest``
        (a SAFE's own digests), ``crc`` (a zip's) or ``size``.
    refetched_bytes : bytes fetched more than once, over all cuts and restarts.
    restarts : how often it began again at byte 0.
    seconds : wall time.
    cuts : connections that ended early, stalled or were refused.
    """

    path: Path
    bytes: int
    verified: str
    refetched_bytes: int
    restarts: int
    seconds: float
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """How to download.

    Parameters
    ----------
    connections : at most, for one file.
    stall_s : a connection that brings nothing for so long is given up and made anew.
    wall_s : a file that is not complete after so long fails (its part stays and is resumed).
    connect_s : to make a connection.
    attempts : failures in a row, with nothing fetched between them, after which to give up.
    backoff_s : pause after the first failure, doubled after each; where the server states
        ``Retry-After`` that counts instead.
    ca_certs : certificates to trust instead of the system's (PEM).
    """

    connections: int = 4
    stall_s: float = 30.0
    wall_s: float = 6 * 3600.0
    connect_s: float = 15.0
    attempts: int = 6
    backoff_s: float = 0.5
    ca_certs: Path | None = None

    def __post_init__(self) -> None:
        for name in ("connections", "stall_s", "wall_s", "connect_s", "attempts"):
            if getattr(self, name) <= 0:
                raise ConfigError(
                    where=name,
                    expected="a number above 0",
                    found=str(getattr(self, name)),
                    fix="leave the default",
                )


class Signer(Protocol):
    """Gives requests what the provider wants to see.

    Both methods are called from several threads. ``refresh`` is True after a 401 or 403: what
    was given before is no longer good.
    """

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return headers such as ``Authorization``; they go to the host of the address only."""

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the address to ask, such as one with a signature."""


class _Anonymous:
    """Adds nothing."""

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        return {}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        return remote.url


def anonymous() -> Signer:
    """Return a signer that adds nothing."""
    return _Anonymous()


class Orders(Protocol):
    """A provider that brings back what it keeps offline."""

    def order(self, remote: Remote) -> str | None:
        """Order a file; return when to come again, in words, or None if it cannot be ordered."""
