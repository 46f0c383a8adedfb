"""Every kernel against an independent computation in int64, on any shape, team and data, with guarded buffers."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dory.graph.types import Requant, Window
from dory.layers import LAYERS
from dory.layers.base import TileShape
from dory.layers.conv import ConvAttrs

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
        wild = rng.random(n) < 0.3
        mult = np.where(wild, rng.integers(0, 2**31, n) >> rng.integers(0, 31, n), mult)
        shift = np.where(wild, rng.integers(1, 63, n), shift)
        lo, hi = sorted(rng.integers(0, 256, 2)) if rng.random() < 0.3 else (0, 255)
        return Constants(bias, mult, shift, (int(rng.integers(0, 256)), int(lo), int(hi)))

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


def pack(weights: Ints, constants: Constants, group: int, interleaved: bool) -> Bytes:
    """[K/4][group][4] (interleaved, K filled up with zeros) or [K][group] bytes, then the group's constants."""
    n, k = weights.shape
    out = b""
    for first in range(0, n, group):
        chans = range(first, first + group)
        if interleaved:
            order = [(c, i + b) for i in range(0, k, 4) for c in chans for b in range(4)]
        else:
            order = [(c, i) for i in range(k) for c in chans]
            order += [(n, 0)] * (-len(order) % 4)
        out += bytes(int(weights[c, i]) & 0xFF if c < n and i < k else 0 for c, i in order)
        out += constants.tail(chans)
    return np.frombuffer(out, np.uint8)


def check(got: Bytes, want: Ints) -> None:
    assert np.array_equal(got, want.reshape(-1).astype(np.uint8))
    assert want.min() >= 0 and want.max() <= 255


