"""Which pixels of a mask can be used, and how many there are of each kind."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from skymend.core.encoding import ByteArray
from skymend.products.labels import Label

BoolArray = npt.NDArray[np.bool_]


def usable(labels: ByteArray, *, snow_is_clear: bool = True) -> BoolArray:
    """Tell which pixels show the ground.

    Parameters
    ----------
    labels : (..., rows, columns) uint8 of :class:`~skymend.products.labels.Label`.
    snow_is_clear : count snow as ground.

    Returns
    -------
    (..., rows, columns) boolean, True for clear, water and, if asked, snow.
    """
    table = np.zeros(256, np.bool_)
    table[[Label.CLEAR, Label.WATER]] = True
    table[Label.SNOW] = snow_is_clear
    return table[labels]


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of a mask, 0..1.

    ``valid_share`` is of the whole grid; all others are of the valid pixels, so that a date
    that covers half the grid without a cloud has a clear share of 1.
    """

    valid_share: float
    clear_share: float
    cloud_share: float
    shadow_share: float
    snow_share: float

    @classmethod
    def of(cls, labels: ByteArray, *, snow_is_clear: bool = True) -> Shares:
        """Count the labels of a mask."""
        counts = {kind: int(np.count_nonzero(labels == kind)) for kind in Label}
        valid = labels.size - counts[Label.NODATA]
        ground = (Label.CLEAR, Label.WATER, *([Label.SNOW] if snow_is_clear else []))

        def share(*kinds: Label) -> float:
            return round(sum(counts[k] for k in kinds) / valid, 6) if valid else 0.0

        return cls(
            round(valid / labels.size, 6),
            share(*ground),
            share(Label.CLOUD),
            share(Label.SHADOW),
            share(Label.SNOW),
        )

    def as_facts(self) -> dict[str, float]:
        """Return the shares by name."""
        return asdict(self)
