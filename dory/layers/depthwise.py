"""Depthwise convolution with multiplier 1.

The kernel takes four channels at a time apart into padded planes (scratch), a band of output rows at a time, and
convolves each plane on its own. A channel's packed weights are the kernel's rows as whole words, then mult, bias, add
and shift + (form << 8) of its own rescale form (dory.layers.rescale).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Shape
from dory.layers import depthwise_cost
from dory.layers.base import Access, Geometry, Layer, PackedWeights, PlaneScratch, TileShape
from dory.layers.conv import GROUP
from dory.layers.convolution import ConvAttrs, conv_constants, conv_macs, conv_out_shape, conv_reference
from dory.layers.cost import Number, Work
from dory.layers.depthwise_cost import band_rows, plane_scratch
from dory.layers.rescale import FORMS, Rescale
from dory.plan import LayerPlan, Unit

WIDE_CODE = 4608
"""Bytes of the assembly for channels in the wide form, which only networks that have some carry."""


def pack_depthwise(weights: IntArray, rescales: Sequence[Rescale]) -> PackedWeights:
    """Weights [channels, KH, KW] and the constants of each channel, in groups of 4 channels."""
    n, kh, kw = weights.shape
    groups = -(-n // GROUP)
    rows = np.zeros((groups * GROUP, kh, -(-kw // 4) * 4), np.int8)
    rows[:n, :, :kw] = weights
    consts = np.zeros((groups * GROUP, 4), np.int64)
    for c, r in enumerate(rescales):
        (k,) = r.channels
        mult = k.mult << 16 | k.mult if r.form == "mul15" else k.mult
        consts[c] = mult, k.bias, k.add, k.shift | FORMS.index(r.form) << 8
    words = (consts & 0xFFFFFFFF).astype("<u4")
    data = b"".join(rows[c].tobytes() + words[c].tobytes() for c in range(groups * GROUP))
    return PackedWeights(data, GROUP, len(data) // groups, Unit(0, rows[0].size, 16))


def form_of(attrs: ConvAttrs) -> str:
    """Forms with their numbers of channels."""
    found = Counter(r.form for r in attrs.rescales)
    return "+".join(f"{f}:{found[f]}" for f in FORMS if found[f])


class Depthwise(Layer[ConvAttrs]):
    """Each channel is convolved with its own kernel; a tile may take a slice of the channels."""

    op = "depthwise"
    kernel = "dory_depthwise"
    code = 12800
    rate = 0.9
    summary = "depthwise convolution, multiplier 1: any kernel, stride, dilation, asymmetric padding"

    def out_shape(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Shape:
        return conv_out_shape(attrs, shapes)

    def reference(self, attrs: ConvAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return conv_reference(attrs, inputs[0])

    def geometry(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], attrs.window),), c_step=GROUP)

    def highest(self, attrs: ConvAttrs, inputs: Sequence[int]) -> int:
        return attrs.requant.hi

    def weights(self, attrs: ConvAttrs) -> PackedWeights:
        w = attrs.weights[..., 0]
        return pack_depthwise(w.transpose(0, 2, 1) if attrs.turned else w, attrs.rescales)

    def code_bytes(self, attrs: Sequence[ConvAttrs]) -> int:
        return self.code + WIDE_CODE * any(r.form == "wide" for a in attrs for r in a.rescales)

    def tuned(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> ConvAttrs:
        """Turned where strips along the columns hold fewer surplus outputs."""
        h, w, _ = self.out_shape(attrs, shapes)
        return replace(attrs, turned=depthwise_cost.better_turned(attrs.window, h, w))

    def macs(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> int:
        return conv_macs(attrs, shapes)

    def plane_scratch(self, attrs: ConvAttrs, cores: int) -> PlaneScratch | None:
        return plane_scratch(attrs.window, cores, attrs.turned)

    def scratch_bytes(self, attrs: ConvAttrs, tile: TileShape, cores: int) -> int:
        """Planes of all cores (dory_depthwise_scratch)."""
        scratch = plane_scratch(attrs.window, cores, attrs.turned)
        return scratch.bytes(tile.out) if scratch else 0

    def constants(self, attrs: ConvAttrs) -> Mapping[str, Any]:
        return {**conv_constants(attrs), "form": form_of(attrs)}

    def cost_variant(self, layer: LayerPlan) -> str:
        return depthwise_cost.variant(layer)

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        return depthwise_cost.features(layer, work)

    def settings(self, layer: LayerPlan, tiles: np.ndarray, cores: int) -> np.ndarray:
        """Rows of a band."""
        return depthwise_cost.bands_of_many(layer.inputs[0].window, tiles, cores, layer.turned)

    def tile_constants(self, attrs: ConvAttrs, tile: Shape, cores: int) -> Mapping[str, Any]:
        return {"rows": band_rows(attrs.window, tile, cores, attrs.turned)}
