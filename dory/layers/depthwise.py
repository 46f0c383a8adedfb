"""Depthwise convolution with multiplier 1.

The kernel takes four channels at a time apart into padded planes (scratch), a band of output rows at a time, and
convolves each plane on its own. A channel's packed weights are the kernel's rows as whole words, then mult, bias, add
and shift + (form << 8) of its own rescale form (dory.layers.rescale).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Requant, Shape
from dory.layers.base import Access, Geometry, Layer, PackedWeights, PlaneScratch, TileShape
from dory.layers.conv import (
    GROUP,
    ConvAttrs,
    conv_constants,
    conv_macs,
    conv_out_shape,
    conv_reference,
)
from dory.layers.rescale import FORMS, Rescale, choose

PLANES_BYTES = 16384  # of all cores together: dory_depthwise_scratch


def channel_rescales(weights: IntArray, bias: IntArray, requant: Requant) -> list[Rescale]:
    """The form and constants of every channel by itself; weights are [channels, ...]."""
    n = weights.shape[0]
    mult, shift = (np.broadcast_to(v, (n,)) for v in (requant.mult, requant.shift))
    out = []
    for c in range(n):
        one = slice(c, c + 1)
        out.append(
            choose(weights[one], bias[one], Requant(mult[one], shift[one], requant.zero_point, requant.lo, requant.hi))
        )
    return out


def pack_depthwise(weights: IntArray, bias: IntArray, requant: Requant) -> PackedWeights:
    """Weights [channels, KH, KW] and their constants, in groups of 4 channels."""
    n, kh, kw = weights.shape
    groups = -(-n // GROUP)
    rows = np.zeros((groups * GROUP, kh, -(-kw // 4) * 4), np.int8)
    rows[:n, :, :kw] = weights
    consts = np.zeros((groups * GROUP, 4), np.int64)
    for c, r in enumerate(channel_rescales(weights, bias, requant)):
        (k,) = r.channels
        mult = k.mult << 16 | k.mult if r.form == "mul15" else k.mult
        consts[c] = mult, k.bias, k.add, k.shift | FORMS.index(r.form) << 8
    words = (consts & 0xFFFFFFFF).astype("<u4")
    data = b"".join(rows[c].tobytes() + words[c].tobytes() for c in range(groups * GROUP))
    return PackedWeights(data, GROUP, len(data) // groups)


def plane_scratch(attrs: ConvAttrs, cores: int) -> PlaneScratch | None:
    """What the planes of a team take; None for dilated windows, which are convolved in place."""
    if attrs.window.dilation != (1, 1):
        return None
    kh, kw = attrs.window.kernel
    return PlaneScratch(4 * cores, PLANES_BYTES, (kh, -(-kw // 4) * 4), attrs.window.stride)


def band_rows(attrs: ConvAttrs, tile: Shape, cores: int) -> int:
    """Output rows that a core takes apart at a time: the cheapest balance of the team, as far as the scratch goes."""
    scratch = plane_scratch(attrs, cores)
    if scratch is None:
        return 0
    h, w, c = tile
    groups, stride, kernel = -(-c // GROUP), attrs.window.stride[0], attrs.window.kernel[0]
    blocks = -(-attrs.window.stride[1] * w // 4)
    best, found = 0.0, 0
    for bands in range(1, h + 1):
        rows = -(-h // bands)
        inputs = (rows - 1) * stride + kernel
        if inputs > scratch.rows(tile) or (bands > 1 and -(-h // rows) != bands):
            continue
        work = inputs * (22 * blocks + 6) + 4 * -(-w // 4) * (rows * (kernel * kernel + 22) + 45)
        cost = -(-groups * bands // cores) * (work + 300)
        if not found or cost < best:
            best, found = cost, rows
    return found


class Depthwise(Layer[ConvAttrs]):
    """Each channel is convolved with its own kernel; a tile may take a slice of the channels."""

    op = "depthwise"
    kernel = "dory_depthwise"
    summary = "depthwise convolution, multiplier 1: any kernel, stride, dilation, asymmetric padding"

    def out_shape(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Shape:
        return conv_out_shape(attrs, shapes)

    def reference(self, attrs: ConvAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return conv_reference(attrs, inputs[0])

    def geometry(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], attrs.window),), c_step=GROUP)

    def weights(self, attrs: ConvAttrs) -> PackedWeights:
        return pack_depthwise(attrs.weights[..., 0], attrs.bias, attrs.requant)

    def macs(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> int:
        return conv_macs(attrs, shapes)

    def plane_scratch(self, attrs: ConvAttrs, cores: int) -> PlaneScratch | None:
        return plane_scratch(attrs, cores)

    def scratch_bytes(self, attrs: ConvAttrs, tile: TileShape, cores: int) -> int:
        """Planes of all cores (dory_depthwise_scratch)."""
        scratch = plane_scratch(attrs, cores)
        return scratch.bytes(tile.out) if scratch else 0

    def constants(self, attrs: ConvAttrs) -> Mapping[str, Any]:
        found = {r.form for r in channel_rescales(attrs.weights, attrs.bias, attrs.requant)}
        return {**conv_constants(attrs), "form": "+".join(f for f in FORMS if f in found)}

    def tile_constants(self, attrs: ConvAttrs, tile: Shape, cores: int) -> Mapping[str, Any]:
        return {"rows": band_rows(attrs, tile, cores)}
