"""Downloads that cannot lie: resumed, verified, and in place only when complete."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from skymend.core.errors import ProductError, RetryableError
from skymend.sources.transfer.access import Access
from skymend.sources.transfer.budget import Budget
from skymend.sources.transfer.connections import Connections
from skymend.sources.transfer.fetching import Fetcher
from skymend.sources.transfer.ledger import Ledger
from skymend.sources.transfer.part import Part
from skymend.sources.transfer.progress import Meter, Progress, silent
from skymend.sources.transfer.quarantine import release_command
from skymend.sources.transfer.session import Session, no_allowance
from skymend.sources.transfer.trouble import Restart, Stopped
from skymend.sources.transfer.types import (
    Orders,
    QuarantinedError,
    Receipt,
    Remote,
    Signer,
    TransferOptions,
    anonymous,
)
from skymend.sources.transfer.verifying import Mismatch, algorithm, file_digest, verifiable, verify

DEFAULTS = TransferOptions()
ANONYMOUS = anonymous()
_POLL_S = 0.05


def download(
    remote: Remote,
    destination: Path,
    *,
    work: Path | None = None,
    signer: Signer = ANONYMOUS,
    options: TransferOptions = DEFAULTS,
    ledger: Ledger | None = None,
    progress: Progress = silent,
    orders: Orders | None = None,
) -> Receipt:
    """Fetch one file into a folder, verified.

    What an earlier call left unfinished is continued; a file that is there already and passes
    its check is not fetched again.

    Parameters
    ----------
    remote : what to fetch, and what its provider states of it.
    destination : the folder; the file gets the name of the remote.
    work : folder for the unfinished part; beside the destination by default.
    signer : headers and addresses with the provider's credentials.
    options : connections, timeouts, attempts.
    ledger : limits shared by the processes of this machine, and the quarantine.
    progress : told ten times a second.
    orders : the provider's way to order what it keeps offline.

    Raises
    ------
    QuarantinedError
        if it came twice with the same wrong content, now or earlier.
    RetryableError
        if time, attempts or an allowance ran out, or it was ordered; the part is kept.
    ConfigError
        if the credentials are refused.
    ProductError
        if it is not there, or a web page comes in its place.
    StoreError
        if the disk is full or read-only; the part is kept.
    SkipJob
        if it is offline and cannot be ordered.
    """
    call = _Call(work, signer, options, ledger, progress, orders)
    return call.run((remote,), destination)[0]


def download_all(
    remotes: Sequence[Remote],
    destination: Path,
    *,
    work: Path | None = None,
    signer: Signer = ANONYMOUS,
    options: TransferOptions = DEFAULTS,
    ledger: Ledger | None = None,
    progress: Progress = silent,
    orders: Orders | None = None,
) -> tuple[Receipt, ...]:
    """Fetch several files into a folder; parameters and errors as for :func:`download`.

    All share ``options.connections``: several files at a time while there are many, several
    connections for the last ones. The first error ends the others too; files that are complete
    stay, and the parts of the others are continued by the next call.

    Returns
    -------
    receipts : in the order of the remotes.
    """
    _check_names(remotes)
    call = _Call(work, signer, options, ledger, progress, orders)
    return call.run(tuple(remotes), destination)


def _check_names(remotes: Sequence[Remote]) -> None:
    """Refuse two files that would get the same name."""
    names: set[str] = set()
    for remote in remotes:
        if remote.name in names:
            raise ProductError(
                where=remote.public_url,
                expected="files of different names in one folder",
                found=f"{remote.name} twice",
                fix="fetch them into different folders",
            )
        names.add(remote.name)


@dataclass(frozen=True, slots=True)
class _Call:
    """The arguments that all files of a call share."""

    work: Path | None
    signer: Signer
    options: TransferOptions
    ledger: Ledger | None
    progress: Progress
    orders: Orders | None

    def run(self, remotes: tuple[Remote, ...], destination: Path) -> tuple[Receipt, ...]:
        connections = Connections(self.options)
        budget = Budget(self.options.connections, self.ledger)
        cancelled = threading.Event()

        def one(remote: Remote) -> Receipt:
            return _File(remote, destination, self, connections, budget, cancelled).fetch()

        try:
            if len(remotes) == 1:
                return (one(remotes[0]),)
            return self._several(remotes, one, cancelled)
        finally:
            connections.close()

    def _several(
        self,
        remotes: tuple[Remote, ...],
        one: Callable[[Remote], Receipt],
        cancelled: threading.Event,
    ) -> tuple[Receipt, ...]:
        with ThreadPoolExecutor(self.options.connections, "download") as pool:
            futures = [pool.submit(one, remote) for remote in remotes]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                return tuple(future.result() for future in futures)
            except BaseException:
                cancelled.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


class _File:
    """One file of a call."""

    def __init__(
        self,
        remote: Remote,
        destination: Path,
        call: _Call,
        connections: Connections,
        budget: Budget,
        cancelled: threading.Event,
    ) -> None:
        self._remote = remote
        self._call = call
        self._final = destination / remote.name
        self._part = Part((call.work or destination) / f".{remote.name}.part", remote)
        self._access = Access(remote, call.signer, connections, call.orders)
        self._fetcher = Fetcher(self._access, verifiable=verifiable(remote))
        self._connections = connections
        self._budget = budget
        self._cancelled = cancelled
        self._start = time.monotonic()
        self._wrong: set[str] = set()

    def fetch(self) -> Receipt:
        """Return the file's receipt once it is in place."""
        self._refuse()
        receipt = self._already()
        if receipt is not None:
            return receipt
        self._open()
        try:
            return self._already() or self._complete()
        finally:
            self._part.close()

    def _refuse(self) -> None:
        """Stop before the first request where one would be wrong."""
        ledger, remote = self._call.ledger, self._remote
        reason = ledger.quarantined(remote) if ledger else None
        if reason is not None:
            raise _quarantined(remote, reason)
        if not remote.online:
            raise self._access.offline()
        if ledger is not None and ledger.room(remote.provider) == 0:
            raise no_allowance(remote.provider)

    def _already(self) -> Receipt | None:
        """Return the receipt of a file that is in place and passes; None if there is none."""
        if not self._final.is_file():
            return None
        size = self._final.stat().st_size
        name = algorithm(self._remote)
        try:
            computed = file_digest(self._final, name) if name else ""
            verified = verify(self._remote, self._final, size, computed)
        except Mismatch:
            return None
        return Receipt(self._final, size, verified, 0, 0, time.monotonic() - self._start)

    def _open(self) -> None:
        """Take the part; wait while another process has it."""
        deadline = self._start + self._call.options.wall_s
        while not self._part.try_open():
            if self._cancelled.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                raise RetryableError(
                    where=self._final,
                    expected="to have the part for itself before the wall timeout",
                    found="another process that is downloading it",
                    fix="wait for that process",
                )
            time.sleep(_POLL_S)

    def _complete(self) -> Receipt:
        held = self._part.resume(verifiable=verifiable(self._remote))
        session = self._session()
        while True:
            size, computed = session.run()
            try:
                sent = self._fetcher.server_digests
                verified = verify(self._remote, self._part.path, size, computed, sent)
                break
            except Mismatch as mismatch:
                self._note_wrong(mismatch)
                session.begin_again(Restart(str(mismatch)))
        self._part.move_to(self._final, size)
        counts = session.counts
        again = max(0, counts.received + held - size)
        seconds = time.monotonic() - self._start
        return Receipt(
            self._final, size, verified, again, counts.restarts, seconds, cuts=counts.cuts
        )

    def _session(self) -> Session:
        call = self._call
        meter = Meter(self._remote.name)
        return Session(
            self._remote,
            self._part,
            self._fetcher,
            self._connections,
            self._budget,
            call.options,
            call.ledger,
            algorithm(self._remote),
            lambda done, total: call.progress(meter.moment(done, total)),
            self._cancelled,
        )

    def _note_wrong(self, mismatch: Mismatch) -> None:
        """Quarantine a file whose wrong content has come before.

        A wrong size may be the catalogue's mistake, and a body whose end cannot be told may have
        been cut: neither says that the file itself is bad.
        """
        if not mismatch.found or not self._fetcher.delimited:
            return
        ledger = self._call.ledger
        again = mismatch.found in self._wrong
        self._wrong.add(mismatch.found)
        if ledger is not None:
            again = ledger.bad_digest(self._remote, mismatch.found) or again
        if again:
            self._part.reset()
            reason = f"{self._remote.name} came twice with the same wrong {mismatch}"
            raise _quarantined(self._remote, reason)


def _quarantined(remote: Remote, reason: str) -> QuarantinedError:
    return QuarantinedError(
        where=remote.public_url,
        expected="the content that its provider states",
        found=reason,
        fix="choose another product, or wait until the provider states another digest;"
        f" `{release_command(remote.name)}` lets it be fetched once more",
    )
