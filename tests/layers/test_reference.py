"""The integer reference against plain loops over Python integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from dory.graph.types import U8, Requant, Tensor, Window
from dory.layers import LAYERS
from dory.layers.add import add_attrs
from dory.layers.concat import ConcatAttrs
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs
from dory.layers.linear32 import Linear32Attrs, from_bytes
from dory.layers.pad import PadAttrs
from dory.layers.permute import PermuteAttrs, mixed_radix, radix_offsets
from dory.layers.pool import AvgPoolAttrs, MaxPoolAttrs
from dory.layers.softmax import SoftmaxAttrs, softmax_table

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    pads = st.tuples(*[st.integers(0, 2)] * 4)
    return Window(draw(pair), draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2))), draw(pads))


def requantise(acc: int, channel: int, r: Requant) -> int:
    """The definition with an exact fraction: floor(acc * m / 2**s + 1/2)."""
    mult, shift = int(r.mult[channel]), int(r.shift[channel])
    y = (Fraction(acc * mult, 2**shift) + Fraction(1, 2)).__floor__() + r.zero_point
    if r.add is not None:
        y += int(r.add[channel])
    return min(max(y, r.lo), r.hi)


def random_requant(rng: np.random.Generator, channels: int) -> Requant:
    mult, shift, add = rng.integers(0, 2**15, channels), rng.integers(10, 30, channels), None
    if rng.random() < 0.5:
        mult, add = mult * rng.choice([-1, 1], channels), rng.integers(-300, 300, channels)
    return Requant(mult, shift, int(rng.integers(0, 256)), *sorted(rng.integers(0, 256, 2).tolist()), add)


@given(windows(), SEEDS, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["conv", "depthwise", "grouped_conv"]))
def test_convolution(window, seed, groups, per, op):
    rng = np.random.default_rng(seed)
    cg = int(rng.integers(1, 4))
    if op == "conv":
        groups = 1
    if op == "depthwise":
        cg = per = 1
    h, w, cin, cout = int(rng.integers(1, 6)), int(rng.integers(1, 6)), groups * cg, groups * per
    assume(window.out_size(0, h) >= 1 and window.out_size(1, w) >= 1)
    attrs = ConvAttrs(
        window,
        rng.integers(-128, 128, (cout, *window.kernel, cg)),
        rng.integers(-(10**5), 10**5, cout),
        random_requant(rng, cout),
        pad_value=int(rng.integers(0, 256)),
        groups=groups,
    )
    x = rng.integers(0, 256, (h, w, cin))
    y = LAYERS[op].reference(attrs, [x])
    assert y.shape == LAYERS[op].out_shape(attrs, [x.shape])
    for (oy, ox, o), got in np.ndenumerate(y):
        acc = int(attrs.bias[o])
        for ky in range(window.kernel[0]):
            for kx in range(window.kernel[1]):
                iy = oy * window.stride[0] - window.pads[0] + ky * window.dilation[0]
                ix = ox * window.stride[1] - window.pads[1] + kx * window.dilation[1]
                for c in range(cg):
                    inside = 0 <= iy < h and 0 <= ix < w
                    value = int(x[iy, ix, o // per * cg + c]) if inside else attrs.pad_value
                    acc += int(attrs.weights[o, ky, kx, c]) * value
        assert got == requantise(acc, o, attrs.requant)


@given(SEEDS, st.integers(1, 40), st.integers(1, 9))
def test_linear(seed, k, n):
    rng = np.random.default_rng(seed)
    attrs = LinearAttrs(rng.integers(-128, 128, (n, k)), rng.integers(-(2**30), 2**30, n), random_requant(rng, n))
    x = rng.integers(0, 256, (1, 1, k))
    y = LAYERS["linear"].reference(attrs, [x])
    for o in range(n):
        acc = int(attrs.bias[o]) + sum(int(a) * int(b) for a, b in zip(attrs.weights[o], x[0, 0], strict=True))
        assert y[0, 0, o] == requantise(acc, o, attrs.requant)


@given(SEEDS, st.integers(1, 40), st.integers(1, 9))
def test_linear32(seed, k, n):
    rng = np.random.default_rng(seed)
    attrs = Linear32Attrs(rng.integers(-128, 128, (n, k)), rng.integers(-(2**30), 2**30, n))
    x = rng.integers(0, 256, (1, 1, k))
    words = from_bytes(LAYERS["linear32"].reference(attrs, [x]))
    for o in range(n):
        want = int(attrs.bias[o]) + sum(int(a) * int(b) for a, b in zip(attrs.weights[o], x[0, 0], strict=True))
        assert words[o] == want


@given(SEEDS, st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.05, 10), *[st.integers(0, 255)] * 3)
def test_add_is_within_one_of_the_real_sum(seed, sa, sb, sy, za, zb, zy):
    tensors = [Tensor(n, (1, 1, 64), U8, s, z) for n, s, z in (("a", sa, za), ("b", sb, zb), ("y", sy, zy))]
    attrs = add_attrs(*tensors, 0, 255, "add")
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, (2, 1, 1, 64))
    got = LAYERS["add"].reference(attrs, [a, b])
    real = (sa * (a - za) + sb * (b - zb)) / sy + zy
    assert np.abs(got - np.clip(real, 0, 255)).max() <= 1
    assert max(abs(255 * attrs.mult_a), abs(255 * attrs.mult_b)) + abs(attrs.bias) < 2**31


@given(windows(), SEEDS, st.booleans())
def test_pools(window, seed, counted):
    rng = np.random.default_rng(seed)
    h, w, c = (int(v) for v in rng.integers(1, 7, 3))
    oh, ow = window.out_size(0, h), window.out_size(1, w)
    assume(oh >= 1 and ow >= 1)
    area = window.kernel[0] * window.kernel[1]
    zero_in = int(rng.integers(0, 256))
    mult = np.array([round(2**14 / (area if counted else max(n, 1))) for n in range(area + 1)])
    avg = AvgPoolAttrs(window, mult, 14, zero_in, zero_in, 0, 255)
    x = rng.integers(0, 256, (h, w, c))
    got_max = LAYERS["maxpool"].reference(MaxPoolAttrs(window), [x])
    got_avg = LAYERS["avgpool"].reference(avg, [x])
    for oy, ox, ch in np.ndindex(oh, ow, c):
        seen = []
        for ky, kx in np.ndindex(*window.kernel):
            iy = oy * window.stride[0] - window.pads[0] + ky * window.dilation[0]
            ix = ox * window.stride[1] - window.pads[1] + kx * window.dilation[1]
            if 0 <= iy < h and 0 <= ix < w:
                seen.append(int(x[iy, ix, ch]))
        assert got_max[oy, ox, ch] == max(seen, default=0)
        total = sum(v - zero_in for v in seen)
        y = (Fraction(total * int(mult[len(seen)]), 2**14) + Fraction(1, 2)).__floor__() + zero_in
        assert got_avg[oy, ox, ch] == min(max(y, 0), 255)


@given(SEEDS, st.permutations([0, 1, 2, 3]), st.tuples(*[st.integers(1, 4)] * 4))
def test_permute_is_a_transpose(seed, order, shape):
    x = np.random.default_rng(seed).integers(0, 256, shape)
    want = x.transpose(order)
    dims = mixed_radix(np.arange(x.size).reshape(shape).transpose(order), "test")
    assert np.array_equal(radix_offsets(dims), np.arange(x.size).reshape(shape).transpose(order).reshape(-1))
    out = (want.shape[0], want.shape[1], want.shape[2] * want.shape[3])
    got = LAYERS["permute"].reference(PermuteAttrs(dims, out), [x.reshape(1, 1, -1)])
    assert np.array_equal(got.reshape(-1), want.reshape(-1))


@given(SEEDS, st.integers(0, 2), st.integers(2, 4))
def test_concat_and_pad(seed, axis, count):
    rng = np.random.default_rng(seed)
    shapes = [[3, 2, 4] for _ in range(count)]
    for s in shapes:
        s[axis] = int(rng.integers(1, 5))
    xs = [rng.integers(0, 256, s) for s in shapes]
    layer, attrs = LAYERS["concat"], ConcatAttrs(axis)
    want = np.concatenate(xs, axis)
    assert np.array_equal(layer.reference(attrs, xs), want)
    assert layer.out_shape(attrs, [x.shape for x in xs]) == want.shape
    geometry = layer.geometry(attrs, [x.shape for x in xs])
    lines = [x.reshape(a.shape) for x, a in zip(xs, geometry.inputs, strict=True)]
    assert np.array_equal(np.concatenate(lines, 2).reshape(want.shape), want)
    t, left, b, r = (int(v) for v in rng.integers(0, 3, 4))
    padded = LAYERS["pad"].reference(PadAttrs((t, left, b, r), 7), [want])
    inner = padded[t : t + want.shape[0], left : left + want.shape[1]]
    assert np.array_equal(inner, want) and padded.sum() - want.sum() == 7 * (padded.size - want.size)


@given(SEEDS, st.floats(0.001, 1), st.integers(1, 40))
def test_softmax_is_within_one_of_the_real_one(seed, scale, c):
    x = np.random.default_rng(seed).integers(0, 256, (2, 1, c))
    attrs = SoftmaxAttrs(softmax_table(scale), 256, 0)
    real = np.exp((x - x.max(2, keepdims=True)) * scale)
    real = np.minimum(real / real.sum(2, keepdims=True) * 256, 255)
    assert np.abs(LAYERS["softmax"].reference(attrs, [x]) - real).max() <= 1
