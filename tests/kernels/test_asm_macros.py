"""Both spellings of every macro in xpulp_asm.h, against the vendor assembler's table of encodings."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import KERNELS

HEADER = KERNELS / "xpulp_asm.h"
OPERANDS = {"rd": "x5", "rs1": "x6", "rs2": "x7", "offset": "x28", "imm": "-12", "n": "19", "width_1": "6", "low": "9"}
OPERANDS |= {"loop": "1", "body": "5+1", "label": "8f"}
SHIFTS = {"L": 7, "rd": 7, "rs1": 15, "rs2": 20}
STATES = {"XP_BEGIN", "XP_END", "XP_FUNCTION", "XP_FUNCTION_END"}

riscv = pytest.mark.skipif(
    shutil.which("riscv64-unknown-elf-gcc") is None, reason="riscv64-unknown-elf-gcc is not installed"
)


@dataclass(frozen=True)
class Encoding:
    """A line of the table."""

    syntax: str
    match: int
    example: str
    word: int


def table(shared: Path) -> list[Encoding]:
    rows = re.findall(
        r"^\| `(.+?)` \| (0x\w+) \| 0x\w+ \|.*?\| `(.+?)` \| (0x\w+) \|$",
        (shared / "gap8" / "xpulp_encodings.md").read_text(),
        re.MULTILINE,
    )
    return [Encoding(syntax, int(match, 16), example, int(word, 16)) for syntax, match, example, word in rows]


def macros() -> dict[str, list[str]]:
    """Names and parameters of the instructions' macros."""
    found = re.findall(r"^#define (XP_\w+[^_\W])\(([^)]*)\)", HEADER.read_text(), re.MULTILINE)
    return {name: parameters.split(", ") for name, parameters in found if name not in STATES}


def calls() -> dict[str, str]:
    return {name: f"{name}({', '.join(OPERANDS[p] for p in parameters)})" for name, parameters in macros().items()}


def encode(encoding: Encoding, text: str) -> int | None:
    """The word of an instruction's text by the table's syntax; None when it is another instruction."""
    pattern = re.sub(r"rs1|rs2|rd|imm12|I5b|I5|label|\bL\b", lambda m: f"<{m[0]}>", encoding.syntax)
    pattern = re.sub(r"<(\w+)>", lambda m: f"(?P<{m[1]}>{shape(m[1])})", re.escape(pattern))
    found = re.fullmatch(pattern, re.sub(r",\s+", ",", text))
    if not found:
        return None
    word = encoding.match
    store = encoding.syntax.split()[1].startswith("rs2")
    for name, value in found.groupdict().items():
        if name in SHIFTS:
            word |= register(value) << SHIFTS[name]
        elif name == "imm12":
            imm = int(value, 0) & 0xFFF
            word |= (imm >> 5) << 25 | (imm & 31) << 7 if store else imm << 20
        elif name == "label":
            word |= offset_of(value) // 2 << 20
        elif name == "I5":
            high = "I5b" in found.groupdict() or "rs2" in found.groupdict()
            word |= int(value) << (25 if high else 20)
        elif name == "I5b":
            word |= int(value) << 20
    return word


def shape(operand: str) -> str:
    """A regular expression for an operand's text."""
    if operand in SHIFTS:
        return r"x\d+|a\d"
    return r"[.\w+*()]+" if operand == "label" else r"-?\d+"


def register(text: str) -> int:
    return 10 + int(text[1:]) if text[0] == "a" else int(text.removeprefix("x"))


def offset_of(text: str) -> int:
    """Bytes to a label: .+16, .+4*(5+1), or the one that stands 8 bytes behind the instruction."""
    if text == OPERANDS["label"]:
        return 8
    factor, terms = re.fullmatch(r"\.\+(?:(\d+)\*\()?([\d+]+)\)?", text).groups()  # type: ignore[union-attr]
    return int(factor or 1) * sum(map(int, terms.split("+")))


def assemble(source: str, folder: Path) -> bytes:
    """The .text section of a C file for the core."""
    (folder / "f.c").write_text(source)
    command = ["riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2", f"-I{KERNELS}", "-c"]
    subprocess.run([*command, str(folder / "f.c"), "-o", str(folder / "f.o")], check=True)
    copy = ["riscv64-unknown-elf-objcopy", "-O", "binary", "-j", ".text", str(folder / "f.o"), str(folder / "f.bin")]
    subprocess.run(copy, check=True)
    return (folder / "f.bin").read_bytes()


@pytest.fixture(scope="module")
def mnemonics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the macros say to the SDK's assembler."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("mnemonics")
    lines = "".join(f'  fputs("{name}|" {call}, stdout);\n' for name, call in calls().items())
    (folder / "f.c").write_text(f'#include <stdio.h>\n#include "xpulp_asm.h"\nint main(void) {{\n{lines}}}\n')
    command = ["gcc", "-DDORY_XPULP_MNEMONICS", f"-I{KERNELS}", str(folder / "f.c"), "-o", str(folder / "f")]
    subprocess.run(command, check=True)
    text = subprocess.run([folder / "f"], check=True, capture_output=True, text=True).stdout
    return dict(line.split("|") for line in text.splitlines())  # type: ignore[misc]


def test_the_table_s_examples_are_encoded_as_recorded(shared: Path, mnemonics: dict[str, str]) -> None:
    names = {text.split()[0] for text in mnemonics.values()}
    rows = [row for row in table(shared) if row.syntax.split()[0] in names]
    assert len(rows) > len(names)
    for row in rows:
        assert encode(row, row.example) == row.word, row


@riscv
def test_both_spellings_are_the_table_s_words(shared: Path, mnemonics: dict[str, str], tmp_path: Path) -> None:
    rows = table(shared)
    for name, call in calls().items():
        source = f'#include "xpulp_asm.h"\n__asm__(XP_BEGIN {call} "nop\\n8: nop\\nnop\\nnop\\nnop\\n" XP_END);\n'
        word = int.from_bytes(assemble(source, tmp_path)[:4], "little")
        wanted = [w for row in rows if (w := encode(row, mnemonics[name])) is not None]
        assert wanted, f"{name}: no line of the table has the syntax of {mnemonics[name]!r}"
        assert word in wanted, f"{name}: {word:#010x} is not {mnemonics[name]!r}"
