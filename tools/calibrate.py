"""Measures the cycle model's coefficients in the simulator: python tools/calibrate.py [--layers N] [--only KINDS].

Writes dory/sim/model/coefficients.json. Per kernel: simulated tiles of random layers of random shapes, fitted by
non-negative least squares of the relative error (kernel_fits.py). For the tile loop: what is left of each
layer's cycles. --only renews kernels of some kinds of layers and leaves the rest of the file as it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from kernel_fits import (
    Rows,
    fit,
    fit_cache,
    fit_kernels,
    fit_team,
    gather,
    quality,
    tiles_of,
    unmeasured,
)
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from dory import targets
from dory.layers import LAYERS
from dory.sim.application import COMPILER
from dory.sim.iss.params import IssParams
from dory.sim.model import coefficients as model
from dory.sim.model.network import estimate
from dory.streaming import schedule
from dory.targets import Cluster, Target
from dory.testing import subbyte_runs
from dory.testing.accuracy import measure_in, random_networks
from dory.testing.measure import Measured, MeasuredLayer, code_lines
from dory.testing.random_layers import KINDS, OF_INTEGERS, RARE, random_layers
from dory.tiler import baselines

FILE = Path(__file__).resolve().parents[1] / "dory" / "sim" / "model" / model.FILE
FIRST_SEED = 1_000_000  # benchmarks use others
TEAMS = (4, 2, 1)  # besides all cores
ROUNDS = 3
CHOSEN = 2  # every so many networks has the planner's own tiles
MORE = ("conv", "conv", "conv", "pointwise", *("depthwise",) * 5)  # closed forms of many terms need more samples
TABLE, EQUAL = "dory_lut", ("lut_of_relu",)
SLIVERS = ("depthwise_large", "depthwise_wide", "conv", "pointwise")  # stripes of few rows
RESCALED = ("conv", "pointwise", "depthwise", "linear")  # kernels with several rescale forms
QUIET, BUSY = "gap8", "gap8-gvsoc"  # targets
ACCESSES = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
CODE_NETWORKS = 4
WARM = (0.0, 1.0)
LEAST_LOOP = 50.0  # cycles of core 0 that every layer takes beside its kernels and waits
BARRIERS = 60.0  # cycles of the barriers and calls around a kernel whose operands are unpacked
EVENTS = ("x", "w", "y", "step", "operand_layer", "operand_load", "command", "block", "ram")


def sample(
    target: Target, layers: int, first_seed: int = FIRST_SEED, bits: int = 15, kinds: Sequence[str] = tuple(KINDS)
) -> list[Measured]:
    """Simulate about `layers` random layers of each kind with random L1 budgets; bits of the rescale multipliers."""
    networks = random_networks(layers * len(kinds), first_seed, target, kinds)
    jobs = [(net, tight, target, bits, i) for i, (net, tight) in enumerate(networks)]
    out = []
    with ProcessPoolExecutor() as pool:
        for i, run in enumerate(pool.map(_measure, jobs)):
            show = f"\r{target.name}, {target.cluster.cores} cores, {bits} bits: network {i + 1} of {len(networks)} "
            print(show, end="", file=sys.stderr)
            out.append(run)
    print(file=sys.stderr)
    return out


def _measure_subbyte(job: tuple[int, Target, bool]) -> Measured:
    """A layer of few bits, stored in them or in bytes: small weights have rescale forms of their own."""
    i, target, packed = job
    return subbyte_runs.measure(subbyte_runs.random_single(FIRST_SEED + i), target, packed=packed)


def fit_repacking(count: int) -> dict[str, Any]:
    """Coefficients of what unpacks and packs around kernels, from calls of its own."""
    features, cycles = subbyte_runs.repack_rows(count, FIRST_SEED, QUIET)
    found = fit(features, cycles, {}, [1.0] * len(cycles))
    error = np.asarray(features) @ found / cycles - 1
    found[0] = BARRIERS  # there is no fork around a kernel
    return quality(found, error)


def _measure(job: tuple[onnx.ModelProto, Target, Target, int, int]) -> Measured:
    """Most networks with tiles at random: costs are wanted of all tiles, not only of those thought to be cheap."""
    net, tight, full, bits, i = job
    chooser = baselines.at_random(IssParams.of(full), i) if i % CHOSEN else None
    run = measure_in(net, tight, full, rescale_bits=bits, chooser=chooser)
    return replace(run, planned=chooser is None)


def fit_loop(
    samples: Sequence[Measured], p: IssParams, lines: Mapping[str, float], now: model.Coefficients | None
) -> dict[str, Any]:
    """Cycles of core 0 outside kernels and waits: per layer and tile of each operator, per load, per command, ...

    What it waits for the DMA is measured, or what the model with the coefficients `now` says.
    """
    ops = sorted(LAYERS)
    names = [*(f"layer {o}" for o in ops), *(f"tile {o}" for o in ops), *EVENTS]
    column = {n: i for i, n in enumerate(names)}
    rows, left, gaps = [], [], []
    for run in samples:
        gaps.append((run.cycles - sum(x.cycles for x in run.layers)) / max(len(run.layers) - 1, 1))
        guess = estimate(run.plan, p, coefficients=now).layers if now else None
        missing = model.missing(run.plan.layers, lines, p)
        for i, layer in enumerate(run.layers):
            row = np.zeros(len(names))
            rest = _loop_row(row, column, layer, run, p) - missing[i][0] * p.icache_miss
            dma = guess[i].by_cause["dma"] if guess else layer.dma_wait
            if rest - dma >= LEAST_LOOP:  # else the model's waits are off by more than the loop takes
                rows.append(row)
                left.append(rest - dma)
    a, y = np.asarray(rows), np.asarray(left)
    found, _ = nnls(a / np.sqrt(y)[:, None], np.sqrt(y), maxiter=10_000)
    value = {n: round(float(found[i]), 2) for n, i in column.items()}
    error = np.abs(a @ found - y)
    return {
        "layer": {o: value[f"layer {o}"] for o in ops},
        "tile": {o: value[f"tile {o}"] for o in ops},
        **{k: value[k] for k in EVENTS},
        "gap": round(float(np.median(gaps)), 1),
        "mean_error_cycles": round(float(error.mean()), 1),
    }


def _loop_row(row: np.ndarray, column: dict[str, int], layer: MeasuredLayer, run: Measured, p: IssParams) -> float:
    """Fill in the row; the layer's cycles outside kernels, waits for the RAM, and what runtime calls cost."""
    steps, _ = tiles_of(layer.layer, p, run.plan.cores)
    op, plan = layer.layer.op, layer.layer
    more = len(plan.inputs) - 1
    row[column["operand_layer"]] = more
    row[column[f"layer {op}"]] = 1
    if plan.depth:
        row[column["step"]] = len(steps)
    else:
        row[column[f"tile {op}"]] = len(steps)
    rest = layer.cycles - sum(layer.kernels) - layer.ram_wait
    rest -= len(steps) * (p.fork_start + p.fork_join)
    if plan.direct:
        return rest
    if not plan.depth:
        loaded = sum(not x.kept for x in plan.inputs)
        row[column["x"]] = sum(s[1] for s in steps) if loaded else 0
        row[column["operand_load"]] = max(loaded - 1, 0) * row[column["x"]]
        row[column["w"]] = sum(s[2] for s in steps) if plan.weights else 0
        row[column["y"]] = len(steps) if plan.stored else 0
    commands = sum(c.commands for s in steps for c in s[0].y)
    commands += sum(c.commands for s in steps if s[1] for c in s[0].x)
    commands += sum(c.commands for s in steps if s[2] for c in s[0].w)
    row[column["command"]] = commands
    rest -= commands * p.dma_issue
    operands = [x for x in (*plan.inputs, plan.output) if x.l3_offset >= 0]
    row[column["block"]] = plan.stripes if operands else 0
    queue = schedule(run.plan)
    first, last = queue.first[plan.index], [*queue.first, len(queue.points)][plan.index + 1] - 1
    calls = plan.stripes * len(operands) + queue.points[last].started
    calls -= queue.points[first - 1].started if first else 0
    row[column["ram"]] = calls
    return rest - calls * p.ram_issue


