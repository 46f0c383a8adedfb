"""Instruction-set simulator of GAP8: RV32IMC and Xpulp, nine cores, memories, DMA, HyperRAM, and timing."""

from dory.sim.iss.machine import FC, Machine
from dory.sim.iss.params import IssParams, RamLaw
from dory.sim.iss.program import Program, load_program
from dory.sim.iss.result import CAUSES, LayerRun, RunResult, SimulationError, Tally, TraceEvent

__all__ = [
    "CAUSES",
    "FC",
    "IssParams",
    "LayerRun",
    "Machine",
    "Program",
    "RamLaw",
    "RunResult",
    "SimulationError",
    "Tally",
    "TraceEvent",
    "load_program",
]
