"""Layer, packer and kernel together: any tile of a layer equals that part of the layer's integer reference.

Weights are packed by `Layer.weights` and cut as the code generator cuts them; a tile's padding follows from
`Window.in_range`. References and packing have tests of their own that use neither kernels nor each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import Bytes, Ints, some_bytes, some_weights
from simulated import simulated

from dory.graph.types import ACC_MAX, ACC_MIN, Requant, Window
from dory.layers import LAYERS, Layer
from dory.layers.add import AddAttrs
from dory.layers.base import TileShape
from dory.layers.concat import ConcatAttrs
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs
from dory.layers.linear32 import Linear32Attrs
from dory.layers.lut import LutAttrs
from dory.layers.pad import PadAttrs
from dory.layers.permute import PermuteAttrs
from dory.layers.pool import AvgPoolAttrs, MaxPoolAttrs
from dory.layers.rescale import FORMS
from dory.layers.softmax import SoftmaxAttrs, softmax_table

CORES = 8
BATCH = 12
CHANNELS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19, 23, 31, 32, 33]
MULTS = [0, 1, 2**16, 2**30, 2**31 - 2, 2**31 - 1]
SHIFTS = [1, 2, 31, 32, 33, 61, 62]
Call = Callable[..., tuple[int, Bytes]]
seeds = st.integers(0, 2**32 - 1)


def as_bytes(x: Ints | Bytes) -> Bytes:
    return np.ascontiguousarray(x.astype(np.uint8)).reshape(-1)


def some_window(rng: np.random.Generator, size: tuple[int, int]) -> Window:
    """A usual one, or any that fits the input at least once: strides beyond the kernel, taps in padding alone."""
    if rng.random() < 0.5:
        kernel, stride = int(rng.choice([2, 3, 3, 5])), int(rng.choice([1, 1, 2]))
        before, behind = (int(p) for p in rng.choice([0, kernel // 2, kernel // 2], 2))
        window = Window((kernel, kernel), (stride, stride), pads=(before, before, behind, behind))
        if all(window.out_size(i, size[i]) >= 1 for i in (0, 1)):
            return window
    while True:
        pads = rng.integers(0, 4, 4) * (rng.random(4) < 0.6)
        window = Window(
            (int(rng.integers(1, 5)), int(rng.integers(1, 5))),
            (int(rng.choice([1, 1, 2, 3, 5])), int(rng.choice([1, 1, 2, 3, 5]))),
            (int(rng.choice([1, 1, 2, 3])), int(rng.choice([1, 1, 2, 3]))),
            tuple(int(p) for p in pads),  # type: ignore[arg-type]
        )
        if all(window.out_size(i, size[i]) >= 1 for i in (0, 1)):
            return window


def some_size(rng: np.random.Generator) -> tuple[int, int]:
    one, other = rng.choice([1, 1, 2, 3, 5, 7, 8, 12], 2)
    return int(one), int(other)


def some_requant(rng: np.random.Generator, weights: Ints) -> tuple[Ints, Requant]:
    """Bias and rescale for weights [channels, K]: the accumulator reaches the ends of int32, no further."""
    n = weights.shape[0]
    highest = ACC_MAX - 255 * np.maximum(weights, 0).sum(1)
    lowest = ACC_MIN - 255 * np.minimum(weights, 0).sum(1)
    near = rng.integers(-100_000, 100_000, n).clip(lowest, highest)
    if rng.random() < 0.6:
        return near, real_requant(rng, near, weights)
    bias = np.choose(rng.integers(0, 4, n), [lowest, highest, near, near])
    reach = np.ceil(np.log2(np.abs(bias) + 255 * np.abs(weights).sum(1) + 2)).astype(np.int64)
    extreme = rng.random(n) < 0.3
    mult = np.where(extreme, rng.choice(MULTS, n), rng.integers(2**30, 2**31, n))
    shift = np.where(extreme, rng.choice(SHIFTS, n), np.clip(reach + 30 - 7, 1, 62))
    lo, hi = sorted(int(v) for v in rng.integers(0, 256, 2)) if rng.random() < 0.3 else (0, 255)
    if rng.random() < 0.3:  # rescales of files that define their own rounding
        mult = mult * rng.choice([-1, 1], n)
        add = rng.choice([rng.integers(-300, 300, n), rng.integers(-(2**24) + 1, 2**24, n)])
        return bias, Requant(mult, shift, int(rng.integers(0, 256)), lo, hi, add)
    return bias, Requant(mult, shift, int(rng.integers(0, 256)), lo, hi)


def real_requant(rng: np.random.Generator, bias: Ints, weights: Ints) -> Requant:
    """Multipliers of the widths that importers write, for sums that fill the output's range: all forms occur."""
    n, bits = weights.shape[0], int(rng.choice([8, 12, 15, 15, 15, 24, 31]))
    reach = np.ceil(np.log2(np.abs(bias) + 255 * np.abs(weights).sum(1) + 2)).astype(np.int64)
    mult = rng.integers(2 ** (bits - 1), 2**bits, n)
    shift = np.clip(reach + bits - 8 + rng.integers(-3, 2, n), 1, 62)
    lo, hi = sorted(int(v) for v in rng.integers(0, 256, 2)) if rng.random() < 0.3 else (0, 255)
    return Requant(mult, shift, int(rng.integers(0, 256)), lo, hi)


