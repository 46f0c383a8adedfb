"""Addition of two tensors with different scales.

Both inputs are brought to a common grid of 2**-shift output steps and summed in int32; there is one rounding:

    y = clip((a * mult_a + b * mult_b + bias) >> shift, lo, hi)
    bias = zero_point_y << shift - zero_point_a * mult_a - zero_point_b * mult_b + (1 << (shift - 1))

The multipliers have at most 15 bits: the sum differs from the real one by less than 0.02 output steps before the
rounding, so that the result is within 1 LSB of the real-number one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dory.errors import UserError
from dory.graph.types import ACC_MAX, ACC_MIN, IntArray, Shape, Tensor, clip
from dory.layers.base import Access, Geometry, Layer
from dory.layers.cost import Number, Work
from dory.plan import LayerPlan

MULT_BITS = 15


@dataclass(frozen=True)
class AddAttrs:
    """Multipliers of the two inputs, bias (zero-points and the half included), shift and output range."""

    mult_a: int
    mult_b: int
    bias: int
    shift: int
    lo: int
    hi: int


def add_attrs(a: Tensor, b: Tensor, y: Tensor, lo: int, hi: int, where: str) -> AddAttrs:
    """The fixed-point form of y = a + b. UserError when the scales are too far apart for 32 bits."""
    fa, fb = a.scale / y.scale, b.scale / y.scale
    shift = MULT_BITS - int(np.ceil(np.log2(max(fa, fb) * (1 + 2.0**-16))))
    while shift >= 1:
        ma, mb = round(fa * 2**shift), round(fb * 2**shift)
        bias = (y.zero_point << shift) - a.zero_point * ma - b.zero_point * mb + (1 << (shift - 1))
        top = ma * a.qtype.hi + mb * b.qtype.hi + bias
        bottom = ma * a.qtype.lo + mb * b.qtype.lo + bias
        if shift <= 30 and bottom >= ACC_MIN and top <= ACC_MAX and max(ma, mb) < 2**MULT_BITS:
            return AddAttrs(ma, mb, bias, shift, lo, hi)
        shift -= 1
    raise UserError(
        f"the inputs' scales {a.scale:g} and {b.scale:g} cannot be brought to the output's {y.scale:g} in 32 bits",
        where=where,
        hint="re-calibrate: an addition's inputs and output should have comparable ranges",
    )


class Add(Layer[AddAttrs]):
    """Residual addition."""

    op = "add"
    kernel = "dory_add"
    code = 768
    summary = "addition of two tensors of one shape, each with its own scale and zero-point"

    def out_shape(self, attrs: AddAttrs, shapes: Sequence[Shape]) -> Shape:
        if shapes[0] != shapes[1]:
            raise UserError(f"addition of {shapes[0]} and {shapes[1]}: the shapes must be equal")
        return shapes[0]

    def reference(self, attrs: AddAttrs, inputs: Sequence[IntArray]) -> IntArray:
        a, b = (x.astype(np.int64) for x in inputs)
        y = (a * attrs.mult_a + b * attrs.mult_b + attrs.bias) >> attrs.shift
        return clip(y, attrs.lo, attrs.hi)

    def geometry(self, attrs: AddAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(shapes[0], (Access(shapes[0]), Access(shapes[1])))

    def highest(self, attrs: AddAttrs, inputs: Sequence[int]) -> int:
        return attrs.hi

    def constants(self, attrs: AddAttrs) -> Mapping[str, Any]:
        return {"add": attrs}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Words of four outputs; the last ones one by one."""
        size = work.pixels * work.out[2]
        return (1.0, work.share(work.up(size, 4)), size % 4)
