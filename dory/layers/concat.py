"""Concatenation of tensors of one scale and zero-point (others are requantised before)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from dory.graph.types import IntArray, Shape
from dory.layers.base import Access, Geometry, Layer
from dory.layers.cost import Number, Work, misaligned, where
from dory.plan import LayerPlan

MAX_INPUTS = 8  # DORY_CONCAT_MAX in dory_kernels.h


@dataclass(frozen=True)
class ConcatAttrs:
    """axis 0 = H, 1 = W, 2 = C of the HWC tensors."""

    axis: int = 2


class Concat(Layer[ConcatAttrs]):
    """Line i of the output is line i of every input in turn; a line is what lies inside the axis."""

    op = "concat"
    kernel = "dory_concat"
    code = 512
    summary = f"concatenation along H, W or C, 2 to {MAX_INPUTS} inputs"

    def out_shape(self, attrs: ConcatAttrs, shapes: Sequence[Shape]) -> Shape:
        out = list(shapes[0])
        out[attrs.axis] = sum(s[attrs.axis] for s in shapes)
        return (out[0], out[1], out[2])

    def reference(self, attrs: ConcatAttrs, inputs: Sequence[IntArray]) -> IntArray:
        return np.concatenate(list(inputs), axis=attrs.axis)

    def geometry(self, attrs: ConcatAttrs, shapes: Sequence[Shape]) -> Geometry:
        lines = prod(shapes[0][: attrs.axis])
        views = [(lines, 1, prod(s) // lines) for s in shapes]
        out = (lines, 1, sum(v[2] for v in views))
        return Geometry(out, tuple(Access(v, channels="all") for v in views), split_w=False, split_c=False)

    def highest(self, attrs: ConcatAttrs, inputs: Sequence[int]) -> int:
        return max(inputs)

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Lines, pieces (also those cut for the cores), whole words, accesses across two of memory, left-over bytes."""
        sizes = [x.shape[2] for x in layer.inputs]
        by_lines = work.out[0] >= work.cores
        lines = where(by_lines, work.share(work.out[0]), work.out[0])
        pieces = [where(by_lines, s, work.share(s)) for s in sizes]
        words = sum(p // 4 for p in pieces)
        rest = sum(p % 4 for p in pieces)
        starts = (sum(sizes[:i]) for i in range(len(sizes)))
        across = sum(
            p // 4 * where(by_lines, misaligned(s) + _across(at, sum(sizes)), 2 * misaligned(p))
            for p, s, at in zip(pieces, sizes, starts, strict=True)
        )
        cut = where(by_lines, 0, lines * len(sizes))
        return (1.0, lines, lines * len(sizes), cut, lines * words, lines * across, lines * rest)


def _across(start: int, step: int) -> float:
    """Share of the words from `start` on in lines of `step` bytes that lie across two words of memory."""
    return sum((start + i * step) % 4 != 0 for i in range(4)) / 4
