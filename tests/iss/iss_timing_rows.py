"""The published timing figures, each measured with a few instructions on the simulator.

Used by the tests (within 2 % or 2 cycles) and by benchmarks/iss.py (as a table).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iss_encode import code, li, word
from iss_presets import gap8, gap8_gvsoc

from dory.sim.iss import FC, IssParams, Machine

MAIN, STUBS, FUNCTION = 0x1C00_8000, 0x1C01_0000, 0x1C01_8000
L1, L2 = 0x1000_0000, 0x1C02_0000
RA, S0, S1, A0, T0, T1, S10, S11 = 1, 8, 9, 10, 5, 6, 26, 27
EXIT, DMA_START, DMA_WAIT, RAM_READ, RAM_WRITE, RAM_WAIT, FORK, BARRIER = 0, 8, 9, 10, 11, 12, 16, 17
NOP = word("addi")
CYCLE = 0xB00


@dataclass(frozen=True)
class Row:
    """One figure: what it should be and what it is, cycles."""

    name: str
    expected: float
    measured: float

    @property
    def good(self) -> bool:
        """Within 2 % or 2 cycles."""
        return abs(self.measured - self.expected) <= max(2.0, 0.02 * self.expected)


def stub(number: int) -> int:
    """Address of `li a7, number; ecall; ret`."""
    return STUBS + 16 * number


def stubs() -> bytes:
    bodies = [[word("addi", rd=17, imm=n), word("ecall"), word("jalr", rs1=RA), NOP] for n in range(32)]
    return b"".join(code(*b) for b in bodies)


class Text:
    """Instructions at an address."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.words: list[int] = []

    def add(self, *words: int) -> Text:
        self.words += words
        return self

    def call(self, number: int, arguments: Sequence[int | None] = ()) -> Text:
        """A runtime call through its stub, a0 ... set first (None: left as it is)."""
        for i, value in enumerate(arguments):
            if value is not None:
                self.add(*li(A0 + i, value))
        return self.add(word("jal", rd=RA, imm=stub(number) - self.base - 4 * len(self.words)))

    def timed(self, *words: int) -> Text:
        """Leaves the cycles of `words` plus 1 in s1 - s0."""
        return self.add(word("csrrs", rd=S0, imm=CYCLE), *words, word("csrrs", rd=S1, imm=CYCLE))

    def save_return(self) -> Text:
        return self.add(word("addi", rd=S11, rs1=RA))

    def finish(self) -> bytes:
        self.add(word("jalr", rs1=S11))
        return code(*self.words)


def elapsed(machine: Machine, core: int) -> int:
    registers = machine.registers(core)
    return (registers[S1] - registers[S0] - 1) & 0xFFFFFFFF


def run(machine: Machine, text: Text, core: int = 0) -> int:
    """Cycles between the two readings of the counter."""
    machine.write(STUBS, stubs())
    machine.write(MAIN, text.finish())
    machine.run(entry=MAIN, core=core)
    return elapsed(machine, core)


def warm(params: IssParams) -> Machine:
    return Machine(dataclasses.replace(params, icache_bytes=0))


def straight(machine: Machine, *words: int, setup: Sequence[int] = ()) -> int:
    return run(machine, Text(MAIN).save_return().add(*setup).timed(*words))


