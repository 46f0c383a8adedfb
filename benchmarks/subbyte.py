"""What operands of 4 and 2 bits cost and save: python benchmarks/subbyte.py [--target NAME].

One layer a row, simulated with its transfers. MAC/cycle of the kernel counts what is unpacked and packed around it;
bytes are those between L2 and L1.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dory import reference, targets
from dory.codegen.app import application
from dory.codegen.write import write_tree
from dory.graph.types import Shape
from dory.pipeline import example_inputs
from dory.sim.application import check_exit, simulate
from dory.sim.iss import IssParams
from dory.sim.model.network import estimate
from dory.targets import Target
from dory.testing.measure import from_simulation
from dory.testing.subbyte import single
from dory.tiler.planner import lower, make_plan
from dory.verify import compare

LAYERS: tuple[tuple[str, Shape, int], ...] = (
    ("pointwise", (16, 16, 64), 64),
    ("pointwise", (8, 8, 128), 128),
    ("pointwise", (8, 8, 256), 256),
    ("conv", (16, 16, 32), 64),
    ("depthwise", (16, 16, 64), 64),
    ("linear", (1, 1, 1024), 64),
)
BITS = ((8, 8, 8), (8, 4, 8), (8, 2, 8), (4, 8, 4), (4, 4, 4), (2, 2, 2))
BAR = 0.8
"""What 4-bit weights in pointwise layers keep of the 8-bit rate, at least."""


@dataclass(frozen=True)
class Result:
    """MAC/cycle of the kernels and of the layer, the model's error, and bytes."""

    kernel: float
    layer: float
    error: float
    dma_bytes: int
    weight_bytes: int


def measure(op: str, shape: Shape, channels: int, bits: tuple[int, int, int], target: Target) -> Result:
    """Simulate one layer; its outputs are compared with the reference."""
    graph = single(op, shape, channels, bits, seed=1)
    values = reference.run(graph, example_inputs(graph, None))
    lowered = lower(graph)
    plan, params = make_plan(lowered, target), IssParams.of(target)
    with tempfile.TemporaryDirectory() as scratch:
        app = Path(scratch) / "app"
        write_tree(app, application(plan, graph, lowered.packed, values))
        sim = simulate(app, params, max_cycles=1_000_000_000, trace=True)
    compare(sim.dump, plan, values)
    check_exit(sim, app)
    name = "conv" if op == "pointwise" else op
    at = next(i for i, layer in enumerate(plan.layers) if layer.op == name)
    layer, done = plan.layers[at], from_simulation(sim).layers[at]
    assert (layer.inputs[0].bits, layer.weights.bits if layer.weights else 8, layer.output.bits) == bits
    guess = estimate(plan, params).layers[at]
    return Result(
        layer.macs / sum(done.kernels),
        layer.macs / done.cycles,
        guess.cycles / done.cycles - 1,
        guess.dma_bytes,
        layer.weights.bytes if layer.weights else 0,
    )


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="gap8")
    target = targets.load(parser.parse_args().target)
    table = Table(title=f"simulated on {target.name}", box=None)
    for title in ("layer", "x w y", "kernel MAC/cycle", "of 8 bits", "layer MAC/cycle", "model", "DMA B", "weights B"):
        table.add_column(title, justify="left" if title == "layer" else "right")
    missed = 0
    for op, shape, channels in LAYERS:
        base = 0.0
        for bits in BITS:
            r = measure(op, shape, channels, bits, target)
            base = base or r.kernel
            below = op == "pointwise" and bits == (8, 4, 8) and r.kernel < BAR * base
            missed += below
            name = f"{op} {'x'.join(map(str, shape))} -> {channels}" if bits == BITS[0] else ""
            cells = [" ".join(map(str, bits)), f"{r.kernel:.2f}", f"{r.kernel / base:.2f}{' BELOW' if below else ''}"]
            cells += [f"{r.layer:.2f}", f"{r.error:+.1%}", str(r.dma_bytes), str(r.weight_bytes)]
            table.add_row(name, *cells)
    Console(width=120).print(table)
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
