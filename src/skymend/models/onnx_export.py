"""Keras model -> ``model.onnx``: the same bytes each time, tensors named as in Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OPSET = 17


def write_onnx(model: Any, path: Path) -> None:
    """Export a model with dynamic batch, rows and columns.

    Parameters
    ----------
    model : a keras.Model on the TensorFlow backend; inputs (batch, rows, columns, channels).
    path : the file to write. Its inputs and outputs carry the names of the Keras layers.
    """
    graph = _convert(model)
    names = [layer_name(tensor) for tensor in model.outputs]
    _rename(graph, dict(zip((o.name for o in graph.graph.output), names, strict=True)))
    del graph.metadata_props[:]
    graph.producer_name, graph.producer_version, graph.doc_string = "skymend", "", ""
    graph.graph.name, graph.graph.doc_string = model.name, ""
    path.write_bytes(graph.SerializeToString(deterministic=True))


def layer_name(tensor: Any) -> str:
    """Return the name of the layer that makes a Keras tensor."""
    return str(tensor._keras_history.operation.name)


def _convert(model: Any) -> Any:
    import tensorflow as tf
    import tf2onnx

    signature = [
        tf.TensorSpec((None, None, None, t.shape[-1]), tf.float32, name=t.name)
        for t in model.inputs
    ]

    def call(*tensors: Any) -> Any:
        return tuple(model(list(tensors), training=False))

    graph, _ = tf2onnx.convert.from_function(
        tf.function(call, input_signature=signature), signature, opset=OPSET
    )
    return graph


def _rename(model: Any, names: dict[str, str]) -> None:
    """Rename tensors of an ONNX graph in place, in every place they occur."""
    for node in model.graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for value in (*model.graph.output, *model.graph.value_info):
        value.name = names.get(value.name, value.name)
