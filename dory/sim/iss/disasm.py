"""Text of instructions, in the vendor assembler's syntax."""

from __future__ import annotations

from dory.sim.iss import _iss

REGISTERS = (
    *("zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"),
    *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)),
    *("t3", "t4", "t5", "t6"),
)


def disassemble(word: int, pc: int | None = None) -> str:
    """`pv.sdotsp.b a0,a1,a2`, or `.word 0x...` if it is none.

    Targets of jumps and loops are absolute if `pc` is given, else relative: `.+16`.
    """
    found = _iss.decode(word, pc or 0)
    if found is None:
        return f".word {word:#010x}" if word & 3 == 3 else f".half {word & 0xFFFF:#06x}"
    name, form, rd, rs1, rs2, imm, _ = found
    operands = _operands(form, rd, rs1, rs2, imm, name, pc)
    return f"{name} {operands}" if operands else name


def _target(offset: int, pc: int | None) -> str:
    return f".{offset:+d}" if pc is None else f"{pc + offset:#x}"


def _lane(imm: int, name: str) -> int:
    """The 6-bit immediate out of its replicated form, signed if it is."""
    if name == "pv.cplxmul.sci.s":
        return imm
    bits = 8 if name.endswith(".b") else 16
    value = imm & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


def _operands(form: str, rd: int, rs1: int, rs2: int, imm: int, name: str, pc: int | None) -> str:
    x = REGISTERS
    d, a, b = x[rd], x[rs1], x[rs2]
    match form:
        case "R":
            return f"{d},{a},{b}"
        case "R1":
            return f"{d},{a}"
        case "I" | "SHIFT" | "LANE":
            return f"{d},{a},{imm}"
        case "U":
            return f"{d},{(imm - (pc or 0) if name == 'auipc' else imm) >> 12 & 0xFFFFF:#x}"
        case "J":
            return f"{d},{_target(imm, pc)}"
        case "B":
            return f"{a},{b},{_target(imm, pc)}"
        case "BI":
            return f"{a},{rs2 - 32 if rs2 & 16 else rs2},{_target(imm, pc)}"
        case "L" | "JR":
            return f"{d},{imm}({a})"
        case "LP":
            return f"{d},{imm}({a}!)"
        case "LR":
            return f"{d},{b}({a})"
        case "LRP":
            return f"{d},{b}({a}!)"
        case "S":
            return f"{b},{imm}({a})"
        case "SP":
            return f"{b},{imm}({a}!)"
        case "SR":
            return f"{b},{d}({a})"
        case "SRP":
            return f"{b},{d}({a}!)"
        case "NORM":
            return f"{d},{a},{b},{imm}"
        case "FIELD":
            return f"{d},{a},{imm >> 5},{imm & 31}"
        case "SIMM6" | "UIMM6":
            return f"{d},{a},{_lane(imm, name)}"
        case "LOOP":
            return f"x{rd},{_target(2 * imm, pc)}"
        case "LOOPR":
            return f"x{rd},{a}"
        case "LOOPI":
            return f"x{rd},{imm}"
        case "LOOPRL":
            return f"x{rd},{a},{_target(2 * imm, pc)}"
        case "LOOPIL":
            return f"x{rd},{imm},{_target(2 * rs2, pc)}"
        case "CSR":
            return f"{d},{imm:#x},{a}"
        case "CSRI":
            return f"{d},{imm:#x},{rs1}"
        case _:
            return ""
