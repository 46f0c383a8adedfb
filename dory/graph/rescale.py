"""Fixed-point rescale factors: real factor -> (multiplier, shift), and channels that are constant.

The form is y = (acc * m + (1 << (s-1))) >> s with one rounding, half up; the width of m is part of the
graph, so that reference and kernels agree bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dory.errors import UserError
from dory.graph.types import ACC_MAX, ACC_MIN, IntArray, Requant

MAX_SHIFT = 62
RESCALE_BITS = (15, 31)


def fixed_point(factor: NDArray[Any], bits: int, where: str) -> tuple[IntArray, IntArray]:
    """Nearest m / 2**s with m < 2**bits for each factor >= 0.

    Factors below 2**-(62-bits+1) give (0, 1): with any 32-bit accumulator they round to zero.
    Raises UserError for factors that are not finite, negative or >= 2**30.
    """
    f = np.atleast_1d(np.asarray(factor, np.float64))
    if not np.all(np.isfinite(f)) or f.min() < 0 or f.max() >= 2.0**30:
        raise UserError(
            f"rescale factors range from {f.min()} to {f.max()}; accepted are finite ones in 0..2^30",
            where=where,
            hint="check the scales of this layer's input, weights and output",
        )
    mantissa, exponent = np.frexp(f)  # f = mantissa * 2**exponent, 0.5 <= mantissa < 1
    shift = (bits - exponent).astype(np.int64)
    mult = np.rint(np.ldexp(mantissa, bits)).astype(np.int64)
    carry = mult == (1 << bits)
    mult, shift = np.where(carry, mult >> 1, mult), np.where(carry, shift - 1, shift)
    left = shift < 1  # factors of 2**(bits-1) and more: a wider multiplier, which a table of forms allows
    mult = np.where(left, np.rint(f * 2).astype(np.int64), mult)
    shift = np.where(left, 1, shift)
    dead = (shift > MAX_SHIFT) | (f == 0)
    return np.where(dead, 0, mult), np.where(dead, 1, shift)


def fold_constant_channels(
    weights: IntArray, bias: IntArray, requant: Requant, x_lo: int, x_hi: int, where: str
) -> tuple[IntArray, IntArray, Requant, int]:
    """Replace channels whose output cannot vary by constants, and prove that the others stay in 32 bits.

    weights is [channels, ...] (any further axes are inputs), bias is [channels] with the input zero-point folded,
    x_lo..x_hi the range of every input element. Returns (weights, bias, requant, folded channels). A
    constant channel gets zero weights and (bias, mult, shift) = (y - zero_point, 2, 1), or (0, 0, 1) for the
    zero-point itself.
    Raises UserError when an accumulator of a channel that does vary can leave int32.
    """
    flat = weights.reshape(weights.shape[0], -1)
    pos, neg = np.maximum(flat, 0).sum(1), np.minimum(flat, 0).sum(1)
    lo = bias + x_lo * pos + x_hi * neg
    hi = bias + x_hi * pos + x_lo * neg
    mult = np.broadcast_to(requant.mult, bias.shape).copy()
    shift = np.broadcast_to(requant.shift, bias.shape).copy()
    new_w, new_b, folded = weights.copy(), bias.copy(), 0
    for c in range(bias.shape[0]):
        y_lo, y_hi = (_scalar(int(v), int(mult[c]), int(shift[c]), requant) for v in (lo[c], hi[c]))
        if y_lo == y_hi:
            new_w[c] = 0
            value = y_lo - requant.zero_point
            new_b[c], mult[c], shift[c] = (value, 2, 1) if value else (0, 0, 1)
            folded += 1
        elif lo[c] < ACC_MIN or hi[c] > ACC_MAX:
            raise UserError(
                f"the accumulator of output channel {c} can reach {lo[c]}..{hi[c]}, outside 32 bits",
                where=where,
                hint="re-quantise this layer with fewer input channels or a smaller bias",
            )
    return new_w, new_b, Requant(mult, shift, requant.zero_point, requant.lo, requant.hi), folded


def _scalar(acc: int, mult: int, shift: int, r: Requant) -> int:
    return min(max(r.zero_point + ((acc * mult + (1 << (shift - 1))) >> shift), r.lo), r.hi)
