"""A convolution with one output pixel is a fully connected layer, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from dory.graph.types import Requant, Window
from dory.layers import LAYERS
from dory.layers.convolution import ConvAttrs

FEW = st.integers(1, 5)
PADS = st.integers(0, 3)
ANY = st.tuples(FEW, FEW, FEW, PADS, PADS, FEW)
"""Kernel, stride, dilation, padding before and after, input elements along an axis."""
WHOLE = st.builds(
    lambda stride, before, after, n: (before + n + after, stride, 1, before, after, n), FEW, PADS, PADS, FEW
)
SPREAD = st.builds(lambda stride, d, i, j: (1 + i + j, stride, d, d * i, d * j, 1), FEW, FEW, PADS, PADS)
"""One output, one input."""
AXES = st.one_of(WHOLE, SPREAD, ANY)


@given(AXES, AXES, st.integers(1, 5), st.integers(1, 6), st.integers(0, 999))
def test_one_pixel(rows: tuple[int, ...], columns: tuple[int, ...], c: int, outputs: int, seed: int) -> None:
    (kernel, stride, dilation, before, after, size) = zip(rows, columns, strict=True)
    window = Window(kernel, stride, dilation, (*before, *after))
    if any(window.out_size(axis, size[axis]) < 1 for axis in (0, 1)):
        return
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (outputs, *kernel, c))
    requant = Requant(rng.integers(1, 2**15, outputs), np.full(outputs, 22), 128, 0, 255)
    attrs = ConvAttrs(window, weights, rng.integers(-9999, 9999, outputs), requant, int(rng.integers(0, 256)))
    x = rng.integers(0, 256, (*size, c))
    op, other = LAYERS["conv"].lowered(attrs, [x.shape])
    seen = [
        {o * stride[a] + t * dilation[a] - before[a] for o in range(window.out_size(a, size[a])) for t in range(k)}
        for a, k in enumerate(kernel)
    ]
    one = window.out_size(0, size[0]) == window.out_size(1, size[1]) == 1
    event(op)
    assert (op == "linear") == (one and all({*range(n)} <= s for n, s in zip(size, seen, strict=True)))
    expected = LAYERS["conv"].reference(attrs, [x])
    assert np.array_equal(LAYERS[op].reference(other, [x]), expected)
    assert LAYERS[op].out_shape(other, [x.shape]) == expected.shape
