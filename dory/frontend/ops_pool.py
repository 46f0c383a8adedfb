"""Pooling operators: MaxPool, AveragePool, the global ones and ReduceMean over space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import frexp

import numpy as np

from dory.frontend.accumulate import Products
from dory.frontend.builder import Builder, canonical_idx, hwc_shape
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import Inputs, Operator, axis_of, ints_attr_or_input, need
from dory.frontend.ops_conv import DeferredProduct
from dory.frontend.values import Ints, Quant, Real, Target, Value, View, pending
from dory.frontend.windows import window_of
from dory.graph.types import IntArray, Window
from dory.layers.pool import AvgPoolAttrs, MaxPoolAttrs
from dory.layers.window import taps


def import_maxpool(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """MaxPool and GlobalMaxPool of a dequantised value or of the integers themselves."""
    x = need(node, inputs, 0)
    if any(node.outputs[1:]):
        raise node.error("its second output (indices) is used", "accepted is the first output")
    if isinstance(x, Real):
        lo, hi = b.ranges[x.view.tensor]
        if x.table is not None and np.any(np.diff(x.table[lo : hi + 1]) < 0):
            raise node.error(
                f"it follows {' and '.join(x.ops)}, which does not rise", "put QuantizeLinear between them"
            )
    elif not isinstance(x, Ints):
        b.integers(x, node)
        raise AssertionError
    view = b.settle(x.view, node)
    hwc = hwc_shape(view.shape, node)
    axes = len(view.shape) - 2
    if axes == 0:
        raise node.error(f"input of shape {list(view.shape)}", "accepted are one or two spatial axes")
    if node.op == "GlobalMaxPool":
        window, spatial = Window((hwc[0], hwc[1])), (1,) * axes
    else:
        window, spatial = window_of(node, (hwc[0], hwc[1]), axes, node.integers("kernel_shape") or [])
        _check_pads(node, window)
    tensor, _ = b.canonical(view, node)
    target = b.target_like(tensor, f"{node.outputs[0]}")
    value_range = b.ranges[tensor]
    out = b.emit("maxpool", node, [tensor], MaxPoolAttrs(window), target, value_range)
    return replace(x, view=View(out, canonical_idx((1, hwc[2], *spatial))))


def _check_pads(node: NodeView, window: Window) -> None:
    spans = (window.span(0), window.span(1)) * 2
    if any(p >= s for p, s in zip(window.pads, spans, strict=True)):
        raise node.error(
            f"pads {window.pads} as large as the window {spans[:2]}", "a window must hold at least one element"
        )


@dataclass(frozen=True, eq=False)
class DeferredAverage:
    """Average pooling before its output's scale is known; `counted` when padding counts as elements of value zero."""

    node: NodeView
    tensor: str
    quant: Quant
    window: Window
    counted: bool
    out_idx: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.out_idx.shape)

    def shifted(self, offset: float) -> DeferredProduct:
        """The mean plus a number, as a depthwise convolution with weights of 1 and a bias."""
        shape, kernel = self.shape, self.window.kernel
        if any(self.window.pads) and not self.counted:
            hint = "accepted are averages without pads, or with count_include_pad"
            raise self.node.error("its padding is not counted, and its result is rounded down", hint)
        channels, area = shape[1], kernel[0] * kernel[1]
        weights = np.ones((channels, *kernel, 1), np.int64)
        p = Products(weights, np.full(channels, 1 / area), np.full(channels, offset))
        one, zero = np.ones(channels), np.zeros(channels)
        return DeferredProduct(self.node, self.tensor, self.quant, self.window, channels, p, one, zero, self.out_idx, 1)

    def emit(self, b: Builder, target: Target, lo: int, hi: int) -> View:
        """The layer; mult[n] = round(sx / (sy * n) * 2**shift) for the window sizes n that occur."""
        area = self.window.kernel[0] * self.window.kernel[1]
        shape = b.tensors[self.tensor].shape
        ones = np.ones((*shape[:2], 1), np.int64)
        counts = np.unique(sum(v for _, _, v in taps(ones, self.window, 0)))
        divisors = np.full(counts.size, area) if self.counted else counts
        factor = self.quant.scale / target.scale
        mult, shift = average_multipliers(factor, area, counts, divisors, b.rescale_bits)
        if mult is None:
            raise self.node.error(
                f"input scale {self.quant.scale:g} and output scale {target.scale:g} are too far apart",
                "an average has the range of its input: calibrate again",
            )
        attrs = AvgPoolAttrs(self.window, mult, shift, self.quant.zero, target.zero, lo, hi)
        return View(b.emit("avgpool", self.node, [self.tensor], attrs, target, (lo, hi)), self.out_idx)


