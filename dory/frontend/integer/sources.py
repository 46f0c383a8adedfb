"""Where integers come from before they are 8-bit tensors again: sums of products, of two tensors, of a window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np

from dory.frontend.builder import Builder, canonical_idx
from dory.frontend.integer.chain import Chain
from dory.frontend.integer.fit import fit_channels, fit_line
from dory.frontend.onnx_file import NodeView
from dory.frontend.values import Const, Ints, Target, Value, View
from dory.graph.types import ACC_MAX, ACC_MIN, IntArray, Requant, Window
from dory.layers.add import AddAttrs
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs
from dory.layers.linear32 import Linear32Attrs
from dory.layers.lut import LutAttrs
from dory.layers.pool import AvgPoolAttrs

Bounds: TypeAlias = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class Limits:
    """The 8-bit tensor to make: values lo..hi of the file, stored as value + zero in 0..255."""

    lo: int
    hi: int
    zero: int

    @property
    def stored(self) -> tuple[int, int]:
        """Range of the stored bytes."""
        return self.lo + self.zero, self.hi + self.zero


class Source(Protocol):
    """A value that is a chain away from 8 bits."""

    @property
    def node(self) -> NodeView:
        """The ONNX node."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""

    @property
    def channel_axis(self) -> int:
        """The axis of `shape` that per-channel factors follow."""

    @property
    def saturates(self) -> bool:
        """Whether values beyond 8 bits may be limited to them although the file does not say so."""

    def bounds(self, b: Builder) -> Bounds:
        """Range of the accumulators, one entry per channel or one for all."""

    def emit(self, b: Builder, chain: Chain, limits: Limits, name: str) -> View:
        """The layers that make the 8-bit tensor `name`."""


@dataclass(frozen=True, eq=False)
class Products:
    """Convolution or matrix product: sum of weights [Cout, KH, KW, Cin/groups] times (x - zero), plus bias [Cout].

    With `columns` the layer is fully connected: weight column k multiplies the element at offset columns[k].
    """

    node: NodeView
    tensor: str
    zero: int
    window: Window
    groups: int
    weights: IntArray
    bias: IntArray
    out_idx: IntArray
    channel_axis: int
    columns: IntArray | None = None
    saturates: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.out_idx.shape)

    def _rows(self) -> IntArray:
        rows: IntArray = self.weights.reshape(self.weights.shape[0], -1)
        return rows

    def bounds(self, b: Builder) -> Bounds:
        """From the range of the input; padding and sums that are not complete yet count too."""
        lo, hi = (v - self.zero for v in b.ranges[self.tensor])
        lo, hi = min(lo, 0), max(hi, 0)
        rows = self._rows()
        pos, neg = np.maximum(rows, 0).sum(1), np.minimum(rows, 0).sum(1)
        return self.bias + lo * pos + hi * neg, self.bias + hi * pos + lo * neg

    def folded_bias(self) -> IntArray:
        """The bias with the input's zero-point in it."""
        bias: IntArray = self.bias - self.zero * self._rows().sum(1)
        return bias

    def check_sums(self, b: Builder, bias: IntArray) -> None:
        """UserError when a sum, or a part of one, can leave 32 bits."""
        rows, top = self._rows(), b.ranges[self.tensor][1]
        lo, hi = bias + top * np.minimum(rows, 0).sum(1), bias + top * np.maximum(rows, 0).sum(1)
        bad = np.flatnonzero((np.minimum(lo, bias) < ACC_MIN) | (np.maximum(hi, bias) > ACC_MAX))
        if bad.size:
            c = int(bad[0])
            raise self.node.error(
                f"the accumulator of output channel {c} can reach {lo[c]}..{hi[c]}, outside 32 bits",
                "export the network with smaller biases or fewer input channels per layer",
            )

    def emit(self, b: Builder, chain: Chain, limits: Limits, name: str) -> View:
        """A convolution or fully connected layer whose rescale is the chain."""
        count = self.bias.size
        lo, hi = self.bounds(b)
        fit = fit_channels(self.node, chain, limits.lo, limits.hi, lo, hi, np.any(self._rows() == -128, axis=1))
        axes = (count,) + (1,) * (self.weights.ndim - 1)
        weights = np.where(fit.constant.reshape(axes), 0, self.weights * fit.sign.reshape(axes))
        flipped = replace(self, weights=weights, bias=np.where(fit.constant, 0, self.bias * fit.sign))
        bias = flipped.folded_bias() + fit.bias
        flipped.check_sums(b, bias)
        add = None if not fit.add.any() else fit.add
        requant = Requant(fit.mult, fit.shift, limits.zero, *limits.stored, add)
        if fit.constant.any():
            b.notes.append(f"{self.node.label}: {int(fit.constant.sum())} output channels are constant")
        return flipped._layer(b, bias, requant, limits, name)

    def _layer(self, b: Builder, bias: IntArray, requant: Requant, limits: Limits, name: str) -> View:
        target = Target(1.0, limits.zero, name)
        if self.columns is not None:
            linear = LinearAttrs(self.flat_weights(self.columns), bias, requant)
            return View(b.emit("linear", self.node, [self.tensor], linear, target, limits.stored), self.out_idx)
        channels = b.tensors[self.tensor].shape[2]
        op = "conv" if self.groups == 1 else "grouped_conv"
        if self.groups == channels == bias.size and self.groups > 1:
            op = "depthwise"
        attrs = ConvAttrs(self.window, self.weights, bias, requant, self.zero, self.groups)
        return View(b.emit(op, self.node, [self.tensor], attrs, target, limits.stored), self.out_idx)

    def flat_weights(self, columns: IntArray) -> IntArray:
        """Weights [N, K] in the memory order of the input."""
        out = np.empty((self.weights.shape[0], columns.size), np.int64)
        out[:, columns] = self._rows()
        return out

    def _row(self, b: Builder) -> IntArray | None:
        """columns; those of a convolution that sees its whole input at once; None for any other."""
        h, w, c = b.tensors[self.tensor].shape
        if self.columns is not None or self.groups > 1 or self.window != Window((h, w), self.window.stride):
            return self.columns
        return np.arange(h * w * c, dtype=np.int64)

    def emit_words(self, b: Builder, chain: Chain, name: str) -> View | None:
        """The sums themselves as int32; None when they need arithmetic or are not one row."""
        columns = self._row(b)
        if columns is None or chain.stages or chain.d != 1 or np.any(chain.k != 1) or chain.lo is not None:
            return None
        bias = self.folded_bias() + chain.l
        self.check_sums(b, bias)
        attrs = Linear32Attrs(self.flat_weights(columns), bias)
        return View(b.emit("linear32", self.node, [self.tensor], attrs, Target(1.0, 0, name), (0, 255)), self.out_idx)


