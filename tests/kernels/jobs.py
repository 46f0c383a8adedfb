"""Kernel calls on random data, each with an independent computation in int64 and plain packing loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dory.graph.types import Requant, Window
from dory.layers import LAYERS, Layer
from dory.layers.base import TileShape
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs
from dory.layers.lut import STEP, LutAttrs
from dory.layers.rescale import FORMS

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
seeds = st.integers(0, 2**32 - 1)
teams = st.sampled_from([8, 8, 8, 1, 3])
sizes = st.integers(1, 7)
channels = st.integers(1, 19)


@dataclass(frozen=True)
class Sliding:
    """A window on a tile: (vertical, horizontal) pairs; what lies outside of the tile is padding."""

    hw_in: tuple[int, int]
    hw_out: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]

    @property
    def fields(self) -> list[int]:
        return [*self.kernel, *self.stride, *self.dilation, *self.pad]

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.dilation)

    @property
    def outside(self) -> bool:
        """Whether some tap of some pixel is padding."""
        last = [(n - 1) * s - p + (k - 1) * d for n, s, p, k, d in zip(*self._axes, strict=True)]
        return any(self.pad) or any(at >= size for at, size in zip(last, self.hw_in, strict=True))

    @property
    def _axes(self) -> tuple[tuple[int, int], ...]:
        return self.hw_out, self.stride, self.pad, self.kernel, self.dilation

    def gather(self, x: Ints, outside: int) -> Ints:
        """x [H, W, C] as [OH, OW, KH, KW, C]."""
        h, w, _ = x.shape
        y, x_at = (
            np.arange(self.hw_out[i])[:, None] * self.stride[i]
            - self.pad[i]
            + np.arange(self.kernel[i])[None, :] * self.dilation[i]
            for i in (0, 1)
        )
        inside = ((y >= 0) & (y < h))[:, None, :, None] & ((x_at >= 0) & (x_at < w))[None, :, None, :]
        picked = x[y.clip(0, h - 1)[:, None, :, None], x_at.clip(0, w - 1)[None, :, None, :]]
        return np.where(inside[..., None], picked, outside)


def pairs(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(strategy, strategy)


windows = st.builds(
    Sliding,
    hw_in=pairs(sizes),
    hw_out=pairs(sizes),
    kernel=pairs(st.integers(1, 4)),
    stride=pairs(st.integers(1, 5)),
    dilation=pairs(st.integers(1, 3)),
    pad=pairs(st.integers(0, 5)),
)
POINTWISE = Sliding((4, 5), (4, 5), (1, 1), (1, 1), (1, 1), (0, 0))
CONV3X3 = Sliding((5, 6), (5, 6), (3, 3), (1, 1), (1, 1), (1, 1))


def some_bytes(rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
    """Uniform, or extreme values only: 0 and 255."""
    x = rng.integers(0, 256, shape)
    return np.where(rng.random() < 0.3, 255 * (x & 1), x)


def some_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
    w = rng.integers(-128, 128, shape)
    return np.where(rng.random() < 0.3, -128 + 255 * (w & 1), w)


@dataclass(frozen=True)
class Constants:
    """Bias, multiplier and shift of each channel; the accumulator stays in int32 whatever the input."""

    bias: Ints
    mult: Ints
    shift: Ints
    clip: tuple[int, int, int]

    @staticmethod
    def some(rng: np.random.Generator, weights: Ints) -> Constants:
        """For weights [channels, K]: factors that use the output's range, or anything that is allowed."""
        n = weights.shape[0]
        top = 2**31 - 1 - 255 * np.abs(weights).sum(1)
        reach = np.minimum(top, np.where(rng.random(n) < 0.5, 255 * np.abs(weights).sum(1) + 1, top))
        bias = (rng.uniform(-1, 1, n) * reach).astype(np.int64)
        bits = np.ceil(np.log2(np.abs(bias) + 255 * np.abs(weights).sum(1) + 2)).astype(np.int64)
        mult = rng.integers(2**30, 2**31, n)
        shift = np.clip(30 + bits - 7, 1, 62)
        short = int(rng.choice([0, 16, 24]))  # fewer bits of the factors: other rescale forms are exact
        mult, shift = mult >> short, np.maximum(shift - short, 1)
        wild = rng.random(n) < 0.3
        mult = np.where(wild, rng.integers(0, 2**31, n) >> rng.integers(0, 31, n), mult)
        shift = np.where(wild, rng.integers(1, 63, n), shift)
        lo, hi = sorted(rng.integers(0, 256, 2)) if rng.random() < 0.3 else (0, 255)
        return Constants(bias, mult, shift, (int(rng.integers(0, 256)), int(lo), int(hi)))

    @property
    def requant(self) -> Requant:
        return Requant(self.mult, self.shift, *self.clip)

    def apply(self, acc: Ints) -> Ints:
        assert np.abs(acc).max() < 2**31
        zero, lo, hi = self.clip
        return np.clip(zero + ((acc * self.mult + (1 << (self.shift - 1))) >> self.shift), lo, hi)

    def tail(self, group: range) -> bytes:
        """Constants of a channel group; channels that do not exist are (0, 0, 1)."""
        out = []
        for values, absent in ((self.bias, 0), (self.mult, 0), (self.shift, 1)):
            out += [int(values[c]) if c < values.size else absent for c in group]
        return np.array(out, "<i4").tobytes()


