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
from dory.layers.cost import Number, Work, misaligned, most, same_bank, where
from dory.layers.window import out_hw, taps
from dory.plan import LayerPlan


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
    code = 1280
    summary = "max pooling: any kernel, stride, dilation, asymmetric padding"

    def out_shape(self, attrs: MaxPoolAttrs, shapes: Sequence[Shape]) -> Shape:
        return (*out_hw(attrs.window, shapes[0], "max pooling"), shapes[0][2])

    def reference(self, attrs: MaxPoolAttrs, inputs: Sequence[IntArray]) -> IntArray:
        views = [v for _, _, v in taps(inputs[0], attrs.window, -(1 << 31))]
        return clip(np.maximum.reduce(views), attrs.lo, attrs.hi)

    def geometry(self, attrs: MaxPoolAttrs, shapes: Sequence[Shape]) -> Geometry:
        return Geometry(self.out_shape(attrs, shapes), (Access(shapes[0], attrs.window),))

    def highest(self, attrs: MaxPoolAttrs, inputs: Sequence[int]) -> int:
        return max(attrs.lo, min(attrs.hi, inputs[0]))

    def constants(self, attrs: MaxPoolAttrs) -> Mapping[str, Any]:
        return {"lo": attrs.lo, "hi": attrs.hi}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Rows, pixels and words of 2x2 windows; of others pixels, words with their rows and taps, single channels.

        Pixels of 16 words of channels begin in one bank: so do the inputs of a window, and those of all cores.
        """
        window, c = layer.inputs[0].window, work.out[2]
        few = work.pixels < 2 * work.cores
        inside = (work.pad[0] == 0) & (work.pad[1] == 0) & (work.taps == 4 * work.pixels) & (c % 4 == 0) & ~few
        across, (one, half, _) = misaligned(c), same_bank(c // 4)
        if work.lucky:
            few, inside, c, across, one, half = False, True, c // 4 * 4, 0, 0, 0
        by_twos = window.kernel == (2, 2) and window.dilation == (1, 1)
        columns = work.taps / most(work.tap_rows * work.out[1], 1)
        two = one + half  # neighbours in a row are half as far apart as those below each other
        cores = []
        for pixels, words in zip(work.shares(work.pixels), work.shares(-(-c // 4)), strict=True):
            start, end = where(few, 0, pixels[0]), where(few, work.pixels, pixels[1])
            single = where(where(few, words[1] == -(-c // 4), True), c % 4, 0)
            full = words[1] - words[0] - (single > 0)
            full = where(few, where(full > 0, full, 0), c // 4)
            plain = where(by_twos & inside, end - start, 0)
            other = end - start - plain
            rows = work.rows_inside(window, start, end)
            lines = where(plain > 0, (end - 1) // work.out[1] - start // work.out[1] + 1, 0)
            taps = other * full * rows * columns
            cores.append(
                (
                    where(plain > 0, 1, 0),
                    lines,
                    plain,
                    plain * full,
                    plain * full * two,
                    other,
                    other * full,
                    other * full * rows,
                    taps,
                    taps * one,
                    taps * across,
                    other * single,
                    other * single * rows * columns,
                )
            )
        return (1.0, *work.busiest(cores, (40, 50, 5, 8, 1, 105, 8, 8, 3, 0, 2, 26, 10)))


class AvgPool(Layer[AvgPoolAttrs]):
    """Average over a window; global pooling is a window as large as the map."""

    op = "avgpool"
    kernel = "dory_avgpool"
    code = 1536
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

    def highest(self, attrs: AvgPoolAttrs, inputs: Sequence[int]) -> int:
        return attrs.hi

    def constants(self, attrs: AvgPoolAttrs) -> Mapping[str, Any]:
        return {"avg": attrs}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[Number, ...]:
        """Pixels, words with their columns of places and taps (across two words of memory), and single channels."""
        c, window = work.out[2], layer.inputs[0].window
        words, across = -(-c // 4), misaligned(c)
        columns = work.taps / most(work.tap_rows * work.out[1], 1)
        cores = []
        for start, end in work.shares(work.pixels * words):
            pixels = where(end > start, (end - 1) // words - start // words + 1, 0)
            singles = where(c % 4 != 0, end // words - start // words, 0)
            full = end - start - singles
            rows = work.rows_inside(window, start // words, -(-end // words))
            runs = where(columns == work.inputs[0][1], 1, rows)
            taps = rows * columns
            single = singles * (c % 4)
            cores.append((pixels, full, full * runs, full * taps, full * taps * across, single, single * taps))
        return (1.0, *work.busiest(cores, (175, 257, 21, 6, 2, 84, 7)))
