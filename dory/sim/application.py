"""Build an application for the simulator, run it, and account for every cycle of every layer."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dory.errors import CheckError, UserError
from dory.plan import Plan, load_plan
from dory.resources import share_objects
from dory.sim.iss.machine import Machine
from dory.sim.iss.params import IssParams
from dory.sim.iss.result import CAUSES, LayerRun, RunResult
from dory.sim.model.energy import Activity, Energy, energy_of
from dory.targets import Power

COMPILER = "riscv64-unknown-elf-gcc"
APT = "apt-get install gcc-riscv64-unknown-elf"
RUNS = 2  # inferences in a row; the second one is reported
DIRECTORY_ENTRY = struct.Struct("<24sII")  # file_t in device_sim.c


@dataclass(frozen=True)
class LayerCycles:
    """One layer of one inference: cluster cycles, and where they went as the mean over the cores."""

    name: str
    op: str
    macs: int
    cycles: int
    instructions: int
    by_cause: Mapping[str, float]

    @property
    def mac_per_cycle(self) -> float:
        """Multiply-accumulates per cluster cycle."""
        return self.macs / self.cycles if self.cycles else 0.0


@dataclass(frozen=True)
class Simulation:
    """What a run gave: cycles from the network's start to its end, its layers, its outputs, and the raw run."""

    plan: Plan
    params: IssParams
    cycles: int
    layers: tuple[LayerCycles, ...]
    dump: bytes  # every layer's output of every run
    machine: Machine
    run: RunResult


def build_elf(app: Path, scratch: Path, objects: Path | None = None) -> Path:
    """Compile and link `app`; UserError without the compiler, CheckError when the code does not build.

    objects: a folder for compiled kernels that many applications of this version share.
    """
    for tool, package in ((COMPILER, APT), ("make", "apt-get install make")):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is not installed", where="simulate", hint=package)
    build = scratch / "sim"
    make = ["make", "-s", "-j", str(os.cpu_count() or 1), "-f", "sim.mk", f"BUILD={build}"]
    if objects:
        share_objects(objects, build)
    done = subprocess.run(make, cwd=app, capture_output=True, text=True)
    if done.returncode:
        raise CheckError("the generated code does not compile:\n" + done.stderr[-3000:], where=str(app))
    if objects:
        share_objects(build, objects, lambda o: o.stem != "device_sim")  # which knows the network's L3
    return build / "network.elf"


