"""A function's instructions with what each of them cost, from a profiled run."""

from __future__ import annotations

from dataclasses import dataclass

from dory.errors import UserError
from dory.sim.iss.disasm import disassemble
from dory.sim.iss.machine import Machine
from dory.sim.iss.result import RunResult, Tally


@dataclass(frozen=True)
class Line:
    """One instruction: its runs on all cores together, and their cycles, stalls included."""

    pc: int
    text: str
    tally: Tally | None

    @property
    def cycles_each(self) -> float:
        """Cycles per execution."""
        return self.tally.cycles / self.tally.instructions if self.tally and self.tally.instructions else 0.0


def listing(machine: Machine, result: RunResult, function: str) -> tuple[Line, ...]:
    """The lines of `function`. Raises UserError if the program has no function of this name."""
    program = machine.program
    found = [f for f in program.functions if f.name == function] if program else []
    if not found:
        raise UserError(f"the program has no function {function!r}")
    lines = []
    pc, end = found[0].start, found[0].end
    while pc < end:
        half = int.from_bytes(machine.read(pc, 2), "little")
        size = 4 if half & 3 == 3 else 2
        word = int.from_bytes(machine.read(pc, size), "little")
        lines.append(Line(pc, disassemble(word, pc), result.pcs.get(pc)))
        pc += size
    return tuple(lines)


def render(lines: tuple[Line, ...]) -> str:
    """As text: executions, cycles each, stalls by cause, instruction."""
    rows = [f"{'pc':>10} {'runs':>12} {'cycles':>7}  instruction"]
    for line in lines:
        runs = f"{line.tally.instructions:12d} {line.cycles_each:7.2f}" if line.tally else " " * 20
        stalls = {c: n for c, n in line.tally.stalls.items() if n} if line.tally else {}
        why = ", ".join(f"{c} {n}" for c, n in stalls.items())
        rows.append(f"0x{line.pc:08x} {runs}  {line.text:<36}{'# ' + why if why else ''}".rstrip())
    return "\n".join(rows)
