"""Hide clear pixels of one date under a real cloud shape of another, for evaluation."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field

from skymend.core.cog import write_cog
from skymend.core.encoding import FLAG, ByteArray
from skymend.core.errors import SkipJob
from skymend.core.raster import describe, read_labels
from skymend.core.step import Artifact, Context, Facts, StepInputs, StepOutputs, StepParams, step
from skymend.fusion.hiding import Donor, hide, tiled
from skymend.fusion.scenes import usable
from skymend.fusion.stack import BoolArray

_LEAST_CLOUD = 0.02


class Inputs(StepInputs):
    """The mask of the date, masks of other dates, and masks of another place."""

    mask: Artifact
    donors: tuple[Artifact, ...] = ()
    shapes: tuple[Artifact, ...] = ()


class Params(StepParams):
    """How much to hide."""

    share: float = Field(0.3, gt=0, lt=1, description="Share of the clear pixels to hide.")
    min_clear_share: float = Field(
        0.6, gt=0, le=1, description="Only dates this clear, of their valid pixels, are scored."
    )
    snow_is_clear: bool = Field(True, description="Snow counts as clear.")
    seed: int = Field(7, description="Seed of the choice of the donor.")


class Outputs(StepOutputs):
    """1 where a clear pixel is hidden for evaluation, 0 elsewhere."""

    hidden: str = "hidden.tif"


@step("hide", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Hide clear pixels of one date under the clouds of another date of the same place.

    Where no date of the window lends a fitting shape, masks of another place are laid over
    the grid in mirrored copies.
    """
    path = inputs.mask.file("mask")
    labels = read_labels(path)
    clear = usable(labels, params.snow_is_clear)
    share = _clear_share(labels, clear)
    if share < params.min_clear_share:
        raise SkipJob(
            f"only {share:.0%} of the date is clear, {params.min_clear_share:.0%} are needed"
        )
    name = inputs.mask.tags["id"]
    find = partial(hide, clear, target_id=name, share=params.share, seed=params.seed)
    found, source = find(_donors(inputs.donors)), "same place"
    if found is None:
        found, source = find(_shapes(inputs.shapes, labels.shape, name)), "another place"
    if found is None:
        raise SkipJob("no other date lends a cloud shape that hides 10 to 50 % of the clear pixels")
    grid = describe(path).grid
    write_cog(out / "hidden.tif", found.pixels.astype(np.uint8)[None], grid, ("hidden",), FLAG)
    return {
        "clear_share": round(share, 6),
        "hidden_share": round(found.share, 6),
        "hidden_pixels": int(found.pixels.sum()),
        "donor": found.donor.id,
        "donor_date": found.donor.date,
        "donor_source": source,
    }


def _clear_share(labels: ByteArray, clear: BoolArray) -> float:
    valid = int((labels != 0).sum())
    return float(clear.sum()) / valid if valid else 0.0


def _donors(artifacts: tuple[Artifact, ...]) -> list[Donor]:
    return [
        Donor(_id(a), _date(a), partial(read_labels, a.file("mask")))
        for a in artifacts
        if _may_lend(a)
    ]


def _shapes(artifacts: tuple[Artifact, ...], shape: tuple[int, ...], name: str) -> list[Donor]:
    """Return masks of another place as donors, each laid over the grid its own way."""

    def read(path: Path, donor: str) -> ByteArray:
        return tiled(read_labels(path), (shape[0], shape[1]), f"{name}|{donor}")

    return [
        Donor(_id(a), _date(a), partial(read, a.file("mask"), _id(a)))
        for a in artifacts
        if _may_lend(a)
    ]


def _may_lend(artifact: Artifact) -> bool:
    """Tell whether a mask has clouds with a shape: neither none nor everywhere."""
    if artifact.absent is not None:
        return False
    facts = artifact.facts
    if "cloud_share" not in facts:
        return True
    hidden = float(facts["cloud_share"] + facts["shadow_share"])
    return _LEAST_CLOUD < hidden < 1 - _LEAST_CLOUD


def _id(artifact: Artifact) -> str:
    return artifact.tags.get("id", artifact.key)


def _date(artifact: Artifact) -> str:
    return artifact.tags.get("date") or artifact.date
