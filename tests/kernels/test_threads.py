"""The split over the cores has no data race: a selection of jobs under the thread sanitizer."""

from __future__ import annotations

from typing import Any

import pytest
from jobs import (
    CONV3X3,
    POINTWISE,
    Sliding,
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
)

pytestmark = pytest.mark.slow

STRIDED = Sliding((7, 6), (3, 3), (3, 2), (2, 2), (1, 2), (1, 0))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("win", [POINTWISE, CONV3X3, STRIDED], ids=["1x1", "3x3", "strided"])
def test_no_data_races_in_windows(harness_tsan: Any, seed: int, win: Sliding) -> None:
    for c in (1, 5, 8, 19):
        run_conv(harness_tsan.call, seed, win, c, c + 2, 8)
        run_depthwise(harness_tsan.call, seed, win, c, 8)
        run_grouped(harness_tsan.call, seed, win, 3, (c, 2), 8)
        run_maxpool(harness_tsan.call, seed, win, c, 8)
        run_avgpool(harness_tsan.call, seed, win, c, 8)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_data_races_elsewhere(harness_tsan: Any, seed: int) -> None:
    for n in (1, 7, 30, 61):
        run_linear(harness_tsan.call, seed, n, n + 5, 8)
        run_add(harness_tsan.call, seed, n, 8)
        run_lut(harness_tsan.call, seed, n, 8)
        run_pad(harness_tsan.call, seed, (3, n), 3, (1, 2, 0, 1), 8)
        run_concat(harness_tsan.call, seed, n, [1, 5, n], 8)
        run_permute(harness_tsan.call, seed, [n, 3, 5], 8)
        run_softmax(harness_tsan.call, seed, n, 9, 8)