def code(target: Target) -> dict[str, float]:
    """Lines of code that run in the median of small networks: the loop, the network, each operator, each kernel."""
    seen: dict[str, list[float]] = defaultdict(list)
    several = []
    for i, kind in enumerate([*KINDS, *RARE, *OF_INTEGERS]):
        for j in range(CODE_NETWORKS):
            measured, layers = code_lines(random_layers(FIRST_SEED + 100 * i + j, (kind,)), target)
            if len(layers) > 1:
                several.append((measured, layers))
                continue
            names = {"loop": "loop", "network": "network", layers[0].op: "layer", layers[0].kernel: "kernel"}
            names[model.kernel_key(layers[0])] = "kernel"
            for name, part in names.items():
                seen[name].append(measured[part])
    steps = baselines.at_random(IssParams.of(target), 0, deep=1.0)
    measured, layers = code_lines(random_layers(FIRST_SEED, ("pointwise_deep",)), target, steps)
    seen[layers[0].kernel].append(measured["kernel"])
    found = {name: median(lines) for name, lines in seen.items()}
    for key in [k for k in found if "/" in k]:  # a form that none of the networks has takes no fewer than others
        kernel = key.split("/")[0]
        found[kernel] = max(found[k] for k in found if k.startswith(f"{kernel}/"))
    # Operators that come with others: what those leave of the lines.
    for measured, layers in several:
        known = sum({k: found.get(k, 0) for k in map(model.kernel_key, layers)}.values())
        for layer in layers:
            if layer.op not in seen:
                found[layer.kernel] = max(measured["kernel"] - known, found.get(layer.kernel, 1))
                found[layer.op] = round(measured["layer"] / len(layers))
    return found


