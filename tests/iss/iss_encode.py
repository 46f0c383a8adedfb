"""A small assembler: instruction names and operands to words, by the simulator's own table of encodings.

The table itself is checked against the vendor assembler's words in test_iss_encodings.py.
"""

from __future__ import annotations

import struct

from dory.sim.iss import _iss

TABLE: dict[tuple[str, str], tuple[int, int]] = {(n, f): (match, mask) for n, match, mask, f, _ in _iss.opcode_table()}
FORMATS: dict[str, list[str]] = {}
for _name, _form in TABLE:
    FORMATS.setdefault(_name, []).append(_form)


def _b(imm: int) -> int:
    return (imm >> 12 & 1) << 31 | (imm >> 5 & 63) << 25 | (imm >> 1 & 15) << 8 | (imm >> 11 & 1) << 7


def _j(imm: int) -> int:
    return (imm >> 20 & 1) << 31 | (imm >> 1 & 1023) << 21 | (imm >> 11 & 1) << 20 | (imm >> 12 & 255) << 12


def word(name: str, *, rd: int = 0, rs1: int = 0, rs2: int = 0, imm: int = 0, imm2: int = 0, form: str = "") -> int:
    """The word; `imm` is the immediate (branch offsets in bytes), `imm2` a field's size - 1, a count."""
    form = form or FORMATS[name][0]
    match, _ = TABLE[name, form]
    d, a, b = rd << 7, rs1 << 15, rs2 << 20
    low12, low5 = (imm & 0xFFF) << 20, (imm & 31) << 20
    six = (imm >> 1 & 31) << 20 | (imm & 1) << 25
    fields = {
        "NONE": 0,
        "R": d | a | b,
        "R1": d | a,
        "I": d | a | low12,
        "L": d | a | low12,
        "LP": d | a | low12,
        "JR": d | a | low12,
        "SHIFT": d | a | low5,
        "U": d | imm & 0xFFFFF000,
        "J": d | _j(imm),
        "B": a | b | _b(imm),
        "BI": a | (imm2 & 31) << 20 | _b(imm),
        "LR": d | a | b,
        "LRP": d | a | b,
        "S": a | b | (imm >> 5 & 127) << 25 | (imm & 31) << 7,
        "SP": a | b | (imm >> 5 & 127) << 25 | (imm & 31) << 7,
        "SR": d | a | b,
        "SRP": d | a | b,
        "NORM": d | a | b | (imm & 31) << 25,
        "FIELD": d | a | low5 | (imm2 & 31) << 25,
        "SIMM6": d | a | six,
        "UIMM6": d | a | six,
        "LANE": d | a | six,
        "LOOP": (rd & 1) << 7 | low12,
        "LOOPR": (rd & 1) << 7 | a,
        "LOOPI": (rd & 1) << 7 | low12,
        "LOOPRL": (rd & 1) << 7 | a | low12,
        "LOOPIL": (rd & 1) << 7 | (imm2 & 0xFFF) << 20 | (imm & 31) << 15,
        "CSR": d | a | low12,
        "CSRI": d | a | low12,
    }
    return match | fields[form]


def code(*words: int) -> bytes:
    """32-bit words as they lie in memory."""
    return struct.pack(f"<{len(words)}I", *words)


RET = word("jalr", rs1=1)


def li(rd: int, value: int) -> tuple[int, int]:
    """Two instructions that set a register to any value."""
    low = (value & 0xFFF ^ 0x800) - 0x800
    return word("lui", rd=rd, imm=value - low & 0xFFFFFFFF), word("addi", rd=rd, rs1=rd, imm=low)
