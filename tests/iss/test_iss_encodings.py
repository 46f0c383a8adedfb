"""Every encoding that the vendor assembler makes: decoded, printed in its syntax, assembled again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from iss_encode import word as encode

from dory.sim.iss import _iss
from dory.sim.iss.disasm import REGISTERS, disassemble

# Other spellings of the same word.
ALIASES = {
    **{f"p.{op}i": f"p.{op}" for op in ("clip", "clipu", "extract", "extractu", "insert", "bclr", "bset")},
    **{f"p.{op}ni": f"p.{op}n" for op in ("add", "addu", "addr", "addur", "sub", "subu", "subr", "subur")},
    **{f"p.{op}": op for op in ("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu")},
}


def rows(shared: Path) -> list[tuple[str, str, int]]:
    text = (shared / "gap8" / "xpulp_encodings.md").read_text()
    found = re.findall(r"^\| `([^`]+)` \| 0x\w+ \| 0x\w+ \|.*\| `([^`]+)` \| 0x(\w+) \|$", text, re.M)
    return [(syntax, example, int(w, 16)) for syntax, example, w in found]


def spelt(example: str) -> str:
    """The example as this project's table names the instruction."""
    name, _, operands = example.lower().partition(" ")
    name = ALIASES.get(name, name)
    plain_memory = re.fullmatch(r"p\.([ls][bhw]u?)", name) and re.fullmatch(r"\w+,-?\d+\(\w+\)", operands)
    return f"{name[2:] if plain_memory else name} {operands}"


def test_each_row_decodes_to_its_text(shared: Path) -> None:
    table = rows(shared)
    assert len(table) == 357
    assert [(e, disassemble(w)) for _, e, w in table if disassemble(w) != spelt(e)] == []


def test_each_row_assembles_to_its_word(shared: Path) -> None:
    wrong = []
    for _, example, w in rows(shared):
        found = _iss.decode(w)
        assert found is not None
        name, form, rd, rs1, rs2, imm, _ = found
        imm2 = 0
        if form == "FIELD":
            imm, imm2 = imm & 31, imm >> 5
        elif form == "BI":
            imm2 = rs2
        elif form == "LOOPIL":
            imm, imm2 = rs2, imm
        if encode(name, rd=rd, rs1=rs1, rs2=rs2, imm=imm, imm2=imm2, form=form) != w:
            wrong.append((example, name, form))
    assert wrong == []


@pytest.mark.parametrize("index", range(0, 32, 5))
def test_operand_fields_reach_every_register(index: int) -> None:
    w = encode("pv.sdotsp.b", rd=index, rs1=31 - index, rs2=(index + 7) % 32)
    expected = ",".join(REGISTERS[i] for i in (index, 31 - index, (index + 7) % 32))
    assert disassemble(w) == f"pv.sdotsp.b {expected}"


def test_words_match_one_row_only() -> None:
    """Rows overlap only where one is a named case of the other, and then the named one comes first."""
    table = _iss.opcode_table()
    for i, (name, match, mask, _, _) in enumerate(table):
        for other, other_match, other_mask, _, _ in table[:i]:
            both = mask & other_mask
            if (match & both) == (other_match & both):
                assert mask & ~other_mask == 0, f"{other} hides part of {name}"


@pytest.mark.parametrize("w", [0x00000000, 0xFFFFFFFF, 0x0000007F, 0x00002004, 0x0000FFFC, 0x06000033])
def test_no_instruction(w: int) -> None:
    assert _iss.decode(w) is None
    assert disassemble(w).startswith((".word", ".half"))
