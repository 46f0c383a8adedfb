"""Grouped convolution with any number of groups (a depthwise one with a multiplier is such)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from dory.graph.types import IntArray, Shape
from dory.layers.base import Access, Geometry, Layer, PackedWeights, pack_groups
from dory.layers.convolution import ConvAttrs, conv_constants, conv_macs, conv_out_shape, conv_reference
from dory.layers.cost import Work
from dory.plan import LayerPlan


class GroupedConv(Layer[ConvAttrs]):
    """Every output channel has its own packed record, so that a tile may start inside a group."""

    op = "grouped_conv"
    kernel = "dory_grouped_conv"
    code = 1024
    rate = 0.3
    summary = "grouped convolution and depthwise with a multiplier"

    def out_shape(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Shape:
        return conv_out_shape(attrs, shapes)

    def reference(self, attrs: ConvAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return conv_reference(attrs, inputs[0])

    def geometry(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], attrs.window, "all"),))

    def highest(self, attrs: ConvAttrs, inputs: Sequence[int]) -> int:
        return attrs.requant.hi

    def weights(self, attrs: ConvAttrs) -> PackedWeights:
        rows = attrs.weights.reshape(attrs.weights.shape[0], -1)
        return pack_groups(rows, attrs.bias, attrs.requant, 1, interleave=False)

    def macs(self, attrs: ConvAttrs, shapes: Sequence[Shape]) -> int:
        return conv_macs(attrs, shapes)

    def constants(self, attrs: ConvAttrs) -> Mapping[str, Any]:
        cout, _, _, cg = attrs.weights.shape
        return {**conv_constants(attrs), "c_group_in": cg, "c_group_out": cout // attrs.groups}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[float, ...]:
        """Outputs, their taps inside and outside, and multiply-accumulates."""
        x = layer.inputs[0]
        taps = x.window.kernel[0] * x.window.kernel[1]
        outputs = work.share(work.pixels * work.out[2])
        inside = outputs * work.taps / work.pixels
        per_tap = layer.macs / prod(layer.output.shape) / taps  # weights are rounded up to whole words
        return (
            1.0,
            outputs,
            outputs * x.window.kernel[0],
            inside,
            inside * per_tap,
            outputs * taps - inside,
            (outputs * taps - inside) * per_tap,
            outputs / work.out[2],
        )
