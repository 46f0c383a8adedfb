"""Transfer times: the target's DMA and HyperRAM laws, as the simulator applies them. Times are cluster cycles."""

from __future__ import annotations

from typing import NamedTuple

from dory.sim.iss.params import IssParams, RamLaw


class Copies(NamedTuple):
    """`commands` equal DMA commands: cycles of the engine for each, latency behind them, and all bytes."""

    commands: int
    cycles: int
    setup: int
    bytes: int


def dma_copies(p: IssParams, count: int, lines: int, line_bytes: int, outward: bool) -> Copies:
    """`count` commands of `lines` lines of `line_bytes` bytes, L2 -> L1 or (outward) back."""
    cycles = -(-line_bytes // p.dma_bytes_per_cycle)
    if lines == 1:
        return Copies(count, cycles, p.dma_setup, count * line_bytes)
    if outward:
        cycles = max(cycles + p.dma_out_line_extra, p.dma_out_line_floor)
    else:
        cycles = max(cycles + p.dma_in_line_extra, p.dma_in_line_floor)
    return Copies(count, lines * cycles, p.dma_2d_setup, count * lines * line_bytes)


def tile_copies(
    p: IssParams, width: int, channels: int, rows: int, cols: int, c: int, outward: bool
) -> tuple[Copies, ...]:
    """The commands that move rows x cols x c of a tensor with `width` columns and `channels` channels (dory_tile.h)."""
    if rows <= 0 or cols <= 0:
        return ()
    if c == channels:
        if cols == width:
            return (dma_copies(p, 1, 1, rows * cols * c, outward),)
        return (dma_copies(p, 1, rows, cols * c, outward),)
    if cols == width:
        return (dma_copies(p, 1, rows * cols, c, outward),)
    return (dma_copies(p, rows, cols, c, outward),)


def ram_fc_cycles(law: RamLaw, size: int) -> int:
    """FC cycles of one HyperRAM transfer of `size` bytes (a multiple of 4): 512-byte bursts, each re-armed."""
    bursts = -(-size // law.burst_bytes) if law.burst_bytes else 1
    per_byte = (size * round(law.per_byte * 1000) + 500) // 1000
    return max(law.setup + per_byte + (bursts - 1) * law.per_burst, law.floor)


class Ram:
    """The HyperRAM's queue: one transfer at a time, in the order of the calls from core 0 of the cluster."""

    def __init__(self, p: IssParams) -> None:
        self._p = p
        self._ratio = p.cluster_khz / p.fc_khz
        self._offload = p.ram_offload_ns * p.cluster_khz / 1e6 + p.ram_offload_cycles
        self.free = 0.0
        self.read_bytes = self.written_bytes = 0

    def start(self, t: int, size: int, write: bool = False) -> tuple[float, float]:
        """(begin, end) of a transfer whose call is made at cycle t."""
        law = self._p.ram_write_cl if write else self._p.ram_read_cl
        begin = max(self.free, t + self._offload)
        self.free = begin + ram_fc_cycles(law, size) * self._ratio
        if write:
            self.written_bytes += size
        else:
            self.read_bytes += size
        return begin, self.free
