"""Standard convolution (any kernel, stride, dilation and asymmetric padding; pointwise included)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Shape
from dory.layers import conv_cost
from dory.layers.base import Access, Geometry, Layer, PackedWeights, PlaneScratch, Steps, TileShape
from dory.layers.convolution import ConvAttrs, conv_constants, conv_macs, conv_out_shape, conv_reference
from dory.layers.cost import Number, Work
from dory.layers.rescale import pack_form
from dory.layers.single_pixel import as_linear
from dory.plan import LayerPlan

DEEP_KERNEL = "dory_conv_sums"
"""The kernel of layers that take their input channels in steps."""
GROUP = 4  # output channels that share a group of packed weights
FORM_CODE = 5632  # bytes of dory_conv_FORM.c
FLAT_CHANNELS = 16  # at most so many input channels are gathered when they are no multiple of 4
FLAT_K = 320  # at most so many products of an output are gathered when they are


class Conv(Layer[ConvAttrs]):
    """Convolution over all input channels."""

    op = "conv"
    kernel = "dory_conv"
    code = 12288
    rate = 2.1
    summary = "convolution: any kernel, stride, dilation, asymmetric padding; 1x1 is pointwise"

    def out_shape(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Shape:
        return conv_out_shape(attrs, shapes)

    def reference(self, attrs: ConvAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return conv_reference(attrs, inputs[0])

    def geometry(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], attrs.window, "all"),), c_step=GROUP)

    def highest(self, attrs: ConvAttrs, inputs: Sequence[int]) -> int:
        return attrs.requant.hi

    def lowered(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> tuple[str, Any]:
        """A fully connected layer where there is one pixel: four pixels at a time would be three too many."""
        linear = as_linear(attrs, shapes[0])
        return ("linear", linear) if linear else super().lowered(attrs, shapes)

    def code_bytes(self, attrs: Sequence[ConvAttrs]) -> int:
        """The blocks of each form are apart."""
        return self.code + FORM_CODE * len({a.rescale.form for a in attrs} - {"exact"})

    def padded(self, attrs: ConvAttrs) -> ConvAttrs | None:
        """Where windows are rows of words then, or rows of few channels to be gathered; not where C code computes."""
        win, (_, kh, kw, c) = attrs.window, attrs.weights.shape
        if attrs.rescale.form == "exact" or not any(win.pads) or win.dilation[1] > 1 or kh * kw == 1:
            return None
        return replace(attrs, padded=True) if (kw * c >= 8 if c % 4 == 0 else c <= FLAT_CHANNELS) else None

    def weights(self, attrs: ConvAttrs) -> PackedWeights:
        """Groups of 4 channels: [K4/4][4 channels][4 bytes], then the constants of the layer's rescale form.

        Taps are in (ky, kx) order, the channels of each zero-filled to whole words; all of K without gaps, at least 8
        bytes, when the kernel gathers (`_is_flat`).
        """
        w = attrs.weights
        if not _is_flat(attrs):
            w = np.pad(w, ((0, 0), (0, 0), (0, 0), (0, -w.shape[3] % 4)))
        rows = w.reshape(w.shape[0], -1)
        if _is_flat(attrs):
            rows = np.pad(rows, ((0, 0), (0, max(0, 8 - rows.shape[1]))))
        return pack_form(rows, attrs.rescale, GROUP)

    def macs(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> int:
        return conv_macs(attrs, shapes)

    def scratch_bytes(self, attrs: ConvAttrs, tile: TileShape, cores: int) -> int:
        """Equals dory_conv_scratch: a copy with padding, and what windows that aren't read as rows take."""
        planes = self.plane_scratch(attrs, cores)
        return planes.bytes(tile.out) if planes else _fixed_scratch(attrs, cores)

    def plane_scratch(self, attrs: ConvAttrs, cores: int) -> PlaneScratch | None:
        """The copy: the columns of four outputs at least, a multiple of four of them."""
        win, c = attrs.window, attrs.weights.shape[3]
        if not attrs.padded:
            return None
        return PlaneScratch(c, 2**24, (win.span(0), win.span(1)), win.stride, fixed=_fixed_scratch(attrs, cores))

    def steps(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Steps | None:
        _, kh, kw, c = attrs.weights.shape
        return None if attrs.padded or _is_flat(attrs) else Steps(c, kh * kw, kw)

    def constants(self, attrs: ConvAttrs) -> Mapping[str, Any]:
        return {**conv_constants(attrs), "form": attrs.rescale.form}

    def cost_variant(self, layer: LayerPlan) -> str:
        return "" if layer.depth else conv_cost.variant(layer)

    def cost_floors(self, variant: str) -> Mapping[int, float]:
        return conv_cost.FLOORS.get(variant, {})

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        return conv_cost.step_features(layer, work) if layer.depth else conv_cost.features(layer, work)


def _is_flat(attrs: ConvAttrs) -> bool:
    """is_flat of dory_conv.c."""
    _, kh, kw, c = attrs.weights.shape
    return bool(c <= FLAT_CHANNELS if c % 4 else kh * kw > 1 and kh * kw * c <= FLAT_K)


def _in_place(attrs: ConvAttrs) -> bool:
    """Whether the kernel may take windows for rows of words, or copies tiles with their padding."""
    return attrs.padded or not any(attrs.window.pads)


def _is_rows(attrs: ConvAttrs) -> bool:
    """is_rows of dory_conv_work.h."""
    _, kh, kw, c = attrs.weights.shape
    return bool(_in_place(attrs) and c % 4 == 0 and kh * kw > 1 and attrs.window.dilation[1] == 1 and kw * c >= 8)


def _fixed_scratch(attrs: ConvAttrs, cores: int) -> int:
    """Some gathered pixels a core, or a row of padding, a pixel and run tables; nothing for rows of words."""
    _, kh, kw, c = attrs.weights.shape
    if _is_rows(attrs):
        return 0
    if _is_flat(attrs):
        k4 = max(8, -(-kh * kw * c // 4) * 4)
        pixels = 20 if k4 <= 32 else 10 if k4 <= 64 else 5
        return int(cores * (pixels * k4 + 8))
    return int((kw + 1) * (-(-c // 4) * 4) + cores * 16 * (kh * kw + 1))
