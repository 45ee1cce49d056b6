"""What the tiler asks of a net, and the two ways a bundle gives it.

ONNX Runtime is the default: it starts in a fraction of a second and needs no TensorFlow.
Keras itself can be chosen; both see the same scaled inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from skymend.models.bundle import Bundle


class Predictor(Protocol):
    """A net, or anything else that turns windows of inputs into windows of outputs.

    ``margin`` is the context in pixels each output pixel needs on each side (the receptive
    reach; the overlap of blended windows where ``finite_reach`` is False). ``stride`` is
    what rows and columns must be a multiple of. ``ratios`` holds the resolution ratio of
    each input (2 for 20 m inputs of a 10 m net), ``fills`` the scaled value that stands for
    NaN, ``outputs`` the channels of each output.
    """

    @property
    def margin(self) -> int:
        """Context in pixels at output resolution."""
        ...

    @property
    def stride(self) -> int:
        """Windows are multiples of it."""
        ...

    @property
    def finite_reach(self) -> bool:
        """Whether pixels beyond the margin never change a result."""
        ...

    @property
    def ratios(self) -> Mapping[str, int]:
        """Input name -> resolution ratio."""
        ...

    @property
    def fills(self) -> Mapping[str, float]:
        """Input name -> scaled value that stands for NaN."""
        ...

    @property
    def outputs(self) -> Mapping[str, int]:
        """Output name -> channels."""
        ...

    def predict(self, inputs: Mapping[str, FloatArray]) -> Mapping[str, FloatArray]:
        """Predict a batch of equal windows.

        Parameters
        ----------
        inputs : name -> (batch, rows, columns, channels) float32 without NaN.

        Returns
        -------
        name -> (batch, rows, columns, channels) float32 at output resolution.
        """
        ...


@dataclass(frozen=True)
class OnnxPredictor:
    """A net run by ONNX Runtime.

    Parameters
    ----------
    session : an ``onnxruntime.InferenceSession``; its tensors are (batch, rows, columns,
        channels).
    margin, stride, ratios, fills, outputs, finite_reach : see :class:`Predictor`.
    """

    session: Any
    margin: int
    stride: int
    ratios: Mapping[str, int]
    outputs: Mapping[str, int]
    fills: Mapping[str, float] = field(default_factory=dict)
    finite_reach: bool = True

    def __post_init__(self) -> None:
        _check_names("inputs", self.ratios, [i.name for i in self.session.get_inputs()])
        _check_names("outputs", self.outputs, [o.name for o in self.session.get_outputs()])

    def predict(self, inputs: Mapping[str, FloatArray]) -> Mapping[str, FloatArray]:
        """Run the graph on a batch of equal windows."""
        names = list(self.outputs)
        feeds = {name: np.ascontiguousarray(inputs[name], np.float32) for name in self.ratios}
        return dict(zip(names, self.session.run(names, feeds), strict=True))


@dataclass(frozen=True)
class KerasPredictor:
    """A net run by Keras, for comparison and for backends that ONNX Runtime lacks.

    Parameters
    ----------
    model : a ``keras.Model`` with named inputs.
    margin, stride, ratios, fills, outputs, finite_reach : see :class:`Predictor`.
    tensors : names of the model's output tensors in order; those of ``outputs`` when empty.
    """

    model: Any
    margin: int
    stride: int
    ratios: Mapping[str, int]
    outputs: Mapping[str, int]
    fills: Mapping[str, float] = field(default_factory=dict)
    finite_reach: bool = True
    tensors: tuple[str, ...] = ()

    def predict(self, inputs: Mapping[str, FloatArray]) -> Mapping[str, FloatArray]:
        """Run the model on a batch of equal windows."""
        values = self.model.predict_on_batch({name: inputs[name] for name in self.ratios})
        if not isinstance(values, Mapping):
            listed = values if isinstance(values, (list, tuple)) else [values]
            values = dict(zip(self.tensors or self.outputs, listed, strict=True))
        return {name: np.asarray(values[name], np.float32) for name in self.outputs}


def from_bundle(
    bundle: Bundle, cpus: int, *, backend: Literal["onnx", "keras"] = "onnx"
) -> Predictor:
    """Return the predictor of a bundle, for its first mean and its sigma if it has one.

    Parameters
    ----------
    bundle : a verified bundle.
    cpus : threads of ONNX Runtime (Keras keeps the threads of its backend).
    backend : ``onnx``, or ``keras`` to run the architecture itself.

    Raises
    ------
    BundleError
        if the graph and the card disagree, or an output is not at full resolution.
    """
    card = bundle.card
    wanted = [card.mean] + ([card.sigma] if card.sigma else [])
    for output in wanted:
        if output.resolution_ratio != 1:
            raise BundleError(
                where=f"{bundle.folder}: output {output.name}",
                expected="an output at full resolution",
                found=f"resolution ratio {output.resolution_ratio}",
                fix="list the full-resolution mean first on the card",
            )
    shared: dict[str, Any] = {
        "margin": card.margin,
        "stride": card.stride,
        "ratios": {i.name: i.resolution_ratio for i in card.inputs},
        "outputs": {o.name: len(o.bands) for o in wanted},
        "fills": {i.name: i.fill for i in card.inputs},
    }
    if backend == "onnx":
        return OnnxPredictor(bundle.session(cpus), **shared)
    if backend == "keras":
        names = tuple(o.name for o in card.outputs)
        return KerasPredictor(bundle.keras(), **shared, tensors=names)
    raise ConfigError(
        where="backend", expected="onnx or keras", found=repr(backend), fix="choose one of them"
    )


def _check_names(what: str, wanted: Mapping[str, int], found: list[str]) -> None:
    if not set(wanted) <= set(found) or (what == "inputs" and set(wanted) != set(found)):
        raise BundleError(
            where="model.onnx",
            expected=f"{what} named {', '.join(wanted)}",
            found=", ".join(found),
            fix="export the bundle again: its card and its graph disagree",
        )