@dataclass(frozen=True)
class Cut:
    """An output tile [first, first + count) of every axis, and the input rows and columns that it reads."""

    first: tuple[int, int, int]
    count: tuple[int, int, int]
    rows: slice
    cols: slice
    pad: tuple[int, int]

    def of(self, y: Ints) -> Ints:
        (h, w, c), (hn, wn, cn) = self.first, self.count
        return y[h : h + hn, w : w + wn, c : c + cn]

    @property
    def channels(self) -> slice:
        return slice(self.first[2], self.first[2] + self.count[2])


def some_cut(rng: np.random.Generator, out: tuple[int, ...], window: Window, size: tuple[int, int], step: int) -> Cut:
    """A random tile whose channels start at a multiple of step and end at one, or with the layer."""
    first, count = [], []
    for n in out:
        a, b = sorted(int(v) for v in rng.integers(0, n + 1, 2)) if rng.random() < 0.7 else (0, n)
        if len(first) == 2:
            a, b = a // step * step, min(-(-b // step) * step, n)
        if a == b:
            a, b = 0, n
        first.append(a)
        count.append(b - a)
    (r0, r1, top, _), (c0, c1, left, _) = (window.in_range(i, first[i], first[i] + count[i], size[i]) for i in (0, 1))
    return Cut(tuple(first), tuple(count), slice(r0, r1), slice(c0, c1), (top, left))  # type: ignore[arg-type]


def window_fields(window: Window, cut: Cut) -> list[int]:
    return [*window.kernel, *window.stride, *window.dilation, *cut.pad]


def part_of(layer: Layer[Any], attrs: Any, cut: Cut) -> Bytes:
    """The packed groups of the tile's channels."""
    packed = layer.weights(attrs)
    assert packed is not None
    if packed.group == 0:
        return np.frombuffer(packed.data, np.uint8)
    at = cut.first[2] // packed.group * packed.group_bytes
    return np.frombuffer(packed.data[at : at + packed.bytes_for(cut.count[2])], np.uint8)


def clip_of(r: Any) -> list[int]:
    return [r.zero_point, r.lo, r.hi]


def compare(got: Bytes, want: Ints) -> None:
    assert want.min() >= 0 and want.max() <= 255
    np.testing.assert_array_equal(got.reshape(want.shape), want)


