"""Simulated cycles of whole networks: python benchmarks/networks.py [--layers] [--target NAME] [NETWORK ...].

FC and cluster at the target's clocks; the second of two inferences, transfers included. Wall time is the simulator's.

"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dory import targets
from dory.pipeline import Options, deploy
from dory.report.simulation import print_simulation
from dory.sim.application import simulate, simulated_energy
from dory.sim.iss import IssParams
from dory.testing.networks import NETWORKS

DEFAULT = ("dscnn", "resnet8", "mobilenet_v1_0.25_96", "mobilenet_v1_1.0_128")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=DEFAULT)
    parser.add_argument("--target", default="gap8-gvsoc")
    parser.add_argument("--layers", action="store_true", help="one line per layer as well")
    args = parser.parse_args()
    target = targets.load(args.target)
    table = Table(title=f"simulated on {target.name}", box=None)
    for title in ("network", "MMAC", "Mcycles", "MAC/cycle", "million instructions", "build and run, s", "MIPS"):
        table.add_column(title, justify="left" if title == "network" else "right")
    for name in args.networks:
        with tempfile.TemporaryDirectory() as scratch:
            model, app = Path(scratch) / f"{name}.onnx", Path(scratch) / "app"
            model.write_bytes(NETWORKS[name].build().SerializeToString(deterministic=True))
            deploy(model, Options(app, target, verify="none"))
            clock = [time.perf_counter()]
            stages: list[str] = []
            sim = simulate(
                app,
                IssParams.of(target),
                max_cycles=20_000_000_000,
                progress=lambda s, c=clock, names=stages: (names.append(s), c.append(time.perf_counter())),
            )
            end = time.perf_counter()
        if args.layers:
            print_simulation(sim, target.name, simulated_energy(sim, target.power))
        rate = sim.plan.macs / sim.cycles
        table.add_row(
            name,
            f"{sim.plan.macs / 1e6:.2f}",
            f"{sim.cycles / 1e6:.3f}",
            f"{rate:.2f}",
            f"{sim.run.instructions / 1e6:.1f}",
            f"{end - clock[0]:.2f}",
            f"{sim.run.instructions / 1e6 / (end - clock[-1]):.0f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
