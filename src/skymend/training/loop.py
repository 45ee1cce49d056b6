"""The training loop: seeded, bounded in steps, and able to go on where it was killed.

Nothing depends on the clock. The order of the samples and their augmentation follow from
seed and step alone; a checkpoint holds weights and optimiser state; so a training that was
killed and resumed ends with the same weights, bit by bit, as one that was not.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.files import store_errors
from skymend.patches.arrays import DAMAGE
from skymend.training.losses import Loss
from skymend.training.samples import Feeder

Record = dict[str, float]


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How long and how fast; a budget of steps keeps the result reproducible."""

    steps: int
    batch: int
    learning_rate: float
    seed: int
    warmup_share: float = 0.05
    """Share of the steps in which the learning rate rises to its full value."""
    clip_norm: float = 1.0
    ema: float | None = None
    """Momentum of the moving average of the weights that is kept at the end, if any."""
    clear_weight: float = 0.2
    """Weight of pixels whose target date is seen, relative to hidden ones."""


@dataclass(slots=True)
class LoopState:
    """Where a training is."""

    step: int = 0
    history: list[Record] = field(default_factory=list)


def configure(cpus: int, seed: int) -> None:
    """Make TensorFlow deterministic, seeded, and bound to ``cpus`` threads.

    Thread counts can be set only before TensorFlow has computed anything in this process;
    later the call leaves them as they are.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(cpus)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return


def fit(
    model: Any,
    feeder: Feeder,
    loss: Loss,
    settings: LoopSettings,
    checkpoint: Path,
    on_epoch: Callable[[Any, LoopState], Record] = lambda model, state: {},
) -> LoopState:
    """Train a model in place.

    Parameters
    ----------
    model : keras.Model whose outputs are the mean and, if it has one, sigma.
    checkpoint : file written after every epoch; if it fits, training goes on from there.
    on_epoch : called after every epoch; what it returns joins the history.

    Returns
    -------
    LoopState
        with one history entry an epoch: ``epoch``, ``step``, ``loss``, and those of
        ``on_epoch``.
    """
    trainer = _trainer(model, loss, settings)
    identity = _identity(feeder, settings)
    state = _restore(checkpoint, trainer, identity)
    train = feeder.store.split("train")
    length = max(1, len(train) // settings.batch)
    while state.step < settings.steps:
        epoch = state.step // length
        losses = _epoch(trainer, feeder, settings, train, range(epoch, epoch + 1), state)
        entry = {"epoch": epoch + 1.0, "step": float(state.step), "loss": losses}
        state.history.append({**entry, **on_epoch(model, state)})
        _save(checkpoint, trainer, identity, state)
    if settings.ema is not None:
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
    return state


def _trainer(model: Any, loss: Loss, settings: LoopSettings) -> Any:
    """Return a compiled model that shares the weights and has one output: mean, then sigma."""
    import keras

    outputs = list(model.outputs)
    joined = keras.layers.Concatenate()(outputs) if len(outputs) > 1 else outputs[0]
    trainer = keras.Model(model.input, joined)
    warmup = max(1, round(settings.steps * settings.warmup_share))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, settings.steps - warmup),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.Adam(
        schedule,
        global_clipnorm=settings.clip_norm,
        use_ema=settings.ema is not None,
        ema_momentum=settings.ema or 0.99,
    )
    trainer.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    optimizer.build(trainer.trainable_variables)
    return trainer


def _epoch(
    trainer: Any,
    feeder: Feeder,
    settings: LoopSettings,
    train: npt.NDArray[np.int64],
    epochs: range,
    state: LoopState,
) -> float:
    """Go once through the training samples; return the mean loss."""
    order = np.random.default_rng((settings.seed, 1, epochs.start)).permutation(train)
    size = min(settings.batch, len(order))
    losses = []
    for first in range(0, len(order) - size + 1, size):
        if state.step >= settings.steps:
            break
        rng = np.random.default_rng((settings.seed, 2, state.step))
        feed = feeder.feed(order[first : first + size], rng)
        truth = feed.truth(settings.clear_weight)
        trainer.reset_metrics()
        losses.append(float(trainer.train_on_batch(feed.inputs, truth)))
        state.step += 1
    return float(np.mean(losses))


def _identity(feeder: Feeder, settings: LoopSettings) -> str:
    """Return what a checkpoint must agree with to be used."""
    parts = {name: getattr(settings, name) for name in settings.__slots__}
    parts |= {"data": feeder.store.card.data_hash, "inputs": [i.name for i in feeder.inputs]}
    return json.dumps(parts, sort_keys=True)


def _save(path: Path, trainer: Any, identity: str, state: LoopState) -> None:
    """Write a checkpoint whole or not at all."""
    arrays = {f"w{i}": np.asarray(w) for i, w in enumerate(trainer.get_weights())}
    variables = trainer.optimizer.variables
    arrays |= {f"o{i}": np.asarray(v) for i, v in enumerate(variables)}
    meta = {"identity": identity, "step": state.step, "history": state.history}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    partial = path.with_name(f".{path.name}.partial")
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(buffer.getvalue())
        os.replace(partial, path)


def _restore(path: Path, trainer: Any, identity: str) -> LoopState:
    """Load a checkpoint of the same training; start anew if there is none."""
    stored = _read(path)
    if stored is None:
        return LoopState()
    meta = json.loads(stored["meta"].tobytes())
    if meta["identity"] != identity:
        return LoopState()
    trainer.set_weights([stored[f"w{i}"] for i in range(len(trainer.get_weights()))])
    for index, variable in enumerate(trainer.optimizer.variables):
        variable.assign(stored[f"o{index}"])
    return LoopState(int(meta["step"]), list(meta["history"]))


def _read(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays of a checkpoint, or None if there is no whole one."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return dict(stored)
    except DAMAGE:
        return None
