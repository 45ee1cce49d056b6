"""Small ONNX nets for the tests of the tiler: no training framework, seeded weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Graph:
    """Collects nodes and weights of a graph whose tensors are (n, channels, rows, columns)."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._known: set[str] = set()

    def node(self, operator: str, inputs: Sequence[str], out: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def input(self, name: str, channels: int, group: str) -> str:
        from onnx import TensorProto, helper

        shape = ["n", f"rows_{group}", f"columns_{group}", channels]
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self.node("Transpose", [name], f"{name}_nchw", perm=[0, 3, 1, 2])

    def output(self, source: str, name: str, channels: int) -> None:
        from onnx import TensorProto, helper

        self.node("Transpose", [source], name, perm=[0, 2, 3, 1])
        shape = ["n", "rows_out", "columns_out", channels]
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def weight(self, name: str, shape: Sequence[int], fan: float) -> str:
        from onnx import numpy_helper

        if name not in self._known:
            values = self.random.standard_normal(shape) * np.sqrt(2 / fan)
            self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
            self._known.add(name)
        return name

    def constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def conv(
        self,
        source: str,
        layer: str,
        out: str,
        channels: tuple[int, int],
        size: int,
        stride: int = 1,
    ) -> str:
        into, from_ = channels[1], channels[0]
        kernel = self.weight(f"{layer}_w", (into, from_, size, size), from_ * size * size)
        bias = self.weight(f"{layer}_b", (into,), 1e6)
        linear = self.node(
            "Conv",
            [source, kernel, bias],
            f"{out}_linear",
            strides=[stride] * 2,
            auto_pad="SAME_UPPER",
        )
        return self.node("Relu", [linear], out)

    def deconv(self, source: str, layer: str, out: str, channels: tuple[int, int]) -> str:
        kernel = self.weight(f"{layer}_w", (*channels, 3, 3), channels[0] * 9 / 4)
        bias = self.weight(f"{layer}_b", (channels[1],), 1e6)
        linear = self.node(
            "ConvTranspose",
            [source, kernel, bias],
            f"{out}_linear",
            strides=[2, 2],
            auto_pad="SAME_UPPER",
        )
        return self.node("Relu", [linear], out)

    def save(self, path: Path) -> int:
        """Write the graph; return the number of trainable parameters."""
        import onnx
        from onnx import helper, numpy_helper

        graph = helper.make_graph(self.nodes, "net", self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return sum(numpy_helper.to_array(w).size for w in self.weights)


DATES = ("tm1", "t", "tp1")
DAVID_RATIOS = {f"s{k}_{d}": 1 for d in DATES for k in (2, 1)} | {"dem": 2}


def david(path: Path, widths: tuple[int, int, int, int] = (64, 128, 256, 64), seed: int = 0) -> int:
    """Write the OS2 David net of decloud.md, section 12.1; return its parameter count.

    ``widths`` are the filters of the three encoder levels and of the elevation branch.
    Reach 10 pixels, stride 4; output ``s2_target`` of 4 bands.
    """
    first, second, third, height = widths
    graph = Graph(seed)
    dem = graph.conv(graph.input("dem", 1, "half"), "conv1_dem", "dem_f2", (1, height), 3)
    features = []
    for date in DATES:
        pair = [graph.input(f"s2_{date}", 4, "full"), graph.input(f"s1_{date}", 2, "full")]
        both = graph.node("Concat", pair, f"pair_{date}", axis=1)
        f1 = graph.conv(both, "conv1", f"f1_{date}", (6, first), 5)
        f2 = graph.conv(f1, "conv2", f"f2_{date}", (first, second), 3, 2)
        joined = graph.node("Concat", [f2, dem], f"f2_dem_{date}", axis=1)
        features.append(graph.conv(joined, "conv3", f"f4_{date}", (second + height, third), 3, 2))
    bottom = graph.node("Concat", features, "bottom", axis=1)
    up = graph.deconv(bottom, "deconv1", "up1", (3 * third, second))
    up = graph.deconv(up, "deconv2", "up2", (second, first))
    graph.output(graph.conv(up, "out", "estimate", (first, 4), 5), "s2_target", 4)
    return graph.save(path)


def probe(
    path: Path, channels: Mapping[str, int], halves: Sequence[str], source: str, sigma: float
) -> None:
    """Write a net that returns its input ``source`` (first band, four times) and a constant.

    Outputs ``s2_target`` and ``s2_target_sigma``, 4 bands each; inputs named in ``halves``
    have half the rows and columns.
    """
    graph = Graph(0)
    tensors = {
        name: graph.input(name, count, "half" if name in halves else "full")
        for name, count in channels.items()
    }
    for name, bound in (("start", [0]), ("stop", [1]), ("axis", [1])):
        graph.constant(name, np.asarray(bound, np.int64))
    band = graph.node("Slice", [tensors[source], "start", "stop", "axis"], "band")
    if source in halves:
        graph.constant("scales", np.asarray([1, 1, 2, 2], np.float32))
        band = graph.node(
            "Resize",
            [band, "", "scales"],
            "band_full",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    four = graph.node("Concat", [band] * 4, "four", axis=1)
    graph.constant("zero", np.float32(0))
    graph.constant("sigma", np.float32(sigma))
    nothing = graph.node("Mul", [four, "zero"], "nothing")
    graph.output(four, "s2_target", 4)
    graph.output(graph.node("Add", [nothing, "sigma"], "flat"), "s2_target_sigma", 4)
    graph.save(path)