def average_multipliers(
    factor: float, area: int, counts: IntArray, divisors: IntArray, bits: int
) -> tuple[IntArray | None, int]:
    """(mult[0..area], common shift): the largest multiplier has `bits` bits, sizes that never occur have 0.

    (None, 0) when a multiplier or shift would leave its range.
    """
    seen = counts > 0
    if not seen.any():  # windows that see padding alone
        return np.zeros(area + 1, np.int64), 1
    top = factor / float(divisors[seen].min())
    shift = min(bits - frexp(top)[1], 62)
    if shift < 1:
        return None, 0
    mult = np.zeros(area + 1, np.int64)
    exact = np.rint(np.ldexp(factor / divisors[seen], shift)).astype(np.int64)
    mult[counts[seen]] = np.minimum(exact, (1 << bits) - 1)
    return mult, shift


def import_average(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """AveragePool and GlobalAveragePool."""
    view, quant = b.integers(need(node, inputs, 0), node)
    hwc = hwc_shape(view.shape, node)
    axes = len(view.shape) - 2
    if axes == 0:
        raise node.error(f"input of shape {list(view.shape)}", "accepted are one or two spatial axes")
    if node.op == "GlobalAveragePool":
        view = b.settle(view, node)
        window, spatial, counted = Window((hwc[0], hwc[1])), (1,) * axes, False
    else:
        counted = bool(node.integer("count_include_pad", 0))
        kernel = node.integers("kernel_shape") or []
        base = (0, 0, 0, 0)
        plain, _ = window_of(node, (hwc[0], hwc[1]), axes, kernel)
        absorb = view.pad_value == quant.zero and not node.integer("ceil_mode", 0)
        if any(view.pads) and absorb and (counted or not any(plain.pads)):
            base, view, counted = view.pads, View(view.tensor, view.idx), True
        view = b.settle(view, node)
        inner = hwc_shape(view.shape, node)
        window, spatial = window_of(node, (inner[0], inner[1]), axes, kernel, base)
        if counted and node.integer("ceil_mode", 0) and any(window.pads):
            hint = "accepted are ceil_mode or count_include_pad, not both"
            raise node.error("ceil_mode with count_include_pad", hint)
        if not any(base):
            _check_pads(node, window)
    tensor, _ = b.canonical(view, node)
    return pending(DeferredAverage(node, tensor, quant, window, counted, canonical_idx((1, hwc[2], *spatial))))


def import_reduce_mean(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """ReduceMean over the spatial axes, in NCHW or any transposed order that leaves one axis of channels."""
    view, quant = b.integers(need(node, inputs, 0), node)
    view = b.settle(view, node)
    rank = len(view.shape)
    listed = ints_attr_or_input(node, inputs, "axes", 1)
    axes = sorted(axis_of(node, a, rank) for a in (listed if listed else range(rank)))
    kept = [i for i in range(1, rank) if i not in axes]
    if 0 in axes or rank not in (3, 4) or not kept or view.shape[0] != 1:
        raise node.error(
            f"a mean over axes {axes} of shape {list(view.shape)}",
            "accepted are spatial axes of [1, C, H, W] or [1, C, W]",
        )
    channel = 1 if 1 in kept else kept[-1]
    spatial = [i for i in range(1, rank) if i != channel]
    nchw = View(view.tensor, view.idx.transpose([0, channel, *spatial]))
    tensor, hwc = b.canonical(nchw, node)
    window_size = [view.shape[i] if i in axes else 1 for i in spatial]
    window = Window((window_size[0] if rank == 4 else 1, window_size[-1]), (1, 1))
    out = canonical_idx((1, hwc[2], *(1 if i in axes else view.shape[i] for i in spatial)))
    back = np.argsort([0, channel, *spatial])
    idx = out.transpose(back)
    if not node.integer("keepdims", 1):
        idx = idx.reshape([s for i, s in enumerate(idx.shape) if i not in axes])
    return pending(DeferredAverage(node, tensor, quant, window, False, idx))


OPERATORS = (
    Operator(
        ("MaxPool", "GlobalMaxPool"),
        "1-D and 2-D; any kernel, stride, dilation, pads, auto_pad, ceil_mode; first output",
        "maxpool",
        import_maxpool,
    ),
    Operator(
        ("AveragePool", "GlobalAveragePool"),
        "1-D and 2-D; any kernel, stride, pads, auto_pad; count_include_pad or ceil_mode",
        "avgpool",
        import_average,
    ),
    Operator(("ReduceMean",), "over spatial axes (attribute or input), keepdims 0 or 1", "avgpool", import_reduce_mean),
)