def file_image(files: Mapping[str, bytes], base: int) -> bytes:
    """The read-only file system that device_sim.c reads, to be put at RAM address `base`."""
    at = base + DIRECTORY_ENTRY.size * (len(files) + 1)
    directory, body = b"", b""
    for name, data in sorted(files.items()):
        directory += DIRECTORY_ENTRY.pack(name.encode(), at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return directory + bytes(DIRECTORY_ENTRY.size) + body + bytes(256)


def simulate(
    app: Path,
    params: IssParams,
    *,
    max_cycles: int,
    profile: bool = False,
    trace: bool = False,
    inferences: int = RUNS,
    progress: Callable[[str], None] | None = None,
    objects: Path | None = None,
) -> Simulation:
    """Build and run an application folder whose main program does so many inferences in a row.

    objects: as for build_elf.

    Raises UserError (no compiler, not an application) or CheckError (the program fails; SimulationError names
    function and line).
    """
    plan = load_plan(app)
    data = {p.name: p.read_bytes() for p in sorted((app / "data").glob("*.bin"))}
    weights = data.pop("weights.bin", b"")
    base = sim_files_at(plan)
    image = file_image(data, base)
    machine = Machine(replace(params, ram_bytes=max(params.ram_bytes, (base + len(image) + 63) // 64 * 64)))
    with tempfile.TemporaryDirectory(prefix="dory-sim-") as scratch:
        if progress:
            progress("simulate: build")
        machine.load_elf(build_elf(app, Path(scratch), objects))
        machine.write_ram(0, weights)
        machine.write_ram(base, image)
        if progress:
            progress("simulate: run")
        run = machine.run(max_cycles, profile=profile, trace=trace)
        if machine.program:
            machine.program.line_at(0)  # reads the line table while the file is there
    if len(run.layers) != inferences * len(plan.layers):
        raise _ended(run, app)
    return _account(plan, machine, run)


def check_exit(sim: Simulation, app: Path) -> None:
    """CheckError when the application said that something is wrong; compare the layers first, they say more."""
    if sim.run.exit_code:
        raise _ended(sim.run, app)


def _ended(run: RunResult, app: Path) -> CheckError:
    text = run.output.decode(errors="replace").strip()[:1000]
    return CheckError(f"the application ended with exit code {run.exit_code}; it printed:\n{text}", where=str(app))


def sim_files_at(plan: Plan) -> int:
    """RAM address of the files: behind everything of the network."""
    return (plan.l3_bytes + 63) // 64 * 64


def _account(plan: Plan, machine: Machine, run: RunResult) -> Simulation:
    last = run.layers[-len(plan.layers) :]
    layers = []
    for plan_layer, marks in zip(plan.layers, last, strict=True):
        instructions, causes = _mean(marks, plan.cores)
        layers.append(LayerCycles(plan_layer.name, plan_layer.op, plan_layer.macs, marks.cycles, instructions, causes))
    total = last[-1].begin + last[-1].cycles - last[0].begin
    return Simulation(plan, machine.params, total, tuple(layers), machine.dump(), machine, run)


def _mean(marks: LayerRun, cores: int) -> tuple[int, dict[str, float]]:
    """Instructions of all cores, and cycles by cause: they add up to the layer's cycles.

    Causes are the mean over the cores, but for transfers: only core 0 waits for them, outside a team, and while it does
    the others are idle for the same reason; so its waits count whole, and the others' idle time that much less.
    """
    tallies = marks.cores[:cores]
    instructions = sum(t.instructions for t in tallies)
    causes = {"instructions": instructions / cores}
    causes.update({c: sum(t.stalls[c] for t in tallies) / cores for c in CAUSES})
    for cause in ("DMA wait", "RAM wait"):
        exposed = tallies[0].stalls[cause]
        causes["idle"] -= exposed - causes[cause]
        causes[cause] = float(exposed)
    return instructions, causes


def simulated_energy(sim: Simulation, power: Power) -> Energy | None:
    """Energy of cluster and SoC by the cycle model's figures; None beyond the target's operating points."""
    waiting = ("call", "barrier", "DMA wait", "RAM wait", "idle")
    layers = [Activity(x.op, x.cycles, x.cycles - sum(x.by_cause[c] for c in waiting)) for x in sim.layers]
    try:
        return energy_of(layers, sim.cycles, sim.plan.macs, power, sim.params.fc_khz, sim.params.cluster_khz)
    except UserError:
        return None


def summary(sim: Simulation, target: str, power: Energy | None) -> dict[str, Any]:
    """The JSON that `estimate` and `simulate` share; mJ are null without energy."""
    plan, params = sim.plan, sim.params
    mhz = params.cluster_khz / 1000
    return {
        "schema": 1,
        "target": target,
        "clocks_mhz": {"fc": params.fc_khz / 1000, "cluster": mhz},
        "source": "sim",
        "network": {
            "name": plan.network,
            "macs": plan.macs,
            "cycles": sim.cycles,
            "mac_per_cycle": plan.macs / sim.cycles,
            "ms": sim.cycles / mhz / 1000,
            "mj": power.mj if power else None,
            "pj_per_mac": power.pj_per_mac if power else None,
            "mj_by_state": dict(power.by_state_mj) if power else None,
            "volts": power.volts if power else None,
            "l2_peak_bytes": plan.l2_bytes,
        },
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "macs": layer.macs,
                "cycles": layer.cycles,
                "mac_per_cycle": layer.mac_per_cycle,
                "cycles_by_cause": {k: round(v, 1) for k, v in layer.by_cause.items()},
                "mj": power.layers_mj[i] if power else None,
                "tile": dict(zip("hwc", p.tile, strict=True)),
                "l1_bytes": p.l1_bytes,
            }
            for i, (layer, p) in enumerate(zip(sim.layers, plan.layers, strict=True))
        ],
    }
