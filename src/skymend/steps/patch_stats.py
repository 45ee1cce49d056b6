"""Count valid, cloudy and hidden pixels of one scene by 64-pixel patches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skymend.core.errors import InternalError, SkipJob
from skymend.core.step import (
    Artifact,
    Context,
    Facts,
    StepInputs,
    StepOutputs,
    StepParams,
    step,
)

if TYPE_CHECKING:
    from skymend.patches.stats import SceneStats


class Inputs(StepInputs):
    """Either an optical scene with its mask (and hidden pixels), or a radar scene."""

    optical: Artifact | None = None
    mask: Artifact | None = None
    hidden: Artifact | None = None
    radar: Artifact | None = None


class Params(StepParams):
    """None: blocks have 64 pixels whatever the patch size of a dataset."""


class Outputs(StepOutputs):
    """One Parquet table, a row per patch."""

    stats: str = "stats.parquet"


@step("patch-stats", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Count valid, cloudy and hidden pixels of one scene by 64-pixel patches."""
    from skymend.patches.stats import write_stats

    stats = _radar(inputs.radar) if inputs.radar is not None else _optical(inputs)
    write_stats(out / Outputs.names()["stats"], stats)
    return {
        "patches": int(stats.valid_share.size),
        "valid_share": round(float(stats.valid_share.mean()), 6),
        "cloud_share": round(float(stats.cloud_share.mean()), 6),
        "hidden_share": round(float(stats.hidden_share.mean()), 6),
    }


def _optical(inputs: Inputs) -> SceneStats:
    from skymend.patches.stats import optical_statistics

    optical, mask = inputs.optical, inputs.mask
    if optical is None or mask is None:
        raise InternalError(
            where="patch-stats",
            expected="optical and mask, or radar",
            found="neither",
            fix="hand over one scene",
        )
    for artifact in (optical, mask):
        _require(artifact)
    hidden = inputs.hidden
    return optical_statistics(
        optical.file("reflectance"),
        mask.file("mask"),
        hidden=hidden.file("hidden") if hidden is not None and hidden.has("hidden") else None,
        scene=scene_id(optical),
        time=optical.time,
    )


def _radar(radar: Artifact) -> SceneStats:
    from skymend.patches.stats import radar_statistics

    _require(radar)
    orbit = radar.tags.get("relative_orbit", "")
    return radar_statistics(
        radar.file("backscatter"),
        scene=scene_id(radar),
        time=radar.time,
        relative_orbit=int(orbit) if orbit.isdigit() else None,
        direction=_direction(radar.tags.get("direction", "")),
    )


def scene_id(artifact: Artifact) -> str:
    """Return the identifier all artifacts of one scene share."""
    return artifact.tags.get("id") or artifact.tags["datetime"]


def _direction(tag: str) -> str | None:
    """Return ``ascending`` or ``descending`` for ``ASC``, ``des``, ``ASCENDING``, ..."""
    return {"asc": "ascending", "des": "descending"}.get(tag[:3].lower())


def _require(artifact: Artifact) -> None:
    if artifact.absent is not None:
        raise SkipJob(artifact.absent)