def calibrate(layers: int) -> dict[str, Any]:
    """Everything: kernels and loop where neither the cache nor the DMA disturbs them, then how the DMA does."""
    target, busy = targets.load(QUIET), targets.load(BUSY)
    p = IssParams.of(target)
    lines = code(target)
    runs, integers = all_samples(target, layers), integer_samples(target, layers)
    stored = [(i, target, packed) for i in range(max(3 * layers, 6)) for packed in (False, True)]
    with ProcessPoolExecutor() as pool:
        few_bits = list(pool.map(_measure_subbyte, stored))
    rows = gather([*runs, *integers, *few_bits], p, lines)
    rows[TABLE] = table_rows(target, layers, runs, p, lines)
    runs += integers
    for key, never in unmeasured(rows).items():
        print(f"{key}: no layer had its features {never}", file=sys.stderr)
    kernels = fit_kernels(rows)
    kernels[model.REPACK] = fit_repacking(3 * layers)
    team = {target.cluster.cores: {k: 1.0 for k in kernels}}
    for cores in TEAMS:
        smaller = replace(target, cluster=Cluster(cores))
        some = sample(smaller, max(layers // 10, 2), FIRST_SEED + 700_000)
        team[cores] = fit_team(gather(some, p, lines), kernels)
    for name, entry in kernels.items():
        entry["team"] = {str(n): team[n].get(name, 1.0) for n in team}
        entry["small_cache"] = WARM
    found: dict[str, Any] = {"core_timing": model.core_timing(p), "lines": lines, "kernels": kernels}
    found["loop"] = settle(runs, p, found)
    quarter = max(layers // 4, 2)
    disturbed, q = [*all_samples(busy, quarter), *integer_samples(busy, quarter)], IssParams.of(busy)
    small = fit_cache(gather(disturbed, q, lines), kernels)
    for name, entry in kernels.items():
        entry["small_cache"] = small.get(name, WARM)
    tried = {n: mean_error(disturbed, q, {**found, "loop": {**found["loop"], "busy": n}}) for n in ACCESSES}
    best = min(tried, key=lambda n: tried[n])
    found["loop"].update({"busy": best, "mean_error_busy": tried[best]})
    return found


def table_rows(target: Target, layers: int, runs: Sequence[Measured], p: IssParams, lines: Mapping[str, float]) -> Rows:
    """Tiles of tables. Cores that look up one entry wait for each other: half as many samples have their values from a
    ReLU; layers of few bits have too few values to say anything of others."""
    equal = sample(target, max(layers // 2, 2), FIRST_SEED + 850_000, 15, EQUAL)
    return gather([*runs, *equal], p, lines)[TABLE]


def renew(names: Sequence[str], layers: int, found: dict[str, Any]) -> dict[str, Any]:
    """The file's content with kernels of the kinds of layers whose names begin so measured anew, on all cores."""
    target, wanted, lines = targets.load(QUIET), tuple(names), found["lines"]
    p, runs = IssParams.of(target), all_samples(target, layers, wanted)
    rows = {k: r for k, r in gather(runs, p, lines).items() if k.removeprefix("dory_").startswith(wanted)}
    if TABLE in rows:
        rows[TABLE] = table_rows(target, layers, runs, p, lines)
    kernels = {k: {**found["kernels"][k], **new} for k, new in fit_kernels(rows).items()}
    sources = {k: v for k, v in model.source_hashes().items() if k in {key.split("/")[0] for key in kernels}}
    return {
        **found,
        "sources": {**found["sources"], **sources},
        "kernels": {**found["kernels"], **kernels},
    }


def all_samples(target: Target, layers: int, only: tuple[str, ...] = ("",)) -> list[Measured]:
    """With all of L2; with so little that weights and large tensors stay in L3; with 31-bit multipliers; rare kinds.

    only: how the names of the kinds begin.
    """
    small, few = replace(target, l2_budget=target.l2_budget // 4), max(layers // 6, 1)
    jobs: list[tuple[Target, int, int, int, Sequence[str]]] = [
        (target, layers, 0, 15, (*KINDS, *MORE)),
        (small, few, 500_000, 15, tuple(KINDS)),
        (small, max(layers // 3, 2), 900_000, 15, SLIVERS),
        (target, few, 600_000, 31, RESCALED),
        (target, max(layers // 2, 2), 800_000, 15, [k for k in RARE if k not in EQUAL]),
    ]
    found: list[Measured] = []
    for of, count, seed, bits, kinds in jobs:
        some = [k for k in kinds if k.startswith(only)]
        found += sample(of, count, FIRST_SEED + seed, bits, some) if some else []
    return found


def integer_samples(target: Target, layers: int) -> list[Measured]:
    """Layers that only networks of integers have."""
    return sample(target, max(layers // 2, 2), FIRST_SEED + 950_000, 15, tuple(OF_INTEGERS))


def settle(runs: Sequence[Measured], p: IssParams, found: dict[str, Any]) -> dict[str, Any]:
    """The loop's coefficients and the waits that the model predicts with them, in turn until they agree."""
    now = None
    for _ in range(ROUNDS):
        loop = {**fit_loop(runs, p, found["lines"], now), "busy": 0.0}
        now = model.decode({**found, "loop": loop})
    return {**loop, "mean_error": mean_error(runs, p, {**found, "loop": loop})}


def mean_error(runs: Sequence[Measured], p: IssParams, found: dict[str, Any]) -> float:
    """Of whole layers, relative."""
    errors, coefficients = [], model.decode(found)
    for run in runs:
        for guess, layer in zip(estimate(run.plan, p, coefficients=coefficients).layers, run.layers, strict=True):
            errors.append(abs(guess.cycles / layer.cycles - 1))
    return round(float(np.mean(errors)), 4)


def main() -> None:
    """Calibrate and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=60, help="random layers of each kind (default 60)")
    parser.add_argument("--only", metavar="KINDS", help="renew these kernels alone, e.g. lut,maxpool; not the loop")
    parser.add_argument("-o", "--output", type=Path, default=FILE, help="another file than the package's own")
    args = parser.parse_args()
    said = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True)
    if args.only:
        found = renew(args.only.split(","), args.layers, json.loads(FILE.read_text(encoding="utf-8")))
    else:
        found = {"sources": model.source_hashes(), **calibrate(args.layers)}
    about = {"note": "written by make calibrate; do not edit", "compiler": said.stdout.splitlines()[0]}
    result = {**about, **{k: v for k, v in found.items() if k not in about}}
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = Table(title="tiles of random layers", box=None)
    for title in ("kernel", "tiles", "mean error", "95th percentile", "coefficients"):
        table.add_column(title)
    for kernel, k in found["kernels"].items():
        numbers = " ".join(f"{c:g}" for c in k["coefficients"])
        table.add_row(kernel, str(k["tiles"]), f"{k['mean_error']:.1%}", f"{k['p95_error']:.1%}", numbers)
    console, loop = Console(), found["loop"]
    console.print(table)
    console.print(f"loop: mean error {loop['mean_error_cycles']} cycles a layer")
    console.print(f"layers: mean error {loop['mean_error']:.2%} on {QUIET}, {loop['mean_error_busy']:.2%} on {BUSY}")


if __name__ == "__main__":
    main()