def conv(call: Call, rng: np.random.Generator, op: str) -> None:
    """conv, depthwise or grouped_conv; the last also with several outputs an input channel."""
    size, layer = some_size(rng), LAYERS[op]
    if op == "conv":
        groups, per_in, per_out = 1, int(rng.choice(CHANNELS)), int(rng.choice(CHANNELS))
    elif op == "depthwise":
        groups, per_in, per_out = int(rng.choice(CHANNELS)), 1, 1
    else:
        groups, per_in, per_out = int(rng.integers(1, 6)), int(rng.choice([1, 1, 2, 3, 4])), int(rng.integers(1, 5))
    window, pad_value = some_window(rng, size), int(rng.integers(0, 256))
    x = some_bytes(rng, (*size, groups * per_in))
    w = some_weights(rng, (groups * per_out, *window.kernel, per_in))
    bias, requant = some_requant(rng, w.reshape(w.shape[0], -1))
    attrs = ConvAttrs(window, w, bias, requant, pad_value, groups)
    if rng.random() < 0.5:
        attrs = layer.padded(attrs) or attrs
    want = layer.reference(attrs, [x])
    step = layer.geometry(attrs, [x.shape]).c_step  # type: ignore[list-item]
    cut = some_cut(rng, want.shape, window, size, step)
    tile = x[cut.rows, cut.cols]
    if op == "depthwise":
        tile = tile[..., cut.channels]
    sizes = [*tile.shape, *(cut.count if op != "depthwise" else cut.count[:2])]
    extra = [cut.first[2], per_in, per_out] if op == "grouped_conv" else []
    if op == "conv":
        late = [FORMS.index(layer.constants(attrs)["form"]), int(attrs.padded or not any(window.pads))]
    else:
        late = [layer.tile_constants(attrs, cut.count, CORES)["rows"], 0] if op == "depthwise" else []
    fields = [*sizes, *window_fields(window, cut), *extra, pad_value, *late, *clip_of(requant)]
    inputs = [as_bytes(tile), part_of(layer, attrs, cut)]
    space = layer.scratch_bytes(attrs, TileShape(cut.count, (tile.shape,)), CORES)
    scratch, y = call(op, fields, inputs, int(np.prod(cut.count)), CORES, space)
    compare(y, cut.of(want))
    # Tiles that have no padding need no copy with it.
    assert scratch == space or (attrs.padded and scratch < space and cut.pad == (0, 0))


def linear(call: Call, rng: np.random.Generator) -> None:
    layer, k, n = LAYERS["linear"], int(rng.integers(1, 80)), int(rng.integers(1, 60))
    x, w = some_bytes(rng, (1, 1, k)), some_weights(rng, (n, k))
    bias, requant = some_requant(rng, w)
    attrs = LinearAttrs(w, bias, requant)
    want = layer.reference(attrs, [x])
    cut = some_cut(rng, want.shape, Window((1, 1)), (1, 1), 4)
    weights, form = part_of(layer, attrs, cut), FORMS.index(layer.constants(attrs)["form"])
    _, y = call("linear", [k, cut.count[2], form, *clip_of(requant)], [as_bytes(x), weights], cut.count[2], CORES)
    compare(y, cut.of(want))


