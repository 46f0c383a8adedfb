"""A simulated GAP8: load a program, run it, look at what happened."""

from __future__ import annotations

from pathlib import Path

from dory import targets
from dory.errors import UserError
from dory.sim.iss import _iss
from dory.sim.iss.params import IssParams
from dory.sim.iss.program import Program, load_program
from dory.sim.iss.result import EVENT_KINDS, LayerRun, RunResult, SimulationError, Tally, TraceEvent

FC = _iss.FC
"""The fabric controller's core number; the cluster's are 0 ... 7."""

DEFAULT_MAX_CYCLES = 4_000_000_000

_KINDS = (
    "ok",
    "illegal instruction",
    "fetch",
    "access",
    "misaligned",
    "unwritten",
    "read in flight",
    "write in flight",
    "source in flight",
    "not live",
    "stack overflow",
    "max cycles",
    "deadlock",
    "call",
    "ebreak",
    "memory",
)


class Machine:
    """One instance is one chip: nothing is shared between instances."""

    def __init__(self, params: IssParams | str = "gap8") -> None:
        """`params`, or the name of a target. Raises UserError for an unknown name."""
        if isinstance(params, str):
            params = IssParams.of(targets.load(params))
        self.params = params
        self.program: Program | None = None
        self._core = _iss.Core(params.packed())

    def load_elf(self, path: str | Path) -> Program:
        """Puts the segments into L1 and L2. Raises UserError if the file is no program for this chip."""
        program = load_program(path)
        for segment in program.segments:
            padded = segment.data + bytes(segment.size - len(segment.data))
            try:
                self._core.write(segment.address, padded)
            except IndexError as error:
                raise UserError(
                    f"a segment of {segment.size} bytes at {segment.address:#010x} is outside L1 and L2",
                    where=str(path),
                ) from error
        self.program = program
        self._map_functions(program)
        return program

    def _map_functions(self, program: Program) -> None:
        low, high = self.params.l2_base, self.params.l2_base + self.params.l2_bytes
        code = [s for s in program.segments if s.executable and low <= s.address < high]
        if code:
            ranges = [(f.start, f.end) if low <= f.start < high else (low, low) for f in program.functions]
            self._core.set_functions(ranges, min(s.address for s in code), max(s.address + s.size for s in code))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Bytes into L1 or L2. Raises IndexError outside them."""
        self._core.write(address, data)

    def read(self, address: int, n: int) -> bytes:
        """Bytes from L1 or L2. Raises IndexError outside them."""
        return self._core.read(address, n)

    def write_ram(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Bytes into the HyperRAM. Raises IndexError outside it."""
        self._core.write_ram(offset, data)

    def read_ram(self, offset: int, n: int) -> bytes:
        """Bytes from the HyperRAM. Raises IndexError outside it."""
        return self._core.read_ram(offset, n)

    def dump(self) -> bytes:
        """What the last run's program handed over with ISS_DUMP, one piece after another."""
        return self._core.dump()

    def registers(self, core: int = FC) -> list[int]:
        """x0 ... x31 of a core as the last run left them."""
        return self._core.registers(core)

    def run(
        self,
        max_cycles: int = DEFAULT_MAX_CYCLES,
        *,
        profile: bool = False,
        trace: bool = False,
        core: int = FC,
        entry: int | None = None,
        registers: dict[int, int] | None = None,
    ) -> RunResult:
        """Runs from `entry` (default: the ELF's) on `core` until the program exits or that function returns.

        Memory keeps what earlier runs left; all else starts afresh. Raises SimulationError if the program
        fails or is still running after `max_cycles` cycles of its clock, UserError if there is no program.
        """
        if entry is None:
            if self.program is None:
                raise UserError("no program is loaded", hint="Machine.load_elf(path)")
            entry = self.program.entry
        self._core.start(core, entry, max_cycles, profile, trace)
        for number, value in (registers or {}).items():
            self._core.set_register(core, number, value & 0xFFFFFFFF)
        ended = self._core.run()
        result = self._result()
        if not ended:
            raise self._failure(result)
        return result

    def _result(self) -> RunResult:
        core, names = self._core, self._function_names()
        tallies = tuple(Tally.from_raw(t) for t in core.tallies())
        rows = [
            {n: Tally.from_raw(t) for n, t in zip(names, row, strict=True) if t[1]} for row in core.function_tallies()
        ]
        _, per_cycle = core.ticks()
        layers = []
        for i, (number, begin, end, cores) in enumerate(core.layers()):
            if end is None:
                continue
            functions = rows[i + 1] if i + 1 < len(rows) else {}
            layers.append(
                LayerRun(
                    number,
                    begin // per_cycle,
                    end // per_cycle - begin // per_cycle,
                    tuple(Tally.from_raw(t) for t in cores),
                    functions,
                )
            )
        return RunResult(
            exit_code=core.exit_code(),
            output=core.output(),
            fc_cycles=tallies[FC].cycles,
            cluster_cycles=max(t.cycles for t in tallies[:FC]),
            cores=tallies[: self.params.cores] + tallies[FC:],
            layers=tuple(layers),
            functions=_sum(rows),
            pcs={pc: Tally.from_raw(t) for pc, t in core.pc_tallies().items()},
            events=tuple(self._event(e, per_cycle) for e in core.events()),
        )

    def _function_names(self) -> list[str]:
        return ["(other)", *(f.name for f in self.program.functions)] if self.program else []

    def _event(self, raw: tuple[int, int, int, int, int, int], per_cycle: int) -> TraceEvent:
        begin, end, kind, track, a, b = raw
        name, size = EVENT_KINDS[kind], a
        if name == "core":
            function = self.program.function_at(a) if self.program else None
            label, size = function.name if function else f"{a:#010x}", 0
        elif name == "layer":
            label, size = f"layer {a}", 0
        else:
            label = f"{name} {a} B, job {b}"
        return TraceEvent(name, track, begin / per_cycle, end / per_cycle, label, size)

    def _failure(self, partial: RunResult) -> SimulationError:
        code, core, pc, address, size, other_pc, layer, text = self._core.error()
        kind = _KINDS[code]
        where = self.program.describe(pc) if self.program else f"{pc:#010x}"
        who = "the FC" if core == FC else f"cluster core {core}"
        message = _message(kind, who, pc, address, size, text, self.params)
        if other_pc:
            started = self.program.describe(other_pc) if self.program else f"{other_pc:#010x}"
            message += f"; the transfer was started at {started}"
        if layer >= 0:
            message += f"; in layer {layer}"
        return SimulationError(
            message,
            kind=kind,
            core=core,
            pc=pc,
            address=address,
            layer=layer if layer >= 0 else None,
            where=where,
            partial=partial,
        )


