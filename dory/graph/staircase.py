"""Rising integer functions of an accumulator as the rescale that kernels compute, proved equal for every input.

An exporter's chain of multiplications, additions, divisions, floors and clips is a staircase: it is known completely by
its thresholds, the smallest accumulator that gives at least q, for every output q. The kernels' form

    y = clip(add + (((acc + bias) * mult + 2**(shift - 1)) >> shift), lo, hi)

is a staircase too. This module looks for constants whose thresholds are the same over all reachable accumulators.
Two facts make that possible although the half is fixed: any line between two bounds will do (the steps leave it room),
and `add`, an integer after the shift, moves the line by fractions of an accumulator step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dory.graph.types import ACC_MAX, ACC_MIN, IntArray

NEVER = 2**62  # threshold of an output that no accumulator reaches; -NEVER for one that all reach
MAX_MULT = 2**31 - 1
MAX_SHIFT = 62
MAX_ADD = 2**20  # add is searched within -MAX_ADD .. MAX_ADD


@dataclass(frozen=True)
class Line:
    """(acc * mult + offset) >> shift is the staircase for every offset in lo..hi."""

    mult: int
    shift: int
    lo: int
    hi: int


@dataclass(frozen=True)
class Constants:
    """add + (((acc + bias) * mult + 2**(shift-1)) >> shift)."""

    bias: int
    mult: int
    shift: int
    add: int


@dataclass(frozen=True, eq=False)
class Staircase:
    """f(acc) for acc in first..last: base plus the number of thresholds <= acc, which rise and lie inside the range.

    clipped_low, clipped_high: whether values below base, or above the top, may come out of the line, because the
    layer clips them.
    """

    first: int
    last: int
    base: int
    thresholds: IntArray
    clipped_low: bool
    clipped_high: bool

    @property
    def top(self) -> int:
        """f(last)."""
        return self.base + self.thresholds.size


def staircase(thresholds: IntArray, lo: int, first: int, last: int) -> Staircase:
    """The staircase with thresholds[i] for the output lo + 1 + i, over accumulators first..last."""
    below = int(np.count_nonzero(thresholds <= first))
    inside = int(np.count_nonzero(thresholds <= last))
    return Staircase(first, last, lo + below, thresholds[below:inside], below == 0, inside == thresholds.size)


def lines(s: Staircase, max_mult: int = MAX_MULT) -> Iterator[Line]:
    """Lines that are the staircase, smallest multipliers first."""
    lo, hi = _slopes(s)
    for shift in range(1, MAX_SHIFT + 1):
        low, high = int(np.floor(lo * 2.0**shift)) + 1, int(np.ceil(min(hi, 2.0**31) * 2.0**shift)) - 1
        if low > max_mult:
            return
        middle = (low + high) // 2
        tried = sorted({middle, middle + 1, middle - 1, low, high, low + (high - low) // 4, high - (high - low) // 4})
        for mult in tried:
            if max(low, 1) <= mult <= min(high, max_mult):
                line = _offsets(s, mult, shift)
                if line is not None:
                    yield line


def constants(s: Staircase, grain: int = 1) -> Constants | None:
    """Constants of the kernels' form, bias a multiple of `grain`; None when the function is too irregular for any."""
    if s.thresholds.size == 0:
        return Constants(0, 0, 1, s.base)
    found = list(lines(s))
    for reach in (1 << 6, 1 << 11, 1 << 15, MAX_ADD):
        for line in found:
            c = _split(line, s, reach, grain)
            if c is not None:
                return c
    return None


def _slopes(s: Staircase) -> tuple[float, float]:
    """Bounds of the slope in outputs per accumulator step, a little too wide; empty when lo >= hi.

    A line passes under q at threshold - 1 and not under q at the threshold, for each q. The room between the two is a
    concave function of the slope; Newton's method from either side finds where it ends.
    """
    t = s.thresholds.astype(np.float64)
    q = np.arange(1, t.size + 1, dtype=np.float64)
    above, below = (t, q), (t - 1, q)  # the line is at least q at above, and less at below
    if not s.clipped_low:
        above = (np.append(t, float(s.first)), np.append(q, 0.0))
    if not s.clipped_high:
        below = (np.append(t - 1, float(s.last)), np.append(q, t.size + 1.0))
    steep = 4.0 * (t.size + 1)  # beyond it nothing changes: the steps between are whole accumulators
    lo, hi = _newton(above, below, 0.0), _newton(above, below, steep)
    return max(lo, hi * 2.0**-24) * (1 - 1e-12), hi * (1 + 1e-12)


_Points: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def _newton(above: _Points, below: _Points, slope: float) -> float:
    for _ in range(100):
        upper, lower = below[1] - slope * below[0], above[1] - slope * above[0]
        i, j = int(np.argmin(upper)), int(np.argmax(lower))
        room, change = upper[i] - lower[j], above[0][j] - below[0][i]
        following = slope if room > 0 or change == 0 else float((above[1][j] - below[1][i]) / change)
        if following == slope:
            break
        slope = following
    return slope


def _offsets(s: Staircase, mult: int, shift: int) -> Line | None:
    wide = shift > 52 or mult * max(abs(s.first), abs(s.last), 1) >= 2**61
    t = s.thresholds.astype(object) if wide else s.thresholds
    q = np.arange(1, t.size + 1, dtype=object if wide else np.int64) + s.base
    level = q * (1 << shift) if wide else q << shift
    lo, hi = int((level - mult * t).max()), int((level - mult * (t - 1) - 1).min())
    if not s.clipped_low:
        lo = max(lo, (s.base << shift) - mult * s.first)
    if not s.clipped_high:
        hi = min(hi, ((s.top + 1) << shift) - mult * s.last - 1)
    return Line(mult, shift, lo, hi) if lo <= hi else None


def _split(line: Line, s: Staircase, reach: int, grain: int) -> Constants | None:
    """bias and add with lo <= bias * mult + (2 * add + 1) * 2**(shift - 1) <= hi: the smallest |add| <= reach."""
    step, half, mult = 1 << line.shift, 1 << (line.shift - 1), line.mult
    # A bias beyond 30 bits is of no use: it and the sums must stay in 32.
    room = (max(abs(line.lo), abs(line.hi)) + (mult << 30)) // step + 1
    reach = min(reach, room)
    wide = reach * step + max(abs(line.lo), abs(line.hi)) >= 2**61
    if wide and reach > 1 << 11:
        return None
    near = np.arange(reach + 1, dtype=object if wide else np.int64)
    add = np.concatenate([near, -near[1:]])
    base = add * step + half
    bias = -((base - line.lo) // (mult * grain)) * grain
    ok = bias * mult + base <= line.hi
    ok &= (bias + s.first >= ACC_MIN) & (bias + s.last <= ACC_MAX) & (bias >= ACC_MIN) & (bias <= ACC_MAX)
    hits = np.flatnonzero(ok)
    if not hits.size:
        return None
    i = min(hits.tolist(), key=lambda k: (abs(int(add[k])), int(add[k])))
    return Constants(int(bias[i]), mult, line.shift, int(add[i]))