@dataclass(frozen=True, eq=False)
class Elements:
    """The elements of an 8-bit tensor, for arithmetic on them alone."""

    node: NodeView
    view: View
    zero: int
    saturates: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return self.view.shape

    @property
    def channel_axis(self) -> int:
        """Axis 1, or the last of a matrix."""
        return 1 if len(self.shape) > 1 else 0

    def bounds(self, b: Builder) -> Bounds:
        """The tensor's range."""
        lo, hi = b.ranges[self.view.tensor]
        if any(self.view.pads):
            lo, hi = min(lo, self.view.pad_value), max(hi, self.view.pad_value)
        return np.array([lo - self.zero]), np.array([hi - self.zero])

    def emit(self, b: Builder, chain: Chain, limits: Limits, name: str) -> View:
        """A table; a 1x1 depthwise layer when channels differ."""
        if chain.channels > 1:
            return self._per_channel(b, chain, limits, name)
        x = np.arange(256, dtype=np.int64).reshape(-1, 1) - self.zero
        table = np.clip(chain.apply(x).reshape(-1), limits.lo, limits.hi) + limits.zero
        return b.lookup(self.view, table, Target(1.0, limits.zero, name), self.node, (self.node.op,))

    def _per_channel(self, b: Builder, chain: Chain, limits: Limits, name: str) -> View:
        tensor, (_, _, c) = b.canonical(self.view, self.node)
        ones, idx = np.ones((c, 1, 1, 1), np.int64), canonical_idx(self.shape)
        window = Window((1, 1))
        products = Products(self.node, tensor, self.zero, window, c, ones, np.zeros(c, np.int64), idx, 1)
        return products.emit(b, chain, limits, name)


