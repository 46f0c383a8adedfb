"""Simulated layers with operands of 4 and 2 bits: what the cost of unpacking and packing is fitted to."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dory import reference
from dory.codegen.app import application
from dory.codegen.write import write_tree
from dory.graph.types import Graph
from dory.layers.cost import Work
from dory.layers.subbyte import FEATURES, count_rows, count_weights, no_counts
from dory.pipeline import example_inputs
from dory.plan import Unit, packed_bytes
from dory.sim.application import simulate
from dory.sim.iss.params import IssParams
from dory.targets import Target
from dory.testing.kernel_runs import CORES, Job, run
from dory.testing.measure import MAX_CYCLES, Measured, from_simulation
from dory.testing.subbyte import BITS, single
from dory.tiler.planner import lower, make_plan

CHANNELS = (3, 6, 8, 16, 24, 32, 48, 64, 96)
KINDS = ("pointwise", "conv", "depthwise", "linear")
MOST_JOBS = 8  # in one simulation, whose operands all fit L2


def random_single(seed: int) -> Graph:
    """A layer of random sizes with operands of random bits."""
    rng = np.random.default_rng(seed)
    op, c = str(rng.choice(KINDS)), int(rng.choice(CHANNELS))
    shape = (int(rng.integers(3, 20)), int(rng.integers(3, 20)), c)
    channels = c if op == "depthwise" else int(rng.choice(CHANNELS))
    if op == "linear":
        shape, channels = (1, 1, 8 * c), int(rng.integers(2, 64))
    x, w, y = (int(b) for b in rng.choice(BITS, 3))
    return single(op, shape, channels, (x, w, y), seed)


def measure(graph: Graph, target: Target, *, packed: bool) -> Measured:
    """Plan and simulate; without `packed` everything is stored in bytes."""
    values = reference.run(graph, example_inputs(graph, None))
    lowered = lower(graph, packed)
    plan = make_plan(lowered, target)
    with tempfile.TemporaryDirectory(prefix="dory-measure-") as scratch:
        app = Path(scratch) / "app"
        write_tree(app, application(plan, lowered.graph, lowered.packed, values))
        sim = simulate(app, IssParams.of(target), max_cycles=MAX_CYCLES, trace=True)
    return from_simulation(sim)


def repack_rows(count: int, seed: int, target: str) -> tuple[list[tuple[float, ...]], list[int]]:
    """Features and cycles, from fork to return, of `count` random calls of each of the three kernels."""
    rng = np.random.default_rng(seed)
    features: list[tuple[float, ...]] = []
    jobs: list[Job] = []
    for _ in range(count):
        for kernel in ("unpack", "pack", "weights"):
            counts = {**no_counts(), "once": 1.0}
            jobs.append(_weights_job(rng, counts) if kernel == "weights" else _rows_job(rng, kernel, counts))
            features.append(tuple(counts[name] for name in FEATURES))
    cycles: list[int] = []
    for at in range(0, len(jobs), MOST_JOBS):
        cycles += [done.cycles for done in run(jobs[at : at + MOST_JOBS], target)]
    return features, cycles


WORK = Work((1, 1, 1), (), 1, CORES)


def _rows_job(rng: np.random.Generator, kernel: str, counts: dict[str, float]) -> Job:
    bits, elements = int(rng.choice([2, 4])), int(rng.choice([1, 3, 5, 8, 12, 17, 24, 32, 40, 64, 99]))
    rows = int(rng.integers(1, 12000 // elements)) if rng.integers(2) else int(rng.integers(1, 40))
    count_rows(counts, kernel, bits, rows, elements, WORK)
    whole = elements * bits % 8 == 0
    fields = [1, rows * elements] if whole else [rows, elements]
    wide, packed = rows * elements, rows * packed_bytes(elements, bits)
    size, space = (packed, wide) if kernel == "unpack" else (wide, packed)
    return Job(kernel, ["x", "y", *fields, bits], {"x": _zeros(size)}, {"y": space})


def _weights_job(rng: np.random.Generator, counts: dict[str, float]) -> Job:
    bits = int(rng.choice([2, 4]))
    unit = Unit(*(4 * int(n) for n in (rng.choice([0, 4]), rng.choice([2, 3, 4, 16, 36, 64, 144, 256]), 12)))
    units = int(rng.integers(1, max(2, 24000 // unit.bytes())))
    count_weights(counts, unit, bits, units, WORK)
    fields: Sequence[int | str] = ["x", "y", units, unit.head, unit.body, unit.tail, bits]
    return Job("unpack_weights", fields, {"x": _zeros(units * unit.bytes(bits))}, {"y": units * unit.bytes()})


def _zeros(size: int) -> NDArray[np.uint8]:
    return np.zeros(size, np.uint8)
