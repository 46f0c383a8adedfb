"""Rows of the kernel table for linear layers, additions, pools and tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from kernel_rows import Row, as_bytes, packed, requant_for

from dory.graph.types import Window
from dory.layers import LAYERS
from dory.layers.add import AddAttrs
from dory.layers.linear import LinearAttrs
from dory.layers.pool import AvgPoolAttrs, MaxPoolAttrs
from dory.layers.rescale import FORMS
from dory.testing.kernel_runs import Job


def linear_row(name: str, k: int, n: int, bars: tuple[float, float], form: str) -> Row:
    """A fully connected layer."""
    rng = np.random.default_rng(7)
    layer = LAYERS["linear"]
    reach = 127 if form != "narrow" else max(1, min(127, 2**22 // (255 * k)))
    w, x = rng.integers(-reach, reach + 1, (n, k)), rng.integers(0, 256, (1, 1, k))
    samples = rng.integers(0, 256, (64, k)) @ w.T
    bias, requant = requant_for(rng, samples, form)
    attrs = LinearAttrs(w, bias, requant)
    used = layer.constants(attrs)["form"]
    fields = ["x", "w", "y", k, n, FORMS.index(used), requant.zero_point, requant.lo, requant.hi]
    job = Job("linear", fields, {"x": as_bytes(x), "w": packed(layer, attrs)}, {"y": n}, name=name, work=k * n)
    return Row(name, *bars, job, layer.reference(attrs, [x]), used)


def add_row(name: str, hwc: tuple[int, int, int], lo: int, bars: tuple[float, float]) -> Row:
    """An addition; work is outputs."""
    rng = np.random.default_rng(7)
    attrs = AddAttrs(21845, 16000, -(200 << 15) // 4, 16, lo, 255)
    a, b = rng.integers(0, 256, hwc), rng.integers(0, 256, hwc)
    size = int(np.prod(hwc))
    fields = ["a", "b", "y", size, attrs.mult_a, attrs.mult_b, attrs.bias, attrs.shift, attrs.lo, attrs.hi]
    job = Job("add", fields, {"a": as_bytes(a), "b": as_bytes(b)}, {"y": size}, name=name, work=size)
    return Row(name, *bars, job, LAYERS["add"].reference(attrs, [a, b]))


def maxpool_row(name: str, hwc: tuple[int, int, int], kernel: int, stride: int, bars: tuple[float, float]) -> Row:
    """Max pooling; work is outputs."""
    rng = np.random.default_rng(7)
    layer, x = LAYERS["maxpool"], rng.integers(0, 256, hwc)
    attrs = MaxPoolAttrs(Window((kernel, kernel), (stride, stride)))
    out = layer.out_shape(attrs, [hwc])
    fields = ["x", "y", *hwc, *out[:2], kernel, kernel, stride, stride, 1, 1, 0, 0, attrs.lo, attrs.hi]
    size = int(np.prod(out))
    job = Job("maxpool", fields, {"x": as_bytes(x)}, {"y": size}, name=name, work=size)
    return Row(name, *bars, job, layer.reference(attrs, [x]))


def avgpool_row(name: str, hwc: tuple[int, int, int]) -> Row:
    """Global average; work is inputs."""
    rng = np.random.default_rng(7)
    layer, x = LAYERS["avgpool"], rng.integers(0, 256, hwc)
    count = hwc[0] * hwc[1]
    attrs = AvgPoolAttrs(Window(hwc[:2]), np.arange(count + 1) * 0 + 32768 // count, 15, 0, 0, 0, 255)
    fields = ["x", "mult", "y", *hwc, 1, 1, *hwc[:2], 1, 1, 1, 1, 0, 0, attrs.zero_in, attrs.shift, 0, 0, 255]
    inputs = {"x": as_bytes(x), "mult": packed(layer, attrs)}
    job = Job("avgpool", fields, inputs, {"y": hwc[2]}, name=name, work=int(np.prod(hwc)))
    return Row(name, 0, 0, job, layer.reference(attrs, [x]))


def lut_row(name: str, size: int) -> Row:
    """A table; work is outputs."""
    rng = np.random.default_rng(7)
    x, table = rng.integers(0, 256, size), rng.integers(0, 256, 256)
    job = Job(
        "lut", ["x", "t", "y", size, 0], {"x": as_bytes(x), "t": as_bytes(table)}, {"y": size}, name=name, work=size
    )
    return Row(name, 0, 0, job, table[x])


def rows(form: str) -> Iterator[Row]:
    """The table's rows."""
    yield linear_row("linear 1024 -> 32", 1024, 32, (12.0, 14), form)
    yield linear_row("linear 768 -> 64", 768, 64, (0, 0), form)
    if form == "narrow":
        yield add_row("add 32x16x16", (32, 16, 16), 0, (1.08, 1.38))
        yield add_row("add 32x16x16, lower limit 3", (32, 16, 16), 3, (0, 0))
        yield maxpool_row("max pool 2x2 16x16x64", (16, 16, 64), 2, 2, (2.8, 3.5))
        yield maxpool_row("max pool 2x2 32x32x16", (32, 32, 16), 2, 2, (0, 0))
        yield maxpool_row("max pool 3x3 s2 31x31x16", (31, 31, 16), 3, 2, (0, 0))
        yield avgpool_row("global average 8x8x256 (inputs)", (8, 8, 256))
        yield lut_row("table, 8192 bytes", 8192)
