"""Write the STAC catalogue of all reconstructed dates, and what was skipped and why."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field

from skymend.core.errors import InternalError, SkipJob
from skymend.core.files import write_json
from skymend.core.step import Artifact, Context, Facts, StepInputs, StepOutputs, StepParams, step
from skymend.report import stac
from skymend.report.stac import About, Document
from skymend.report.validation import STAC_VERSION, problems


class Inputs(StepInputs):
    """Reconstructed dates (members may be absent), the report and the comparison table."""

    reconstructions: tuple[Artifact, ...]
    report: Artifact | None = None
    table: Artifact | None = None


class Params(StepParams):
    """What the collection says of itself."""

    id: str = Field("skymend", min_length=1, description="Identifier of the collection.")
    title: str = Field("", description="Title; the identifier when empty.")
    description: str = Field("", description="Description; a general one when empty.")
    license: str = Field("other", description="SPDX licence of the data, or 'other'.")
    notices: tuple[str, ...] = Field(
        (), description="Sentences that the licence of a source demands in what is derived."
    )
    keywords: tuple[str, ...] = ("gap-free", "cloud removal", "surface reflectance")


class Outputs(StepOutputs):
    """Root catalogue, collection, one item per date, and the dates left out."""

    catalog: str = "catalog.json"
    collection: str = "collection.json"
    items: str = "items/"
    skipped: str = "skipped.json"


@step("publish", version=1, inputs=Inputs, params=Params, outputs=Outputs, adoptable=False)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Write the STAC catalogue of all reconstructed dates, and what was skipped and why."""
    present = [made for made in inputs.reconstructions if made.absent is None]
    skipped = [_skipped(made) for made in inputs.reconstructions if made.absent is not None]
    if not present:
        raise SkipJob("no date was reconstructed, so there is nothing to publish")
    about = _about(params, len(present), len(skipped))
    items = [stac.item(made, about, context.final / "items") for made in present]
    extra = _assets(inputs, context.final)
    documents = {
        "catalog.json": stac.catalog(about),
        "collection.json": stac.collection(items, about, extra),
        **{f"items/{document['id']}.json": document for document in items},
    }
    if len(documents) != len(items) + 2:
        raise InternalError(
            where="publish",
            expected="one reconstruction per tile and time",
            found="two of the same",
            fix="publish one reconstruct output at a time",
        )
    for name, document in documents.items():
        _check(name, document)
        write_json(out / name, document, indent=2)
    write_json(out / "skipped.json", {"skipped": sorted(skipped, key=lambda s: s["datetime"])})
    return {"items": len(items), "skipped": len(skipped)}


def _about(params: Params, made: int, skipped: int) -> About:
    identifier = re.sub(r"[^A-Za-z0-9_.-]+", "-", params.id)
    text = params.description or (
        "Gap-free surface reflectance: observed pixels keep their value, hidden ones are rebuilt; "
        "each with a quality flag and an uncertainty of one standard deviation."
    )
    text += f" {made} dates; {skipped} skipped, with reasons in skipped.json."
    text = " ".join([text, *params.notices])
    return About(
        identifier,
        params.title or params.id,
        text,
        params.license,
        params.keywords,
        params.notices,
    )


def _assets(inputs: Inputs, folder: Path) -> dict[str, Document]:
    found = {}
    for name, artifact, output, title, kind in (
        ("report", inputs.report, "page", "Report", "text/html"),
        ("scores", inputs.table, "table", "Scores under hidden pixels", "application/json"),
    ):
        if artifact is not None and artifact.has(output):
            path = artifact.file(output)
            found[name] = stac.file_asset(path, folder, title, kind, ["metadata"])
    return found


def _skipped(made: Artifact) -> dict[str, str]:
    return {
        "id": made.tags.get("id", made.key[:8]),
        "tile": made.tags.get("tile", ""),
        "datetime": made.tags.get("datetime", ""),
        "reason": made.absent or "",
    }


def _check(name: str, document: Document) -> None:
    """Refuse to publish what the published schemas refuse."""
    found = problems(document)
    if found:
        raise InternalError(
            where=name,
            expected=f"a valid STAC {STAC_VERSION} document",
            found="; ".join(found[:3]),
            fix="report this as a defect, with the record of the job",
        )
