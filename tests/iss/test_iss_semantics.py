"""Each computing instruction against iss_semantics.py, on random and corner operands."""

from __future__ import annotations

import re

import iss_semantics as semantics
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iss_encode import FORMATS, RET, TABLE, code, word

from dory.sim.iss import FC, Machine

CORNERS = [0, 1, 2, 3, 31, 32, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000]
CORNERS += [0xFFFFFFFF, 0xFFFFFFFE, 0x80808080, 0x7F7F7F7F, 0x80008000, 0x7FFF7FFF, 0xFF80FF80, 0xFFFF8000]
operand = st.one_of(st.sampled_from(CORNERS), st.integers(0, 0xFFFFFFFF), st.integers(-200, 200).map(semantics.u))

COMPUTING = {"R", "R1", "I", "SHIFT", "NORM", "FIELD", "SIMM6", "UIMM6", "LANE"}
# Recordings only: scalar complex products (a quirk of the vendor's simulator), Viterbi pair (hidden state).
RECORDED_ONLY = re.compile(r"pv\.(cplxmul\.sci?\.s|vitop)")
NAMES = sorted(n for n, form in TABLE if form in COMPUTING and not RECORDED_ONLY.match(n))

PROGRAM = 0x1C00_8000
MACHINE = Machine("gap8")


def immediates(name: str, form: str) -> st.SearchStrategy[int]:
    if form in ("R", "R1"):
        return st.just(0)
    if form == "I":
        return st.integers(-2048, 2047)
    if form == "SIMM6":
        return st.integers(-32, 31)
    if form == "UIMM6":
        return st.integers(0, 63)
    if form == "LANE":
        few = re.match(r"pv\.(extractu?|insert)\.([bh])", name)
        return st.integers(0, (3 if few[2] == "b" else 1) if few else 63)
    return st.integers(0, 31)


@pytest.mark.parametrize("name", NAMES)
def test_result(name: str) -> None:
    form = FORMATS[name][0]

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(a=operand, b=operand, c=operand, imm=immediates(name, form), imm2=st.integers(0, 31))
    def check(a: int, b: int, c: int, imm: int, imm2: int) -> None:
        if form == "FIELD" and imm + imm2 > 31:
            imm2 = 31 - imm
        rs2 = 12 if form in ("R", "NORM") else 0
        MACHINE.write(PROGRAM, code(word(name, rd=10, rs1=11, rs2=rs2, imm=imm, imm2=imm2), RET))
        MACHINE.run(entry=PROGRAM, registers={10: c, 11: a, 12: b})
        expected = semantics.value(name, a, b, c, imm, imm2)
        assert MACHINE.registers(FC)[10] == expected, f"{name} {a:#x} {b:#x} {c:#x} {imm} {imm2}"

    check()


@pytest.mark.parametrize("name", NAMES)
def test_x0_stays_zero(name: str) -> None:
    rs2 = 12 if FORMATS[name][0] in ("R", "NORM") else 0
    MACHINE.write(PROGRAM, code(word(name, rd=0, rs1=11, rs2=rs2, imm=1), word("add", rd=10, rs1=0, rs2=0), RET))
    MACHINE.run(entry=PROGRAM, registers={10: 5, 11: 0x12345678, 12: 0x87654321})
    assert MACHINE.registers(FC)[10] == 0


def test_upper_immediates() -> None:
    MACHINE.write(PROGRAM, code(word("lui", rd=10, imm=0xABCDE000), word("auipc", rd=11, imm=0xFFFFF000), RET))
    MACHINE.run(entry=PROGRAM)
    assert MACHINE.registers(FC)[10:12] == [0xABCDE000, PROGRAM + 4 - 0x1000]


def test_viterbi_pair_keeps_its_decisions() -> None:
    """max leaves which operand won, sel shifts that into the winner's history."""
    MACHINE.write(
        PROGRAM,
        code(word("pv.vitop.max", rd=13, rs1=11, rs2=12), word("pv.vitop.sel", rd=10, rs1=14, rs2=15), RET),
    )
    registers = {11: 0x0005_FFF0, 12: 0x0004_0001, 14: 0x1111_2222, 15: 0x3333_4444}
    MACHINE.run(entry=PROGRAM, registers=registers)
    got = MACHINE.registers(FC)
    assert got[13] == 0x0005_0001
    assert got[10] == 0x2222_8889


@pytest.mark.parametrize("number", [0xF14, 0xC00, 0xB00, 0x300, 0x7B2])
def test_known_csrs_read(number: int) -> None:
    MACHINE.write(PROGRAM, code(word("csrrs", rd=10, imm=number), RET))
    MACHINE.run(entry=PROGRAM)


def test_scratch_csr_set_clear_and_swap() -> None:
    steps = [
        word("csrrw", rd=10, rs1=11, imm=0x340),
        word("csrrs", rd=10, rs1=12, imm=0x340),
        word("csrrci", rd=12, rs1=3, imm=0x340),
        word("csrrs", rd=13, imm=0x340),
    ]
    MACHINE.write(PROGRAM, code(*steps, RET))
    MACHINE.run(entry=PROGRAM, registers={11: 0xF0, 12: 0x0F})
    assert MACHINE.registers(FC)[10:14] == [0xF0, 0xF0, 0xFF, 0xFC]
