"""Orbit files for the radar products of a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from skymend.core.plan import FrozenProduct
from skymend.pipelines.region_sources import RadarSource

if TYPE_CHECKING:
    from skymend.pipelines.search import SnapshotOpener


def orbit_files(
    source: RadarSource | None, radar: Sequence[FrozenProduct], snapshot: SnapshotOpener
) -> tuple[Mapping[str, FrozenProduct], tuple[str, ...]]:
    """Return the orbit file of each GRD product by its id, and in sentences what is missing."""
    return {}, ()