def linear32(call: Call, rng: np.random.Generator) -> None:
    layer, k, n = LAYERS["linear32"], int(rng.integers(1, 80)), int(rng.integers(1, 60))
    x, w = some_bytes(rng, (1, 1, k)), some_weights(rng, (n, k))
    attrs = Linear32Attrs(w, some_requant(rng, w)[0])
    want = layer.reference(attrs, [x])
    cut = some_cut(rng, want.shape, Window((1, 1)), (1, 1), 16)
    size = cut.count[2]
    _, y = call("linear32", [k, size // 4], [as_bytes(x), part_of(layer, attrs, cut)], size, CORES)
    compare(y, cut.of(want))


def pool(call: Call, rng: np.random.Generator, op: str) -> None:
    layer, size, c = LAYERS[op], some_size(rng), int(rng.choice(CHANNELS))
    window, x = some_window(rng, size), some_bytes(rng, (*size, c))
    zero, zero_in = (int(v) for v in rng.integers(0, 256, 2))
    attrs: MaxPoolAttrs | AvgPoolAttrs
    if op == "maxpool":
        attrs = MaxPoolAttrs(window, int(rng.integers(0, 99)), int(rng.integers(99, 256)))
        rest, inputs = [attrs.lo, attrs.hi], []
    else:
        shift = int(rng.choice([1, 20, 31, 40, 62]))
        area = window.kernel[0] * window.kernel[1]
        ideal = 2.0**shift * rng.uniform(0.2, 1.5) / np.maximum(np.arange(area + 1), 1)
        mult = np.minimum(np.rint(ideal), 2.0**31 - 1).astype(np.int64)
        attrs = AvgPoolAttrs(window, mult, shift, zero_in, zero, 0, 255)
        rest = [zero_in, shift, *clip_of(attrs)]
    want = layer.reference(attrs, [x])
    cut = some_cut(rng, want.shape, window, size, 1)
    tile = x[cut.rows, cut.cols, cut.channels]
    inputs = [as_bytes(tile)] + ([part_of(layer, attrs, cut)] if op == "avgpool" else [])
    fields = [*tile.shape, *cut.count[:2], *window_fields(window, cut), *rest]
    _, y = call(op, fields, inputs, int(np.prod(cut.count)), CORES)
    compare(y, cut.of(want))


def pad(call: Call, rng: np.random.Generator) -> None:
    layer, size, c = LAYERS["pad"], some_size(rng), int(rng.choice(CHANNELS))
    pads, value = tuple(int(p) for p in rng.integers(0, 4, 4)), int(rng.integers(0, 256))
    x, attrs = some_bytes(rng, (*size, c)), PadAttrs(pads, value)  # type: ignore[arg-type]
    window = Window((1, 1), pads=attrs.pads)
    want = layer.reference(attrs, [x])
    cut = some_cut(rng, want.shape, window, size, 1)
    tile = x[cut.rows, cut.cols, cut.channels]
    fields = [*tile.shape, *cut.count[:2], *cut.pad, value]
    _, y = call("pad", fields, [as_bytes(tile)], int(np.prod(cut.count)), CORES)
    compare(y, cut.of(want))


def add(call: Call, rng: np.random.Generator) -> None:
    shape = (*some_size(rng), int(rng.choice(CHANNELS)))
    ma, mb = (int(v) for v in rng.choice([0, 1, 2**14, 2**15 - 1, *rng.integers(0, 2**15, 4)], 2))
    shift = int(rng.integers(1, 31))
    bias = int(rng.choice([ACC_MIN, ACC_MAX - 255 * (ma + mb), rng.integers(-(2**20), 2**20)]))
    attrs = AddAttrs(ma, mb, bias, shift, *sorted(int(v) for v in rng.integers(0, 256, 2)))
    a, b = some_bytes(rng, shape), some_bytes(rng, shape)
    fields = [ma, mb, bias, shift, attrs.lo, attrs.hi]
    _, y = call("add", fields, [as_bytes(a), as_bytes(b)], a.size, CORES)
    compare(y, LAYERS["add"].reference(attrs, [a, b]).reshape(-1))


def lut(call: Call, rng: np.random.Generator) -> None:
    layer, attrs = LAYERS["lut"], LutAttrs(rng.integers(0, 256, 256), "any", spread=bool(rng.integers(2)))
    x, packed = some_bytes(rng, (*some_size(rng), int(rng.choice(CHANNELS)))), layer.weights(attrs)
    assert packed is not None
    table, step = np.frombuffer(packed.data, np.uint8), layer.constants(attrs)["step"]
    _, y = call("lut", [step], [as_bytes(x), table], x.size, CORES)
    compare(y, layer.reference(attrs, [x]).reshape(-1))


def concat(call: Call, rng: np.random.Generator) -> None:
    layer, attrs = LAYERS["concat"], ConcatAttrs(int(rng.integers(0, 3)))
    shape, xs = [*some_size(rng), int(rng.choice(CHANNELS))], []
    for _ in range(int(rng.integers(2, 9))):
        shape[attrs.axis] = int(rng.integers(1, 10))
        xs.append(some_bytes(rng, tuple(shape)))
    views = [a.shape for a in layer.geometry(attrs, [x.shape for x in xs]).inputs]  # type: ignore[misc]
    want = layer.reference(attrs, xs)
    fields = [views[0][0], len(xs), *(v[2] for v in views)]
    _, y = call("concat", fields, [as_bytes(x) for x in xs], want.size, CORES)
    compare(y, want.reshape(-1))


def permute(call: Call, rng: np.random.Generator) -> None:
    shape = [int(n) for n in rng.integers(1, 6, 3)]
    x = some_bytes(rng, tuple(shape))
    steps = [shape[1] * shape[2], shape[2], 1]
    axes = rng.permutation(3)
    attrs = PermuteAttrs(tuple((shape[a], steps[a]) for a in axes), tuple(shape[a] for a in axes))  # type: ignore[arg-type]
    _, y = call("permute", [3, *np.ravel(attrs.dims)], [as_bytes(x)], x.size, CORES)
    compare(y, LAYERS["permute"].reference(attrs, [x]).reshape(-1))


def softmax(call: Call, rng: np.random.Generator) -> None:
    layer = LAYERS["softmax"]
    x = some_bytes(rng, (*some_size(rng), int(rng.choice([*CHANNELS, 300]))))
    numerator = int(rng.choice([1, 255, 256, 2**31 - 1]))
    attrs = SoftmaxAttrs(softmax_table(float(rng.uniform(0, 0.4))), numerator, int(rng.integers(0, 256)))
    packed = layer.weights(attrs)
    assert packed is not None
    h, w, c = x.shape
    table = np.frombuffer(packed.data, np.uint8)
    _, y = call("softmax", [h * w, c, numerator, *clip_of(attrs)], [as_bytes(x), table], x.size, CORES)
    compare(y, layer.reference(attrs, [x]).reshape(-1))


JOBS: dict[str, Callable[[Call, np.random.Generator], None]] = {
    "conv": lambda call, rng: conv(call, rng, "conv"),
    "depthwise": lambda call, rng: conv(call, rng, "depthwise"),
    "grouped_conv": lambda call, rng: conv(call, rng, "grouped_conv"),
    "linear": linear,
    "linear32": linear32,
    "add": add,
    "concat": concat,
    "maxpool": lambda call, rng: pool(call, rng, "maxpool"),
    "avgpool": lambda call, rng: pool(call, rng, "avgpool"),
    "lut": lut,
    "pad": pad,
    "permute": permute,
    "softmax": softmax,
}


def test_every_layer_is_covered() -> None:
    assert set(JOBS) == set(LAYERS)
    assert {layer.kernel for layer in LAYERS.values()} == {f"dory_{op}" for op in JOBS}


@pytest.mark.parametrize("op", sorted(JOBS))
@given(seed=seeds)
def test_tiles_of_layers(harness: Any, op: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(BATCH):
        JOBS[op](harness.call, rng)


@pytest.mark.slow
@pytest.mark.parametrize("op", sorted(set(JOBS)))
@given(seed=seeds)
@settings(max_examples=30)
def test_tiles_of_layers_on_the_core(op: str, seed: int) -> None:
    """The same calls in the simulator: the assembly of the chip, with every byte outside the buffers guarded."""
    rng = np.random.default_rng(seed)
    for _ in range(BATCH // 4):
        JOBS[op](simulated, rng)
