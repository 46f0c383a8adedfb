"""Transfer times against figures from boards and from the vendor's simulator."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dory import targets
from dory.sim.iss.params import IssParams, RamLaw
from dory.sim.model.events import LoopCosts, run_block
from dory.sim.model.laws import Ram, dma_copies, ram_fc_cycles, tile_copies
from dory.sim.model.tiles import Tile

PARAMS = IssParams.of(targets.load("gap8"))
VENDOR = IssParams.of(targets.load("gap8-gvsoc"))
SIZES = range(4, 8193, 4)


def board(size: int, setup: float, per_byte: float, burst: float) -> float:
    """Fits of 511 sizes measured on a board (FC cycles)."""
    return setup + per_byte * size + burst * (ceil(size / 512) - 1)


@pytest.mark.parametrize(
    ("law", "fit"),
    [
        (PARAMS.ram_read_fc, (379, 1.0, 170)),
        (PARAMS.ram_write_fc, (329, 1.03, 112)),
        (PARAMS.ram_read_cl, (223, 0.99, 187)),
    ],
    ids=("read", "write", "read from the cluster"),
)
def test_hyperram_is_as_on_the_board(law: RamLaw, fit: tuple[float, float, float]) -> None:
    errors = [abs(ram_fc_cycles(law, b) / board(b, *fit) - 1) for b in SIZES]
    assert np.mean(errors) <= 0.01 and max(errors) <= 0.01


@given(st.integers(1, 8192))
def test_sizes_that_are_no_words_move_whole_words(size: int) -> None:
    """Plans pad: the misaligned path costs 14.6 us more, so that a padded transfer must be the board's aligned one."""
    padded = -(-size // 4) * 4
    cycles = ram_fc_cycles(PARAMS.ram_read_fc, padded)
    assert cycles == pytest.approx(board(padded, 379, 1.0, 170), rel=0.01)
    assert cycles < board(size, 379, 1.0, 170) + 14.6 * PARAMS.fc_khz / 1000


# Vendor simulator, from the FC at 50/50 MHz.
@pytest.mark.parametrize(("size", "cycles"), [(512, 885), (1024, 1518), (4096, 5293), (32768, 40554)])
def test_hyperram_is_as_on_the_vendor_simulator(size: int, cycles: int) -> None:
    assert ram_fc_cycles(VENDOR.ram_read_fc, size) == pytest.approx(cycles, rel=0.005)


def test_one_transfer_after_the_other() -> None:
    ram = Ram(PARAMS)
    offload = 8000e-9 * PARAMS.cluster_khz * 1000
    begin, end = ram.start(100, 512)
    assert begin == pytest.approx(100 + offload) and end - begin == pytest.approx(223 + 507)
    again, _ = ram.start(200, 4, write=True)
    assert again == end
    assert (ram.read_bytes, ram.written_bytes) == (512, 4)


@given(st.integers(1, 65535))
def test_one_dma_command(size: int) -> None:
    """Issue and wait of one copy: max(52, 46 + bytes / 8) cycles, the calls around it left out (6)."""
    copies = dma_copies(PARAMS, 1, 1, size, False)
    tile = Tile((copies,), (), (), 0, 0, "")
    run = run_block([(tile, True, False, -1)], LoopCosts(0, 0, 0, 0, 0, 0), PARAMS)
    assert run.cycles == max(46, 40 + ceil(size / 8))
    assert run.dma_bytes == size


# A 1-byte-wide copy costs 2 cycles a byte, 16 times a wide one.
@pytest.mark.parametrize(
    ("lines", "line", "outward", "cycles"),
    [(10, 64, False, 90), (10, 1, False, 20), (10, 64, True, 100), (10, 1, True, 30), (1, 64, False, 8)],
)
def test_lines(lines: int, line: int, outward: bool, cycles: int) -> None:
    assert dma_copies(PARAMS, 1, lines, line, outward).cycles == cycles


@given(*(st.integers(1, 20) for _ in range(5)), st.booleans())
def test_a_tile_is_moved_whole_in_the_fewest_commands(
    width: int, channels: int, rows: int, cols: int, c: int, outward: bool
) -> None:
    cols, c = min(cols, width), min(c, channels)
    (copies,) = tile_copies(PARAMS, width, channels, rows, cols, c, outward)
    assert copies.bytes == rows * cols * c
    assert copies.commands == (rows if cols < width and c < channels else 1)


def test_nothing_is_moved_of_a_tile_in_the_padding() -> None:
    assert tile_copies(PARAMS, 5, 5, 0, 5, 5, False) == ()
