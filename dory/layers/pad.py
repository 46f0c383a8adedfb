"""Constant padding of H and W that no convolution could absorb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Shape, Window
from dory.layers.base import Access, Geometry, Layer
from dory.layers.cost import Number, Work, clamp, short, where
from dory.plan import LayerPlan


@dataclass(frozen=True)
class PadAttrs:
    """pads (top, left, bottom, right) in elements, value an integer of the tensor's type."""

    pads: tuple[int, int, int, int]
    value: int


class Pad(Layer[PadAttrs]):
    """A border of one value."""

    op = "pad"
    kernel = "dory_pad"
    code = 512
    summary = "constant padding of height and width"

    def out_shape(self, attrs: PadAttrs, shapes: Sequence[Shape]) -> Shape:
        h, w, c = shapes[0]
        t, left, b, r = attrs.pads
        return (h + t + b, w + left + r, c)

    def reference(self, attrs: PadAttrs, inputs: Sequence[IntArray]) -> IntArray:
        t, left, b, r = attrs.pads
        return np.pad(inputs[0], ((t, b), (left, r), (0, 0)), constant_values=attrs.value)

    def geometry(self, attrs: PadAttrs, shapes: Sequence[Shape]) -> Geometry:
        window = Window((1, 1), pads=attrs.pads)
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], window),))

    def highest(self, attrs: PadAttrs, inputs: Sequence[int]) -> int:
        return max(attrs.value, *inputs)

    def constants(self, attrs: PadAttrs) -> Mapping[str, Any]:
        return {"value": attrs.value}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[float, ...]:
        """Pixels inside with the bytes copied, outside with the bytes filled, and divisions of all by the width."""
        h_in, w_in, c = work.inputs[0]
        width = work.out[1]

        def inside(p: Number) -> Number:
            """Pixels before p that lie in the input."""
            y, x = p // width - work.pad[0], p % width - work.pad[1]
            partial = where((y >= 0) & (y < h_in), clamp(x, 0, w_in), 0)
            return clamp(y, 0, h_in) * w_in + partial

        words, rest = c // 4, c % 4
        rows = []
        for start, end in work.shares(work.pixels):
            copied = inside(end) - inside(start)
            filled = end - start - copied
            whole = where(rest == 0, copied * words, 0)
            divided = (end - start) * short(width)
            rows.append((copied, whole, copied * words - whole, copied * rest, filled, filled * c, divided))
        return (1.0, *work.busiest(rows, (100, 9, 9, 7, 50, 5, 3)))
