"""Every kernel against an independent computation in int64, on any shape, team and data, with guarded buffers."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from jobs import (
    CONV3X3,
    POINTWISE,
    Sliding,
    channels,
    pairs,
    run_add,
    run_avgpool,
    run_concat,
    run_conv,
    run_depthwise,
    run_grouped,
    run_linear,
    run_lut,
    run_maxpool,
    run_pad,
    run_permute,
    run_softmax,
    seeds,
    sizes,
    teams,
    windows,
)


@given(seed=seeds, win=windows, c_in=channels, c_out=channels, cores=teams)
@example(seed=0, win=POINTWISE, c_in=8, c_out=8, cores=8)
@example(seed=1, win=POINTWISE, c_in=7, c_out=33, cores=8)
@example(seed=2, win=CONV3X3, c_in=3, c_out=9, cores=8)
@example(seed=3, win=Sliding((1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (0, 0)), c_in=16, c_out=70, cores=8)
def test_conv(harness: Any, seed: int, win: Sliding, c_in: int, c_out: int, cores: int) -> None:
    run_conv(harness.call, seed, win, c_in, c_out, cores)


@given(seed=seeds, win=windows, c=channels, cores=teams)
@example(seed=0, win=CONV3X3, c=8, cores=8)
def test_depthwise(harness: Any, seed: int, win: Sliding, c: int, cores: int) -> None:
    run_depthwise(harness.call, seed, win, c, cores)


@given(seed=seeds, win=windows, groups=st.integers(1, 5), per=pairs(st.integers(1, 4)), cores=teams)
def test_grouped_conv(harness: Any, seed: int, win: Sliding, groups: int, per: tuple[int, int], cores: int) -> None:
    run_grouped(harness.call, seed, win, groups, per, cores)


@given(seed=seeds, k=st.integers(1, 70), n=st.integers(1, 70), cores=teams)
def test_linear(harness: Any, seed: int, k: int, n: int, cores: int) -> None:
    run_linear(harness.call, seed, k, n, cores)


@given(seed=seeds, size=st.integers(1, 200), cores=teams)
def test_add(harness: Any, seed: int, size: int, cores: int) -> None:
    run_add(harness.call, seed, size, cores)


@given(seed=seeds, win=windows, c=channels, cores=teams)
def test_maxpool(harness: Any, seed: int, win: Sliding, c: int, cores: int) -> None:
    run_maxpool(harness.call, seed, win, c, cores)


@given(seed=seeds, win=windows, c=channels, cores=teams)
@example(seed=0, win=Sliding((7, 7), (1, 1), (7, 7), (1, 1), (1, 1), (0, 0)), c=65, cores=8)
def test_avgpool(harness: Any, seed: int, win: Sliding, c: int, cores: int) -> None:
    run_avgpool(harness.call, seed, win, c, cores)


@given(seed=seeds, size=st.integers(1, 300), cores=teams)
def test_lut(harness: Any, seed: int, size: int, cores: int) -> None:
    run_lut(harness.call, seed, size, cores)


@given(seed=seeds, hw=pairs(sizes), c=channels, pads=st.tuples(*[st.integers(0, 3)] * 4), cores=teams)
def test_pad(harness: Any, seed: int, hw: tuple[int, int], c: int, pads: Any, cores: int) -> None:
    run_pad(harness.call, seed, hw, c, pads, cores)


@given(seed=seeds, lines=st.integers(1, 20), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), cores=teams)
def test_concat(harness: Any, seed: int, lines: int, sizes: list[int], cores: int) -> None:
    run_concat(harness.call, seed, lines, sizes, cores)


@given(seed=seeds, shape=st.lists(st.integers(1, 6), min_size=1, max_size=6), cores=teams)
def test_permute(harness: Any, seed: int, shape: list[int], cores: int) -> None:
    run_permute(harness.call, seed, shape, cores)


@given(seed=seeds, rows=st.integers(1, 12), c=st.integers(1, 30), cores=teams)
@example(seed=0, rows=1, c=2000, cores=8)
def test_softmax(harness: Any, seed: int, rows: int, c: int, cores: int) -> None:
    run_softmax(harness.call, seed, rows, c, cores)
