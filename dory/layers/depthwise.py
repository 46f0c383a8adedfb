"""Depthwise convolution with multiplier 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dory.graph.types import IntArray, Shape
from dory.layers.base import Access, Geometry, Layer, PackedWeights, pack_groups
from dory.layers.conv import (
    GROUP,
    ConvAttrs,
    conv_constants,
    conv_macs,
    conv_out_shape,
    conv_reference,
)


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
        rows = attrs.weights.reshape(attrs.weights.shape[0], -1)
        return pack_groups(rows, attrs.bias, attrs.requant, GROUP, interleave=False)

    def macs(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> int:
        return conv_macs(attrs, shapes)

    def constants(self, attrs: ConvAttrs) -> Mapping[str, Any]:
        return conv_constants(attrs)
