"""Rows of the kernel table for convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from kernel_rows import Row, as_bytes, packed, requant_for

from dory.graph.types import IntArray, Requant, Window
from dory.layers import LAYERS
from dory.layers.base import TileShape
from dory.layers.convolution import ConvAttrs
from dory.layers.rescale import FORMS
from dory.testing.kernel_runs import CORES, GUARD, L1_BYTES, STACKS, Job

ROOM = L1_BYTES - STACKS - 5 * (GUARD + 3)  # for operands and scratch


def conv_row(
    name: str,
    hwc: tuple[int, int, int],
    c_out: int,
    bars: tuple[float, float],
    form: str,
    kernel: tuple[int, int] = (1, 1),
    stride: int = 1,
    pad: tuple[int, int] = (0, 0),
) -> Row:
    """A convolution of the whole input."""
    rng = np.random.default_rng(7)
    layer = LAYERS["conv"]
    stride_hw = (stride if hwc[0] > 1 else 1, stride)
    window = Window(kernel, stride_hw, (1, 1), (pad[0], pad[1], pad[0], pad[1]))
    # Small weights leave the narrow form its room: that is what range analysis sees in real layers of few inputs.
    reach = 127 if form != "narrow" else max(1, min(127, 2**22 // (255 * int(np.prod(kernel)) * hwc[2])))
    w = rng.integers(-reach, reach + 1, (c_out, *kernel, hwc[2]))
    x = rng.integers(0, 256, hwc)
    one = np.ones(c_out, np.int64)
    sums = _sums(ConvAttrs(window, w, 0 * one, Requant(one, one, 0, 0, 255), 0), x)
    bias, requant = requant_for(rng, sums, form)
    attrs = ConvAttrs(window, w, bias, requant, int(rng.integers(0, 256)) if any(pad) else 0)
    out = layer.out_shape(attrs, [hwc])
    padded = layer.padded(attrs) or attrs
    scratch = layer.scratch_bytes(padded, TileShape(out, (hwc,)), CORES)
    if x.size + len(packed(layer, attrs)) + int(np.prod(out)) + scratch <= ROOM:
        attrs = padded
    scratch = layer.scratch_bytes(attrs, TileShape(out, (hwc,)), CORES)
    used = layer.constants(attrs)["form"]
    fields = ["x", "w", "y", "scratch", *hwc, *out, *kernel, *stride_hw, 1, 1, *pad, attrs.pad_value]
    fields += [FORMS.index(used), int(attrs.padded or not any(pad)), requant.zero_point, requant.lo, requant.hi]
    inputs = {"x": as_bytes(x), "w": packed(layer, attrs)}
    spaces = {"y": int(np.prod(out)), "scratch": scratch}
    job = Job("conv", fields, inputs, spaces, name=name, work=layer.macs(attrs, [hwc]))
    return Row(name, *bars, job, layer.reference(attrs, [x]), used)


def _sums(attrs: ConvAttrs, x: IntArray) -> IntArray:
    """Accumulators without bias."""
    wide = Requant(np.ones_like(attrs.requant.mult) * 2, attrs.requant.shift, 0, -(2**31), 2**31)
    return LAYERS["conv"].reference(replace(attrs, requant=wide), [x])


def rows(form: str) -> Iterator[Row]:
    """The table's rows."""
    yield conv_row("pointwise 16x16x64 -> 64", (16, 16, 64), 64, (16.5, 18), form)
    yield conv_row("pointwise 8x8x128 -> 128", (8, 8, 128), 128, (18.5, 19.7), form)
    yield conv_row("pointwise 8x8x256 -> 64", (8, 8, 256), 64, (19.4, 20.5), form)
    yield conv_row("pointwise 32x8x32 -> 64", (32, 8, 32), 64, (14.3, 15), form)
    yield conv_row("conv 3x3 16x16x32 -> 64", (16, 16, 32), 64, (19.0, 20.7), form, (3, 3), 1, (1, 1))
    yield conv_row("conv 3x3 s2 16x16x64 -> 32", (16, 16, 64), 32, (18.5, 20), form, (3, 3), 2, (1, 1))
    yield conv_row("conv 5x5 12x12x32 -> 32", (12, 12, 32), 32, (18.5, 20), form, (5, 5), 1, (2, 2))
    yield conv_row("first layer 3x3 s2 64x64x3 -> 32", (64, 64, 3), 32, (12.0, 13.3), form, (3, 3), 2, (1, 1))
    yield conv_row("conv 3x3 4x4x256 -> 16 (of 64)", (4, 4, 256), 16, (17, 19), form, (3, 3), 1, (1, 1))
    yield conv_row("conv 1x9 1x125x64 -> 64", (1, 125, 64), 64, (16, 18), form, (1, 9), 1, (0, 4))
    yield conv_row("pointwise 7x7x60 -> 36", (7, 7, 60), 36, (11, 14), form)
    yield conv_row("conv 3x3 9x11x20 -> 28", (9, 11, 20), 28, (13, 16), form, (3, 3), 1, (1, 1))