def _message(kind: str, who: str, pc: int, address: int, size: int, text: str, params: IssParams) -> str:
    at = f"{address:#010x}"
    access = f"{size} bytes at {at}" if size else at
    if text.startswith("as a side"):
        text = " " + text
        access = f"the {size} bytes from {at} on"
    else:
        text = f": {text}" if text else ""
    return {
        "illegal instruction": f"{who} met an illegal instruction at {pc:#010x}",
        "fetch": f"{who} jumped to {at}, which holds no code",
        "access": f"{who} touched {access}, outside L1 and L2{text}",
        "misaligned": f"{who}: misaligned access to {access}",
        "unwritten": f"{who} read {access} of L1 that nobody has written{text}",
        "read in flight": f"{who} read {access}, where a transfer not yet waited for writes{text}",
        "write in flight": f"{who} wrote {access}, where a transfer not yet waited for writes{text}",
        "source in flight": f"{who} wrote {access}, from where a transfer not yet waited for reads{text}",
        "not live": f"{who} touched {access}, which belongs to nothing alive{text}",
        "stack overflow": f"{who} moved its stack pointer to {at}, below its stack",
        "max cycles": f"{who} is still running after the allowed number of cycles",
        "deadlock": f"nobody can go on: {who} waits for cores that do not come (waiting: {size:#x})",
        "call": f"{who}{text} ({access})",
        "ebreak": f"{who} executed ebreak",
        "memory": "the simulator is out of memory",
    }[kind]


def _sum(rows: list[dict[str, Tally]]) -> dict[str, Tally]:
    total: dict[str, Tally] = {}
    for row in rows:
        for name, t in row.items():
            old = total.get(name)
            total[name] = (
                Tally(
                    old.instructions + t.instructions,
                    old.cycles + t.cycles,
                    {c: old.stalls[c] + n for c, n in t.stalls.items()},
                )
                if old
                else t
            )
    return total
