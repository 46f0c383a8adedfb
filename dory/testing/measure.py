"""Simulated layers with the time of every tile's kernel: what the cycle model's coefficients are fitted to."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from dory.pipeline import Options, deploy
from dory.plan import LayerPlan, Plan
from dory.sim.application import Simulation, simulate
from dory.sim.iss.params import IssParams
from dory.targets import Target
from dory.tiler.tiles import Chooser

MAX_CYCLES = 20_000_000_000


@dataclass(frozen=True)
class MeasuredLayer:
    """Cluster cycles of a layer, and core 0's exposed waits in it.

    Of every tile's kernel: the first core's start to the last core's end, and the mean of the cores' times.
    """

    layer: LayerPlan
    cycles: int
    dma_wait: int
    ram_wait: int
    kernels: tuple[int, ...]
    means: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """A simulated network; planned: with the tiles that the planner chooses."""

    plan: Plan
    cycles: int
    layers: tuple[MeasuredLayer, ...]
    planned: bool = True


def measure(
    model: onnx.ModelProto | Path,
    target: Target,
    *,
    kernels: bool = True,
    rescale_bits: int = 15,
    chooser: Chooser | None = None,
) -> Measured:
    """Deploy and simulate; the second inference. Without `kernels` their times are left out."""
    with tempfile.TemporaryDirectory(prefix="dory-measure-") as scratch:
        if isinstance(model, Path):
            path = model
        else:
            path = Path(scratch) / "model.onnx"
            path.write_bytes(model.SerializeToString(deterministic=True))
        app = Path(scratch) / "app"
        deploy(path, Options(app, target, verify="none", rescale_bits=rescale_bits, chooser=chooser))
        sim = simulate(app, IssParams.of(target), max_cycles=MAX_CYCLES, trace=kernels)
    return from_simulation(sim, kernels=kernels)


def from_simulation(sim: Simulation, *, kernels: bool = True) -> Measured:
    """The measurements of a finished (and, for `kernels`, traced) simulation."""
    plan = sim.plan
    marks = sim.run.layers[-len(plan.layers) :]
    teams = _teams(sim, plan.cores) if kernels else []
    layers, at = [], 0
    for layer, run in zip(plan.layers, marks, strict=True):
        end = run.begin + run.cycles
        spans, means = [], []
        while at < len(teams) and teams[at][0] < end:
            begin, last, mean = teams[at]
            if begin >= run.begin:
                spans.append(round(last - begin))
                means.append(mean)
            at += 1
        stalls = run.cores[0].stalls
        layers.append(
            MeasuredLayer(layer, run.cycles, stalls["DMA wait"], stalls["RAM wait"], tuple(spans), tuple(means))
        )
    return Measured(plan, sim.cycles, tuple(layers))


def _teams(sim: Simulation, cores: int) -> Sequence[tuple[float, float, float]]:
    """(start, last end, mean time) of every fork, in order."""
    tracks: list[list[tuple[float, float]]] = [[] for _ in range(cores)]
    for e in sim.run.events:
        if e.kind == "core" and e.track < cores:
            tracks[e.track].append((e.begin, e.end))
    forks = []
    for events in zip(*(sorted(t) for t in tracks), strict=True):
        start = events[0][0]
        forks.append((start, max(e for _, e in events), sum(e - start for _, e in events) / cores))
    return forks


def code_lines(
    model: onnx.ModelProto, target: Target, chooser: Chooser | None = None
) -> tuple[dict[str, int], tuple[LayerPlan, ...]]:
    """Instruction cache lines that a network runs, "loop", "layer", "network" and "kernel"; and its layers."""
    with tempfile.TemporaryDirectory(prefix="dory-measure-") as scratch:
        path, app = Path(scratch) / "model.onnx", Path(scratch) / "app"
        path.write_bytes(model.SerializeToString(deterministic=True))
        deploy(path, Options(app, target, verify="none", chooser=chooser))
        params = IssParams.of(target)
        sim = simulate(app, params, max_cycles=MAX_CYCLES, profile=True)
        program = sim.machine.program
        assert program is not None
        lines: dict[str, set[int]] = {"loop": set(), "layer": set(), "network": set(), "kernel": set()}
        for pc in sim.run.pcs:
            function = program.function_at(pc)
            line = program.line_at(function.start) if function else None
            part = _part(Path(line[0]).name if line else "", function.name if function else "")
            if part:
                lines[part].add(pc // params.icache_line)
    return {part: len(found) for part, found in lines.items()}, sim.plan.layers


def _part(file: str, function: str) -> str:
    """What a function belongs to; "" for what does not run on the cluster. libgcc's serve kernels."""
    if file in ("dory_engine.c", "dory_stream.c", "dory_sums.c"):
        return "loop"
    if file.startswith("layer_"):
        return "layer"
    if file == "network.c":
        return "network" if function == "run_network" else ""
    if file.startswith("device") or file.startswith("rt_") or file == "main.c":
        return ""
    return "kernel" if file or function.startswith("__") else ""
