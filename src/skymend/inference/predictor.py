"""What the tiler asks of a net, and the two ways a bundle gives it.

ONNX Runtime is the default: it starts in a fraction of a second and needs no TensorFlow.
Keras itself can be chosen; both see the same scaled inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from skymend.core.encoding import FloatArray
from skymend.core.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path


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
    model : a ``keras.Model`` with named inputs; one output tensor per name of ``outputs``.
    margin, stride, ratios, fills, outputs, finite_reach : see :class:`Predictor`.
    """

    model: Any
    margin: int
    stride: int
    ratios: Mapping[str, int]
    outputs: Mapping[str, int]
    fills: Mapping[str, float] = field(default_factory=dict)
    finite_reach: bool = True

    def predict(self, inputs: Mapping[str, FloatArray]) -> Mapping[str, FloatArray]:
        """Run the model on a batch of equal windows."""
        values = self.model.predict_on_batch({name: inputs[name] for name in self.ratios})
        if not isinstance(values, Mapping):
            listed = values if isinstance(values, (list, tuple)) else [values]
            values = dict(zip(self.outputs, listed, strict=True))
        return {name: np.asarray(values[name], np.float32) for name in self.outputs}


def onnx_session(path: Path | str, cpus: int) -> Any:
    """Open an ONNX file for CPU inference with ``cpus`` threads.

    Threads do not spin while they wait, so that reading and writing get the processor.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpus
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _check_names(what: str, wanted: Mapping[str, int], found: list[str]) -> None:
    if not set(wanted) <= set(found) or (what == "inputs" and set(wanted) != set(found)):
        raise BundleError(
            where="model.onnx",
            expected=f"{what} named {', '.join(wanted)}",
            found=", ".join(found),
            fix="export the bundle again: its card and its graph disagree",
        )