@dataclass(frozen=True, eq=False)
class Sum:
    """a * mult_a + b * mult_b of two 8-bit tensors without their zero-points."""

    node: NodeView
    a: View
    b: View
    zeros: tuple[int, int]
    mults: tuple[int, int]
    saturates: bool = True  # the exporters' calibration keeps sums within 8 bits, and adds no clip

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return self.a.shape

    @property
    def channel_axis(self) -> int:
        """Axis 1."""
        return 1

    def bounds(self, b: Builder) -> Bounds:
        """From the ranges of both."""
        ends = []
        for view, zero, mult in zip((self.a, self.b), self.zeros, self.mults, strict=True):
            lo, hi = (mult * (v - zero) for v in b.ranges[view.tensor])
            ends.append((min(lo, hi), max(lo, hi)))
        return np.array([ends[0][0] + ends[1][0]]), np.array([ends[0][1] + ends[1][1]])

    def emit(self, b: Builder, chain: Chain, limits: Limits, name: str) -> View:
        """An addition with one floor."""
        lo, hi = self.bounds(b)
        if chain.channels > 1:
            raise self.node.error("factors per channel after an addition", "accepted are factors for all channels")
        mults, offset, shift = fit_line(self.node, chain, limits, int(lo[0]), int(hi[0]), self.mults)
        offset -= sum(m * z for m, z in zip(mults, self.zeros, strict=True))
        attrs = AddAttrs(*mults, offset + (limits.zero << shift), shift, *limits.stored)
        tensors, idx = self._aligned(b)
        target = Target(1.0, limits.zero, name)
        return View(b.emit("add", self.node, tensors, attrs, target, limits.stored), idx)

    def _aligned(self, b: Builder) -> tuple[list[str], IntArray]:
        a, c = b.settle(self.a, self.node), b.settle(self.b, self.node)
        same = b.tensors[a.tensor].shape == b.tensors[c.tensor].shape and np.array_equal(a.idx, c.idx)
        if same:
            return [a.tensor, c.tensor], a.idx
        return [b.canonical(a, self.node)[0], b.canonical(c, self.node)[0]], canonical_idx(self.shape)


@dataclass(frozen=True, eq=False)
class WindowSum:
    """The sum of (x - zero) over a window without padding; its mean is a chain that starts with a division."""

    node: NodeView
    tensor: str
    zero: int
    window: Window
    out_idx: IntArray
    saturates: bool = True  # factors of averages are rounded: 255 may become 256

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.out_idx.shape)

    @property
    def channel_axis(self) -> int:
        """Axis 1."""
        return 1

    @property
    def area(self) -> int:
        """Elements of the window."""
        return self.window.kernel[0] * self.window.kernel[1]

    def bounds(self, b: Builder) -> Bounds:
        """The tensor's range times the window."""
        lo, hi = b.ranges[self.tensor]
        return np.array([self.area * (lo - self.zero)]), np.array([self.area * (hi - self.zero)])

    def emit(self, b: Builder, chain: Chain, limits: Limits, name: str) -> View:
        """Average pooling; a depthwise layer of ones when channels differ."""
        if chain.channels > 1:
            c = b.tensors[self.tensor].shape[2]
            ones = np.ones((c, *self.window.kernel, 1), np.int64)
            products = Products(
                self.node, self.tensor, self.zero, self.window, c, ones, np.zeros(c, np.int64), self.out_idx, 1
            )
            return products.emit(b, chain, limits, name)
        lo, hi = self.bounds(b)
        fit = fit_channels(self.node, chain, limits.lo, limits.hi, lo, hi, np.array([False]), grain=self.area)
        if fit.sign[0] < 0:
            raise self.node.error("a negative factor after an average", "export the network with positive factors")
        mult = np.zeros(self.area + 1, np.int64)
        mult[self.area] = fit.mult[0]
        zero_in = self.zero - int(fit.bias[0]) // self.area
        attrs = AvgPoolAttrs(
            self.window, mult, int(fit.shift[0]), zero_in, int(fit.add[0]) + limits.zero, *limits.stored
        )
        target = Target(1.0, limits.zero, name)
        return View(b.emit("avgpool", self.node, [self.tensor], attrs, target, limits.stored), self.out_idx)


@dataclass(frozen=True, eq=False)
class Chained:
    """A source and a chain, reshaped by `order` (flat offsets into source.shape). `name` is its ONNX value."""

    source: Source
    chain: Chain
    order: IntArray
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.order.shape)

    @property
    def unmoved(self) -> bool:
        """Not reshaped."""
        flat = self.order.reshape(-1)
        return self.shape == self.source.shape and bool(np.array_equal(flat, np.arange(flat.size)))


@dataclass(frozen=True, eq=False)
class Host:
    """A value that the host computes, because of `reason` (an error of the node where that began)."""

    reason: Exception
    shape: tuple[int, ...] = ()


IntValue: TypeAlias = Const | Ints | Chained | Host
Anything: TypeAlias = Value | Chained | Host


def chained(source: Source, chain: Chain, name: str) -> Chained:
    """A source as it comes from its operator."""
    size = int(np.prod(source.shape, dtype=np.int64))
    return Chained(source, chain, np.arange(size, dtype=np.int64).reshape(source.shape), name)


__all__ = ["Chained", "Elements", "Host", "IntValue", "Limits", "LutAttrs", "Products", "Sum", "WindowSum", "chained"]
