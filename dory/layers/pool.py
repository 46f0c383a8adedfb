"""Max and average pooling.

Average: sum of (x - zero_point_in) over the valid inputs of the window, then one rescale whose multiplier holds
1/count. Ties round half up. Without padding in the count, border windows have their own count and multiplier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Shape, Window, clip
from dory.layers.base import Access, Geometry, Layer, PackedWeights
from dory.layers.window import out_hw, taps


@dataclass(frozen=True)
class MaxPoolAttrs:
    """Window and output range; padding never wins."""

    window: Window
    lo: int = 0
    hi: int = 255


@dataclass(frozen=True, eq=False)
class AvgPoolAttrs:
    """mult[n] is the multiplier for n valid inputs (n = 0 .. kernel area), with one common shift."""

    window: Window
    mult: IntArray
    shift: int
    zero_in: int
    zero_point: int
    lo: int
    hi: int


class MaxPool(Layer[MaxPoolAttrs]):
    """Maximum over a window."""

    op = "maxpool"
    kernel = "dory_maxpool"
    summary = "max pooling: any kernel, stride, dilation, asymmetric padding"

    def out_shape(self, attrs: MaxPoolAttrs, shapes: Sequence[Shape]) -> Shape:
        return (*out_hw(attrs.window, shapes[0], "max pooling"), shapes[0][2])

    def reference(self, attrs: MaxPoolAttrs, inputs: Sequence[IntArray]) -> IntArray:
        views = [v for _, _, v in taps(inputs[0], attrs.window, -(1 << 31))]
        return clip(np.maximum.reduce(views), attrs.lo, attrs.hi)

    def geometry(self, attrs: MaxPoolAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], attrs.window),))

    def constants(self, attrs: MaxPoolAttrs) -> Mapping[str, Any]:
        return {"lo": attrs.lo, "hi": attrs.hi}


class AvgPool(Layer[AvgPoolAttrs]):
    """Average over a window; global pooling is a window as large as the map."""

    op = "avgpool"
    kernel = "dory_avgpool"
    summary = "average pooling (global included), padding counted or not"

    def out_shape(self, attrs: AvgPoolAttrs, shapes: Sequence[Shape]) -> Shape:
        return (*out_hw(attrs.window, shapes[0], "average pooling"), shapes[0][2])

    def reference(self, attrs: AvgPoolAttrs, inputs: Sequence[IntArray]) -> IntArray:
        x = inputs[0].astype(np.int64) - attrs.zero_in
        ones = np.ones((*x.shape[:2], 1), np.int64)
        total = sum(v for _, _, v in taps(x, attrs.window, 0))
        count = sum(v for _, _, v in taps(ones, attrs.window, 0))
        y = (total * attrs.mult[count] + (1 << (attrs.shift - 1))) >> attrs.shift
        return clip(y + attrs.zero_point, attrs.lo, attrs.hi)

    def geometry(self, attrs: AvgPoolAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], attrs.window),))

    def weights(self, attrs: AvgPoolAttrs) -> PackedWeights:
        data = attrs.mult.astype("<i4").tobytes()
        return PackedWeights(data, 0, len(data))

    def constants(self, attrs: AvgPoolAttrs) -> Mapping[str, Any]:
        return {"avg": attrs}
