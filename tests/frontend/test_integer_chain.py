"""Chains of exact arithmetic: thresholds against evaluation, and the semantics of each step in fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor, trunc

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dory.errors import UserError
from dory.frontend.integer.chain import Chain, whole_numbers
from dory.frontend.onnx_file import NodeView

NODE = NodeView("net.onnx", "n", "Mul", "", (), ("y",), {}, onnx.NodeProto(), 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("times"), st.integers(1, 50)),
        st.tuples(st.just("plus"), st.integers(-500, 500)),
        st.tuples(st.just("over"), st.integers(1, 64)),
        st.tuples(st.just("floor"), st.just(0)),
        st.tuples(st.just("clip"), st.integers(0, 200)),
    ),
    max_size=8,
)


def one(value: int) -> np.ndarray:
    return np.array([value], np.int64)


def build(steps: list[tuple[str, int]], first: int, integral: bool) -> tuple[Chain, list[tuple[str, int]]]:
    """The chain, and the steps it is made of: fractions are floored before they are clipped, and at the end."""
    chain, done = replace(Chain.start(), integral=integral).times(NODE, one(first)), [("times", first)]
    for name, value in [*steps, ("floor", 0)]:
        if name == "clip" and not chain.whole:
            chain, done = chain.rounded(trunc=False), [*done, ("floor", 0)]
        done.append((name, value))
        if name == "times":
            chain = chain.times(NODE, one(value))
        elif name == "plus":
            chain = chain.plus(NODE, one(value))
        elif name == "over":
            chain = chain.over(NODE, value)
        elif name == "floor":
            chain = chain.rounded(trunc=False)
        else:
            chain = chain.clip(NODE, -value, value)
    return chain, done


def by_fractions(x: int, steps: list[tuple[str, int]], integral: bool) -> int:
    v = Fraction(x)
    for name, value in steps:
        if name == "times":
            v *= value
        elif name == "plus":
            v += value
        elif name == "over":
            v = Fraction(trunc(v / value)) if integral else v / value
        elif name == "floor":
            v = Fraction(floor(v))
        else:
            v = min(max(v, Fraction(-value)), Fraction(value))
    assert v.denominator == 1
    return int(v)


@given(STEPS, st.sampled_from([1, 3, -1, -7]), st.booleans(), st.lists(st.integers(-5000, 5000), min_size=1))
def test_steps_and_thresholds(steps: list[tuple[str, int]], first: int, integral: bool, xs: list[int]) -> None:
    chain, done = build(steps, first, integral)
    values = chain.apply(np.array(xs).reshape(-1, 1)).reshape(-1)
    assert values.tolist() == [by_fractions(x, done, integral) for x in xs]
    lo, hi = chain.bounds(NODE, one(min(xs)), one(max(xs)))
    assert lo[0] <= values.min() and values.max() <= hi[0]
    wanted = np.arange(-300, 301, 7)
    thresholds, falling = chain.thresholds(NODE, wanted, 1)
    assert bool(falling[0]) == (first < 0 and bool(chain.stages or not chain.trivial))
    x_at = -np.array(xs) if falling[0] else np.array(xs)
    assert np.array_equal(values[:, None] >= wanted, x_at[:, None] >= thresholds[0])


def test_refusals_name_the_node() -> None:
    start = Chain.start()
    with pytest.raises(UserError, match=r"node 'n' \(Mul\): a division by zero"):
        start.over(NODE, 0)
    with pytest.raises(UserError, match="clipped before it is rounded"):
        start.over(NODE, 3).clip(NODE, 0, 5).times(NODE, one(2))
    with pytest.raises(UserError, match="negative factor after a rounding"):
        start.over(NODE, 3).rounded(trunc=False).times(NODE, one(-2)).thresholds(NODE, np.array([0]), 1)
    with pytest.raises(UserError, match="beyond"):
        start.times(NODE, one(2**60)).times(NODE, one(2**60))
    with pytest.raises(UserError, match="not integers"):
        whole_numbers(NODE, np.array([1.0, 2.5]), "factors")
    with pytest.raises(UserError, match="not integers"):
        whole_numbers(NODE, np.array([np.nan]), "factors")
