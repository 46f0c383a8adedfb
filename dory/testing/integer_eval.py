"""Networks of integers evaluated as ONNX defines it, in float64 and int64; shares no code with the importer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]


def evaluate(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Every value of the network by its ONNX name. ValueError for an operator that these networks do not have."""
    values: dict[str, Array] = {k: np.asarray(v, np.float64) for k, v in feeds.items()}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        values[tensor.name] = array.astype(np.float64) if array.dtype.kind == "f" else array
    for node in model.graph.node:
        attrs = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inputs = [values[n] if n else None for n in node.input]
        values[node.output[0]] = _run(node.op_type, [i for i in inputs if i is not None], attrs)
    return values


def _run(op: str, x: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
    if op == "Constant":
        array: Array = numpy_helper.to_array(attrs["value"])
        return array.astype(np.float64) if array.dtype.kind == "f" else array
    if op in ("Conv", "MaxPool", "AveragePool"):
        return _windowed(op, x, attrs)
    if op == "Add" and attrs.get("in1_rq", attrs.get("in2_rq", attrs.get("out_rq", 0))):
        terms = [_requantised(v, attrs, f"in{i + 1}") for i, v in enumerate(x)]
        return _requantised(terms[0] + terms[1], attrs, "out")
    if op == "Div" and all(v.dtype.kind in "iu" for v in x):
        return np.where(x[0] < 0, -(-x[0] // x[1]), x[0] // x[1])  # positive divisors
    simple: dict[str, Callable[[], Array]] = {
        "Mul": lambda: x[0] * x[1],
        "Add": lambda: x[0] + x[1],
        "Sub": lambda: x[0] - x[1],
        "Div": lambda: x[0] / x[1],
        "MatMul": lambda: x[0] @ x[1],
        "Gemm": lambda: x[0] @ (x[1].T if attrs.get("transB") else x[1]) + (x[2] if len(x) > 2 else 0),
        "Floor": lambda: np.floor(x[0]),
        "Relu": lambda: np.maximum(x[0], 0),
        "Flatten": lambda: x[0].reshape(x[0].shape[0], -1),
        "Reshape": lambda: x[0].reshape([int(v) for v in x[1]]),
        "Transpose": lambda: x[0].transpose(attrs["perm"]),
        "Concat": lambda: np.concatenate(list(x), axis=attrs["axis"]),
        "Identity": lambda: x[0],
        "Shape": lambda: np.array(x[0].shape, np.int64),
        "Gather": lambda: np.take(x[0], x[1], axis=int(attrs.get("axis", 0))),
        "Unsqueeze": lambda: np.expand_dims(x[0], tuple(attrs.get("axes", x[-1].reshape(-1)))),
        "Cast": lambda: np.trunc(x[0]).astype(np.int64) if attrs["to"] == 7 else x[0].astype(np.float64),
        "Clip": lambda: _clip(x, attrs),
        "Pad": lambda: _pad(x, attrs),
        "Sigmoid": lambda: 0.5 + 0.5 * np.tanh(x[0] / 2),
        "ReduceMean": lambda: x[0].mean(axis=tuple(attrs["axes"]), keepdims=bool(attrs.get("keepdims", 1))),
        "GlobalAveragePool": lambda: x[0].mean(axis=tuple(range(2, x[0].ndim)), keepdims=True),
        "GlobalMaxPool": lambda: x[0].max(axis=tuple(range(2, x[0].ndim)), keepdims=True),
    }
    if op not in simple:
        raise ValueError(f"operator {op}")
    return simple[op]()


def _requantised(x: Array, attrs: Mapping[str, Any], which: str) -> Array:
    if not attrs.get(f"{which}_rq", 0):
        return x
    y = np.floor((x * attrs[f"{which}_mul"] + attrs[f"{which}_add"]) / 2.0 ** attrs[f"{which}_shift"])
    clipped: Array = np.clip(y, 0, attrs[f"{which}_n_levels"] - 1)
    return clipped


def _clip(x: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
    lo = attrs.get("min", x[1] if len(x) > 1 else -np.inf)
    hi = attrs.get("max", x[2] if len(x) > 2 else np.inf)
    clipped: Array = np.minimum(np.maximum(x[0], lo), hi)
    return clipped


def _pad(x: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
    pads = list(attrs["pads"]) if "pads" in attrs else [int(v) for v in x[1]]
    value = attrs.get("value", float(x[2]) if len(x) > 2 else 0.0)
    rank = x[0].ndim
    return np.pad(x[0], [(pads[i], pads[i + rank]) for i in range(rank)], constant_values=value)


def _windowed(op: str, x: Sequence[Array], attrs: Mapping[str, Any]) -> Array:
    """Convolution and pools by gathering every kernel position; 1-D is 2-D of height 1."""
    data, axes = x[0], x[0].ndim - 2
    weights = x[1] if op == "Conv" else None
    kernel = [int(k) for k in (weights.shape[2:] if weights is not None else attrs["kernel_shape"])]
    strides, dilations = attrs.get("strides", [1] * axes), attrs.get("dilations", [1] * axes)
    pads = attrs.get("pads", [0] * 2 * axes)
    if axes == 1:
        data, kernel = data[:, :, None, :], [1, *kernel]
        strides, dilations, pads = [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
        weights = None if weights is None else weights[:, :, None, :]
    fill = -np.inf if op == "MaxPool" else 0.0
    padded = np.pad(data, [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])], constant_values=fill)
    out = [(padded.shape[2 + i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in (0, 1)]
    views = []
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            y0, x0 = ky * dilations[0], kx * dilations[1]
            rows = slice(y0, y0 + (out[0] - 1) * strides[0] + 1, strides[0])
            cols = slice(x0, x0 + (out[1] - 1) * strides[1] + 1, strides[1])
            views.append(padded[:, :, rows, cols])
    y: Array
    if op == "MaxPool":
        y = np.maximum.reduce(views)
    elif weights is None:
        y = np.add.reduce(views) / len(views)
    else:
        y = _convolved(np.stack(views, 2), weights, int(attrs.get("group", 1)))
        y = y + (x[2].reshape(1, -1, 1, 1) if len(x) > 2 else 0)
    return y[:, :, 0] if axes == 1 else y


def _convolved(taps: Array, weights: Array, groups: int) -> Array:
    """taps [1, C, K, OH, OW] with weights [Cout, C / groups, KH, KW]."""
    cout, per, cg = weights.shape[0], weights.shape[0] // groups, weights.shape[1]
    y = np.empty((1, cout, *taps.shape[3:]))
    for g in range(groups):
        w = weights[g * per : (g + 1) * per].reshape(per, cg, -1)
        y[0, g * per : (g + 1) * per] = np.einsum("ock,ckhw->ohw", w, taps[0, g * cg : (g + 1) * cg])
    return y
