"""Extremes of real networks: dead channels, huge biases, factors from 1e-23 to above 1, 128-fold cancellations."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dory.errors import UserError
from dory.frontend.accumulate import Products, accumulate
from dory.frontend.onnx_file import NodeView
from dory.frontend.values import Quant, Target

import onnx  # isort: skip

NODE = NodeView("net.onnx", "conv", "Conv", "", (), (), {}, onnx.NodeProto(), 17)


def layer(weights, sw, bias, *, sx=0.05, zx=7, sy=0.1, zy=9, lo=0, hi=255, bits=15, gain=1.0, offset=0.0, ints=True):  # type: ignore[no-untyped-def]
    """One-channel accumulation: (function of an input vector, folded channels)."""
    w = np.array([weights], np.int64)
    scale = np.array([sw], np.float64)
    real = np.array([bias * sx * sw if ints else bias], np.float64)
    p = Products(w, scale, real, np.array([bias]) if ints else None, scale * sx if ints else None)
    g, o = np.array([gain], np.float64), np.array([offset], np.float64)
    acc = accumulate(NODE, Quant(sx, zx), (0, 255), p, g, o, Target(sy, zy), (lo, hi), bits)

    def run(x: list[int]) -> int:
        total = acc.weights @ np.array(x, np.int64) + acc.bias
        assert np.all(np.abs(total) < 2**31)
        return int(acc.requant.apply(total)[0])

    return run, acc.constant_channels


def exact(weights, sw, bias, x, *, sx=0.05, zx=7, sy=0.1, zy=9, lo=0, hi=255):  # type: ignore[no-untyped-def]
    """Round half up of the exact rational result, clipped."""
    total = sum(w * (v - zx) for w, v in zip(weights, x, strict=True)) + bias
    y = Fraction(sx) * Fraction(sw) / Fraction(sy) * total + Fraction(1, 2)
    return min(max(zy + y.numerator // y.denominator, lo), hi)


@pytest.mark.parametrize("bits", (15, 31))
@pytest.mark.parametrize(
    ("weights", "bias", "factor"),
    [
        ([3, -128], -2147268964, 2.8e-23),
        ([0, 0], -2147268964, 2.8e-23),
        ([127, -128], 2**30, 1.3e-11),
        ([127, -128], -(2**30), 1e-7),
        ([127, -127], 0, 3.45),
        ([1, 0], 100, 200.0),
        ([127, 127], 12345, 2.0**-31),
        ([127, 127], 2**31 - 1 - 127 * 255 * 2 + 7 * 254, 3e-8),
        ([0, 0], 77, 0.5),
    ],
)
def test_extreme_channels_are_within_one(weights: list[int], bias: int, factor: float, bits: int) -> None:
    sw = factor * 0.1 / 0.05
    run, _ = layer(weights, sw, bias, bits=bits)
    for x in ([0, 0], [255, 255], [0, 255], [255, 0], [7, 7], [8, 6], [100, 3]):
        assert abs(run(x) - exact(weights, sw, bias, x)) <= 1


@pytest.mark.parametrize("sw", (1e-30, 1e-38, 1e-45))
def test_float_bias_of_a_channel_with_vanishing_weights(sw: float) -> None:
    """The bias in accumulator units would not fit 64 bits, but the output is one value."""
    run, folded = layer([127, -5], sw, 1.26, ints=False)
    assert folded == 1
    assert run([0, 255]) == 9 + 13


def test_overflow_that_matters_is_refused() -> None:
    with pytest.raises(UserError, match="32 bits"):
        layer([127] * 100000, 1e-6, 0)
    with pytest.raises(UserError, match="32 bits"):
        layer([1], 2.0**-33, 2**33)


def test_zero_gain_is_the_offset() -> None:
    run, folded = layer([127, -5], 0.1, 50, gain=0.0, offset=1.0)
    assert folded == 1 and run([3, 200]) == 19


def test_negative_gain_flips_the_weights() -> None:
    run, _ = layer([127, -5], 0.1, 50, gain=-1.0)
    assert run([7, 107]) == 9 + round((500 - 50) * 0.05)
    with pytest.raises(UserError, match="-128"):
        layer([-128], 0.1, 0, gain=-1.0)


@given(
    weights=st.lists(st.integers(-128, 127), min_size=1, max_size=8),
    bias=st.integers(-(2**30), 2**30),
    factor=st.floats(1e-12, 4.0),
    bits=st.sampled_from((15, 31)),
    zx=st.integers(0, 255),
    data=st.data(),
)
def test_any_channel_is_within_one(
    weights: list[int], bias: int, factor: float, bits: int, zx: int, data: st.DataObject
) -> None:
    sw = factor * 2
    run, _ = layer(weights, sw, bias, bits=bits, zx=zx)
    x = data.draw(st.lists(st.integers(0, 255), min_size=len(weights), max_size=len(weights)))
    assert abs(run(x) - exact(weights, sw, bias, x, zx=zx)) <= 1
