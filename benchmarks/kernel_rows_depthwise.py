"""Rows of the kernel table for depthwise convolutions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from kernel_rows import Row, as_bytes, packed, requant_for

from dory.graph.types import Requant, Window
from dory.layers import LAYERS
from dory.layers.base import TileShape
from dory.layers.convolution import ConvAttrs
from dory.testing.kernel_runs import CORES, Job


def depthwise_row(
    name: str, hwc: tuple[int, int, int], kernel: int, stride: int, bars: tuple[float, float], form: str
) -> Row:
    """A whole depthwise layer with its padding."""
    rng = np.random.default_rng(7)
    layer, pad = LAYERS["depthwise"], kernel // 2
    window = Window((kernel, kernel), (stride, stride), (1, 1), (pad, pad, pad, pad))
    w, x = rng.integers(-127, 128, (hwc[2], kernel, kernel, 1)), rng.integers(0, 256, hwc)
    one = np.ones(hwc[2], np.int64)
    wide = ConvAttrs(window, w, 0 * one, Requant(2 * one, one, 0, -(2**31), 2**31), 0, hwc[2])
    bias, requant = requant_for(rng, layer.reference(wide, [x]), form)
    attrs = ConvAttrs(window, w, bias, requant, 13, hwc[2])
    out = layer.out_shape(attrs, [hwc])
    scratch = layer.scratch_bytes(attrs, TileShape(out, (hwc,)), CORES)
    rows = layer.tile_constants(attrs, out, CORES)["rows"]
    fields = ["x", "w", "y", "scratch", *hwc, *out[:2], kernel, kernel, stride, stride, 1, 1, pad, pad]
    fields += [attrs.pad_value, rows, 0, requant.zero_point, requant.lo, requant.hi]
    inputs = {"x": as_bytes(x), "w": packed(layer, attrs)}
    spaces = {"y": int(np.prod(out)), "scratch": scratch}
    job = Job("depthwise", fields, inputs, spaces, name=name, work=layer.macs(attrs, [hwc]))
    return Row(name, *bars, job, layer.reference(attrs, [x]), form)


def rows(form: str) -> Iterator[Row]:
    """The table's rows."""
    yield depthwise_row("depthwise 3x3 16x16x64", (16, 16, 64), 3, 1, (6.8, 7.5), form)
    yield depthwise_row("depthwise 3x3 8x8x128", (8, 8, 128), 3, 1, (5.8, 6.5), form)
    yield depthwise_row("depthwise 3x3 s2 16x16x64", (16, 16, 64), 3, 2, (3.7, 4.3), form)
    yield depthwise_row("depthwise 5x5 16x16x64", (16, 16, 64), 5, 1, (6.5, 8), form)
