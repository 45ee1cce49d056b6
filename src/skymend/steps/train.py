"""Train a network on a patch store and leave it as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from skymend.core.files import write_json
from skymend.core.step import Artifact, Context, StepInputs, StepOutputs, step
from skymend.training.train import TrainingSettings, train


class Inputs(StepInputs):
    """What the step reads."""

    dataset: Artifact
    """The patch store: output ``patches`` of the step ``dataset``."""


class Params(TrainingSettings):
    """What decides which weights come out."""

    layout: str = Field("", description="Acquisition layout of the patches, for the card.")


class Outputs(StepOutputs):
    """What the step leaves."""

    bundle: str = "bundle/"
    history: str = "history.json"


@step("train", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> dict[str, Any]:
    """Train a network on a patch store and leave it as a bundle.

    A run that was killed goes on from its last epoch and ends with the same weights.
    """
    from skymend.patches.store import PatchStore

    settings = TrainingSettings.model_validate(params.model_dump(exclude={"layout"}))
    trained = train(
        PatchStore(inputs.dataset.file("patches")),
        settings,
        out / "bundle",
        context.work,
        cpus=context.cpus,
        layout=params.layout,
        progress=context.progress,
    )
    write_json(out / "history.json", trained.history)
    card = trained.bundle.card
    samples = {name: int(n) for name, n in card.training["samples"].items()}
    return {
        "architecture": card.architecture,
        "bundle": trained.bundle.hash,
        "parameters": card.parameters,
        "samples": samples,
        **{name: round(value, 6) for name, value in card.metrics.items()},
    }
