"""Conv, Gemm, MatMul and pools on 8-bit tensors of integers."""

from __future__ import annotations

import numpy as np

from dory.frontend.builder import canonical_idx, hwc_shape
from dory.frontend.integer.chain import Chain, whole_numbers
from dory.frontend.integer.eight import Inputs, Walk, constants_of, get
from dory.frontend.integer.sources import Anything, Products, WindowSum, chained
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import axis_of, ints_attr_or_input
from dory.frontend.values import Const, Ints, View
from dory.frontend.windows import window_of
from dory.graph.types import IntArray, Window
from dory.layers.pool import MaxPoolAttrs

NO_PADS = (0, 0, 0, 0)


def constant_weights(node: NodeView, value: Anything | None) -> IntArray:
    """Weights as int64 within int8."""
    if not isinstance(value, Const):
        raise node.error("its weights are computed at run time", "accepted are constant integer weights")
    weights = whole_numbers(node, value.array, "weights")
    if weights.size == 0 or weights.min() < -128 or weights.max() > 127:
        found = f"{weights.min()}..{weights.max()}" if weights.size else "empty"
        raise node.error(f"its weights range over {found}", "accepted are integers in -128..127")
    return weights


def constant_bias(node: NodeView, value: Anything | None, channels: int) -> IntArray:
    """A bias as int64, zeros when it is absent."""
    if value is None:
        return np.zeros(channels, np.int64)
    if not isinstance(value, Const):
        raise node.error("its bias is computed at run time", "accepted is a constant integer bias")
    bias = whole_numbers(node, value.array, "biases").reshape(-1)
    if bias.size not in (1, channels) or np.abs(bias).max() >= 2**40:
        raise node.error(f"a bias of {bias.size} values up to {np.abs(bias).max(initial=0)}", f"accepted: {channels}")
    return np.broadcast_to(bias, (channels,))


