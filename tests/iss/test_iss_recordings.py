"""The simulator against recordings of the vendor's: results and, with its constants, cycles."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

from iss_encode import RET, code

from dory.sim.iss import Machine

PROGRAM = 0x1C00_8000
BUFFER = 0x1000_0000


def test_every_recorded_result(machine: Machine, shared: Path) -> None:
    with gzip.open(shared / "gap8" / "xpulp_vectors.csv.gz", "rt") as stream:
        rows = list(csv.DictReader(stream))
    wrong = []
    for row in rows:
        machine.write(PROGRAM, code(int(row["word"], 16), RET))
        operands = {10: int(row["rd_in"], 16), 11: int(row["rs1"], 16), 12: int(row["rs2"], 16)}
        machine.run(entry=PROGRAM, core=0, registers=operands)
        if machine.registers(0)[10] != int(row["rd_out"], 16):
            wrong.append(row)
    assert len(rows) == 12128
    assert wrong == []


def timed(machine: Machine, program: bytes) -> int:
    machine.write(PROGRAM, program + code(RET))
    registers = {10: BUFFER, 18: BUFFER, 19: BUFFER + 512} | {11 + i: 11 * (i + 1) for i in range(7)}
    return machine.run(entry=PROGRAM, core=0, registers=registers).cores[0].cycles


def test_every_recorded_time(machine: Machine, shared: Path) -> None:
    with (shared / "gap8" / "timing_vectors.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    empty = timed(machine, b"")
    measured = {row["id"]: timed(machine, bytes.fromhex(row["code_hex"])) - empty for row in rows}
    assert len(rows) == 140
    assert measured == {row["id"]: int(row["cycles"]) for row in rows}
