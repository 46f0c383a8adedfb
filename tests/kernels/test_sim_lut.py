"""The table kernel on the simulator: with a copy of the table for each core, cycles do not depend on the data."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from numpy.typing import NDArray

from dory.layers import LAYERS
from dory.layers.lut import LARGE, LutAttrs
from dory.testing.kernel_runs import Job, run

pytestmark = pytest.mark.skipif(
    shutil.which("riscv64-unknown-elf-gcc") is None, reason="riscv64-unknown-elf-gcc is not installed"
)
RNG = np.random.default_rng(3)
TABLE = RNG.integers(0, 256, 256)
ANY = RNG.integers(0, 256, 4 * LARGE).astype(np.uint8)


def lut_job(x: NDArray[np.uint8], spread: bool, cores: int = 8) -> Job:
    layer, attrs = LAYERS["lut"], LutAttrs(TABLE, "any", spread)
    packed = layer.weights(attrs)
    assert packed
    fields = ["x", "w", "y", x.size, layer.constants(attrs)["step"]]
    return Job("lut", fields, {"x": x, "w": np.frombuffer(packed.data, np.uint8)}, {"y": x.size}, cores=cores)


@pytest.mark.parametrize("size", [LARGE, 4 * LARGE])
def test_cycles_with_copies_do_not_depend_on_the_data(size: int) -> None:
    """One value everywhere, mostly one value (a ReLU), and every core's own value in what would be one bank."""
    zeros = np.zeros(size, np.uint8)
    relu = np.where(RNG.random(size) < 0.6, 0, ANY[:size]).astype(np.uint8)
    stripes = (np.arange(size) // (size // 8) * 64).astype(np.uint8)
    data = [ANY[:size], zeros, relu, stripes]
    done = run([lut_job(x, True) for x in data], "gap8")
    for x, d in zip(data, done, strict=True):
        np.testing.assert_array_equal(d.output, TABLE[x])
    cycles = [d.cycles for d in done]
    assert max(cycles) < 1.1 * min(cycles)


def test_copies_are_worth_their_room_where_layers_have_them() -> None:
    """Without copies one value everywhere takes twice as long; with them nothing is lost on other data."""
    constant = np.full(LARGE, 7, np.uint8)
    pairs = [(x, spread) for x in (constant, ANY[:LARGE]) for spread in (False, True)]
    shared, own, shared_any, own_any = (d.cycles for d in run([lut_job(x, s) for x, s in pairs], "gap8"))
    assert shared > 1.8 * own
    assert own_any < 1.03 * shared_any


@pytest.mark.parametrize("cores", [1, 3, 8])
@pytest.mark.parametrize("size", [1, 3, 4, 31, 33, 1001])
def test_any_size_and_team(size: int, cores: int) -> None:
    for d in run([lut_job(ANY[:size], spread, cores) for spread in (False, True)], "gap8"):
        np.testing.assert_array_equal(d.output, TABLE[ANY[:size]])
