"""Downloads that cannot lie: resumed, verified, and in place only when complete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skymend.sources.transfer.ledger import Ledger
from skymend.sources.transfer.progress import Progress, silent
from skymend.sources.transfer.types import (
    Orders,
    Receipt,
    Remote,
    Signer,
    TransferOptions,
    anonymous,
)

DEFAULTS = TransferOptions()
ANONYMOUS = anonymous()


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
    """Fetch one file into a folder, verified."""
    raise NotImplementedError


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
    """Fetch several files, in the order given."""
    raise NotImplementedError
