"""Small random float networks, and onnxruntime's quantisation of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

Map = tuple[str, tuple[int, ...]]  # a value and its shape without the batch


class FloatNet:
    """Writes a float network with one input 'x' of [1, C, H, W]."""

    def __init__(self, seed: int, shape: tuple[int, int, int], opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape, self.opset = shape, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def weight(self, *shape: int) -> str:
        gain = np.sqrt(2.0 / max(1, int(np.prod(shape[1:]))))
        return self.constant((self.rng.standard_normal(shape) * gain).astype(np.float32))

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, *inputs: str, **attrs: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"n{len(self.nodes)}", **attrs))
        return name

    def output(self, x: Map) -> None:
        self.outputs.append(helper.make_tensor_value_info(x[0], TensorProto.FLOAT, (1, *x[1])))

    def model(self) -> onnx.ModelProto:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *self.shape))
        graph = helper.make_graph(self.nodes, "net", [x], self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def samples(self, count: int, seed: int = 1) -> list[dict[str, np.ndarray]]:
        rng = np.random.default_rng(seed)
        return [{"x": rng.standard_normal((1, *self.shape)).astype(np.float32)} for _ in range(count)]


def every_layer(seed: int = 0, opset: int = 17) -> FloatNet:
    """One of each operator that onnxruntime has an integer form of."""
    n = FloatNet(seed, (3, 8, 8), opset)
    x = n.node("Pad", "x", n.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    first = n.node("Relu", n.node("Conv", x, n.weight(8, 3, 3, 3), n.weight(8)))
    x = n.node("Conv", first, n.weight(8, 1, 3, 3), n.weight(8), group=8, pads=[1, 1, 1, 1])
    x = n.node("Conv", n.node("Mul", x, n.node("Sigmoid", x)), n.weight(8, 8, 1, 1))
    x = n.node("LeakyRelu", n.node("Add", x, first), alpha=0.1)
    x = n.node("Clip", n.node("Mul", x, n.constant(0.7)), n.constant(-1.0), n.constant(1.5))
    small = n.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    mean = n.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    both = n.node("Concat", small, mean, axis=1)
    flat = n.constant([1, -1], np.int64)
    n.output((n.node("Reshape", n.node("GlobalAveragePool", both), flat), (16,)))
    y = n.node("Gemm", n.node("Reshape", small, flat), n.weight(10, 128), n.weight(10), transB=1)
    n.output((n.node("Softmax", n.node("MatMul", y, n.weight(10, 5)), axis=-1), (5,)))
    return n


@st.composite
def float_networks(draw: st.DrawFn) -> FloatNet:
    """Up to six operators on maps of at most 8 channels, then perhaps a classifier."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 8), st.integers(2, 8)))
    n = FloatNet(draw(st.integers(0, 999)), shape, draw(st.sampled_from((13, 17))))
    x = n.node("Conv", "x", n.weight(4, shape[0], 1, 1), n.weight(4))
    maps: list[Map] = [("x", shape), (x, (4, *shape[1:]))]
    for _ in range(draw(st.integers(1, 6))):
        maps.append(_layer(draw, n, maps))
    read = {i for node in n.nodes for i in node.input}
    for m in [m for m in maps[1:] if m[0] not in read] or [maps[-1]]:
        n.output(_head(draw, n, m))
    return n


def _layer(draw: st.DrawFn, n: FloatNet, maps: list[Map]) -> Map:
    x, (c, h, w) = maps[-1] if draw(st.booleans()) else draw(st.sampled_from(maps))
    kinds = ["conv", "conv", "depthwise", "relu", "clip", "unary", "swish", "add", "concat", "pool", "scale", "pad"]
    kind = draw(st.sampled_from(kinds))
    if kind in ("conv", "depthwise"):
        k, s = draw(st.sampled_from([k for k in (1, 2, 3) if k <= min(h, w)])), draw(st.integers(1, 2))
        group = c if kind == "depthwise" else 1
        out = c if kind == "depthwise" else draw(st.integers(1, 8))
        bias = [n.weight(out)] if draw(st.booleans()) else []
        y = n.node("Conv", x, n.weight(out, c // group, k, k), *bias, group=group, strides=[s, s])
        return y, (out, (h - k) // s + 1, (w - k) // s + 1)
    if kind == "add":
        others = [m[0] for m in maps if m[1] == (c, h, w)]
        return n.node("Add", x, draw(st.sampled_from(others))), (c, h, w)
    if kind == "concat":
        other, (more, *_) = draw(st.sampled_from([m for m in maps if m[1][1:] == (h, w)]))
        return n.node("Concat", x, other, axis=1), (c + more, h, w)
    if kind == "pool":
        op = draw(st.sampled_from(("MaxPool", "AveragePool")))
        kh, kw = min(h, 2), min(w, 2)
        return n.node(op, x, kernel_shape=[kh, kw], strides=[1, 1]), (c, h - kh + 1, w - kw + 1)
    if kind == "pad":
        return n.node("Pad", x, n.constant([0, 0, 1, 0, 0, 0, 1, 1], np.int64)), (c, h + 2, w + 1)
    if kind == "scale":
        op = draw(st.sampled_from(("Mul", "Add")))
        number = n.weight(1, c, 1, 1) if draw(st.booleans()) else n.constant(0.75)
        return n.node(op, x, number), (c, h, w)
    if kind == "swish":
        return n.node("Mul", x, n.node("Sigmoid", x)), (c, h, w)
    if kind == "clip":
        return n.node("Clip", x, n.constant(0.0), n.constant(6.0)), (c, h, w)
    op = "Relu" if kind == "relu" else draw(st.sampled_from(("Sigmoid", "LeakyRelu", "Tanh", "HardSigmoid")))
    return n.node(op, x), (c, h, w)


def _head(draw: st.DrawFn, n: FloatNet, m: Map) -> Map:
    x, (c, h, w) = m
    head = draw(st.sampled_from(("none", "mean", "gemm", "matmul", "softmax")))
    if head == "none":
        return m
    if head == "mean":
        return n.node("GlobalAveragePool", x), (c, 1, 1)
    x, size = n.node("Flatten", x), c * h * w
    if head == "matmul":
        return n.node("MatMul", x, n.weight(size, 5)), (5,)
    x = n.node("Gemm", x, n.weight(size, 5), n.weight(5))
    return (n.node("Softmax", x, axis=-1) if head == "softmax" else x), (5,)


@dataclass(frozen=True)
class Settings:
    """What onnxruntime is told."""

    form: str  # "QDQ" or "QOperator"
    activations: str  # "QUInt8" or "QInt8"
    weights: str
    per_channel: bool = False
    symmetric: bool = False


def quantise(net: FloatNet, settings: Settings, folder: Path) -> Path:
    """The file that onnxruntime.quantization makes of the network."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.data: Iterator[dict[str, np.ndarray]] = iter(net.samples(4))

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.data, None)

    source, target = folder / "float.onnx", folder / "quantised.onnx"
    onnx.save(net.model(), str(source))
    logging.getLogger().setLevel(logging.ERROR)  # it warns of a missing preprocessing of shapes
    quantization.quantize_static(
        str(source),
        str(target),
        Reader(),
        quant_format=quantization.QuantFormat[settings.form],
        activation_type=quantization.QuantType[settings.activations],
        weight_type=quantization.QuantType[settings.weights],
        per_channel=settings.per_channel,
        extra_options={"ActivationSymmetric": settings.symmetric},
    )
    return target
