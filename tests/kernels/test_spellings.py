"""The three spellings of the Xpulp intrinsics: each compiles without warnings and means the same."""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import HERE, KERNELS, RUNTIME, Harness, sources
from jobs import CONV3X3, POINTWISE, run_concat, run_conv, run_depthwise, run_linear

from dory.layers import LAYERS, subbyte
from dory.layers.depthwise import WIDE_CODE

RISCV = "riscv64-unknown-elf-"
RV32 = ["-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2", "-ffreestanding", "-DDORY_XPULP_INSN"]
STRICT = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
BUILTIN = ["-D__pulp__", "-include", str(HERE / "builtin_model.h")]
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
        # As if the three largest functions called each other, and the last one the assembly.
        used[source.stem] = sum(sorted(int(line.split("\t")[1]) for line in frames)[-3:])
        used[source.stem] += max(asm_frames(source), default=0)
    assert len(used) == 21
    around = used.pop("dory_subbyte")  # which calls any other one
    used = {name: used[name] + around for name in used}
    assert max(used.values()) <= WORKER_STACK * 7 // 8, used


@riscv
def test_kernels_fit_the_code_that_is_reserved_for_them(tmp_path: Path) -> None:
    for layer in LAYERS.values():
        assert object_bytes(tmp_path, layer.kernel, "-DDORY_DW_NO_WIDE") <= layer.code, layer.op
    assert object_bytes(tmp_path, "dory_depthwise") <= LAYERS["depthwise"].code + WIDE_CODE


def object_bytes(folder: Path, kernel: str, *flags: str) -> int:
    out = folder / f"{kernel}.o"
    compile_object(KERNELS / f"{kernel}.c", out, *flags)
    sizes = subprocess.run([f"{RISCV}size", str(out)], check=True, capture_output=True, text=True).stdout
    return int(sizes.splitlines()[1].split()[3])


@riscv
def test_repacking_fits_the_code_that_is_reserved_for_it(tmp_path: Path) -> None:
    objects = [tmp_path / f"{name}.o" for name in subbyte.KERNELS]
    for out in objects:
        compile_object(KERNELS / f"{out.stem}.c", out)
    sizes = subprocess.run([f"{RISCV}size", *map(str, objects)], check=True, capture_output=True, text=True).stdout
    assert sum(int(line.split()[3]) for line in sizes.splitlines()[1:]) <= subbyte.CODE


def asm_frames(source: Path) -> list[int]:
    """Bytes of stack of the assembly functions in the headers that a kernel includes."""
    headers = re.findall(r'#include "(dory_\w+_asm\.h)"', source.read_text())
    text = "".join((KERNELS / name).read_text() for name in headers)
    return [int(n) for n in re.findall(r"addi sp, sp, -(\d+)", text)]


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


@pytest.fixture(scope="module")
def harness_builtin(build: Any) -> Iterator[Harness]:
    """Every kernel in the GAP SDK's spelling, with a C model of the builtin."""
    flags = ["-O2", "-D_POSIX_C_SOURCE=200809L", *BUILTIN]
    harness = Harness(build([*sources(), HERE / "harness.c"], flags, "harness_builtin"))
    yield harness
    errors = harness.close()
    assert not errors, errors


@pytest.mark.parametrize("flags", [[], BUILTIN], ids=["plain", "builtin"])
def test_dot_product_equals_the_recorded_results(flags: list[str], shared: Path, build: Any, tmp_path: Path) -> None:
    with gzip.open(shared / "gap8" / "xpulp_vectors.csv.gz", "rt") as f:
        rows = [r for r in csv.DictReader(f) if r["syntax"].startswith("pv.sdotusp.b ")]
    assert len(rows) == 16
    source = tmp_path / "dot.c"
    source.write_text(
        '#include <stdio.h>\n#include "xpulp.h"\n'
        "int main(void) {\n  unsigned c, a, b;\n"
        '  while (scanf("%x %x %x", &c, &a, &b) == 3) printf("%08x\\n", (unsigned)xp_sdotusp4(a, b, (int)c));\n}\n'
    )
    program = build([source], flags, f"dot{len(flags)}")
    text = "".join(f"{r['rd_in']} {r['rs1']} {r['rs2']}\n" for r in rows)
    done = subprocess.run([program], input=text, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [r["rd_out"] for r in rows]


@pytest.mark.parametrize("seed", range(4))
def test_kernels_in_the_sdk_s_spelling(harness_builtin: Any, seed: int) -> None:
    call = harness_builtin.call
    for c in (1, 4, 7, 18):
        run_conv(call, seed, POINTWISE, c, c + 1, 8)
        run_conv(call, seed, CONV3X3, c, c + 3, 8)
        run_depthwise(call, seed, CONV3X3, c, 8)
        run_linear(call, seed, 5 * c, c, 8)
        run_concat(call, seed, c, [3, c], 8)
