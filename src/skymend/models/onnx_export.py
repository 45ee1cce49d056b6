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
    graph = _canonical(_convert(model), [layer_name(t) for t in model.outputs], model.name)
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
        named = dict(zip([t.name for t in model.inputs], tensors, strict=True))
        values = model(named if isinstance(model.input, dict) else list(tensors), training=False)
        return tuple(values) if isinstance(values, (list, tuple)) else (values,)

    function = tf.function(call, input_signature=signature)
    graph, _ = tf2onnx.convert.from_function(function, signature, opset=OPSET)
    return graph


def _canonical(model: Any, outputs: list[str], name: str) -> Any:
    """Return the same graph in an order and with names that depend on its structure only.

    The converter numbers and orders nodes by hash, which differs from process to process.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    nodes = _depth_first(graph)
    names = {i.name: i.name for i in graph.input}
    names |= {o.name: new for o, new in zip(graph.output, outputs, strict=True)}
    for node in nodes:
        for tensor in (*node.input, *node.output):
            names.setdefault(tensor, f"t{len(names)}" if tensor else "")
    for index, node in enumerate(nodes):
        node.name, node.doc_string = f"{node.op_type}_{index}", ""
        node.input[:] = [names[n] for n in node.input]
        node.output[:] = [names[n] for n in node.output]
    stored = [t for t in graph.initializer if t.name in names]
    for tensor in stored:
        tensor.name, tensor.doc_string = names[tensor.name], ""
    dims = ("batch", "rows", "columns")

    def info(value: Any) -> Any:
        channels = value.type.tensor_type.shape.dim[-1].dim_value
        # Inputs at half resolution have their own row and column symbols.
        symbols = [dims[0], *(f"{d}_{names[value.name]}" for d in dims[1:]), channels]
        return helper.make_tensor_value_info(names[value.name], TensorProto.FLOAT, symbols)

    made = helper.make_graph(
        nodes,
        name,
        [info(i) for i in graph.input],
        [info(o) for o in graph.output],
        sorted(stored, key=lambda t: int(t.name[1:])),
    )
    return helper.make_model(
        made,
        producer_name="skymend",
        ir_version=model.ir_version,
        opset_imports=list(model.opset_import),
    )


def _depth_first(graph: Any) -> list[Any]:
    """Return the nodes in the order in which the outputs need them."""
    makers = {tensor: node for node in graph.node for tensor in node.output}
    ordered: list[Any] = []
    seen: set[str] = set()
    stack = [(o.name, False) for o in reversed(graph.output)]
    while stack:
        tensor, ready = stack.pop()
        node = makers.get(tensor)
        if node is None or (not ready and node.output[0] in seen):
            continue
        if ready:
            ordered.append(node)
            continue
        seen.add(node.output[0])
        stack.append((tensor, True))
        stack.extend((name, False) for name in reversed(node.input))
    return ordered
