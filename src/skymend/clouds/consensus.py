"""A vote of several maskers, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.clouds.masker import CloudMasker, Mask, Maskable, open_masker
from skymend.core.encoding import ByteArray, FloatArray
from skymend.core.errors import GridError
from skymend.products.labels import Label

ORDER = (Label.CLOUD, Label.SHADOW, Label.SNOW, Label.WATER, Label.CLEAR)
"""Of labels with equally many votes the first wins: better to hide ground than to show cloud."""


@dataclass(frozen=True, slots=True)
class ConsensusMasker:
    """The ``consensus`` engine: each member has one vote.

    Parameters
    ----------
    members : names of maskers. Snow and water, which some members do not know, are taken
        from those that do, wherever the vote says clear.
    """

    name: str = "consensus"
    members: tuple[str, ...] = ("fmask", "s2cloudless", "csmask")

    def mask(
        self,
        product: Maskable,
        *,
        resolution_m: float = 20.0,
        dem: Path | None = None,
        cpus: int = 1,
    ) -> Mask:
        """Let every member mask the product, and count votes.

        Raises
        ------
        ProductError, ToolMissingError
            as the members do.
        """
        maskers = [_member(name) for name in self.members]
        masks = [m.mask(product, resolution_m=resolution_m, dem=dem, cpus=cpus) for m in maskers]
        for member, mask in zip(self.members[1:], masks[1:], strict=True):
            _check_grid(self.members[0], masks[0], member, mask)
        labels = vote([m.labels for m in masks])
        terrain = np.logical_or.reduce([m.terrain_shadow for m in masks])
        facts = {"members": list(self.members)}
        return Mask(labels, terrain, _mean([m.probability for m in masks]), masks[0].grid, facts)


def _member(name: str) -> CloudMasker:
    """Return a masker that votes on what its pixels show.

    s2cloudless averages and widens its clouds by default; widening is for the winner, later.
    """
    if name == "s2cloudless":
        from skymend.clouds.s2cloudless import S2CloudlessMasker

        return S2CloudlessMasker(average_m=0.0, dilate_m=0.0)
    return open_masker(name)


def vote(labels: Sequence[ByteArray]) -> ByteArray:
    """Return for each pixel the label with most votes.

    A pixel is nodata where any member says so: a band may be missing there.

    Parameters
    ----------
    labels : masks of equal shape.
    """
    stack = np.stack(labels)
    votes = np.stack([(stack == label).sum(axis=0) for label in ORDER])
    # Snow and water are ground like clear: they must not split its votes.
    ground = votes[2:].sum(axis=0)
    hidden = np.stack([votes[0], votes[1], ground]).argmax(axis=0)
    winner: ByteArray = np.array([Label.CLOUD, Label.SHADOW, Label.CLEAR], np.uint8)[hidden]
    winner[hidden == 2] = _ground(votes[2:])[hidden == 2]
    winner[(stack == Label.NODATA).any(axis=0)] = Label.NODATA
    return winner


def _ground(votes: npt.NDArray[np.int64]) -> ByteArray:
    """Return snow or water where anyone says so, else clear; ``votes`` in the order of ORDER."""
    snow, water, _ = votes
    kind = np.full(snow.shape, Label.CLEAR, np.uint8)
    kind[water > 0] = Label.WATER
    kind[(snow > 0) & (snow >= water)] = Label.SNOW
    return kind


def _mean(probabilities: Sequence[FloatArray]) -> FloatArray:
    """Return the mean over the members that have a probability."""
    stack = np.stack(probabilities)
    count = np.isfinite(stack).sum(axis=0)
    total = np.nansum(stack, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _check_grid(first: str, mask: Mask, second: str, other: Mask) -> None:
    if mask.grid == other.grid:
        return
    raise GridError(
        where="consensus of masks",
        expected=f"one grid: {first} has {mask.grid.shape} pixels of {mask.grid.resolution:g} m",
        found=f"{second} has {other.grid.shape} pixels of {other.grid.resolution:g} m",
        fix="choose a resolution that all members can make",
    )
