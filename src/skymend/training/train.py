"""From a patch store to a bundle: the whole training of one net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from skymend.core.errors import ConfigError
from skymend.core.step import StepParams
from skymend.models.bundle import Bundle, Card, save_bundle
from skymend.models.registry import architecture, build_named
from skymend.training.loop import LoopSettings, LoopState, Record, configure, fit
from skymend.training.losses import Loss, masked_l1, masked_nll
from skymend.training.normalise import output_specs
from skymend.training.samples import Feeder, PatchSource
from skymend.training.validate import Validation, calibrate, validate

CHECKPOINT = "checkpoint.npz"
_EPOCH_SAMPLES = 64
_FINAL_SAMPLES = 1024


class TrainingSettings(StepParams):
    """All that decides which weights come out, besides the data.

    The budget is given in steps, never in seconds, so that it can be repeated.
    """

    architecture: str = Field("crga-os2-tiny", description="Name of the net.")
    uncertainty: bool = Field(True, description="Predict one standard deviation too.")
    loss: Literal["l1", "laplace", "gaussian"] = Field(
        "laplace", description="l1: without likelihood; else l1 for the mean plus that of sigma."
    )
    steps: int = Field(1500, gt=0, description="Optimiser steps.")
    batch: int = Field(16, gt=0, description="Samples a step.")
    learning_rate: float = Field(4e-3, gt=0, description="Highest rate of Adam (cosine).")
    clear_weight: float = Field(
        0.2, ge=0, le=1, description="Weight of pixels that are seen on the target date."
    )
    ema: float | None = Field(None, gt=0, lt=1, description="Momentum of averaged weights.")
    seed: int = Field(7, ge=0, description="Seed of weights, order and augmentation.")

    @property
    def loop(self) -> LoopSettings:
        """What the loop needs of them."""
        return LoopSettings(
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            seed=self.seed,
            ema=self.ema,
            clear_weight=self.clear_weight,
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training."""

    bundle: Bundle
    history: list[Record]


def train(
    store: PatchSource,
    settings: TrainingSettings,
    folder: Path,
    work: Path,
    *,
    cpus: int = 1,
    layout: str = "",
    licence: str = "unstated",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Trained:
    """Train a net and write its bundle.

    Parameters
    ----------
    store : a patch store with the splits ``train`` and ``valid``.
    folder : where the bundle goes.
    work : where checkpoints go; a training that was killed goes on from there and ends with
        the same weights.
    layout, licence : for the card.
    cpus : threads of TensorFlow; other numbers may change the last bits.

    Raises
    ------
    ConfigError
        if the store has too few samples or lacks an input of the architecture.
    """
    spec = architecture(settings.architecture)
    feeder = Feeder(store, spec)
    _check_splits(store)
    configure(cpus, settings.seed)
    model = build_named(settings.architecture, uncertainty=settings.uncertainty)
    loss = _loss(settings, len(feeder.bands))
    few = store.split("valid")[:_EPOCH_SAMPLES]

    def on_epoch(net: Any, state: LoopState) -> Record:
        progress(state.step / settings.steps, f"step {state.step}")
        return {f"valid_{k}": v for k, v in validate(net, feeder, few).metrics().items()}

    state = fit(model, feeder, loss, settings.loop, work / CHECKPOINT, on_epoch)
    final = validate(model, feeder, _spread(store.split("valid")))
    card = _card(feeder, settings, final).model_copy(update={"layout": layout, "licence": licence})
    return Trained(save_bundle(folder, model, card), state.history)


def _loss(settings: TrainingSettings, bands: int) -> Loss:
    if settings.loss == "l1" or not settings.uncertainty:
        return masked_l1(bands)
    return masked_nll(bands, settings.loss)


def _spread(indices: Any) -> Any:
    """Take at most a fixed number of samples, evenly over the split."""
    step = -(-len(indices) // _FINAL_SAMPLES)
    return indices[:: max(1, step)]


def _check_splits(store: PatchSource) -> None:
    for name in ("train", "valid"):
        if not len(store.split(name)):
            raise ConfigError(
                where="patch store",
                expected=f"samples in the split {name}",
                found="none",
                fix="widen the training period or the layout, or ask for more patches",
            )


def _card(feeder: Feeder, settings: TrainingSettings, final: Validation) -> Card:
    spec = architecture(settings.architecture)
    source = feeder.store.card
    return Card(
        name=f"{settings.architecture}-{source.data_hash[:8]}",
        architecture=settings.architecture,
        uncertainty=settings.uncertainty,
        inputs=feeder.inputs,
        outputs=output_specs(spec, feeder.bands, settings.uncertainty),
        margin=spec.margin,
        stride=spec.stride,
        window_days=feeder.window_days,
        radar_convention=source.convention or "",
        radar_gap_hours=feeder.radar_gap_hours,
        calibration=calibrate(final),
        metrics=final.metrics(),
        training={
            **settings.model_dump(),
            "samples": dict(source.splits),
            "layout": source.layout,
        },
        data_hash=source.data_hash,
    )