def run_conv(call: Callable[..., Any], seed: int, win: Sliding, c_in: int, c_out: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = some_bytes(rng, (*win.hw_in, c_in))
    w = some_weights(rng, (c_out, *win.kernel, c_in))
    consts, pad_value = Constants.some(rng, w.reshape(c_out, -1)), int(rng.integers(0, 256))
    acc = np.einsum("hwyxc,oyxc->hwo", win.gather(x, pad_value), w) + consts.bias
    packed = pack(w.reshape(c_out, -1), consts, 4, interleaved=True)
    fields = [*win.hw_in, c_in, *win.hw_out, c_out, *win.fields, pad_value, *consts.clip]
    scratch, y = call("conv", fields, [x.astype(np.uint8), packed], acc.size, cores)
    check(y, consts.apply(acc))
    one = np.ones(c_out, np.int64)
    attrs = ConvAttrs(Window(win.kernel), w, consts.bias, Requant(0 * one, one, 0, 0, 255), pad_value)
    tile = TileShape((*win.hw_out, c_out), ((*win.hw_in, c_in),))
    assert scratch == LAYERS["conv"].scratch_bytes(attrs, tile, cores)


@given(seed=seeds, win=windows, c_in=channels, c_out=channels, cores=teams)
@example(seed=0, win=POINTWISE, c_in=8, c_out=8, cores=8)
@example(seed=1, win=POINTWISE, c_in=7, c_out=33, cores=8)
@example(seed=2, win=CONV3X3, c_in=3, c_out=9, cores=8)
@example(seed=3, win=Sliding((1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (0, 0)), c_in=16, c_out=70, cores=8)
def test_conv(harness: Any, seed: int, win: Sliding, c_in: int, c_out: int, cores: int) -> None:
    run_conv(harness.call, seed, win, c_in, c_out, cores)


def run_depthwise(call: Callable[..., Any], seed: int, win: Sliding, c: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = some_bytes(rng, (*win.hw_in, c)), some_weights(rng, (c, *win.kernel))
    consts, pad_value = Constants.some(rng, w.reshape(c, -1)), int(rng.integers(0, 256))
    acc = np.einsum("hwyxc,cyx->hwc", win.gather(x, pad_value), w) + consts.bias
    packed = pack(w.reshape(c, -1), consts, 4, interleaved=False)
    fields = [*win.hw_in, c, *win.hw_out, *win.fields, pad_value, *consts.clip]
    scratch, y = call("depthwise", fields, [x.astype(np.uint8), packed], acc.size, cores)
    check(y, consts.apply(acc))
    one = np.ones(c, np.int64)
    attrs = ConvAttrs(Window(win.kernel), w[..., None], consts.bias, Requant(0 * one, one, 0, 0, 255), pad_value, c)
    tile = TileShape((*win.hw_out, c), ((*win.hw_in, c),))
    assert scratch == LAYERS["depthwise"].scratch_bytes(attrs, tile, cores)


@given(seed=seeds, win=windows, c=channels, cores=teams)
@example(seed=0, win=CONV3X3, c=8, cores=8)
def test_depthwise(harness: Any, seed: int, win: Sliding, c: int, cores: int) -> None:
    run_depthwise(harness.call, seed, win, c, cores)


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
    packed = pack(w.reshape(n, -1), consts, 1, interleaved=False)
    fields = [*win.hw_in, groups * g_in, *win.hw_out, n, *win.fields, first, g_in, g_out, pad_value, *consts.clip]
    _, y = call("grouped_conv", fields, [x.astype(np.uint8), packed], acc.size, cores)
    check(y, consts.apply(acc))


@given(seed=seeds, win=windows, groups=st.integers(1, 5), per=pairs(st.integers(1, 4)), cores=teams)
def test_grouped_conv(harness: Any, seed: int, win: Sliding, groups: int, per: tuple[int, int], cores: int) -> None:
    run_grouped(harness.call, seed, win, groups, per, cores)


def run_linear(call: Callable[..., Any], seed: int, k: int, n: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = some_bytes(rng, (k,)), some_weights(rng, (n, k))
    consts = Constants.some(rng, w)
    packed = pack(w, consts, 4, interleaved=True)
    _, y = call("linear", [k, n, *consts.clip], [x.astype(np.uint8), packed], n, cores)
    check(y, consts.apply((w * x).sum(1) + consts.bias))


@given(seed=seeds, k=st.integers(1, 70), n=st.integers(1, 70), cores=teams)
def test_linear(harness: Any, seed: int, k: int, n: int, cores: int) -> None:
    run_linear(harness.call, seed, k, n, cores)


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


@given(seed=seeds, size=st.integers(1, 200), cores=teams)
def test_add(harness: Any, seed: int, size: int, cores: int) -> None:
    run_add(harness.call, seed, size, cores)


def run_maxpool(call: Callable[..., Any], seed: int, win: Sliding, c: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = some_bytes(rng, (*win.hw_in, c))
    lo, hi = (int(rng.integers(0, 100)), int(rng.integers(100, 256))) if rng.random() < 0.5 else (0, 255)
    want = np.clip(win.gather(x, -1).max(axis=(2, 3)), lo, hi)
    fields = [*win.hw_in, c, *win.hw_out, *win.fields, lo, hi]
    _, y = call("maxpool", fields, [x.astype(np.uint8)], want.size, cores)
    check(y, want)


@given(seed=seeds, win=windows, c=channels, cores=teams)
def test_maxpool(harness: Any, seed: int, win: Sliding, c: int, cores: int) -> None:
    run_maxpool(harness.call, seed, win, c, cores)


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


@given(seed=seeds, win=windows, c=channels, cores=teams)
@example(seed=0, win=Sliding((7, 7), (1, 1), (7, 7), (1, 1), (1, 1), (0, 0)), c=65, cores=8)
def test_avgpool(harness: Any, seed: int, win: Sliding, c: int, cores: int) -> None:
    run_avgpool(harness.call, seed, win, c, cores)


def run_lut(call: Callable[..., Any], seed: int, size: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    x, table = rng.integers(0, 256, size, np.uint8), rng.integers(0, 256, 256, np.uint8)
    _, y = call("lut", [], [x, table], size, cores)
    assert np.array_equal(y, table[x])


@given(seed=seeds, size=st.integers(1, 300), cores=teams)
def test_lut(harness: Any, seed: int, size: int, cores: int) -> None:
    run_lut(harness.call, seed, size, cores)


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


@given(seed=seeds, hw=pairs(sizes), c=channels, pads=st.tuples(*[st.integers(0, 3)] * 4), cores=teams)
def test_pad(harness: Any, seed: int, hw: tuple[int, int], c: int, pads: Any, cores: int) -> None:
    run_pad(harness.call, seed, hw, c, pads, cores)


def run_concat(call: Callable[..., Any], seed: int, lines: int, sizes: list[int], cores: int) -> None:
    rng = np.random.default_rng(seed)
    xs = [rng.integers(0, 256, (lines, n), np.uint8) for n in sizes]
    want = np.hstack(xs)
    _, y = call("concat", [lines, len(xs), *sizes], xs, want.size, cores)
    assert np.array_equal(y, want.reshape(-1))


@given(seed=seeds, lines=st.integers(1, 20), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), cores=teams)
def test_concat(harness: Any, seed: int, lines: int, sizes: list[int], cores: int) -> None:
    run_concat(harness.call, seed, lines, sizes, cores)


def run_permute(call: Callable[..., Any], seed: int, shape: list[int], cores: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, shape, np.uint8)
    axes = rng.permutation(len(shape))
    radix = [(shape[a], x.strides[a]) for a in axes]
    _, y = call("permute", [len(radix), *np.ravel(radix)], [x], x.size, cores)
    assert np.array_equal(y, x.transpose(axes).reshape(-1))


@given(seed=seeds, shape=st.lists(st.integers(1, 6), min_size=1, max_size=6), cores=teams)
def test_permute(harness: Any, seed: int, shape: list[int], cores: int) -> None:
    run_permute(harness.call, seed, shape, cores)


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
    packed = np.frombuffer(table.astype("<u4").tobytes(), np.uint8)
    _, y = call("softmax", fields, [x.astype(np.uint8), packed], want.size, cores)
    check(y, want)


@given(seed=seeds, rows=st.integers(1, 12), c=st.integers(1, 30), cores=teams)
@example(seed=0, rows=1, c=2000, cores=8)
def test_softmax(harness: Any, seed: int, rows: int, c: int, cores: int) -> None:
    run_softmax(harness.call, seed, rows, c, cores)


@given(data=st.binary(max_size=300), piece=st.integers(1, 50))
def test_crc32_equals_zlib(harness: Any, data: bytes, piece: int) -> None:
    _, y = harness.call("crc32", [piece], [np.frombuffer(data, np.uint8)], 4)
    assert int.from_bytes(y.tobytes(), "little") == zlib.crc32(data)


@given(win=windows, o=pairs(st.integers(0, 40)), on=pairs(st.integers(1, 10)))
def test_ranges_equal_the_planner_s(harness: Any, win: Sliding, o: tuple[int, int], on: tuple[int, int]) -> None:
    window = Window(win.kernel, win.stride, win.dilation, (*win.pad, 0, 0))
    for axis in (0, 1):
        span = window.span(axis)
        fields = [o[axis], on[axis], win.stride[axis], win.pad[axis], span, win.hw_in[axis]]
        _, y = harness.call("range", fields, [], 16)
        i0, n, lo, hi = (int(v) for v in y.view("<i4"))
        assert (i0, i0 + n, lo, hi) == window.in_range(axis, o[axis], o[axis] + on[axis], win.hw_in[axis])


@given(seed=seeds, shape=st.tuples(sizes, sizes, channels))
def test_tiles_move_between_l2_and_l1(harness: Any, seed: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 256, shape, np.uint8)
    cuts = []
    for n in shape:
        whole = rng.random() < 0.3
        first = 0 if whole else int(rng.integers(0, n))
        cuts.append((first, n if whole else int(rng.integers(1, n - first + 1))))
    (r, rn), (c, cn), (k, kn) = cuts
    _, y = harness.call("tile", [shape[1], shape[2], r, rn, c, cn, k, kn], [x], x.size)
    want = np.zeros(shape, np.uint8)
    want[r : r + rn, c : c + cn, k : k + kn] = x[r : r + rn, c : c + cn, k : k + kn]
    assert np.array_equal(y, want.reshape(-1))


STRIDED = Sliding((7, 6), (3, 3), (3, 2), (2, 2), (1, 2), (1, 0))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("win", [POINTWISE, CONV3X3, STRIDED], ids=["1x1", "3x3", "strided"])
def test_no_data_races_in_windows(harness_tsan: Any, seed: int, win: Sliding) -> None:
    for c in (1, 5, 8, 19):
        run_conv(harness_tsan.call, seed, win, c, c + 2, 8)
        run_depthwise(harness_tsan.call, seed, win, c, 8)
        run_grouped(harness_tsan.call, seed, win, 3, (c, 2), 8)
        run_maxpool(harness_tsan.call, seed, win, c, 8)
        run_avgpool(harness_tsan.call, seed, win, c, 8)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_data_races_elsewhere(harness_tsan: Any, seed: int) -> None:
    for n in (1, 7, 30, 61):
        run_linear(harness_tsan.call, seed, n, n + 5, 8)
        run_add(harness_tsan.call, seed, n, 8)
        run_lut(harness_tsan.call, seed, n, 8)
        run_pad(harness_tsan.call, seed, (3, n), 3, (1, 2, 0, 1), 8)
        run_concat(harness_tsan.call, seed, n, [1, 5, n], 8)
        run_permute(harness_tsan.call, seed, [n, 3, 5], 8)
        run_softmax(harness_tsan.call, seed, n, 9, 8)
