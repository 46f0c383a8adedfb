"""Geometry and transfers of tiles (dory_tile.h) and the checksum."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from jobs import Sliding, channels, pairs, seeds, sizes, windows

from dory.graph.types import Window


@given(data=st.binary(max_size=300), piece=st.integers(1, 50))
def test_crc32_equals_zlib(harness: Any, data: bytes, piece: int) -> None:
    _, y = harness.call("crc32", [piece], [np.frombuffer(data, np.uint8)], 4)
    assert int.from_bytes(y.tobytes(), "little") == zlib.crc32(data)


@given(win=windows, o=pairs(st.integers(0, 40)), on=pairs(st.integers(1, 10)))
@example(win=Sliding((2, 2), (1, 1), (1, 2), (1, 3), (1, 1), (5, 4)), o=(0, 0), on=(1, 1))  # sees padding alone
@example(win=Sliding((2, 2), (1, 1), (1, 2), (5, 3), (1, 1), (0, 0)), o=(3, 9), on=(2, 1))  # behind the tensor
def test_ranges_equal_the_planner_s(harness: Any, win: Sliding, o: tuple[int, int], on: tuple[int, int]) -> None:
    window = Window(win.kernel, win.stride, win.dilation, (*win.pad, 0, 0))
    for axis in (0, 1):
        span = window.span(axis)
        fields = [o[axis], on[axis], win.stride[axis], win.pad[axis], span, win.hw_in[axis]]
        _, y = harness.call("range", fields, [], 16)
        i0, n, lo, hi = (int(v) for v in y.view("<i4"))
        assert (i0, i0 + n, lo, hi) == window.in_range(axis, o[axis], o[axis] + on[axis], win.hw_in[axis])


@given(seed=seeds, shape=st.tuples(sizes, sizes, channels))
def test_tiles_move_between_l2_and_l1(harness: Any, seed: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 256, shape, np.uint8)
    cuts = []
    for n in shape:
        whole = rng.random() < 0.3
        first = 0 if whole else int(rng.integers(0, n))
        cuts.append((first, n if whole else int(rng.integers(1, n - first + 1))))
    (r, rn), (c, cn), (k, kn) = cuts
    _, y = harness.call("tile", [shape[1], shape[2], r, rn, c, cn, k, kn], [x], x.size)
    want = np.zeros(shape, np.uint8)
    want[r : r + rn, c : c + cn, k : k + kn] = x[r : r + rn, c : c + cn, k : k + kn]
    assert np.array_equal(y, want.reshape(-1))
