"""The three spellings of the Xpulp intrinsics: each compiles without warnings and means the same."""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from harness import KERNELS, RUNTIME

RISCV = "riscv64-unknown-elf-"
RV32 = ["-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2", "-ffreestanding", "-DDORY_XPULP_INSN"]
STRICT = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
WORKER_STACK = 640  # bytes, of which the SDK's own frames take a part

riscv = pytest.mark.skipif(shutil.which(f"{RISCV}gcc") is None, reason=f"{RISCV}gcc is not installed")


def compile_object(source: Path, out: Path, *flags: str) -> None:
    command = [f"{RISCV}gcc", *RV32, *STRICT, *flags, f"-I{KERNELS}", f"-I{RUNTIME}", "-c", str(source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@riscv
def test_kernels_compile_for_rv32_and_fit_a_worker_s_stack(tmp_path: Path) -> None:
    used = {}
    for source in sorted(KERNELS.glob("*.c")):
        compile_object(source, tmp_path / f"{source.stem}.o", "-fstack-usage")
        frames = (tmp_path / f"{source.stem}.su").read_text().splitlines()
        used[source.stem] = sum(int(line.split("\t")[1]) for line in frames)  # as if every function called the next
    assert len(used) == 12
    assert max(used.values()) <= WORKER_STACK // 2, used


@riscv
def test_insn_words_are_the_shared_encodings(tmp_path: Path, shared: Path) -> None:
    source = tmp_path / "f.c"
    source.write_text(
        '#include "xpulp.h"\nint f(unsigned a, unsigned b, int c);\n'
        "int f(unsigned a, unsigned b, int c) { return xp_sdotusp4(a, b, c); }\n"
    )
    compile_object(source, tmp_path / "f.o")
    dump = subprocess.run(
        [f"{RISCV}objdump", "-d", tmp_path / "f.o"], check=True, capture_output=True, text=True
    ).stdout
    words = [int(w, 16) for w in re.findall(r":\t([0-9a-f]{8})\s", dump)]
    table = (shared / "gap8" / "xpulp_encodings.md").read_text()
    row = re.search(r"`pv\.sdotusp\.b rd,rs1,rs2` \| (0x\w+) \| (0x\w+)", table)
    assert row
    match, mask = (int(v, 16) for v in row.groups())
    found = [w for w in words if w & mask == match]
    assert len(found) == 1
    rd, rs1, rs2 = (found[0] >> 7 & 31), (found[0] >> 15 & 31), (found[0] >> 20 & 31)
    assert (rd, rs1, rs2) == (12, 10, 11)  # c in a2, the unsigned a in a0, the signed b in a1


@pytest.mark.parametrize("spelling", ["harness", "harness_builtin"])
def test_dot_product_equals_the_recorded_results(spelling: str, shared: Path, request: pytest.FixtureRequest) -> None:
    harness = request.getfixturevalue(spelling)
    with gzip.open(shared / "gap8" / "xpulp_vectors.csv.gz", "rt") as f:
        rows = [r for r in csv.DictReader(f) if r["syntax"].startswith("pv.sdotusp.b ")]
    assert len(rows) == 16
    for r in rows:
        acc, a, b, want = (np.array(int(r[k], 16), np.uint32).view(np.int32) for k in ("rd_in", "rs1", "rs2", "rd_out"))
        _, y = harness.call("sdotusp4", [acc, a, b], [], 4)
        assert y.view("<i4")[0] == want, r