def core_rows() -> Iterator[Row]:
    m = warm(gap8_gvsoc())
    buffer = [*li(A0, L1), *li(11, L2), *li(12, 0xFFFF), *li(13, 0x12345678)]
    alu = [
        word("add", rd=T0, rs1=12, rs2=13),
        word("pv.add.b", rd=T0, rs1=12, rs2=13),
        word("pv.sdotusp.b", rd=T0, rs1=12, rs2=13),
        word("p.mac", rd=T0, rs1=12, rs2=13),
        word("mul", rd=T1, rs1=12, rs2=13),
    ]
    yield Row("ALU, SIMD, sdot, mac, mul: 5 instructions", 5, straight(m, *alu, NOP, setup=buffer) - 1)
    load, use = word("lw", rd=T0, rs1=A0), word("add", rd=T1, rs1=T0, rs2=T0)
    yield Row("TCDM load", 1, straight(m, load, NOP, setup=buffer) - 1)
    yield Row("load, then its use", 3, straight(m, load, use, setup=buffer))
    yield Row("mul, then its use", 3, straight(m, word("mul", rd=T0, rs1=12, rs2=13), use, setup=buffer))
    for name in ("mulh", "mulhu", "mulhsu"):
        yield Row(name, 5, straight(m, word(name, rd=T0, rs1=12, rs2=13), NOP, setup=buffer) - 1)
    for divisor in (0, 1, 2, 1000, 0x7FFFFFFF, 0x80000000):
        setup = [*buffer, *li(14, divisor)]
        zeros = 32 - divisor.bit_length()
        yield Row(f"divu by {divisor:#x}", zeros + 3, straight(m, word("divu", rd=T0, rs1=12, rs2=14), setup=setup))
    yield Row("branch taken", 3, straight(m, word("beq", imm=4)))
    yield Row("branch not taken", 1, straight(m, word("bne", imm=4)))
    yield Row("jal", 2, straight(m, word("jal", imm=4)))
    here = MAIN + 4 * (1 + 2 + 1)
    yield Row("jalr", 2, straight(m, word("jalr", rs1=14), setup=li(14, here + 4)))
    loop = [word("lp.setupi", imm=4, imm2=50), NOP, NOP]
    yield Row("hardware loop, 50 times 2 instructions", 1 + 100, straight(m, *loop))
    misaligned = word("lw", rd=T0, rs1=A0, imm=2)
    yield Row("load across a word boundary", 2, straight(m, misaligned, NOP, setup=buffer) - 1)
    far = word("lw", rd=T0, rs1=11)
    yield Row("L2 load", 9, straight(m, far, NOP, setup=buffer) - 1)
    yield Row("L2 load, then its use", 11, straight(m, far, use, setup=buffer))
    yield Row("L2 store", 9, straight(m, word("sw", rs1=11), setup=buffer))


def team(machine: Machine, *function: int) -> tuple[int, list[int]]:
    """Cycles of the second of two forks, and what each core measured in it."""
    body = Text(FUNCTION).save_return().call(BARRIER).timed(*function)
    machine.write(FUNCTION, body.finish())
    main = Text(MAIN).add(word("addi", rd=S10, rs1=RA))
    main.call(FORK, (8, FUNCTION, 0)).add(*li(A0, 8), word("csrrs", rd=18, imm=CYCLE)).call(FORK)
    main.add(word("csrrs", rd=19, imm=CYCLE), word("addi", rd=S11, rs1=S10))
    run(machine, main)
    registers = machine.registers(0)
    return registers[19] - registers[18] - 1, [elapsed(machine, i) for i in range(8)]


def team_rows() -> Iterator[Row]:
    params = gap8_gvsoc()
    m = warm(params)
    same_bank = [*li(T1, L1), word("lp.setupi", imm=2, imm2=64), word("lw", rd=T0, rs1=T1)]
    yield Row("8 cores, 64 loads each from one bank", 512 + 3, max(team(m, *same_bank)[1]))
    far = [*li(T1, L2), word("lp.setupi", imm=2, imm2=64), word("lw", rd=T0, rs1=T1)]
    yield Row("8 cores, 64 loads each from L2", 64 * 9 + 3, max(team(m, *far)[1]))
    barrier = Text(FUNCTION + 12).call(BARRIER).words
    yield Row("barrier of 8 balanced cores", 14, team(m, *barrier)[1][0])
    event = [*li(T1, 0x1020421C), word("p.elw", rd=T0, rs1=T1)]
    yield Row("p.elw on the hardware barrier", 1 + 2 + 6, team(m, *event)[1][0] - 2)
    m.write(FUNCTION, code(word("jalr", rs1=RA)))
    main = Text(MAIN).save_return().add(*li(A0, 8), *li(11, FUNCTION))
    fork = word("jal", rd=RA, imm=stub(FORK) - MAIN - 4 * (len(main.words) + 1))
    yield Row("fork + join of 8 cores, warm", 30, run(m, main.timed(fork)))
    lines = 64
    cold = Machine(params)
    nops = straight(cold, *[NOP] * (4 * lines))
    yield Row("instruction cache miss, per line", 12.3, (nops - 4 * lines) / lines)