def import_conv(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """Conv over one or two spatial axes; its padding is the value 0."""
    weights = constant_weights(node, get(inputs, 1))
    view = w.eight(get(inputs, 0), node).view
    rank, zero = weights.ndim, w.zero(view)
    if rank != len(view.shape) or rank not in (3, 4):
        raise node.error(f"weights {list(weights.shape)} for an input of {list(view.shape)}", "accepted: 1-D and 2-D")
    channels = hwc_shape(view.shape, node)[2]
    groups, (cout, cin) = node.integer("group", 1), weights.shape[:2]
    if groups < 1 or cin * groups != channels or cout % groups:
        raise node.error(
            f"weights {list(weights.shape)} with group {groups} for {channels} input channels",
            f"the weights must be [Cout, {channels} / group, ...] and Cout a multiple of group: export it again",
        )
    base = NO_PADS
    if any(view.pads) and view.pad_value == zero:
        base, view = view.pads, View(view.tensor, view.idx)
    view = view if not any(view.pads) else w.b.settle(view, node)
    inner = hwc_shape(view.shape, node)
    window, spatial = window_of(node, (inner[0], inner[1]), rank - 2, weights.shape[2:], base)
    tensor, _ = w.b.canonical(view, node)
    wide = weights if rank == 4 else weights[:, :, None, :]
    ohwi = np.ascontiguousarray(wide.transpose(0, 2, 3, 1))
    bias = constant_bias(node, get(inputs, 2), cout)
    idx = canonical_idx((1, cout, *spatial))
    return chained(Products(node, tensor, zero, window, groups, ohwi, bias, idx, 1), Chain.start(), node.outputs[0])


def import_matmul(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """MatMul and Gemm with constant weights: one row is a fully connected layer, several are a 1x1 convolution."""
    weights = constant_weights(node, get(inputs, 1))
    if weights.ndim != 2:
        raise node.error(f"weights of shape {list(weights.shape)}", "accepted is a constant matrix")
    gemm = node.op == "Gemm"
    if gemm and (node.real("alpha", 1.0) != 1 or node.real("beta", 1.0) != 1 or node.integer("transA", 0)):
        raise node.error("alpha, beta or transA", "accepted are alpha = beta = 1 and transA = 0")
    weights = weights if gemm and node.integer("transB", 0) else weights.T
    view = w.b.settle(w.eight(get(inputs, 0), node).view, node)
    zero, (n, k) = w.zero(view), weights.shape
    if not view.shape or view.shape[-1] != k:
        raise node.error(f"input of shape {list(view.shape)} times a matrix of {k} rows", "export the network again")
    bias = constant_bias(node, get(inputs, 2) if gemm else None, n)
    rows, columns, tensor = view.idx.size // k, None, view.tensor
    if rows == 1:
        columns = view.idx.reshape(-1)
    else:
        tensor = w.b.arrange(view, np.arange(view.idx.size, dtype=np.int64), (1, rows, k), node)
    idx = np.arange(rows * n, dtype=np.int64).reshape((*view.shape[:-1], n))
    axis = len(view.shape) - 1
    one = Window((1, 1))
    source = Products(node, tensor, zero, one, 1, weights.reshape(n, 1, 1, k), bias, idx, axis, columns)
    return chained(source, Chain.start(), node.outputs[0])


def import_maxpool(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """MaxPool and GlobalMaxPool."""
    if any(node.outputs[1:]):
        raise node.error("its second output (indices) is used", "accepted is the first output")
    x = w.eight(get(inputs, 0), node)
    view = w.b.settle(x.view, node)
    h, width, c = hwc_shape(view.shape, node)
    axes = len(view.shape) - 2
    if node.op == "GlobalMaxPool":
        window, spatial = Window((h, width)), (1,) * axes
    else:
        window, spatial = window_of(node, (h, width), axes, node.integers("kernel_shape") or [])
        spans = (window.span(0), window.span(1)) * 2
        if any(p >= s for p, s in zip(window.pads, spans, strict=True)):
            raise node.error(f"pads {window.pads} as large as the window", "a window must hold an element")
    tensor, _ = w.b.canonical(view, node)
    target = w.b.target_like(tensor, node.outputs[0])
    out = w.b.emit("maxpool", node, [tensor], MaxPoolAttrs(window), target, w.b.ranges[tensor])
    return Ints(View(out, canonical_idx((1, c, *spatial))), x.signed)


def import_average(w: Walk, node: NodeView, inputs: Inputs) -> Anything:
    """AveragePool, GlobalAveragePool and ReduceMean over space: the sum of a window, divided by its size."""
    view = w.b.settle(w.eight(get(inputs, 0), node).view, node)
    zero = w.zero(view)
    h, width, c = hwc_shape(view.shape, node)
    axes = len(view.shape) - 2
    if axes == 0:
        raise node.error(f"input of shape {list(view.shape)}", "accepted are one or two spatial axes")
    window, spatial = Window((h, width), (1, 1)), (1,) * axes
    if node.op == "AveragePool":
        window, spatial = window_of(node, (h, width), axes, node.integers("kernel_shape") or [])
        if any(window.pads):
            if not node.integer("count_include_pad", 0) or node.integer("ceil_mode", 0):
                hint = "accepted are averages without padding, or with count_include_pad = 1 and ceil_mode = 0"
                raise node.error(f"pads {window.pads} whose windows have fewer elements at the border", hint)
            padded = w.b.settle(View(w.b.canonical(view, node)[0], canonical_idx(view.shape), window.pads, zero), node)
            view, window = padded, Window(window.kernel, window.stride, window.dilation)
    tensor, _ = w.b.canonical(view, node)
    idx = canonical_idx((1, c, *spatial))
    if node.op == "ReduceMean":
        idx = _reduced(node, inputs, len(view.shape), idx)
    source = WindowSum(node, tensor, zero, window, idx)
    return chained(source, Chain.start(source.area), node.outputs[0])


def _reduced(node: NodeView, inputs: Inputs, rank: int, idx: IntArray) -> IntArray:
    axes = ints_attr_or_input(node, constants_of(inputs), "axes", 1) or []
    if sorted(axis_of(node, a, rank) for a in axes) != list(range(2, rank)):
        raise node.error(f"a mean over axes {axes}", "accepted is the mean over all spatial axes")
    return idx if node.integer("keepdims", 1) else idx.reshape(idx.shape[:2])
