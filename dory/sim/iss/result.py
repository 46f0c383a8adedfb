"""What a run returns, in cycles of the clock domain concerned unless stated otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from dory.errors import CheckError

CAUSES = (
    "load-use",
    "branch",
    "multi-cycle",
    "misaligned",
    "bank conflict",
    "icache",
    "L2",
    "call",
    "DMA wait",
    "RAM wait",
    "barrier",
    "idle",
)
"""What cycles beyond one per instruction went to, in the order of the core's counters."""

EVENT_KINDS = ("core", "DMA in", "DMA out", "RAM read", "RAM write", "layer")


@dataclass(frozen=True)
class Tally:
    """instructions + the sum of stalls = cycles, for any core over any interval."""

    instructions: int
    cycles: int
    stalls: dict[str, int]

    @classmethod
    def from_raw(cls, raw: tuple[int, int, tuple[int, ...]]) -> Tally:
        """From the core's (instructions, cycles, stalls)."""
        return cls(raw[0], raw[1], dict(zip(CAUSES, raw[2], strict=True)))

    @property
    def busy(self) -> int:
        """Cycles with work to do: all but those in idle."""
        return self.cycles - self.stalls["idle"]


@dataclass(frozen=True)
class LayerRun:
    """One pair of layer marks. `begin` and `cycles` are in the cluster's clock; `cores` has the FC last."""

    id: int
    begin: int
    cycles: int
    cores: tuple[Tally, ...]
    functions: dict[str, Tally]


@dataclass(frozen=True)
class TraceEvent:
    """An interval, times in cluster cycles: `name` is what ran, `track` the core, `size` bytes moved."""

    kind: str
    track: int
    begin: float
    end: float
    name: str
    size: int


@dataclass(frozen=True)
class RunResult:
    """A finished run. Profiled runs fill `pcs`, `functions` and layers' functions, traced ones `events`."""

    exit_code: int
    output: bytes
    fc_cycles: int
    cluster_cycles: int
    cores: tuple[Tally, ...]
    layers: tuple[LayerRun, ...]
    functions: dict[str, Tally]
    pcs: dict[int, Tally]
    events: tuple[TraceEvent, ...]

    @property
    def instructions(self) -> int:
        """Of all cores."""
        return sum(c.instructions for c in self.cores)


class SimulationError(CheckError):
    """The program did what the chip would not survive, or get wrong. `partial` is what had been counted."""

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        core: int,
        pc: int,
        address: int,
        layer: int | None,
        where: str,
        partial: RunResult,
    ) -> None:
        self.kind = kind
        self.core = core
        self.pc = pc
        self.address = address
        self.layer = layer
        self.partial = partial
        super().__init__(message, where=where)
