"""Conv, Gemm and MatMul, and channel factors (BatchNormalization, Mul, Add) as a layer of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dory.frontend.accumulate import Products, accumulate, products
from dory.frontend.builder import Builder, canonical_idx, hwc_shape
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import Inputs, Operator, constant, get, need
from dory.frontend.values import Array, Const, QConst, Quant, Real, Target, Value, View, pending
from dory.frontend.wide import parts_of, repeat, split
from dory.frontend.windows import window_of
from dory.graph.types import IntArray, Shape, Window
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs

Gains = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DeferredProduct:
    """A convolution, or a matrix product as one, before its output's scale is known.

    weights are [Cout, KH, KW, Cin/groups]. `out_idx` is the memory order of the output in ONNX coordinates. With
    `columns` the layer is fully connected: weight column k multiplies the element at offset columns[k].
    """

    node: NodeView
    tensor: str
    quant: Quant
    window: Window
    groups: int
    products: Products
    gain: Gains
    offset: Gains
    out_idx: IntArray
    channel_axis: int
    columns: IntArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.out_idx.shape)

    def scaled(self, factor: Gains, add: Gains) -> DeferredProduct:
        """This result times `factor` plus `add`, per channel, in real numbers."""
        return replace(self, gain=self.gain * factor, offset=self.offset * factor + add)

    def shifted(self, offset: float) -> DeferredProduct:
        """This result plus a number."""
        return self.scaled(np.ones_like(self.gain), np.full_like(self.offset, offset))

    def emit(self, b: Builder, target: Target, lo: int, hi: int) -> View:
        """The layer."""
        x_lo, x_hi = b.ranges[self.tensor]
        if any(self.window.pads):
            x_lo, x_hi = min(x_lo, self.quant.zero), max(x_hi, self.quant.zero)
        acc = accumulate(
            self.node,
            self.quant,
            (x_lo, x_hi),
            self.products,
            self.gain,
            self.offset,
            target,
            (lo, hi),
            b.rescale_bits,
        )
        if acc.constant_channels:
            b.notes.append(f"{self.node.label}: {acc.constant_channels} output channels are constant")
        if self.columns is not None:
            weights = np.empty((acc.weights.shape[0], self.columns.size), np.int64)
            weights[:, self.columns] = acc.weights.reshape(acc.weights.shape[0], -1)
            linear = LinearAttrs(weights, acc.bias, acc.requant)
            return View(b.emit("linear", self.node, [self.tensor], linear, target, (lo, hi)), self.out_idx)
        attrs = ConvAttrs(self.window, acc.weights, acc.bias, acc.requant, self.quant.zero, self.groups)
        channels = b.tensors[self.tensor].shape[2]
        if self.groups == 1:
            op = "conv"
        else:
            op = "depthwise" if self.groups == channels == acc.weights.shape[0] else "grouped_conv"
        return View(b.emit(op, self.node, [self.tensor], attrs, target, (lo, hi)), self.out_idx)


def weight_constant(node: NodeView, value: Value, what: str = "weights") -> QConst:
    """Quantised weights; an error that says why others are not accepted."""
    if isinstance(value, QConst):
        return value
    if isinstance(value, Const):
        raise node.error(
            f"its {what} are {value.array.dtype} constants",
            "quantise the weights too (int8, DequantizeLinear before the operator)",
        )
    raise node.error(f"its {what} are computed at run time", f"{what} must be constant int8 behind a DequantizeLinear")


def bias_of(node: NodeView, value: Value | None, channels: int) -> tuple[Gains, QConst | None]:
    """(real bias [channels], the same as the file's integers): absent, float or int32 behind a DequantizeLinear."""
    if value is None:
        return np.zeros(channels), None
    if isinstance(value, QConst):
        real, quantised = np.asarray(value.ints * value.scale, np.float64), value
    else:
        array = constant(value)
        if array is None:
            raise node.error(
                "its bias is computed at run time", "the bias must be constant: float, or int32 dequantised"
            )
        real, quantised = np.asarray(array, np.float64), None
    if real.size not in (1, channels):
        raise node.error(f"a bias of shape {list(real.shape)} for {channels} output channels", "export it again")
    if not np.all(np.isfinite(real)):
        raise node.error("its bias is not finite", "train or export the network again")
    return np.broadcast_to(real.reshape(-1), (channels,)), quantised


def import_conv(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Conv over one or two spatial axes."""
    x, weights = need(node, inputs, 0), weight_constant(node, need(node, inputs, 1))
    view, quant = b.integers(x, node)
    rank = len(weights.shape)
    if rank != len(view.shape):
        raise node.error(
            f"weights of shape {list(weights.shape)} for an input of {list(view.shape)}", "export it again"
        )
    hwc = hwc_shape(view.shape, node)
    if rank not in (3, 4):
        raise node.error(f"input of shape {list(view.shape)}", "accepted are one or two spatial axes")
    groups, (cout, cin) = node.integer("group", 1), weights.shape[:2]
    if groups < 1 or cin * groups != hwc[2] or cout % groups:
        raise node.error(
            f"weights {list(weights.shape)} with group {groups} for {hwc[2]} input channels",
            f"the weights must be [Cout, {hwc[2]} / group, ...] and Cout a multiple of group: export it again",
        )
    base_pads = (0, 0, 0, 0)
    if any(view.pads) and view.pad_value == quant.zero:
        base_pads = view.pads
        view = View(view.tensor, view.idx)
    if (parts := parts_of(weights)) > 1:
        view, weights = repeat(b, node, view, parts, 1, groups), split(weights, parts, 1)
    inner = hwc_shape(view.shape, node)
    window, spatial = window_of(node, (inner[0], inner[1]), rank - 2, weights.shape[2:], base_pads)
    kernel = QConst(_ohwi(weights.ints), _ohwi(weights.scale))
    p = products(node, kernel, bias_of(node, get(inputs, 2), cout))
    tensor, _ = b.canonical(view, node)
    out_idx = canonical_idx((1, cout, *spatial))
    source = DeferredProduct(node, tensor, quant, window, groups, p, np.ones(cout), np.zeros(cout), out_idx, 1)
    return pending(source)


def _ohwi(a: Array) -> Array:
    """[O, I, H, W] or [O, I, W] as [O, H, W, I]."""
    a = a if a.ndim == 4 else a[:, :, None, :]
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1))


def import_matmul(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """MatMul with constant weights: one row is a fully connected layer, several are a 1x1 convolution."""
    weights = weight_constant(node, need(node, inputs, 1), "second operand")
    if len(weights.shape) != 2:
        raise node.error(f"weights of shape {list(weights.shape)}", "accepted is a constant matrix [K, N]")
    transposed = QConst(weights.ints.T, weights.scale.T)
    channels = transposed.shape[0]
    return _product(b, node, need(node, inputs, 0), transposed, (np.zeros(channels), None), 1.0, 1.0)


def import_gemm(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Gemm with constant B and C."""
    weights = weight_constant(node, need(node, inputs, 1), "second operand")
    if len(weights.shape) != 2:
        raise node.error(f"weights of shape {list(weights.shape)}", "accepted is a constant matrix")
    x = need(node, inputs, 0)
    if node.integer("transA", 0) and 1 not in x.shape:
        raise node.error("transA of a matrix", "accepted is transA = 0")
    if node.integer("transA", 0):
        raise node.error("transA = 1", "accepted is transA = 0: export the network again")
    if not node.integer("transB", 0):
        weights = QConst(weights.ints.T, weights.scale.T)
    bias = bias_of(node, get(inputs, 2), weights.shape[0])
    return _product(b, node, x, weights, bias, node.real("alpha", 1.0), node.real("beta", 1.0))


def _product(
    b: Builder,
    node: NodeView,
    x: Value,
    weights: QConst,
    bias: tuple[Gains, QConst | None],
    alpha: float,
    beta: float,
) -> Value:
    """x [..., K] times weights [N, K] transposed."""
    view, quant = b.integers(x, node)
    view = b.settle(view, node)
    n, k = weights.shape
    if view.shape[-1] != k:
        raise node.error(f"input of shape {list(view.shape)} times a matrix of {k} rows", "export the network again")
    rows = view.idx.size // k
    if (parts := parts_of(weights)) > 1:
        view, weights = repeat(b, node, view, parts, len(view.shape) - 1), split(weights, parts, 1)
        k *= parts
    real, quantised = bias
    if alpha != beta or alpha == 0:
        real, quantised = (real * beta / alpha if alpha else real * beta), None
    p = products(node, weights, (real, quantised))
    gain, offset = np.full(n, alpha), np.zeros(n) if alpha else real
    out_idx = np.arange(rows * n, dtype=np.int64).reshape((*view.shape[:-1], n))
    columns: IntArray | None = None
    if rows == 1:
        tensor, columns = view.tensor, view.idx.reshape(-1)
    else:
        shape: Shape = (1, rows, k)
        tensor = b.arrange(view, np.arange(view.idx.size, dtype=np.int64), shape, node)
    p = replace(p, weights=p.weights.reshape(n, 1, 1, k))
    window = Window((1, 1))
    axis = len(view.shape) - 1
    return pending(DeferredProduct(node, tensor, quant, window, 1, p, gain, offset, out_idx, axis, columns))


def channel_affine(b: Builder, node: NodeView, x: Real, axis: int, factor: Gains, add: Gains) -> Value:
    """x * factor + add along an axis, as a 1x1 depthwise layer with weights of +-127.

    The integer bias then has a resolution of 1/127 input steps: at most 1 LSB from the real-number result.
    """
    view, quant = b.integers(x, node)
    view = b.settle(view, node)
    moved = View(view.tensor, np.moveaxis(view.idx, axis, 1))
    tensor, hwc = b.canonical(moved, node)
    channels = hwc[2]
    sign = np.where(factor < 0, -127, 127)
    weights = np.where(factor == 0, 0, sign).astype(np.int64).reshape(channels, 1, 1, 1)
    scale = np.where(factor == 0, 1.0, np.abs(factor)) / 127.0
    p = Products(weights, scale, np.asarray(add, np.float64))
    out_idx = np.moveaxis(canonical_idx(moved.shape), 1, axis)
    window, ones, zeros = Window((1, 1)), np.ones(channels), np.zeros(channels)
    return pending(DeferredProduct(node, tensor, quant, window, channels, p, ones, zeros, out_idx, axis))


OPERATORS = (
    Operator(
        ("Conv",),
        "1-D and 2-D; any kernel, stride, dilation, group, asymmetric pads, auto_pad; int32, float or no bias",
        "conv, depthwise or grouped_conv",
        import_conv,
    ),
    Operator(("Gemm",), "constant B and C, transB, alpha, beta", "linear (one row) or conv 1x1", import_gemm),
    Operator(
        ("MatMul",), "constant second operand, with or without Add", "linear (one row) or conv 1x1", import_matmul
    ),
)
