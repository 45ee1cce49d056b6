"""The file being downloaded: a part beside its destination, and a journal beside the part.

The journal is one line that says which version of which file the part holds, then one line for
each stretch of bytes written. It is appended after the bytes it speaks of, so a killed process
leaves a journal that is true; after a reboot, when the order of writes to the disk is unknown,
it is believed only for files whose content is verified in the end.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skymend.core.errors import StoreError
from skymend.core.files import store_errors
from skymend.sources.transfer.answers import Version
from skymend.sources.transfer.intervals import Interval, rolled_back, total, union
from skymend.sources.transfer.types import Remote

ROLLBACK = 2**20
_FORMAT = 1
_NUMBER = re.compile(rb"\d{1,18}")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Part:
    """One part, locked against every other process.

    Parameters
    ----------
    path : of the part; the journal's is made from it.
    remote : what is fetched into it.
    """

    def __init__(self, path: Path, remote: Remote) -> None:
        self.path = path
        self.journal = path.with_name(f"{path.name}.journal")
        self.version: Version | None = None
        self._remote = remote
        self._lock = threading.Lock()
        self._have: list[Interval] = []
        self._doubt: list[Interval] = []
        self._descriptor = -1
        self._log = -1

    def try_open(self) -> bool:
        """Open and lock the part; False while another process has it."""
        with store_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = self.path.stat().st_ino == os.fstat(descriptor).st_ino
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def resume(self, *, verifiable: bool) -> int:
        """Take over what an earlier process left, less the last MiB of each stretch.

        Parameters
        ----------
        verifiable : whether the content will be checked by a digest or CRC.

        Returns
        -------
        count : bytes that the earlier process had fetched.
        """
        header, have = self._read_journal()
        size = os.fstat(self._descriptor).st_size
        trusted = header.get("boot") == _boot_id() or verifiable
        whole = not have or have[-1].end <= size
        version = _version(header.get("version"))
        ours = header.get("file") == self._identity()
        if version is None or not (ours and trusted and whole):
            self.reset()
            return total(have)
        self.version = version
        kept = rolled_back(have, ROLLBACK)
        self._doubt = [Interval(max(i.start, i.end - ROLLBACK), i.end) for i in have]
        self._begin_journal(kept)
        return total(have)

    def _identity(self) -> dict[str, Any]:
        remote = self._remote
        stated = sorted(str(digest) for digest in remote.digests) or [remote.public_url]
        return {"provider": remote.provider, "name": remote.name, "stated": stated}

    def _read_journal(self) -> tuple[dict[str, Any], list[Interval]]:
        """Return header and stretches; a line torn by a crash ends the reading."""
        try:
            lines = self.journal.read_bytes().split(b"\n")
            header = json.loads(lines[0])
            if header["skymend-part"] != _FORMAT:
                return {}, []
        except (FileNotFoundError, ValueError, LookupError, TypeError, RecursionError):
            return {}, []
        have = []
        for line in lines[1:-1]:
            numbers = [int(word) for word in line.split() if _NUMBER.fullmatch(word)]
            if len(numbers) != 3 or numbers[1] - numbers[0] != numbers[2]:
                break
            have.append(Interval(numbers[0], numbers[1]))
        return header, union(have)

    def reset(self) -> None:
        """Forget all bytes and the version."""
        with store_errors(self.path):
            self._close_log()
            self.journal.unlink(missing_ok=True)
            os.ftruncate(self._descriptor, 0)
        self._have, self._doubt, self.version = [], [], None

    def begin(self, version: Version) -> None:
        """Start to hold a version; checks that the disk has room for it.

        Raises
        ------
        StoreError
            if it has not.
        """
        self.version = version
        room = shutil.disk_usage(self.path.parent).free
        wanted = (version.total or 0) - self.done
        if wanted > room:
            raise StoreError(
                where=self.path.parent,
                expected=f"{wanted / 1e6:.1f} MB of room for {self._remote.name}",
                found=f"{room / 1e6:.1f} MB",
                fix="free some space or choose another folder, then run again",
            )
        self._begin_journal(self._have)

    def _begin_journal(self, have: list[Interval]) -> None:
        assert self.version is not None
        header = {
            "skymend-part": _FORMAT,
            "file": self._identity(),
            "version": asdict(self.version),
            "boot": _boot_id(),
        }
        lines = [json.dumps(header), *(_line(i) for i in have)]
        with store_errors(self.journal):
            self._close_log()
            fresh = self.journal.with_name(f"{self.journal.name}.new")
            fresh.write_text("\n".join(lines) + "\n")
            os.replace(fresh, self.journal)
            self._log = os.open(self.journal, os.O_WRONLY | os.O_APPEND)
        self._have = list(have)

    def write(self, data: bytes, offset: int) -> bool:
        """Write bytes; False if they contradict what an earlier process had written there."""
        view = memoryview(data)
        if self._doubt and not self._agrees(view, offset):
            return False
        with store_errors(self.path):
            written = 0
            while written < len(view):
                written += os.pwrite(self._descriptor, view[written:], offset + written)
        return True

    def _agrees(self, view: memoryview, offset: int) -> bool:
        for doubt in self._doubt:
            start, end = max(doubt.start, offset), min(doubt.end, offset + len(view))
            if start < end:
                before = os.pread(self._descriptor, end - start, start)
                if before != view[start - offset : end - offset]:
                    return False
        return True

    def note(self, stretch: Interval) -> None:
        """Write down that a stretch of bytes is here."""
        if stretch.length <= 0:
            return
        with self._lock, store_errors(self.journal):
            self._have = union([*self._have, stretch])
            if self._log >= 0:
                os.write(self._log, f"{_line(stretch)}\n".encode())

    @property
    def have(self) -> list[Interval]:
        """The stretches that are here."""
        with self._lock:
            return list(self._have)

    @property
    def done(self) -> int:
        """Number of bytes here."""
        return total(self.have)

    @property
    def frontier(self) -> int:
        """Number of bytes here from the beginning without a gap."""
        have = self.have
        return have[0].end if have and have[0].start == 0 else 0

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes back; return their number."""
        return os.preadv(self._descriptor, [buffer], offset)

    def flush(self) -> None:
        """Send what was written on its way to the disk, and wait for it."""
        os.fdatasync(self._descriptor)

    def move_to(self, final: Path, size: int) -> None:
        """Put the complete file in place: flushed to the disk, then renamed, then the folder.

        The journal goes first: without it a part is worth nothing, so no moment exists in which
        a journal speaks of a part that is no longer there.
        """
        with store_errors(final):
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
            self._close_log()
            self.journal.unlink(missing_ok=True)
            _move(self.path, final)
            _sync_folder(final.parent)

    def close(self) -> None:
        """Let go of the part; it stays for the next process."""
        self._close_log()
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(self._descriptor).st_size == 0 and not self._have:
                    self.path.unlink()
                    self.journal.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _close_log(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1


def _version(stated: object) -> Version | None:
    """Return the version that a journal states, None where a crash or a hand has spoilt it."""
    match stated:
        case {"total": int() | None as size, "validator": str() | None as name, "ranged": True}:
            return Version(size, name, ranged=True)
    return None


def _line(stretch: Interval) -> str:
    """Return a line of the journal; its length proves that it was not put together from two."""
    return f"{stretch.start} {stretch.end} {stretch.length}"


def _move(part: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    if part.parent.stat().st_dev == final.parent.stat().st_dev:
        os.replace(part, final)
        return
    beside = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with part.open("rb") as source, beside.open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
            target.flush()
            os.fsync(target.fileno())
        os.replace(beside, final)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    part.unlink()


def _sync_folder(folder: Path) -> None:
    """Flush the entry of a file; some network filesystems have nothing to flush, and say so."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _boot_id() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
