"""Wall time of an estimate: python benchmarks/estimate.py [NETWORK ...].

Milliseconds for a finished plan, and seconds for 1,000 points of a sweep over clocks and cores on all local cores.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dory import frontend, targets
from dory.plan import Plan
from dory.sim.iss.params import IssParams
from dory.sim.model.network import estimate
from dory.testing.networks import NETWORKS
from dory.tiler.planner import lower, make_plan

DEFAULT = ("dscnn", "resnet8", "mobilenet_v1_0.25_96", "mobilenet_v1_1.0_128")
POINTS = [(fc, cluster, n) for fc, cluster, n in product(range(50, 251, 20), range(50, 176, 11), range(1, 9))][:1000]


def plan_of(name: str) -> Plan:
    """The plan of a network on gap8."""
    with tempfile.TemporaryDirectory() as scratch:
        model = NETWORKS[name].save(Path(scratch) / "model.onnx")
        return make_plan(lower(frontend.load(model)), targets.load("gap8"))


def best_ms(plan: Plan, params: IssParams, timeline: bool = False) -> float:
    """Of ten runs, milliseconds."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        estimate(plan, params, timeline=timeline)
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def point(job: tuple[Plan, IssParams, int, int, int]) -> int:
    """Cycles of one point."""
    plan, params, fc, cluster, cores = job
    return estimate(plan, replace(params, fc_khz=fc * 1000, cluster_khz=cluster * 1000), cores=cores).cycles


def sweep_seconds(plan: Plan, params: IssParams) -> float:
    """All points, all local cores."""
    jobs = [(plan, params, *p) for p in POINTS]
    start = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        assert len(list(pool.map(point, jobs, chunksize=25))) == len(jobs)
    return time.perf_counter() - start


def main(names: list[str]) -> None:
    """Print the table."""
    params = IssParams.of(targets.load("gap8"))
    table = Table(title=f"estimate, {os.cpu_count()} local cores", box=None)
    for title in ("network", "layers", "estimate, ms", "with timeline, ms", f"{len(POINTS)} points, s"):
        table.add_column(title, justify="left" if title == "network" else "right")
    for name in names or DEFAULT:
        plan = plan_of(name)
        quick, full = best_ms(plan, params), best_ms(plan, params, timeline=True)
        table.add_row(name, str(len(plan.layers)), f"{quick:.2f}", f"{full:.2f}", f"{sweep_seconds(plan, params):.1f}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
