"""Every figure the simulator uses, with its unit and source.

"vendor simulator" figures were measured with small programs on the chip vendor's cycle-level simulator,
"board" figures on a GAP8 board; "choice" marks what neither source gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dory.errors import UserError


@dataclass(frozen=True)
class RamLaw:
    """Time of one HyperRAM transfer in FC cycles.

    max(floor, setup + bytes * per_byte + (ceil(bytes / burst_bytes) - 1) * per_burst)
    """

    setup: int
    per_byte: float
    per_burst: int = 0
    burst_bytes: int = 0
    floor: int = 0

    def _packed(self) -> dict[str, int]:
        return {
            "setup": self.setup,
            "per_byte_milli": round(self.per_byte * 1000),
            "per_burst": self.per_burst,
            "burst_bytes": self.burst_bytes,
            "floor": self.floor,
        }


@dataclass(frozen=True)
class IssParams:
    """A GAP8-class chip as the simulator sees it. The defaults are `gap8`, board figures first.

    Sizes are bytes; times are cycles of the core concerned unless the name says otherwise.
    """

    # Memories.
    cores: int = 8
    l1_base: int = 0x1000_0000
    l1_bytes: int = 64 * 1024
    l1_banks: int = 16
    l2_base: int = 0x1C00_0000
    l2_bytes: int = 512 * 1024
    ram_bytes: int = 8 * 1024 * 1024

    # Clocks, kHz. Only their ratio matters to cycle counts.
    fc_khz: int = 100_000
    cluster_khz: int = 100_000

    # Core timing beyond one cycle per instruction (vendor simulator; 140 programs agree to the cycle).
    load_use: int = 1
    mul_use: int = 1
    use_mulh: int = 1  # on top of either, when the instruction that waits is a mulh
    mulh: int = 5  # all of it
    div_base: int = 3  # + leading zeros of the divisor's magnitude, - 1 if it is negative
    branch_taken: int = 2
    jump: int = 1
    misaligned: int = 1
    l2_access: int = 9  # a cluster core's, all of it
    fc_l2_access: int = 1  # choice: the FC sits beside L2
    fc_l1_access: int = 9  # choice: as far as the cluster is from L2

    # The cluster's shared instruction cache; 0 bytes: none. 16 KiB: press material; 4 KiB: vendor simulator.
    icache_bytes: int = 16 * 1024
    icache_line: int = 16
    icache_ways: int = 4
    icache_miss: float = 12.3

    # Runtime calls: what the stub around them (call, li, ecall, return: 6 cycles) leaves of measured times.
    fork_start: int = 12  # fork + join of an empty function: about 30 with a warm cache
    fork_join: int = 10
    barrier: int = 8  # balanced: about 14
    elw: int = 2
    elw_wake: int = 6
    cluster_start_fc: int = 0  # FC cycles from the FC's call to core 0's first instruction; choice

    # Cluster DMA: issue + wait of one copy is max(52, 46 + bytes / 8), issuing alone 26; 2D about 60 + lines.
    dma_issue: int = 20
    dma_setup: int = 14
    dma_wake: int = 6
    dma_floor: int = 46
    dma_2d_setup: int = 28
    dma_bytes_per_cycle: int = 8
    dma_in_line_extra: int = 1
    dma_in_line_floor: int = 2
    dma_out_line_extra: int = 2
    dma_out_line_floor: int = 3
    dma_queue: int = 10  # commands under way before issuing blocks: 2 of the core, 8 of the engine
    dma_max_bytes: int = 65535
    l2_wait_dma_cap: int = 0  # most cycles that a core's L2 access waits behind the DMA; 0: it never does

    # HyperRAM. From the FC at 50 MHz (511 sizes on a board); from the cluster at 250/175 MHz. The cluster's
    # write law is its read law with the FC's difference between the two.
    ram_read_fc: RamLaw = RamLaw(379, 1.0, 170, 512)
    ram_write_fc: RamLaw = RamLaw(329, 1.03, 112, 512)
    ram_read_cl: RamLaw = RamLaw(223, 0.99, 187, 512)
    ram_write_cl: RamLaw = RamLaw(173, 1.02, 129, 512)
    ram_issue: int = 20  # choice: as a DMA command
    ram_wake: int = 0  # in the laws
    ram_offload_ns: int = 8000  # from a cluster core's call to the start of the transfer
    ram_offload_cycles: int = 0

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise UserError(problem, where="simulator parameters")

    def _problem(self) -> str:
        if not 1 <= self.cores <= 8:
            return f"cores is {self.cores}; 1 to 8 are simulated"
        if self.l1_banks < 1 or self.l1_banks & (self.l1_banks - 1):
            return f"l1_banks is {self.l1_banks}; a power of two is needed"
        for name in ("l1_base", "l1_bytes", "l2_base", "l2_bytes"):
            if getattr(self, name) % 64:
                return f"{name} is {getattr(self, name):#x}; a multiple of 64 is needed"
        line, ways = self.icache_line, self.icache_ways
        if self.icache_bytes and (
            line < 4 or line & (line - 1) or ways < 1 or self.icache_bytes % (line * ways)
        ):
            return f"icache_bytes is {self.icache_bytes}: no multiple of {ways} ways of {line} = 2^n bytes"
        if self.fc_khz < 1 or self.cluster_khz < 1:
            return "clocks must be positive"
        if min(self.mulh, self.l2_access, self.fc_l2_access, self.fc_l1_access, self.misaligned) < 1:
            return "mulh, memory accesses and misaligned take at least one cycle"
        if self.dma_floor < self.dma_wake or self.dma_bytes_per_cycle < 1 or self.div_base < 2:
            return "dma_floor >= dma_wake, dma_bytes_per_cycle >= 1 and div_base >= 2 are needed"
        return ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], base: IssParams | None = None) -> IssParams:
        """`base` (default: `gap8`) with `values` over it, RAM laws as tables.

        Raises UserError for unknown names.
        """
        start = base or cls()
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(f"unknown: {', '.join(unknown)}", where="simulator parameters")
        laws = {k: RamLaw(**v) for k, v in values.items() if isinstance(v, Mapping)}
        return dataclasses.replace(start, **{**values, **laws})

    def packed(self) -> dict[str, Any]:
        """As the C core takes it: whole numbers only."""
        out: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            out[f.name] = value._packed() if isinstance(value, RamLaw) else value
        out["icache_miss_milli"] = round(out.pop("icache_miss") * 1000)
        return out


def gap8() -> IssParams:
    """GAP8 with board figures where there are some."""
    return IssParams()


def gap8_gvsoc() -> IssParams:
    """GAP8 as the vendor's simulator has it."""
    from_cluster = RamLaw(330, 1.23)
    from_fc = RamLaw(255, 1.23, floor=413)
    return IssParams(
        icache_bytes=4 * 1024,
        l2_wait_dma_cap=900,
        ram_read_fc=from_fc,
        ram_write_fc=from_fc,
        ram_read_cl=from_cluster,
        ram_write_cl=from_cluster,
        ram_offload_ns=0,
        ram_offload_cycles=260,
    )


PRESETS = {"gap8": gap8, "gap8-gvsoc": gap8_gvsoc}