def pack(weights: Ints, constants: Constants) -> Bytes:
    """The bytes of each channel, filled up to whole words, and its constants."""
    out = b""
    for c, row in enumerate(weights):
        body = bytes(int(v) & 0xFF for v in row)
        out += body + bytes(-len(body) % 4) + constants.tail(range(c, c + 1))
    return np.frombuffer(out, np.uint8)


def packed(layer: Layer[Any], attrs: Any) -> Bytes:
    """A layer's own packing: its constants depend on the form of the rescale."""
    weights = layer.weights(attrs)
    assert weights is not None
    return np.frombuffer(weights.data, np.uint8)


def check(got: Bytes, want: Ints) -> None:
    assert np.array_equal(got, want.reshape(-1).astype(np.uint8))
    assert want.min() >= 0 and want.max() <= 255


def run_conv(call: Callable[..., Any], seed: int, win: Sliding, c_in: int, c_out: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = some_bytes(rng, (*win.hw_in, c_in))
    w = some_weights(rng, (c_out, *win.kernel, c_in))
    consts, pad_value = Constants.some(rng, w.reshape(c_out, -1)), int(rng.integers(0, 256))
    acc = np.einsum("hwyxc,oyxc->hwo", win.gather(x, pad_value), w) + consts.bias
    outside = win.outside
    window = replace(win.window, pads=(1, 1, 1, 1) if outside else (0, 0, 0, 0))  # the tile has its own
    layer, attrs = LAYERS["conv"], ConvAttrs(window, w, consts.bias, consts.requant, pad_value)
    if outside and rng.random() < 0.5:
        attrs = layer.padded(attrs) or attrs
    form = FORMS.index(layer.constants(attrs)["form"])
    in_place = int(attrs.padded or not outside)
    fields = [*win.hw_in, c_in, *win.hw_out, c_out, *win.fields, pad_value, form, in_place, *consts.clip]
    scratch, y = call("conv", fields, [x.astype(np.uint8), packed(layer, attrs)], acc.size, cores)
    check(y, consts.apply(acc))
    tile = TileShape((*win.hw_out, c_out), ((*win.hw_in, c_in),))
    assert scratch == layer.scratch_bytes(attrs, tile, cores)


def run_depthwise(call: Callable[..., Any], seed: int, win: Sliding, c: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = some_bytes(rng, (*win.hw_in, c)), some_weights(rng, (c, *win.kernel))
    consts, pad_value = Constants.some(rng, w.reshape(c, -1)), int(rng.integers(0, 256))
    acc = np.einsum("hwyxc,cyx->hwc", win.gather(x, pad_value), w) + consts.bias
    layer = LAYERS["depthwise"]
    attrs = ConvAttrs(win.window, w[..., None], consts.bias, consts.requant, pad_value, c)
    rows = layer.tile_constants(attrs, (*win.hw_out, c), cores)["rows"]
    fields = [*win.hw_in, c, *win.hw_out, *win.fields, pad_value, rows, 0, *consts.clip]
    scratch, y = call("depthwise", fields, [x.astype(np.uint8), packed(layer, attrs)], acc.size, cores)
    check(y, consts.apply(acc))
    tile = TileShape((*win.hw_out, c), ((*win.hw_in, c),))
    assert scratch == LAYERS["depthwise"].scratch_bytes(attrs, tile, cores)


def run_grouped(
    call: Callable[..., Any], seed: int, win: Sliding, groups: int, per: tuple[int, int], cores: int
) -> None:
    """A tile of the output channels: it may begin and end inside a group."""
    rng = np.random.default_rng(seed)
    g_in, g_out = per
    x = some_bytes(rng, (*win.hw_in, groups * g_in))
    first = int(rng.integers(0, groups * g_out))
    n = int(rng.integers(1, groups * g_out - first + 1))
    w = some_weights(rng, (n, *win.kernel, g_in))
    consts, pad_value = Constants.some(rng, w.reshape(n, -1)), int(rng.integers(0, 256))
    seen = win.gather(x, pad_value)
    acc = np.empty((*win.hw_out, n), np.int64)
    for o in range(n):
        g = (first + o) // g_out
        acc[..., o] = np.einsum("hwyxc,yxc->hw", seen[..., g * g_in : (g + 1) * g_in], w[o]) + consts.bias[o]
    weights = pack(w.reshape(n, -1), consts)
    fields = [*win.hw_in, groups * g_in, *win.hw_out, n, *win.fields, first, g_in, g_out, pad_value, *consts.clip]
    _, y = call("grouped_conv", fields, [x.astype(np.uint8), weights], acc.size, cores)
    check(y, consts.apply(acc))


def run_linear(call: Callable[..., Any], seed: int, k: int, n: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = some_bytes(rng, (k,)), some_weights(rng, (n, k))
    consts = Constants.some(rng, w)
    layer, attrs = LAYERS["linear"], LinearAttrs(w, consts.bias, consts.requant)
    form = FORMS.index(layer.constants(attrs)["form"])
    _, y = call("linear", [k, n, form, *consts.clip], [x.astype(np.uint8), packed(layer, attrs)], n, cores)
    check(y, consts.apply((w * x).sum(1) + consts.bias))


def run_add(call: Callable[..., Any], seed: int, size: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = some_bytes(rng, (size,)), some_bytes(rng, (size,))
    ma, mb = (int(m) for m in rng.integers(0, 2**15, 2))
    shift = int(rng.integers(1, 31))
    bias = int(rng.integers(-(2**31), 2**31 - 255 * (ma + mb)))
    if rng.random() < 0.7:  # near the middle of the output's range
        shift = int(np.clip(np.log2(max(ma, mb, 2)) + 1, 1, 30))
        bias = (1 << (shift - 1)) - int(rng.integers(0, 128)) * (ma + mb) + (int(rng.integers(0, 256)) << shift)
    lo, hi = sorted(int(v) for v in rng.integers(0, 256, 2))
    _, y = call("add", [ma, mb, bias, shift, lo, hi], [a.astype(np.uint8), b.astype(np.uint8)], size, cores)
    check(y, np.clip((a * ma + b * mb + bias) >> shift, lo, hi))


def run_maxpool(call: Callable[..., Any], seed: int, win: Sliding, c: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = some_bytes(rng, (*win.hw_in, c))
    lo, hi = (int(rng.integers(0, 100)), int(rng.integers(100, 256))) if rng.random() < 0.5 else (0, 255)
    want = np.clip(win.gather(x, -1).max(axis=(2, 3)), lo, hi)
    fields = [*win.hw_in, c, *win.hw_out, *win.fields, lo, hi]
    _, y = call("maxpool", fields, [x.astype(np.uint8)], want.size, cores)
    check(y, want)


def run_avgpool(call: Callable[..., Any], seed: int, win: Sliding, c: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = some_bytes(rng, (*win.hw_in, c))
    zero_in, area = int(rng.integers(0, 256)), win.kernel[0] * win.kernel[1]
    shift = int(rng.integers(20, 45))
    counts = np.maximum(np.arange(area + 1), 1)
    mult = np.minimum(np.rint(2.0**shift * rng.uniform(0.1, 1.5) / counts), 2**31 - 1).astype(np.int64)
    seen = win.gather(x, -1)
    valid = seen >= 0
    total, count = np.where(valid, seen - zero_in, 0).sum(axis=(2, 3)), valid.sum(axis=(2, 3))
    consts = Constants(np.zeros(1, np.int64), mult[count], np.int64(shift), (int(rng.integers(0, 256)), 3, 250))
    fields = [*win.hw_in, c, *win.hw_out, *win.fields, zero_in, shift, *consts.clip]
    table = np.frombuffer(mult.astype("<i4").tobytes(), np.uint8)
    _, y = call("avgpool", fields, [x.astype(np.uint8), table], total.size, cores)
    check(y, consts.apply(total))


def run_lut(call: Callable[..., Any], seed: int, size: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x, table = rng.integers(0, 256, size, np.uint8), rng.integers(0, 256, 256, np.uint8)
    _, y = call("lut", [0], [x, table], size, cores)
    assert np.array_equal(y, table[x])
    spread = LAYERS["lut"].weights(LutAttrs(table.astype(np.int64), "any", True))
    _, y = call("lut", [STEP], [x, np.frombuffer(spread.data, np.uint8)], size, cores)
    assert np.array_equal(y, table[x])


def run_pad(
    call: Callable[..., Any], seed: int, hw: tuple[int, int], c: int, pads: tuple[int, int, int, int], cores: int
) -> None:
    rng = np.random.default_rng(seed)
    x, value = rng.integers(0, 256, (*hw, c), np.uint8), int(rng.integers(0, 256))
    t, left, b, r = pads
    want = np.full((hw[0] + t + b, hw[1] + left + r, c), value, np.uint8)
    want[t : t + hw[0], left : left + hw[1]] = x
    _, y = call("pad", [*hw, c, *want.shape[:2], t, left, value], [x], want.size, cores)
    check(y, want.astype(np.int64))


def run_concat(call: Callable[..., Any], seed: int, lines: int, sizes: list[int], cores: int) -> None:
    rng = np.random.default_rng(seed)
    xs = [rng.integers(0, 256, (lines, n), np.uint8) for n in sizes]
    want = np.hstack(xs)
    _, y = call("concat", [lines, len(xs), *sizes], xs, want.size, cores)
    assert np.array_equal(y, want.reshape(-1))


def run_permute(call: Callable[..., Any], seed: int, shape: list[int], cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, shape, np.uint8)
    axes = rng.permutation(len(shape))
    radix = [(shape[a], x.strides[a]) for a in axes]
    _, y = call("permute", [len(radix), *np.ravel(radix)], [x], x.size, cores)
    assert np.array_equal(y, x.transpose(axes).reshape(-1))


def run_softmax(call: Callable[..., Any], seed: int, rows: int, c: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = some_bytes(rng, (rows, c))
    table = np.rint(65536 * np.exp(-np.arange(256) * rng.uniform(0, 0.5))).astype(np.int64)
    numerator = int(rng.choice([256, 255, 1, 2**31 - 1, 1000]))
    zero, lo, hi = int(rng.integers(0, 256)), int(rng.integers(0, 9)), int(rng.integers(200, 256))
    want = np.empty_like(x)
    for r in range(rows):
        e = [int(table[x[r].max() - v]) for v in x[r]]
        want[r] = [min(max(zero + (v * numerator + sum(e) // 2) // sum(e), lo), hi) for v in e]
    fields = [rows, c, numerator, zero, lo, hi]
    weights = np.frombuffer(table.astype("<u4").tobytes(), np.uint8)
    _, y = call("softmax", fields, [x.astype(np.uint8), weights], want.size, cores)
    check(y, want)
