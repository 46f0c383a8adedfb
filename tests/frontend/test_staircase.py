"""Exact rescale constants: against the staircase they must reproduce, in Python integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dory.graph.staircase import Constants, constants, lines, staircase

FACTORS = st.integers(1, 2**19)
DIVISORS = st.one_of(st.integers(1, 24).map(lambda n: 2**n), st.integers(2, 24).map(lambda n: 2**n - 1))
TERMS = st.integers(-(2**27), 2**27)
TOPS = st.sampled_from([1, 3, 15, 255])
REACHES = st.integers(0, 27).flatmap(lambda n: st.integers(0, 2**n))


def line_of(c: Constants, x: int, lo: int, hi: int) -> int:
    return min(max(c.add + (((x + c.bias) * c.mult + (1 << (c.shift - 1))) >> c.shift), lo), hi)


def interesting(first: int, last: int, thresholds: np.ndarray) -> list[int]:
    near = {first, last, 0, *thresholds.tolist(), *(thresholds - 1).tolist()}
    return sorted(x for x in near if first <= x <= last)


@given(FACTORS, DIVISORS, TERMS, TOPS, REACHES, REACHES, st.sampled_from([1, 2, 9]))
def test_floor_of_an_affine_map(k: int, d: int, term: int, top: int, down: int, up: int, grain: int) -> None:
    """clip(floor((k x + l) / d), 0, top) for x in -down..up: NEMO's and Quantlab's rescale."""
    q = np.arange(1, top + 1)
    s = staircase(-((term - q * d) // k), 0, -down, up)
    c = constants(s, grain)
    if c is None:  # never for the exporters' own divisors and any bias
        assert grain > 1
        return
    assert c.bias % grain == 0 and abs(c.mult) < 2**31 and 1 <= c.shift <= 62
    for x in interesting(-down, up, s.thresholds):
        assert line_of(c, x, 0, top) == min(max((k * x + term) // d, 0), top)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(0, 80))
def test_any_staircase_is_exact_or_refused(steps: list[int], last: int) -> None:
    thresholds = np.cumsum(np.array(steps))
    s = staircase(thresholds, 0, 0, last)
    c = constants(s)
    for x in range(last + 1):
        want = int(np.count_nonzero(thresholds <= x))
        assert c is None or line_of(c, x, 0, len(steps)) == want
        for line in list(lines(s))[:3] if s.thresholds.size else []:
            for offset in (line.lo, line.hi):
                assert min(max((x * line.mult + offset) >> line.shift, 0), len(steps)) == want


def test_an_irregular_staircase_has_no_line() -> None:
    assert constants(staircase(np.array([10, 11, 12, 100, 101]), 0, 0, 200)) is None


def test_a_constant_is_the_constant() -> None:
    c = constants(staircase(np.array([5, 10]), 0, 6, 9))
    assert c == Constants(0, 0, 1, 1)


def test_the_mean_of_two_without_a_half() -> None:
    """floor(x / 2) although the kernels add a half: the multiplier is a little smaller than one half."""
    q = np.arange(1, 256)
    c = constants(staircase(2 * q, 0, 0, 510), grain=2)
    assert c is not None and [line_of(c, x, 0, 255) for x in range(511)] == [x // 2 for x in range(511)]
