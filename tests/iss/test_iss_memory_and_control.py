"""Loads, stores, jumps and hardware loops, in both clock domains and every addressing mode."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iss_encode import RET, code, li, word
from iss_presets import gap8, gap8_gvsoc

from dory.sim.iss import FC, Machine, SimulationError, _iss

PROGRAM = 0x1C00_8000
L1, L2 = 0x1000_0400, 0x1C04_0000
MACHINE = Machine(dataclasses.replace(gap8_gvsoc(), icache_bytes=0))
WIDTH = {"lb": (1, True), "lbu": (1, False), "lh": (2, True), "lhu": (2, False), "lw": (4, False)}
STORE = {"sb": 1, "sh": 2, "sw": 4}
base = st.sampled_from([L1, L2])
offset = st.integers(-64, 64)
quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def run(words: list[int], registers: dict[int, int], core: int = 0) -> list[int]:
    MACHINE.write(PROGRAM, code(*words, RET))
    MACHINE.run(entry=PROGRAM, core=core, registers=registers)
    return MACHINE.registers(core)


def addressed(name: str, form: str, at: int, step: int) -> tuple[int, dict[int, int], int]:
    """The access of rd or rs2 = x13, base x11, in one addressing mode: (word, registers, base afterwards)."""
    load = name.startswith("l")
    data = {"rd": 13} if load else {"rs2": 13}
    plain, post, register, both = ("L", "LP", "LR", "LRP") if load else ("S", "SP", "SR", "SRP")
    index = {"rs2": 12} if load else {"rd": 12}
    prefix = "" if form == plain else "p."
    if form == plain:
        return word(name, rs1=11, imm=step, form=form, **data), {11: at - step}, at - step
    if form == post:
        return word(prefix + name, rs1=11, imm=step, form=form, **data), {11: at}, at + step
    w = word(prefix + name, rs1=11, form=form, **data, **index)
    if form == register:
        return w, {11: at - step, 12: step}, at - step
    assert form == both
    return w, {11: at, 12: step}, at + step


@pytest.mark.parametrize("form", ["L", "LP", "LR", "LRP"])
@pytest.mark.parametrize("name", WIDTH)
@pytest.mark.parametrize("core", [0, FC])
def test_load(name: str, form: str, core: int) -> None:
    size, signed = WIDTH[name]

    @quick
    @given(memory=base, at=st.integers(64, 128), step=offset, data=st.binary(min_size=4, max_size=4))
    def check(memory: int, at: int, step: int, data: bytes) -> None:
        MACHINE.write(memory + at, data)
        w, registers, after = addressed(name, form, memory + at, step)
        got = run([w], registers, core)
        assert got[13] == int.from_bytes(data[:size], "little", signed=signed) & 0xFFFFFFFF
        assert got[11] == after & 0xFFFFFFFF

    check()


@pytest.mark.parametrize("form", ["S", "SP", "SR", "SRP"])
@pytest.mark.parametrize("name", STORE)
@pytest.mark.parametrize("core", [0, FC])
def test_store(name: str, form: str, core: int) -> None:
    @quick
    @given(memory=base, at=st.integers(64, 128), step=offset, value=st.integers(0, 0xFFFFFFFF))
    def check(memory: int, at: int, step: int, value: int) -> None:
        MACHINE.write(memory + at - 4, bytes(range(12)))
        w, registers, after = addressed(name, form, memory + at, step)
        got = run([w], registers | {13: value}, core)
        size = STORE[name]
        expected = bytearray(range(12))
        expected[4 : 4 + size] = value.to_bytes(4, "little")[:size]
        assert MACHINE.read(memory + at - 4, 12) == expected
        assert got[11] == after & 0xFFFFFFFF

    check()


def test_post_increment_into_the_loaded_register_keeps_the_loaded_value() -> None:
    MACHINE.write(L1, (0x1234).to_bytes(4, "little"))
    assert run([word("p.lw", rd=11, rs1=11, imm=4, form="LP")], {11: L1})[11] == 0x1234


@pytest.mark.parametrize(
    ("name", "a", "b", "taken"),
    [
        *(("beq", a, b, a == b) for a in (0, 1, 0xFFFFFFFF) for b in (0, 1, 0xFFFFFFFF)),
        *(("bne", a, b, a != b) for a in (0, 1) for b in (0, 1)),
        *(("bltu", a, b, a < b) for a in (0, 1, 0xFFFFFFFF) for b in (0, 1, 0xFFFFFFFF)),
        *(("bgeu", a, b, a >= b) for a in (0, 1, 0xFFFFFFFF) for b in (0, 1, 0xFFFFFFFF)),
        *(("blt", a, b, t) for a, b, t in ((0, 1, 1), (1, 0, 0), (0xFFFFFFFF, 0, 1), (0x7FFFFFFF, 0x80000000, 0))),
        *(("bge", a, b, t) for a, b, t in ((0, 1, 0), (1, 1, 1), (0xFFFFFFFF, 0, 0), (0x7FFFFFFF, 0x80000000, 1))),
        *(("p.beqimm", a, b, t) for a, b, t in ((5, 5, 1), (5, 6, 0), (0xFFFFFFF0, -16, 1), (16, -16, 0))),
        *(("p.bneimm", a, b, t) for a, b, t in ((5, 5, 0), (5, 6, 1), (0xFFFFFFFF, -1, 0), (15, 15, 0))),
    ],
)
def test_branch(name: str, a: int, b: int, taken: bool) -> None:
    immediate = name.startswith("p.")
    fields = {"imm2": b} if immediate else {"rs2": 12}
    words = [word(name, rs1=11, imm=8, **fields), word("addi", rd=13, imm=1)]
    got = run(words, {11: a} if immediate else {11: a, 12: b})
    assert got[13] == (0 if taken else 1)


def test_jumps_link_and_clear_bit_0() -> None:
    words = [
        word("addi", rd=20, rs1=1),  # the return address of the test
        word("jal", rd=5, imm=8),
        word("addi", rd=13, imm=1),  # skipped
        *li(6, PROGRAM + 4 * 7 + 1),
        word("jalr", rd=7, rs1=6),
        word("addi", rd=13, imm=2),  # skipped
        word("addi", rd=1, rs1=20),
    ]
    got = run(words, {})
    assert (got[5], got[7], got[13]) == (PROGRAM + 8, PROGRAM + 24, 0)


COUNT = word("addi", rd=13, rs1=13, imm=1)
OUTER = word("addi", rd=14, rs1=14, imm=1)


def test_hardware_loops_by_register_immediate_and_parts() -> None:
    assert run([word("lp.setupi", imm=2, imm2=7), COUNT], {})[13] == 7
    assert run([word("lp.setup", rs1=11, imm=4), COUNT, OUTER], {11: 9})[13:15] == [9, 9]
    parts = [
        word("lp.starti", rd=1, imm=2 * 4),
        word("lp.endi", rd=1, imm=2 * 4),
        word("lp.counti", rd=1, imm=300),
        word("addi"),
        COUNT,
        OUTER,
    ]
    assert run(parts, {})[13:15] == [300, 300]
    parts[2] = word("lp.count", rd=1, rs1=11)
    assert run(parts, {11: 5})[13:15] == [5, 5]


@pytest.mark.parametrize("outer", [1, 2, 5])
@pytest.mark.parametrize("inner", [1, 3, 20])
@pytest.mark.parametrize("tail", [0, 1])
def test_nested_hardware_loops(outer: int, inner: int, tail: int) -> None:
    """Loop 0 inside loop 1, ending with it or before it."""
    body = [word("lp.setup", rs1=12, imm=2), COUNT, *[OUTER] * tail]
    words = [word("lp.setup", rd=1, rs1=11, imm=2 * len(body)), *body]
    got = run(words, {11: outer, 12: inner})
    assert got[13] == outer * inner
    assert got[14] == outer * tail


def test_loop_over_compressed_instructions() -> None:
    c_addi_x13_1 = 0x0685
    MACHINE.write(PROGRAM, code(word("lp.setupi", imm=3, imm2=10)) + c_addi_x13_1.to_bytes(2, "little") * 2 + code(RET))
    MACHINE.run(entry=PROGRAM, core=0)
    assert MACHINE.registers(0)[13] == 20


def test_code_written_by_the_program_runs() -> None:
    words = [*li(5, COUNT), *li(6, PROGRAM + 4 * 5), word("sw", rs1=6, rs2=5), word("addi")]
    for _ in range(2):  # the second time over an instruction that has been decoded
        assert run(words, {})[13] == 1


@pytest.mark.parametrize(
    ("words", "registers", "kind"),
    [
        ([0xFFFFFFFF], {}, "illegal instruction"),
        ([0x00000000], {}, "illegal instruction"),
        ([word("csrrs", rd=5, imm=0x123)], {}, "illegal instruction"),
        ([word("ebreak")], {}, "ebreak"),
        ([word("jal")], {}, "max cycles"),
        ([word("jalr", rs1=11)], {11: 0x2000_0000}, "fetch"),
        ([word("jalr", rs1=11)], {11: L1}, "fetch"),
        ([word("lw", rd=5, rs1=11)], {11: 0x2000_0000}, "access"),
        ([word("lw", rd=5, rs1=11)], {11: 0}, "access"),
        ([word("sw", rs1=11)], {11: 0x1001_0000}, "access"),
        ([word("lw", rd=5, rs1=11)], {11: 0x1000_FFFE}, "access"),
        ([word("sb", rs1=11)], {11: 0x1C08_0000}, "access"),
        ([word("p.elw", rd=5, rs1=11)], {11: L1}, "access"),
        ([word("p.elw", rd=5, rs1=11)], {11: 0x1020_421E}, "misaligned"),
        ([*li(17, 99), word("ecall")], {}, "call"),
    ],
)
def test_faults_name_the_instruction(words: list[int], registers: dict[int, int], kind: str) -> None:
    with pytest.raises(SimulationError) as failure:
        MACHINE.write(PROGRAM, code(*words, RET))
        MACHINE.run(10_000, entry=PROGRAM, core=0, registers=registers)
    assert failure.value.kind == kind
    assert failure.value.pc == PROGRAM + 4 * (len(words) - 1)
    assert failure.value.core == 0
    assert "cluster core 0" in str(failure.value)


def test_loops_of_computing_instructions_alone_end_too() -> None:
    with pytest.raises(SimulationError, match="still running"):
        MACHINE.write(PROGRAM, code(*li(11, -1), word("lp.setup", rs1=11, imm=2), COUNT, RET))
        MACHINE.run(100_000, entry=PROGRAM, core=0)


def test_running_off_the_end_of_l2() -> None:
    MACHINE.write(0x1C08_0000 - 4, code(word("addi")))
    with pytest.raises(SimulationError) as failure:
        MACHINE.run(entry=0x1C08_0000 - 4, core=0)
    assert failure.value.kind == "illegal instruction"
    MACHINE.write(0x1C08_0000 - 4, bytes(4))


JUNK = st.one_of(
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([match for _, match, *_ in _iss.opcode_table()]).flatmap(
        lambda match: st.integers(0, 0xFFFFFFFF).map(lambda fields: match | fields & 0x01F78F80)
    ),
    st.just(word("ecall")),
)
PLACE = st.one_of(
    st.sampled_from([L1, L2, 0x1000_FFFC, 0x1C07_FFFC, PROGRAM, 0, 1, 8, 64, 0xFFFFFFF0]),
    st.integers(0, 0xFFFFFFFF),
)


@pytest.mark.parametrize("core", [0, FC])
def test_junk_ends_in_an_error_or_an_exit(core: int) -> None:
    """Any bytes, any registers, any runtime call: an answer, not a crash or a hang."""

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(st.lists(JUNK, min_size=1, max_size=24), st.lists(PLACE, min_size=30, max_size=30), st.integers(0, 31))
    def check(words: list[int], values: list[int], call: int) -> None:
        m = Machine(dataclasses.replace(gap8(), l2_bytes=512 * 1024, ram_bytes=4096))
        m.write(PROGRAM, code(*words))
        registers = {i + 2: v for i, v in enumerate(values)} | {17: call}
        try:
            result = m.run(20_000, entry=PROGRAM, core=core, registers=registers, profile=True, trace=True)
        except SimulationError as failure:
            assert str(failure)
            result = failure.partial
        for tally in result.cores:
            assert tally.instructions + sum(tally.stalls.values()) == tally.cycles

    check()
