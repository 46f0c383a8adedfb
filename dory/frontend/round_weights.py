"""Weights of chosen layers of a QDQ network, rounded to fewer bits.

The values stay in int8 tensors, so that every tool reads the file; `deploy` stores what fits 4 or 2 bits in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from dory.errors import UserError

LAYERS = ("Conv", "Gemm", "MatMul")
SHRINK = np.linspace(0.3, 1.0, 36)
"""Shares of a channel's largest weight that are tried as the largest one that is not clipped."""


def round_weights(model: onnx.ModelProto, bits: Mapping[str, int], where: str = "") -> onnx.ModelProto:
    """A copy whose layers named in `bits` (node names; outputs where nodes have none) have weights of 4 or 2 bits.

    Each channel's scale (or the layer's only one) is the one of least squared error among those that SHRINK gives.
    Biases and activations stay. UserError for names that are no layer with constant int8 weights, and for other bits.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    wrong = sorted(f"{name}: {b}" for name, b in bits.items() if b not in (2, 4))
    if wrong:
        raise UserError(f"weights of other bits ({', '.join(wrong)})", where=where, hint="accepted are 4 and 2")
    layers = {n.name or n.output[0]: n for n in out.graph.node if n.op_type in LAYERS}
    missing = sorted(set(bits) - set(layers))
    if missing:
        hint = f"layers are {', '.join(list(layers)[:20])}"
        raise UserError(f"no layer is called {', '.join(missing)}", where=where, hint=hint)
    for name, b in bits.items():
        _round(out.graph, layers[name], b, f"{where}: node '{name}'" if where else f"node '{name}'")
    return out


@dataclass(frozen=True, eq=False)
class _Weights:
    """A DequantizeLinear of constant weights: its node, integers, scale, and the axis of the scales."""

    node: onnx.NodeProto
    ints: NDArray[np.int64]
    scale: NDArray[np.float32]
    axis: int


def _round(graph: onnx.GraphProto, layer: onnx.NodeProto, bits: int, where: str) -> None:
    """Give the layer a DequantizeLinear of its own with rounded weights."""
    found = _weights(graph, layer, where)
    real = np.moveaxis(found.ints * _along(found.scale, found.ints.ndim, found.axis), found.axis, 0)
    rows = real.reshape(real.shape[0], -1) if found.scale.size > 1 else real.reshape(1, -1)
    scale, ints = rounded(rows, bits)
    ints = np.moveaxis(ints.reshape(real.shape), 0, found.axis)
    new = np.asarray(scale if found.scale.ndim else scale[0], np.float32)
    stem = f"{found.node.output[0]}/{bits}bit"
    zero = np.zeros(new.shape, np.int8)
    for suffix, array in (("", ints.astype(np.int8)), ("_scale", new), ("_zero", zero)):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), stem + suffix))
    attributes = {"axis": found.axis} if new.ndim else {}
    names = [stem, f"{stem}_scale", f"{stem}_zero"]
    node = helper.make_node("DequantizeLinear", names, [f"{stem}_real"], f"{stem}_node", domain=found.node.domain)
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    graph.node.insert(list(graph.node).index(layer), node)
    layer.input[1] = f"{stem}_real"


def rounded(rows: NDArray[np.floating], bits: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(scale of each row, integers) of real weights [rows, K] with the least squared error over SHRINK."""
    top = (1 << (bits - 1)) - 1
    largest = np.abs(rows).max(1)
    best, least = np.ones(len(rows)), np.full(len(rows), np.inf)
    for share in SHRINK:
        scale = np.where(largest > 0, largest * share / top, 1.0)
        error = np.square(_nearest(rows, scale, top) * scale[:, None] - rows).sum(1)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    exact = best.astype(np.float32)
    return exact, _nearest(rows, exact.astype(np.float64), top)


def _nearest(rows: NDArray[np.floating], scale: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.clip(np.rint(rows / scale[:, None]), -top - 1, top).astype(np.int64)
    return found


def _along(scale: NDArray[np.float32], ndim: int, axis: int) -> NDArray[np.float64]:
    shape = [-1 if i == axis else 1 for i in range(ndim)] if scale.ndim else [1] * ndim
    return scale.astype(np.float64).reshape(shape)


def _weights(graph: onnx.GraphProto, layer: onnx.NodeProto, where: str) -> _Weights:
    hint = "the layer's weights must come from a DequantizeLinear of an int8 initialiser with zero-point 0"
    node = next((n for n in graph.node if layer.input[1] in n.output), None)
    constants = {t.name: t for t in graph.initializer}
    if node is None or node.op_type != "DequantizeLinear" or any(i not in constants for i in node.input):
        raise UserError("its weights are not quantised constants", where=where, hint=hint)
    ints, scale = (numpy_helper.to_array(constants[i]) for i in node.input[:2])
    zero = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else np.zeros(1, ints.dtype)
    if ints.dtype != np.int8 or zero.any() or scale.ndim > 1:
        raise UserError(
            f"its weights are {ints.dtype} with the zero-point {zero.reshape(-1)[0]}", where=where, hint=hint
        )
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    return _Weights(node, ints.astype(np.int64), scale, axis % max(ints.ndim, 1) if scale.ndim else 0)