def dma(machine: Machine, lines: int, size: int, out: bool, wait: bool = True) -> int:
    """Issue, and wait for, one copy of `lines` lines of `size` bytes, 2 * size apart in L2."""
    main = Text(MAIN).save_return()
    for i, value in enumerate((0, L1, L2, lines, size, 2 * size, int(out))):
        main.add(*li(A0 + i, value))
    main.add(word("csrrs", rd=S0, imm=CYCLE)).call(DMA_START)
    if wait:
        main.call(DMA_WAIT)
    main.add(word("csrrs", rd=S1, imm=CYCLE))
    if not wait:
        main.call(DMA_WAIT)
    return run(machine, main)


def queued(machine: Machine, copies: int, size: int) -> int:
    """Several copies issued into one job, then waited for."""
    main = Text(MAIN).save_return()
    for i, value in enumerate((0, L1, L2, 1, size, 0, 0)):
        main.add(*li(A0 + i, value))
    main.add(word("csrrs", rd=S0, imm=CYCLE))
    for i in range(copies):
        main.call(DMA_START)
        if i + 1 < copies:
            main.add(*li(11, L1 + (i + 1) * size))
    main.call(DMA_WAIT).add(word("csrrs", rd=S1, imm=CYCLE))
    return run(machine, main)


def dma_rows() -> Iterator[Row]:
    m = warm(gap8_gvsoc())
    yield Row("DMA: issuing alone", 26, dma(m, 1, 1024, False, wait=False))
    for out in (False, True):
        way = "L1 -> L2" if out else "L2 -> L1"
        for size in (4, 48, 64, 1024, 8192, 32768):
            yield Row(f"DMA {way}, 1D, {size} B", max(52, 46 + size / 8), dma(m, 1, size, out))
        for lines, size in ((8, 64), (32, 16), (100, 1), (64, 256)):
            line = max(3, size / 8 + 2) if out else max(2, size / 8 + 1)
            yield Row(f"DMA {way}, 2D, {lines} x {size} B", 60 + lines * line, dma(m, lines, size, out))
    yield Row("DMA: 8 queued copies of 2 KiB", 46 + 8 * 2048 / 8, queued(m, 8, 2048))


def ram(params: IssParams, size: int, number: int, core: int) -> int:
    """One HyperRAM transfer, issued and waited for, in the core's cycles."""
    m = warm(params)
    main = Text(MAIN).save_return()
    for i, value in enumerate((0, L2, 0, size)):
        main.add(*li(A0 + i, value))
    main.add(word("csrrs", rd=S0, imm=CYCLE)).call(number).call(RAM_WAIT).add(word("csrrs", rd=S1, imm=CYCLE))
    return run(m, main, core)


def ram_rows() -> Iterator[Row]:
    bursts = lambda size: -(-size // 512) - 1  # noqa: E731
    for size in (256, 512, 2048, 32768):
        read, write = 379 + size + 170 * bursts(size), 329 + 1.03 * size + 112 * bursts(size)
        yield Row(f"board: HyperRAM read, FC, {size} B", read, ram(gap8(), size, RAM_READ, FC))
        yield Row(f"board: HyperRAM write, FC, {size} B", write, ram(gap8(), size, RAM_WRITE, FC))
    fast = dataclasses.replace(gap8(), fc_khz=250_000, cluster_khz=175_000)
    for size in (512, 8192):
        microseconds = 8 + (223 + 0.99 * size + 187 * bursts(size)) / 250
        yield Row(f"board: HyperRAM read, cluster, {size} B", microseconds * 175, ram(fast, size, RAM_READ, 0))
    slow = dataclasses.replace(gap8_gvsoc(), fc_khz=50_000, cluster_khz=50_000)
    for size, cycles in ((512, 885), (1024, 1518), (4096, 5293), (32768, 40554)):
        yield Row(f"vendor simulator: HyperRAM read, FC, {size} B", cycles, ram(slow, size, RAM_READ, FC))
    for fc, cluster, cycles in ((50, 50, 40712), (150, 90, 25098), (250, 175, 29206)):
        clocked = dataclasses.replace(gap8_gvsoc(), fc_khz=fc * 1000, cluster_khz=cluster * 1000)
        name = f"vendor simulator: HyperRAM read, 32 KiB, cluster at {fc}/{cluster} MHz"
        yield Row(name, cycles, ram(clocked, 32768, RAM_READ, 0))


def all_rows() -> list[Row]:
    """Every row of the table."""
    return [*core_rows(), *team_rows(), *dma_rows(), *ram_rows()]
