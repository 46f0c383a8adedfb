"""From real-number parameters of a convolution or matrix product to integer weights, bias and rescale.

    real_y[c] = gain[c] * (sx * sw[c] * sum_i w[c, i] * (x[i] - zx) + bias[c]) + offset[c]

becomes acc = b' + sum w * x and one rescale by gain * sx * sw / sy, with
b' = round((gain * bias + offset) / (sx * sw * gain)) - zx * sum(w).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from dory.frontend.onnx_file import NodeView
from dory.frontend.values import QConst, Quant, Target
from dory.graph.rescale import fixed_point, fold_constant_channels
from dory.graph.types import IntArray, Requant

BIAS_LIMIT = float(1 << 50)  # a bias beyond this is reported as an overflow all the same, and int64 sums stay exact


@dataclass(frozen=True, eq=False)
class Products:
    """Integer weights [channels, ...] (input axes last, any order), their scale per channel, and the real bias.

    bias_ints / bias_scale hold an int32 bias as the file has it; bias_real is its (or a float bias's) value.
    """

    weights: IntArray
    scale: NDArray[np.float64]
    bias_real: NDArray[np.float64]
    bias_ints: IntArray | None = None
    bias_scale: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Accumulation:
    """What the layer needs: weights and bias (input zero-point folded), rescale, and how many channels are constant."""

    weights: IntArray
    bias: IntArray
    requant: Requant
    constant_channels: int


def products(node: NodeView, weights: QConst, bias: tuple[NDArray[np.float64], QConst | None]) -> Products:
    """Check that weights [channels, ...] fit int8 and have one scale per channel."""
    flat, scales = weights.ints.reshape(weights.shape[0], -1), weights.scale.reshape(weights.shape[0], -1)
    if flat.min() < -128 or flat.max() > 127:
        raise node.error(
            f"its weights without their zero-point range over {flat.min()}..{flat.max()}",
            "weights must fit int8 around zero: quantise them symmetrically (signed, zero-point 0)",
        )
    if np.any(scales != scales[:, :1]):
        raise node.error(
            "its weights have scales that vary inside an output channel", "accepted: per tensor or per output channel"
        )
    real, quantised = bias
    ints = None if quantised is None else np.broadcast_to(quantised.ints.reshape(-1), real.shape)
    scale = None if quantised is None else np.broadcast_to(quantised.scale.reshape(-1), real.shape)
    return Products(weights.ints, scales[:, 0], real, ints, scale)


def accumulate(
    node: NodeView,
    x: Quant,
    x_range: tuple[int, int],
    p: Products,
    gain: NDArray[np.float64],
    offset: NDArray[np.float64],
    target: Target,
    limits: tuple[int, int],
    bits: int,
) -> Accumulation:
    """Weights, bias and rescale of the layer; UserError when an accumulator can leave 32 bits."""
    unit = x.scale * p.scale * gain
    weights = _flipped(node, p.weights, gain < 0)
    weights = np.where((gain == 0).reshape((-1,) + (1,) * (weights.ndim - 1)), 0, weights)
    unit = np.abs(unit)
    weights, unit = _finer(p, x.scale, gain, offset, weights, unit, target.scale)
    bias = np.rint(_bias(p, x.scale, gain, offset, unit))
    rows = weights.reshape(weights.shape[0], -1)
    total = bias - x.zero * rows.sum(1)
    lo, hi = limits
    weights, total, unit = _fold_extremes(weights, total, unit, offset + gain * p.bias_real, x_range, target, lo, hi)
    mult, shift = fixed_point(unit / target.scale, bits, node.where)
    requant = Requant(mult, shift, target.zero, lo, hi)
    folded = fold_constant_channels(weights, total.astype(np.int64), requant, *x_range, node.where)
    return Accumulation(*folded)


def _flipped(node: NodeView, weights: IntArray, negative: NDArray[np.bool_]) -> IntArray:
    """The rescale is never negative: a negative factor changes the sign of the channel's weights instead."""
    flipped = np.where(negative.reshape((-1,) + (1,) * (weights.ndim - 1)), -weights, weights)
    if flipped.max(initial=0) > 127:
        raise node.error(
            "a channel with a negative factor after it has a weight of -128, whose opposite is no int8",
            "fold the batch normalisation into the weights before quantising, or quantise weights to -127..127",
        )
    return flipped


def _finer(
    p: Products,
    sx: float,
    gain: NDArray[np.float64],
    offset: NDArray[np.float64],
    weights: IntArray,
    unit: NDArray[np.float64],
    out_scale: float,
) -> tuple[IntArray, NDArray[np.float64]]:
    """Weights times an integer, where narrow ones leave room and the bias is no multiple of a coarse unit.

    Products of 2-bit numbers have units larger than an output step, and rounding a bias to them would be seen. With the
    factor the rounding is at most 1/8 of an output step.
    """
    exact = _bias(p, sx, gain, offset, unit)
    fraction = np.abs(exact - np.rint(exact)) > 1e-3
    largest = np.abs(weights).reshape(weights.shape[0], -1).max(1)
    room = np.maximum(127 // np.maximum(largest, 1), 1)
    with np.errstate(all="ignore"):
        wanted = np.clip(np.nan_to_num(np.ceil(4 * unit / out_scale), nan=1.0), 1, 127).astype(np.int64)
    factor = np.where(fraction, np.minimum(room, wanted), 1)
    return weights * factor.reshape((-1,) + (1,) * (weights.ndim - 1)), unit / factor


def _bias(
    p: Products, sx: float, gain: NDArray[np.float64], offset: NDArray[np.float64], unit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The bias in accumulator units; an int32 bias of scale sx * sw is taken as it is."""
    with np.errstate(all="ignore"):
        real = (gain * p.bias_real + offset) / unit
        if p.bias_ints is not None and p.bias_scale is not None:
            same = np.abs(p.bias_scale / (sx * p.scale) - 1) < 1e-6
            real = np.where(same & (offset == 0), p.bias_ints * np.sign(gain), real)
    limited: NDArray[np.float64] = np.clip(np.nan_to_num(real), -BIAS_LIMIT, BIAS_LIMIT)
    return limited


def _fold_extremes(
    weights: IntArray,
    bias: NDArray[np.float64],
    unit: NDArray[np.float64],
    real_bias: NDArray[np.float64],
    x_range: tuple[int, int],
    target: Target,
    lo: int,
    hi: int,
) -> tuple[IntArray, NDArray[np.float64], NDArray[np.float64]]:
    """Make channels constant whose exact output cannot vary, or whose unit is too small for any fixed point.

    Done in float64 before the fixed-point form exists: a bias of 2**31 with a factor of 1e-23, or a float bias with a
    weight scale of 1e-30, has no integer form, but its output is one value.
    """
    rows = weights.reshape(weights.shape[0], -1)
    pos, neg = np.maximum(rows, 0).sum(1), np.minimum(rows, 0).sum(1)
    x_lo, x_hi = x_range
    weights, bias, unit = weights.copy(), bias.copy(), unit.copy()
    for c in range(bias.size):
        factor = float(unit[c]) / target.scale
        base = float(bias[c]) * factor
        if abs(float(bias[c])) >= BIAS_LIMIT / 2 or factor == 0:  # the input's zero-point is lost in such a bias
            base = float(real_bias[c]) / target.scale
        ends = (
            base + factor * float(x_lo * pos[c] + x_hi * neg[c]),
            base + factor * float(x_hi * pos[c] + x_lo * neg[c]),
        )
        low, high = (min(max(target.zero + floor(min(max(e, -1e6), 1e6) + 0.5), lo), hi) for e in ends)
        if low == high:
            weights[c], bias[c], unit[c] = 0, low - target.zero, target.scale
    return weights, bias, unit
