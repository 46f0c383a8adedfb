"""Tilings of whole networks: python benchmarks/tiling.py [--write] [--layers] [--target NAME] [NETWORK ...].

For each network: wall time of the plan, how many tiles the search went through and how far it may be from the optimum,
use of L1, bytes from L3, stalls that stay exposed, and the cycles of other ways to choose tiles, on the same model.
`--write` renews docs/tilings.md. Wall times are this machine's.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dory import frontend, targets
from dory.errors import DoryError
from dory.plan import Plan
from dory.sim.iss.params import IssParams
from dory.sim.model.network import Estimate, estimate
from dory.targets import Target
from dory.testing.networks import NETWORKS
from dory.tiler.explain import compared
from dory.tiler.planner import lower, make_plan, spaces
from dory.tiler.search import Found
from dory.tiler.tiles import search_all

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
PAGE = ROOT / "docs" / "tilings.md"
BASELINES = {"largest": "most L1", "weighted": "DORY's weights", "random": "at random"}
TITLES = (
    "network",
    "layers",
    "plan, s",
    "legal",
    "fit L1",
    "survive",
    "timed",
    "gap",
    "L1",
    "L3 MB",
    "Mcycles",
    "DMA",
    "L3",
    *BASELINES.values(),
)
HEAD = """# Tiles of whole networks

Written by `python benchmarks/tiling.py --write`; do not edit. gap: how far the tiles may be from the optimum of the
cycle model (0 is proved), the worst layer. legal, fit L1, survive, timed: tiles of all distinct layers. L1: mean use
of the budget, weighted with the layers' cycles. L3: bytes read and written in an inference. Mcycles: the estimate; DMA
and L3: shares of it that wait for copies. The last three columns: predicted cycles with tiles chosen in other ways,
relative to the search, operands in L2.
"""


@dataclass(frozen=True)
class Result:
    """A network's plan, what the search found for each layer, its estimate, other choices' cycles over the search's."""

    name: str
    plan: Plan
    seconds: float
    found: list[Found | None]
    estimate: Estimate
    others: dict[str, float]

    def row(self) -> list[str]:
        """Cells of the table."""
        distinct = list({id(f): f for f in self.found if f}.values())
        e = self.estimate
        used = sum(x.cycles * x.layer.l1_bytes for x in e.layers) / e.cycles / self.plan.l1_budget
        moved = sum(x.l3_read + x.l3_written for x in e.layers)
        return [
            self.name,
            str(len(self.plan.layers)),
            f"{self.seconds:.2f}",
            *(_count(sum(getattr(f, key) for f in distinct)) for key in ("legal", "fitting", "survivors", "timed")),
            _gap(max((f.gap for f in distinct), default=0.0)),
            f"{used:.0%}",
            f"{moved / 1e6:.2f}",
            f"{e.cycles / 1e6:.3f}",
            f"{e.by_cause['dma'] / e.cycles:.1%}",
            f"{e.by_cause['l3'] / e.cycles:.1%}",
            *(f"{self.others[k]:.2f}" for k in BASELINES),
        ]


def _gap(gap: float) -> str:
    return "0" if gap == 0 else f"{gap:.2%}"


def _count(n: int) -> str:
    return str(n) if n < 10_000 else f"{n / 1000:.0f} k"


def models(names: list[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """The project's networks and those in ../shared, or the ones named."""
    for name in names or NETWORKS:
        path = folder / f"{name}.onnx"
        path.write_bytes(NETWORKS[name].build().SerializeToString(deterministic=True))
        yield name, path
    for path in () if names else sorted(SHARED.rglob("*.onnx")):
        yield path.stem if path.stem != "model" else path.parent.name, path


def measure(name: str, path: Path, target: Target) -> Result:
    """Plan and compare; networks whose weights exceed L3 get twice as much. DoryError when the network is not supported
    or does not fit."""
    lowered = lower(frontend.load(path))
    if sum(len(p.data) for p in lowered.packed if p) > target.l3.bytes:
        target = replace(target, l3=replace(target.l3, bytes=2 * target.l3.bytes))
        name += f" (L3 of {target.l3.bytes >> 20} MB)"
    params = IssParams.of(target)
    gc.collect()
    gc.freeze()  # objects of the networks before: a process of its own would not go through them
    start = time.perf_counter()
    plan = make_plan(lowered, target)
    seconds = time.perf_counter() - start
    every = spaces(lowered, target)
    found = search_all(every, params)
    sums, mine = dict.fromkeys(BASELINES, 0), 0
    for space, f in zip(every, found, strict=True):
        if f:
            mine += f.best.cycles
            for key, cycles in compared(space, params).items():
                sums[key] += cycles
    others = {k: v / max(mine, 1) for k, v in sums.items()}
    return Result(name, plan, seconds, found, estimate(plan, params), others)


def print_layers(result: Result, console: Console) -> None:
    """Waits for transfers that remain in each layer."""
    table = Table(title=f"{result.name}: exposed stalls", box=None)
    for title in ("layer", "operator", "tile", "tiles", "cycles", "DMA", "L3", "why"):
        table.add_column(title, justify="left" if title in ("layer", "operator", "why") else "right")
    for x in result.estimate.layers:
        dma, l3 = x.by_cause["dma"], x.by_cause["l3"]
        why = []
        if dma > 0.02 * x.cycles:
            why.append("first load and last store" if x.tiles <= 4 else "less work a byte than the DMA brings")
        if l3 > 0.02 * x.cycles:
            why.append("weights come at 1.3 cycles a byte" if x.layer.weights else "activations in L3")
        tile = "x".join(map(str, x.layer.tile))
        table.add_row(x.layer.name, x.layer.op, tile, str(x.tiles), str(x.cycles), str(dma), str(l3), "; ".join(why))
    console.print(table)


def main() -> None:
    """Print the table, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--target", default="gap8")
    parser.add_argument("--layers", action="store_true", help="stalls of every layer as well")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    import cpmpy  # noqa: F401  imports are not a plan's time

    console, target, rows = Console(), targets.load(args.target), []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in models(args.networks, Path(folder)):
            try:
                result = measure(name, path, target)
            except DoryError as e:
                console.print(f"{name}: {e.message}")
                continue
            rows.append(result.row())
            console.print("  ".join(rows[-1]), highlight=False)
            if args.layers:
                print_layers(result, console)
    table = Table(title=f"tiles on {target.name}", box=None)
    for title in TITLES:
        table.add_column(title, justify="left" if title == "network" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if args.write:
        lines = ["| " + " | ".join(r) + " |" for r in (TITLES, ["---"] + ["---:"] * (len(TITLES) - 1), *rows)]
        PAGE.write_text(f"{HEAD}\nTarget {target.name}.\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
