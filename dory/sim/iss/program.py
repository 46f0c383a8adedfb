"""What the simulator needs to know of an ELF file: its bytes in memory, its functions, its line numbers."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from dory.errors import UserError


@dataclass(frozen=True)
class Function:
    """Addresses [start, end) of a function."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Segment:
    """Bytes to load at an address, zero-filled to `size`."""

    address: int
    data: bytes
    size: int
    executable: bool


@dataclass(frozen=True)
class Program:
    """A 32-bit little-endian RISC-V executable."""

    path: Path
    entry: int
    segments: tuple[Segment, ...]
    functions: tuple[Function, ...]
    symbols: dict[str, int] = field(repr=False)

    def function_at(self, pc: int) -> Function | None:
        """The function that holds `pc`."""
        i = bisect.bisect_right(self.functions, pc, key=lambda f: f.start) - 1
        return self.functions[i] if i >= 0 and pc < self.functions[i].end else None

    @cached_property
    def _lines(self) -> tuple[list[int], list[tuple[str, int]]]:
        with self.path.open("rb") as stream:
            return _line_table(ELFFile(stream))

    def line_at(self, pc: int) -> tuple[str, int] | None:
        """(file, line) of the instruction at `pc`, if the program has debug information."""
        addresses, places = self._lines
        i = bisect.bisect_right(addresses, pc) - 1
        return places[i] if i >= 0 and places[i][1] else None

    def describe(self, pc: int) -> str:
        """`function+0x12 (file.c:34)`, as much of it as is known."""
        function, line = self.function_at(pc), self.line_at(pc)
        text = f"{function.name}+{pc - function.start:#x}" if function else f"{pc:#010x}"
        return f"{text} ({line[0]}:{line[1]})" if line else text


def load_program(path: str | Path) -> Program:
    """Reads an ELF file. Raises UserError if it is not one, or not for this machine."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            _check_machine(elf, path)
            symbols, functions = _symbols(elf)
            return Program(path, int(elf["e_entry"]), _segments(elf), functions, symbols)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ELFError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"not a usable ELF file: {error or 'damaged header'}", where=str(path)) from error


def _check_machine(elf: Any, path: Path) -> None:
    machine, kind = elf["e_machine"], elf["e_type"]
    if machine != "EM_RISCV" or elf.elfclass != 32 or not elf.little_endian:
        raise UserError(
            f"an ELF file for {machine}, {elf.elfclass} bits; 32-bit little-endian RISC-V is simulated",
            where=str(path),
        )
    if kind != "ET_EXEC":
        raise UserError(f"ELF type {kind}; a linked executable (ET_EXEC) is needed", where=str(path))


def _segments(elf: Any) -> tuple[Segment, ...]:
    return tuple(
        Segment(s["p_vaddr"], s.data(), s["p_memsz"], bool(s["p_flags"] & 1))
        for s in elf.iter_segments()
        if s["p_type"] == "PT_LOAD" and s["p_memsz"]
    )


def _symbols(elf: Any) -> tuple[dict[str, int], tuple[Function, ...]]:
    """All named symbols, and those that mark code: functions, and labels of hand-written assembly."""
    table = elf.get_section_by_name(".symtab")
    code = [
        (s["sh_addr"], s["sh_addr"] + s["sh_size"]) for s in elf.iter_sections() if s["sh_flags"] & 4 and s["sh_size"]
    ]
    named: dict[str, int] = {}
    starts: dict[int, tuple[str, int]] = {}
    for symbol in table.iter_symbols() if table else ():
        kind, address, name = symbol["st_info"]["type"], int(symbol["st_value"]), symbol.name
        if not name or name.startswith((".L", "$")):
            continue
        named[name] = address
        if kind not in ("STT_FUNC", "STT_NOTYPE") or not any(a <= address < b for a, b in code):
            continue
        if address not in starts or kind == "STT_FUNC":
            starts[address] = (name, int(symbol["st_size"]))
    addresses = sorted(starts)
    functions = []
    for address, following in zip(addresses, [*addresses[1:], 1 << 32], strict=True):
        name, size = starts[address]
        limit = min([following, *(b for a, b in code if a <= address < b)])
        functions.append(Function(name, address, address + size if size else limit))
    return named, tuple(functions)


def _line_table(elf: Any) -> tuple[list[int], list[tuple[str, int]]]:
    """Line-number rows in order of address; line 0 ends a sequence."""
    rows: dict[int, tuple[str, int]] = {}
    if not elf.has_dwarf_info():
        return [], []
    dwarf = elf.get_dwarf_info()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        base = 0 if program["version"] >= 5 else 1
        files = program["file_entry"]
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            index = state.file - base
            name = files[index].name.decode(errors="replace") if 0 <= index < len(files) else "?"
            if state.end_sequence:
                rows.setdefault(state.address, (name, 0))
            else:
                rows[state.address] = (name, state.line)
    addresses = sorted(rows)
    return addresses, [rows[a] for a in addresses]
