"""Constant padding of H and W that no convolution could absorb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dory.graph.types import IntArray, Shape, Window
from dory.layers.base import Access, Geometry, Layer


@dataclass(frozen=True)
class PadAttrs:
    """pads (top, left, bottom, right) in elements, value an integer of the tensor's type."""

    pads: tuple[int, int, int, int]
    value: int


class Pad(Layer[PadAttrs]):
    """A border of one value."""

    op = "pad"
    kernel = "dory_pad"
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

    def constants(self, attrs: PadAttrs) -> Mapping[str, Any]:
        return {"value": attrs.value}
