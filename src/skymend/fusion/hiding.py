"""Hiding clear pixels under real cloud shapes of other dates, to score what is rebuilt.

The share hidden is of the clear pixels. Which date lends its clouds follows from a hash of
the two dates' ids, so that the order of the donors never matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from skymend.core.encoding import ByteArray
from skymend.fusion.stack import BoolArray
from skymend.products.labels import Label

SHARES = (0.1, 0.5)
"""A cloud shape must hide this share of the clear pixels, at least and at most."""

_TRIES = 16
_LABEL_PX = 2048


@dataclass(frozen=True, slots=True)
class Donor:
    """A date that may lend its clouds; ``labels`` reads its mask when asked."""

    id: str
    date: str
    labels: Callable[[], ByteArray]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What was hidden: (rows, columns) bool, by whose clouds, what share of the clear."""

    pixels: BoolArray
    donor: Donor
    share: float


def rank(seed: int, target_id: str, donor_id: str) -> str:
    """Return the place of a donor in the queue for a target: a hash, the same on any machine."""
    return hashlib.sha256(f"{seed}|{target_id}|{donor_id}".encode()).hexdigest()


def clouds(labels: ByteArray) -> BoolArray:
    """Return where a mask shows a cloud or its shadow."""
    found: BoolArray = (labels == Label.CLOUD) | (labels == Label.SHADOW)
    return found


def hide(
    clear: BoolArray, donors: Iterable[Donor], *, target_id: str, share: float, seed: int
) -> Hidden | None:
    """Hide about ``share`` of the clear pixels under the clouds of one donor.

    Donors are tried in the order of their hash; the first whose clouds hide between half
    and one and a half times ``share`` is taken, else the one that comes closest. Of a donor
    with more clouds than that, single connected clouds are taken until they suffice.

    Parameters
    ----------
    clear : (rows, columns) bool, pixels of the target that may be hidden.

    Returns
    -------
    None if no donor hides between 10 % and 50 % of the clear pixels.
    """
    queue = sorted(donors, key=lambda d: rank(seed, target_id, d.id))
    best: Hidden | None = None
    for donor in queue[:_TRIES]:
        pixels = _shape(clear, clouds(donor.labels()), share, rank(seed, target_id, donor.id))
        hidden = float(pixels.sum()) / max(int(clear.sum()), 1)
        if not SHARES[0] <= hidden <= SHARES[1]:
            continue
        if best is None or abs(hidden - share) < abs(best.share - share):
            best = Hidden(pixels, donor, hidden)
        if abs(hidden - share) <= share / 2:
            break
    return best


def tiled(labels: ByteArray, shape: tuple[int, int], name: str) -> ByteArray:
    """Cover a grid with a mask of another place: mirrored copies, from a seeded corner.

    Mirroring keeps clouds whole across the seams.
    """
    rows, columns = labels.shape
    mirrored = np.block([[labels, labels[:, ::-1]], [labels[::-1], labels[::-1, ::-1]]])
    digest = hashlib.sha256(name.encode()).digest()
    top = int.from_bytes(digest[:4], "big") % (2 * rows)
    left = int.from_bytes(digest[4:8], "big") % (2 * columns)
    row = (np.arange(shape[0]) + top) % (2 * rows)
    column = (np.arange(shape[1]) + left) % (2 * columns)
    covered: ByteArray = mirrored[np.ix_(row, column)]
    return covered


def _shape(clear: BoolArray, cloudy: BoolArray, share: float, name: str) -> BoolArray:
    """Return the clear pixels under a donor's clouds, thinned to single clouds if too many."""
    under = clear & cloudy
    wanted = share * float(clear.sum())
    if under.sum() <= min(1.5 * share, SHARES[1]) * float(clear.sum()):
        return under
    return _some_clouds(under, cloudy, wanted, name)


def _some_clouds(under: BoolArray, cloudy: BoolArray, wanted: float, name: str) -> BoolArray:
    """Take connected clouds in a seeded order while they fit."""
    from scipy.ndimage import label

    step = max(1, max(cloudy.shape) // _LABEL_PX)
    regions, count = label(cloudy[::step, ::step])
    if count < 2:
        return np.zeros_like(under)
    regions = np.repeat(np.repeat(regions, step, axis=0), step, axis=1)
    regions = regions[: under.shape[0], : under.shape[1]]
    sizes = np.bincount(regions[under], minlength=count + 1)
    order = np.random.default_rng(int(name[:15], 16)).permutation(np.arange(1, count + 1))
    taken = np.zeros(count + 1, bool)
    total = 0
    for region in order:
        if sizes[region] and total + sizes[region] <= 1.5 * wanted:
            taken[region] = True
            total += int(sizes[region])
        if total >= wanted:
            break
    chosen: BoolArray = under & taken[regions]
    return chosen
