"""Training from a patch store's folder, as ``skymend train`` offers it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from skymend.core.files import write_json
from skymend.training.train import Trained, TrainingSettings, train


def train_folder(
    patches: Path,
    folder: Path,
    settings: TrainingSettings,
    *,
    cpus: int = 1,
    licence: str = "unstated",
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Trained:
    """Train a net on a patch store and write its bundle and ``history.json``.

    Parameters
    ----------
    patches : folder of a patch store.
    folder : the bundle's; a killed call goes on where it was when it is repeated. The
        checkpoint beside the bundle is removed at the end.

    Raises
    ------
    ProductError
        if ``patches`` is no patch store.
    ConfigError
        if the store does not fit the architecture.
    """
    from skymend.patches.store import PatchStore

    work = folder.with_name(f".{folder.name}.work")
    trained = train(
        PatchStore(patches), settings, folder, work, cpus=cpus, licence=licence, progress=progress
    )
    write_json(folder / "history.json", trained.history)
    for leftover in work.iterdir():
        leftover.unlink()
    work.rmdir()
    return trained
