"""From an exporter's chain to the constants of a layer, equal for every accumulator that can occur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dory.frontend.integer.chain import Chain
from dory.frontend.onnx_file import NodeView
from dory.graph.staircase import constants, lines, staircase
from dory.graph.types import ACC_MAX, ACC_MIN, IntArray

if TYPE_CHECKING:
    from dory.frontend.integer.sources import Limits

ADD_MULT_BITS = 15  # of the multipliers of an addition
ADD_SHIFT = 30


@dataclass(frozen=True, eq=False)
class Fit:
    """Per channel: sign to multiply weights and bias with, what to add to the bias, mult, shift and add of the rescale.

    `constant` channels have one output: add.
    """

    sign: IntArray
    bias: IntArray
    mult: IntArray
    shift: IntArray
    add: IntArray
    constant: np.ndarray


def fit_channels(
    node: NodeView,
    chain: Chain,
    lo: int,
    hi: int,
    first: IntArray,
    last: IntArray,
    keep_sign: np.ndarray,
    grain: int = 1,
) -> Fit:
    """The rescale of every channel for accumulators first..last and outputs lo..hi (add is the output, not the byte).

    keep_sign marks channels whose weights cannot change their sign: a falling chain gives them a negative multiplier.
    UserError when no constants of the kernels' form are exact.
    """
    n = max(first.size, chain.channels)
    first, last = np.broadcast_to(first, (n,)), np.broadcast_to(last, (n,))
    chain.bounds(node, first, last)  # proves that nothing overflows
    thresholds, falling = chain.thresholds(node, np.arange(lo + 1, hi + 1), n)
    out = {k: np.zeros(n, np.int64) for k in ("sign", "bias", "mult", "shift", "add")}
    constant = np.zeros(n, bool)
    for c in range(n):
        f, t = (int(first[c]), int(last[c])) if not falling[c] else (-int(last[c]), -int(first[c]))
        found = constants(staircase(thresholds[c], lo, f, t), grain)
        if found is None:
            raise node.error(
                f"the arithmetic after output channel {c} has no exact form (add + ((acc + bias) * mult >> shift))",
                "export with one multiplication, addition, division and clip after each layer",
            )
        sign, bias, mult = -1 if falling[c] else 1, found.bias, found.mult
        if falling[c] and keep_sign[c]:
            sign, bias, mult = 1, -bias, -mult
        constant[c] = mult == 0
        for key, value in (("sign", sign), ("bias", bias), ("mult", mult), ("shift", found.shift), ("add", found.add)):
            out[key][c] = value
    return Fit(**out, constant=constant)


def fit_line(
    node: NodeView, chain: Chain, limits: Limits, first: int, last: int, mults: tuple[int, int]
) -> tuple[tuple[int, int], int, int]:
    """(multipliers of both inputs, offset, shift) of an addition: the stored byte without zero-points.

    The sum is a * mults[0] + b * mults[1] in first..last. UserError when there is no form in 32 bits.
    """
    common = int(np.gcd(*mults)) or 1
    thresholds, falling = chain.thresholds(node, np.arange(limits.lo + 1, limits.hi + 1), 1)
    if falling[0]:
        raise node.error("a negative factor after an addition", "export the network with positive factors")
    reduced = np.where(np.abs(thresholds[0]) < 2**60, -(-thresholds[0] // common), thresholds[0])
    s = staircase(reduced, limits.lo, -(-first // common), last // common)
    small = (mults[0] // common, mults[1] // common)
    if s.thresholds.size == 0:
        return (0, 0), s.base << 1, 1
    for line in lines(s, (1 << ADD_MULT_BITS) - 1):
        scaled = (small[0] * line.mult, small[1] * line.mult)
        offset = min(max(0, line.lo), line.hi)
        reach = max(abs(m) for m in scaled) * 1024 + abs(offset) + (limits.zero << line.shift)
        ends = (offset - reach, offset + reach)
        fits = line.shift <= ADD_SHIFT and max(abs(m) for m in scaled) < 1 << ADD_MULT_BITS
        if fits and ends[0] >= ACC_MIN and ends[1] <= ACC_MAX:
            return scaled, offset, line.shift
    raise node.error(
        f"an addition with the factors {mults[0]} and {mults[1]} has no exact form in 32 bits",
        "export with smaller factors, and one division after the addition",
    )
