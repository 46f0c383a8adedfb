"""Compiles small programs for the simulator with the stock RISC-V compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

GCC = shutil.which("riscv64-unknown-elf-gcc")
SUPPORT = Path(__file__).parent / "support"
CALLS = Path(__file__).parents[2] / "csrc" / "runtime"
FLAGS = ["-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2", "-ffreestanding", "-nostdlib", "-g"]


def build(folder: Path, sources: dict[str, str], *flags: str, optimise: str = "-O2") -> Path:
    """Links `sources` (name -> text, .c or .S) with the start-up code into folder/app.elf."""
    assert GCC is not None
    paths = []
    for name, text in sources.items():
        path = folder / name
        path.write_text(text)
        paths.append(str(path))
    out = folder / "app.elf"
    command = [GCC, *FLAGS, optimise, "-Wall", "-Wextra", "-Werror", f"-I{SUPPORT}", f"-I{CALLS}", *flags]
    command += [f"-T{SUPPORT / 'link.ld'}", str(SUPPORT / "crt0.S"), *paths, "-lgcc", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out
