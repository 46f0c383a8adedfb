"""Softmax over the channels of every pixel, in integers.

    e[i] = table[max - x[i]],  table[d] = round(2**16 * exp(-d * scale_in))
    y[i] = clip(zero_point + (e[i] * numerator + sum(e) // 2) // sum(e), lo, hi),  numerator = round(1 / scale_out)

One rounding of the table, one of the quotient: at most 1 LSB from the real-number softmax for scale_out >= 1/256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Shape, clip
from dory.layers.base import Access, Geometry, Layer, PackedWeights
from dory.layers.cost import Work
from dory.plan import LayerPlan


@dataclass(frozen=True, eq=False)
class SoftmaxAttrs:
    """table[256] of uint32 values, table[0] = 65536."""

    table: IntArray
    numerator: int
    zero_point: int
    lo: int = 0
    hi: int = 255


def softmax_table(scale_in: float) -> IntArray:
    """round(2**16 * exp(-d * scale_in)) for the distance d = 0..255 from the row's maximum."""
    table: IntArray = np.rint(65536.0 * np.exp(-np.arange(256) * scale_in)).astype(np.int64)
    return table


class Softmax(Layer[SoftmaxAttrs]):
    """Softmax over C."""

    op = "softmax"
    kernel = "dory_softmax"
    code = 1536
    summary = "softmax over the channels, by a table of exponentials and one division"

    def out_shape(self, attrs: SoftmaxAttrs, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def reference(self, attrs: SoftmaxAttrs, inputs: Sequence[IntArray]) -> IntArray:
        x = inputs[0].astype(np.int64)
        e = attrs.table[x.max(axis=2, keepdims=True) - x]
        total = e.sum(axis=2, keepdims=True)
        return clip((e * attrs.numerator + total // 2) // total + attrs.zero_point, attrs.lo, attrs.hi)

    def geometry(self, attrs: SoftmaxAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(shapes[0], (Access(shapes[0]),), split_c=False)

    def weights(self, attrs: SoftmaxAttrs) -> PackedWeights:
        data = attrs.table.astype("<u4").tobytes()
        return PackedWeights(data, 0, len(data))

    def constants(self, attrs: SoftmaxAttrs) -> Mapping[str, Any]:
        return {"softmax": attrs}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[float, ...]:
        """Rows and their elements."""
        rows = work.share(work.pixels)
        return (1.0, rows, rows * work.out[2])
