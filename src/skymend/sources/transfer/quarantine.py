"""Files that came twice with the same wrong content: not asked for again until released."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skymend.core.errors import ConfigError
from skymend.sources.transfer.book import Book
from skymend.sources.transfer.types import Remote

_FILE = "quarantine.json"


@dataclass(frozen=True, slots=True)
class Held:
    """A file in quarantine.

    Parameters
    ----------
    provider, name : whose it is, and what it is called.
    address : where it lay, without query.
    reason : in words.
    """

    provider: str
    name: str
    address: str
    reason: str


def release_command(name: str) -> str:
    """Return the command that lets a file be fetched again; it names a cache that was moved."""
    moved = os.environ.get("SKYMEND_CACHE")
    words = ["skymend", "quarantine", "--release", name]
    return (f"SKYMEND_CACHE={shlex.quote(moved)} " if moved else "") + shlex.join(words)


class Quarantine:
    """The quarantine of a machine, shared by its processes.

    A file is known by provider, name and stated digests, so a new digest makes it a new file.
    Without digests it is known by its address: many products have a file of the same name.

    Parameters
    ----------
    folder : of the ledger.
    """

    def __init__(self, folder: Path) -> None:
        self._book = Book(folder / "quarantine")

    def reason(self, remote: Remote) -> str | None:
        """Return why a file is held, None if it is not."""
        entry = self._entries().get(_identity(remote), {})
        return None if "reason" not in entry else str(entry["reason"])

    def note(self, remote: Remote, found: str) -> bool:
        """Note wrong content; True, and the file is held, if the same was found before."""
        with self._book.locked():
            entries = self._entries()
            before = entries.get(_identity(remote), {})
            seen = before.get("found")
            wrong = [str(f) for f in seen] if isinstance(seen, list) else []
            entry: dict[str, Any] = {"provider": remote.provider, "name": remote.name}
            entry |= {"address": remote.public_url, "found": sorted({*wrong, found})}
            if found in wrong:
                entry["reason"] = f"{remote.name} came twice with the same wrong {found}"
            self._book.write(_FILE, entries | {_identity(remote): entry})
        return found in wrong

    def held(self) -> tuple[Held, ...]:
        """Return what is held, in order of provider and name."""
        return tuple(sorted(_all(self._entries()).values(), key=_order))

    def release(self, name: str) -> tuple[Held, ...]:
        """Let files of a name be fetched again; return them.

        Raises
        ------
        ConfigError
            if none of that name is held.
        """
        with self._book.locked():
            entries = self._entries()
            found = {k: h for k, h in _all(entries).items() if h.name == name}
            if not found:
                raise _unknown(name, sorted({h.name for h in _all(entries).values()}))
            self._book.write(_FILE, {k: e for k, e in entries.items() if k not in found})
        return tuple(sorted(found.values(), key=_order))

    def _entries(self) -> dict[str, dict[str, Any]]:
        entries = self._book.document(_FILE).items()
        return {key: entry for key, entry in entries if isinstance(entry, dict)}


def _identity(remote: Remote) -> str:
    stated = ",".join(sorted(str(digest) for digest in remote.digests)) or remote.public_url
    return f"{remote.provider}/{remote.name}/{stated}"


def _all(entries: dict[str, dict[str, Any]]) -> dict[str, Held]:
    """Return the entries with a reason; others were wrong once only."""
    return {key: _held(key, entry) for key, entry in entries.items() if "reason" in entry}


def _held(key: str, entry: dict[str, Any]) -> Held:
    """Read an entry; those of the first version say whose they are in their key alone."""
    provider, name, stated = (*key.split("/", 2), "", "")[:3]
    address = stated if "://" in stated else ""
    known = {"provider": provider, "name": name, "address": address} | entry
    return Held(*(str(known[part]) for part in ("provider", "name", "address", "reason")))


def _order(held: Held) -> tuple[str, str, str]:
    return (held.provider, held.name, held.address)


def _unknown(name: str, known: Sequence[str]) -> ConfigError:
    return ConfigError(
        where="quarantine",
        expected=f"one of {', '.join(known)}" if known else "a file that is held",
        found=repr(name) if known else f"{name!r}, and nothing is held",
        fix="`skymend quarantine` lists what is held",
    )
