"""Bundles: a trained model as ``card.json``, weights and ``model.onnx``.

Nothing in a bundle is executable: the architecture is looked up by name in this package, and
every file is compared with the sha256 on the card before it is opened.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from skymend.core.errors import BundleError
from skymend.models.card import (
    Calibration,
    Card,
    GapScale,
    InputSpec,
    OutputSpec,
    Scaling,
)
from skymend.models.registry import architecture, build_named

__all__ = [
    "Bundle",
    "Calibration",
    "Card",
    "GapScale",
    "InputSpec",
    "OutputSpec",
    "Scaling",
    "bundle_hash",
    "load_bundle",
    "read_card",
    "save_bundle",
]

CARD = "card.json"
WEIGHTS = "model.weights.h5"
ONNX = "model.onnx"
MAX_CARD_BYTES = 4 << 20
MAX_FILE_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle on disk."""

    folder: Path
    card: Card

    @property
    def hash(self) -> str:
        """sha256 of the card, which holds those of the other files: names the bundle."""
        return bundle_hash(self.folder)

    def session(self, cpus: int = 1) -> Any:
        """Open ``model.onnx`` on ONNX Runtime.

        Parameters
        ----------
        cpus : threads within one operator.

        Returns
        -------
        onnxruntime.InferenceSession
            with the inputs and outputs of the card, (batch, rows, columns, channels) float32.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cpus
        options.inter_op_num_threads = 1
        # Idle threads sleep, so that reading and writing get the processor meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        path = _verified(self.folder, ONNX, self.card.files)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def keras(self) -> Any:
        """Build the architecture and load its weights into it: a keras.Model."""
        model = build_named(self.card.architecture, uncertainty=self.card.uncertainty)
        path = _verified(self.folder, WEIGHTS, self.card.files)
        try:
            model.load_weights(str(path))
        except (ValueError, KeyError, OSError) as error:
            raise BundleError(
                where=path,
                expected=f"weights of {self.card.architecture}",
                found=str(error).splitlines()[0],
                fix="export the bundle again",
            ) from error
        return model


def save_bundle(folder: Path, model: Any, card: Card) -> Bundle:
    """Write a bundle: weights, ONNX graph, then the card with their checksums.

    Parameters
    ----------
    folder : made if need be; files of the same names are replaced.
    model : the keras.Model that ``card.architecture`` names.
    card : everything but ``files`` and ``parameters``, which are filled in here.

    Returns
    -------
    Bundle
        The same model and card give the same bytes.
    """
    from skymend.models.onnx_export import write_onnx

    folder.mkdir(parents=True, exist_ok=True)
    model.save_weights(str(folder / WEIGHTS), overwrite=True)
    write_onnx(model, folder / ONNX)
    files = {name: _sha256(folder / name) for name in (ONNX, WEIGHTS)}
    full = card.model_copy(update={"files": files, "parameters": model.count_params()})
    _check_architecture(folder / CARD, full)
    partial = folder / f".{CARD}.partial"
    partial.write_text(full.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(partial, folder / CARD)
    return Bundle(folder, full)


def load_bundle(folder: Path) -> Bundle:
    """Open a bundle after comparing every file with its checksum.

    Raises
    ------
    BundleError
        if a file is missing, was changed, is not a plain file of the folder, or the card
        names an unknown architecture or does not fit it.
    """
    folder = Path(folder)
    card = read_card(folder)
    for name in (ONNX, WEIGHTS):
        _verified(folder, name, card.files)
    return Bundle(folder, card)


def read_card(folder: Path) -> Card:
    """Read and check ``card.json`` alone, without the checksums of the other files."""
    path = _plain_file(Path(folder), CARD, MAX_CARD_BYTES)
    try:
        card = Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(
            where=path,
            expected="a card of format 1",
            found=f"{place}: {first['msg']}",
            fix="export the bundle again",
        ) from error
    _check_architecture(path, card)
    return card


def bundle_hash(folder: Path) -> str:
    """Return the sha256 of ``card.json``, which names the whole bundle."""
    return _sha256(_plain_file(Path(folder), CARD, MAX_CARD_BYTES))


def _check_architecture(path: Path, card: Card) -> None:
    """Refuse a card whose tensors are not those of its architecture."""
    spec = architecture(card.architecture)
    found = tuple((i.name, len(i.bands)) for i in card.inputs)
    if found != spec.channels:
        raise BundleError(
            where=path,
            expected=f"the inputs of {card.architecture}: {dict(spec.channels)}",
            found=str(dict(found)),
            fix="correct the card",
        )
    outputs = [o.name for o in card.outputs]
    if outputs != spec.outputs(card.uncertainty) or card.margin < spec.margin:
        raise BundleError(
            where=path,
            expected=f"outputs {spec.outputs(card.uncertainty)}, margin {spec.margin} or more",
            found=f"outputs {outputs}, margin {card.margin}",
            fix="correct the card",
        )
    if card.stride % spec.stride or card.margin % card.stride:
        raise BundleError(
            where=path,
            expected=f"a stride that is a multiple of {spec.stride} and divides the margin",
            found=f"stride {card.stride}, margin {card.margin}",
            fix="correct the card",
        )


def _plain_file(folder: Path, name: str, limit: int) -> Path:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise BundleError(
            where=path,
            expected="a plain file of the bundle",
            found="a link" if path.is_symlink() else "nothing",
            fix="copy the whole bundle folder again",
        )
    if path.stat().st_size > limit:
        raise BundleError(
            where=path,
            expected=f"at most {limit} bytes",
            found=f"{path.stat().st_size} bytes",
            fix="check where the bundle comes from",
        )
    return path


def _verified(folder: Path, name: str, files: dict[str, str]) -> Path:
    path = _plain_file(folder, name, MAX_FILE_BYTES)
    expected, found = files.get(name, "no sha256 on the card"), _sha256(path)
    if found != expected:
        raise BundleError(
            where=path,
            expected=f"sha256 {expected[:12]} as on the card",
            found=found[:12],
            fix="copy or export the bundle again; do not use this one",
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
