"""Checking that a complete file is the one the provider has."""

from __future__ import annotations

from pathlib import Path

from skymend.core.errors import ProductError
from skymend.sources import archives
from skymend.sources.transfer import digests
from skymend.sources.transfer.digests import Digest
from skymend.sources.transfer.types import Remote

_BLOCK = 2**20
_ZIPS = ("zip", "safe-zip")


class Mismatch(Exception):  # noqa: N818 - an event, not an error for the user
    """The content is not the stated one.

    Parameters
    ----------
    reason : in words.
    found : what tells two wrong contents apart; empty if only the size is wrong.
    """

    def __init__(self, reason: str, found: str = "") -> None:
        self.found = found
        super().__init__(reason)


def verifiable(remote: Remote) -> bool:
    """Say whether the content can be checked, not only its size."""
    return bool(remote.digests) or remote.kind in _ZIPS


def algorithm(remote: Remote) -> str | None:
    """Return the digest to compute while a file comes in; None where nothing needs one.

    Zips without a digest get one too: it tells whether two damaged ones are the same.
    """
    stated = digests.strongest(remote.digests)
    if stated is not None:
        return stated.algorithm
    return "blake3" if remote.kind in _ZIPS else None


def verify(
    remote: Remote, path: Path, size: int, computed: str, sent: tuple[Digest, ...] = ()
) -> str:
    """Check a complete file; return what it was checked against.

    Parameters
    ----------
    remote : what is stated of it.
    path : where it lies now.
    size : its bytes.
    computed : the digest of :func:`algorithm`, hexadecimal.
    sent : digests that the server sent along; checked where the provider states none.

    Raises
    ------
    Mismatch
        if it is another file.
    """
    stated = digests.strongest(remote.digests)
    if stated is not None:
        return _compare(stated, computed)
    if remote.size is not None and remote.size != size:
        raise Mismatch(f"{size} bytes came instead of {remote.size}")
    along = digests.strongest(sent)
    if along is not None:
        return _compare(along, file_digest(path, along.algorithm))
    if remote.kind not in _ZIPS:
        return "size"
    try:
        return archives.check(path, manifest=remote.kind == "safe-zip")
    except ProductError as error:
        raise Mismatch(f"{error.found} ({error.expected} expected)", f"blake3 {computed}") from None


def _compare(stated: Digest, computed: str) -> str:
    if computed != stated.value:
        found = f"{stated.algorithm} {computed}"
        raise Mismatch(f"{found} instead of {stated.value}", found)
    return stated.algorithm


def file_digest(path: Path, name: str) -> str:
    """Return the digest of a file, hexadecimal."""
    hasher = digests.start(name)
    buffer = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.hexdigest()
