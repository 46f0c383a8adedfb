"""Every figure the simulator uses. The values, with their sources, are in the target descriptions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dory.errors import UserError
from dory.targets import Target


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
    """A GAP8-class chip as the simulator sees it; the target description holds the values and their sources.

    Sizes are bytes; times are cycles of the core concerned unless the name says otherwise.
    """

    cores: int
    l1_base: int
    l1_bytes: int
    l1_banks: int
    l2_base: int
    l2_bytes: int
    ram_bytes: int
    fc_khz: int  # only the clocks' ratio matters to cycle counts
    cluster_khz: int
    load_use: int
    mul_use: int
    use_mulh: int
    mulh: int
    div_base: int
    branch_taken: int
    jump: int
    misaligned: int
    l2_access: int
    fc_l2_access: int
    fc_l1_access: int
    icache_bytes: int
    icache_line: int
    icache_ways: int
    icache_miss: float
    fork_start: int
    fork_join: int
    barrier: int
    elw: int
    elw_wake: int
    cluster_start_fc: int
    dma_issue: int
    dma_setup: int
    dma_wake: int
    dma_floor: int
    dma_2d_setup: int
    dma_bytes_per_cycle: int
    dma_in_line_extra: int
    dma_in_line_floor: int
    dma_out_line_extra: int
    dma_out_line_floor: int
    dma_queue: int
    dma_max_bytes: int
    l2_wait_dma_cap: int
    ram_read_fc: RamLaw
    ram_write_fc: RamLaw
    ram_read_cl: RamLaw
    ram_write_cl: RamLaw
    ram_issue: int
    ram_wake: int
    ram_offload_ns: int
    ram_offload_cycles: int

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
        if self.icache_bytes and (line < 4 or line & (line - 1) or ways < 1 or self.icache_bytes % (line * ways)):
            return f"icache_bytes is {self.icache_bytes}: no multiple of {ways} ways of {line} = 2^n bytes"
        if self.fc_khz < 1 or self.cluster_khz < 1:
            return "clocks must be positive"
        if min(self.mulh, self.l2_access, self.fc_l2_access, self.fc_l1_access, self.misaligned) < 1:
            return "mulh, memory accesses and misaligned take at least one cycle"
        if self.dma_floor < self.dma_wake or self.dma_bytes_per_cycle < 1 or self.div_base < 2:
            return "dma_floor >= dma_wake, dma_bytes_per_cycle >= 1 and div_base >= 2 are needed"
        return ""

    @classmethod
    def of(cls, target: Target) -> IssParams:
        """The parameters of a target. Raises UserError for keys too many or too few, and for nonsense values."""
        known = {f.name for f in dataclasses.fields(cls)}
        fixed: dict[str, Any] = {
            "cores": target.cluster.cores,
            "l1_bytes": target.l1.bytes,
            "l2_bytes": target.l2.bytes,
            "ram_bytes": target.l3.bytes,
            "fc_khz": target.clocks.fc_khz,
            "cluster_khz": target.clocks.cluster_khz,
            "dma_max_bytes": target.dma.max_bytes,
        }
        wanted, given = known - set(fixed), set(target.timing)
        where = f"target {target.name}, [timing]"
        if given != wanted:
            wrong = [f"unknown {k}" for k in sorted(given - wanted)] + [f"missing {k}" for k in sorted(wanted - given)]
            raise UserError(", ".join(wrong), where=where, hint='compare with gap8.toml, or say base = "gap8"')
        values = {k: _value(k, v, where) for k, v in target.timing.items()}
        return cls(**fixed, **values)

    def packed(self) -> dict[str, Any]:
        """As the C core takes it: whole numbers only."""
        out: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            out[f.name] = value._packed() if isinstance(value, RamLaw) else value
        out["icache_miss_milli"] = round(out.pop("icache_miss") * 1000)
        return out


def _value(key: str, value: Any, where: str) -> Any:
    """A RAM law, or a number >= 0."""
    law = key.startswith("ram_read") or key.startswith("ram_write")
    if law and isinstance(value, Mapping):
        try:
            return RamLaw(**{k: _value(f"{key}.{k}", v, where) for k, v in value.items()})
        except TypeError as e:
            raise UserError(f"{key} = {dict(value)}: {e}", where=where, hint="setup, per_byte, ...") from e
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    if not number or (law and "." not in key):
        raise UserError(f"{key} = {value!r}: {'a table' if law else 'a number >= 0'} is wanted", where=where)
    return value
