"""The one download engine behind every provider."""

from __future__ import annotations

from skymend.sources.transfer.digests import Digest
from skymend.sources.transfer.download import download, download_all
from skymend.sources.transfer.ledger import Ledger
from skymend.sources.transfer.limits import Limits
from skymend.sources.transfer.progress import Moment, Progress, silent, terminal_bar
from skymend.sources.transfer.quarantine import Held, Quarantine
from skymend.sources.transfer.types import (
    Orders,
    QuarantinedError,
    Receipt,
    Remote,
    Signer,
    TransferOptions,
    anonymous,
)

__all__ = [
    "Digest",
    "Held",
    "Ledger",
    "Limits",
    "Moment",
    "Orders",
    "Progress",
    "Quarantine",
    "QuarantinedError",
    "Receipt",
    "Remote",
    "Signer",
    "TransferOptions",
    "anonymous",
    "download",
    "download_all",
    "silent",
    "terminal_bar",
]
