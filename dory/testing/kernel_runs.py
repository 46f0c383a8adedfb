"""Runs single kernel calls on the simulator: operands in L1, several calls in one program, each in its bounds."""

from __future__ import annotations

import functools
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dory import targets
from dory.layers.rescale import FORMS
from dory.resources import csrc_dir
from dory.sim.application import COMPILER
from dory.sim.iss import IssParams
from dory.sim.iss.machine import Machine
from dory.sim.iss.result import LayerRun

HERE = Path(__file__).resolve().parent
CORES = 8
STACK_CORE0, STACK_WORKER = 2048, 1024
STACKS = STACK_CORE0 + (CORES - 1) * STACK_WORKER
L1_BASE, L1_BYTES = 0x10000000, 0x10000
MAX_BUFFERS, MAX_WORDS = 10, 64
GUARD = 16  # bytes between buffers, which nobody may touch
OUTPUT_BYTES = 0x10000  # L2 behind the program, for one output
FLAGS = ["-std=c11", "-O2", "-g1", "-march=rv32imc", "-mabi=ilp32", "-misa-spec=2.2"]
FLAGS += ["-ffreestanding", "-Wall", "-Wextra", "-Werror"]


@dataclass(frozen=True, eq=False)
class Job:
    """One call. `fields` are the words of the kernel's argument struct in order: integers, or names of buffers.

    `inputs` are copied into L1 beforehand; `spaces` (bytes by name: outputs, scratch) hold nothing yet.
    """

    kernel: str
    fields: Sequence[int | str]
    inputs: Mapping[str, NDArray[np.uint8]]
    spaces: Mapping[str, int]
    output: str = "y"
    cores: int = CORES
    name: str = ""
    work: int = 0  # multiply-accumulates, or outputs


@dataclass(frozen=True)
class Done:
    """What a call gave: cycles of the warm second call from fork to return, its output and what the cores did."""

    job: Job
    cycles: int
    output: NDArray[np.uint8] = field(repr=False)
    layer: LayerRun = field(repr=False)

    @property
    def rate(self) -> float:
        """Work per cycle."""
        return self.job.work / self.cycles


@functools.cache
def program(kernels: tuple[str, ...]) -> bytes:
    """The program with some kernels as an ELF image, built once for this process."""
    with tempfile.TemporaryDirectory(prefix="dory-kernels-") as folder:
        return _build(Path(folder), kernels).read_bytes()


def _build(folder: Path, wanted: Sequence[str]) -> Path:
    root = csrc_dir()
    kernels, runtime = root / "gap8_kernels", root / "runtime"
    table = " ".join(f"KERNEL(dory_{k})" for k in wanted)
    defines = ["-DDORY_RT_SIM", "-DDORY_XPULP_INSN", f"-DDORY_CORES={CORES}", "-DDORY_SIM_FILES=0u"]
    defines += [f"-DSTACK_CORE0={STACK_CORE0}", f"-DSTACK_WORKER={STACK_WORKER}", f"-DSTACKS={STACKS}u"]
    files = [HERE / "kernel_jobs.c", *(kernels / f"dory_{k}.c" for k in wanted)]
    if "conv" in wanted:
        files += [kernels / f"dory_conv_{form}.c" for form in FORMS[:-1]]
    files += [runtime / "rt_sim.c", runtime / "device_sim.c"]
    elf = folder / "kernels.elf"
    command = [COMPILER, *FLAGS, *defines, f"-DKERNELS={table}", f"-I{kernels}", f"-I{runtime}"]
    command += [*map(str, files), "-nostdlib", "-nostartfiles", "-T", str(runtime / "sim.ld"), "-o", str(elf), "-lgcc"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return elf


def run(jobs: Sequence[Job], target: str = "gap8-gvsoc", profile: bool = False) -> list[Done]:
    """All calls in one simulation. SimulationError when a kernel leaves its buffers or reads what was never written."""
    machine = Machine(IssParams.of(targets.load(target)))
    wanted = tuple(sorted({job.kernel for job in jobs}))
    with tempfile.NamedTemporaryFile(suffix=".elf") as file:
        file.write(program(wanted))
        file.flush()
        elf = machine.load_elf(file.name)
        elf.line_at(0)  # reads the line table while the file is there
    at = (elf.symbols["dory_l2_start"] + 63) // 64 * 64 + OUTPUT_BYTES
    table = b""
    for job in jobs:
        entry, at = _place(machine, wanted.index(job.kernel), job, at)
        table += entry
    machine.write(at, table)
    machine.write(elf.symbols["job_count"], struct.pack("<I", len(jobs)))
    machine.write(elf.symbols["job_table"], struct.pack("<I", at))
    result = machine.run(2_000_000_000, profile=profile)
    done, dump, position = [], machine.dump(), 0
    for i, job in enumerate(jobs):
        size = job.spaces[job.output]
        second = result.layers[2 * i + 1]
        output = np.frombuffer(dump, np.uint8, size, position)
        done.append(Done(job, second.cycles, output, second))
        position += size
    return done


def _place(machine: Machine, function: int, job: Job, at: int) -> tuple[bytes, int]:
    """Writes a job's operands to L2 from `at` on; its table entry and the next free address."""
    names = [*job.inputs, *job.spaces]
    l1, l2, sizes = {}, {}, {}
    where = L1_BASE + STACKS + GUARD
    for name in names:
        data = job.inputs.get(name)
        sizes[name] = job.spaces[name] if data is None else data.size
        l1[name], l2[name] = where, 0
        where += (sizes[name] + 3) // 4 * 4 + GUARD
        if data is not None:
            machine.write(at, data.tobytes())
            l2[name] = at
            at += (data.size + 7) // 8 * 8
    if where > L1_BASE + L1_BYTES:
        raise ValueError(f"{job.name or job.kernel}: {where - L1_BASE - STACKS} bytes do not fit L1")
    buffers = [v for n in names for v in (l1[n], l2[n], sizes[n])] + [0] * 3 * (MAX_BUFFERS - len(names))
    words = [l1[f] if isinstance(f, str) else int(f) & 0xFFFFFFFF for f in job.fields]
    head = [function, job.cores, len(names), names.index(job.output)]
    padded = words + [0] * (MAX_WORDS - len(words))
    return np.array([*head, *buffers, len(words), *padded], np.int64).astype("<u4").tobytes(), at
