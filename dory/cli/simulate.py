"""python -m dory simulate."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dory.cli.options import add_clocks, with_clocks, write_text

if TYPE_CHECKING:
    from dory.sim.application import Simulation


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "simulate",
        help="cycle-level run of an application in the instruction-set simulator",
        description="Build an application folder with the stock RISC-V compiler, run two inferences in the in-tree GAP8"
        " simulator, compare every layer with the reference and print cycles per layer (of the second inference).",
    )
    p.add_argument("app", type=Path, metavar="APP")
    p.add_argument("--target", metavar="NAME|FILE.toml", help="timing of the chip (default: the plan's target)")
    add_clocks(p)
    p.add_argument("--icache", type=int, metavar="BYTES", help="size of the cluster's instruction cache, e.g. 4096")
    p.add_argument("--max-cycles", type=int, default=20_000_000_000, metavar="N", help="fail after N cycles")
    p.add_argument("--profile", action="store_true", help="also print where each layer's functions spend their cycles")
    p.add_argument("--asm", metavar="KERNEL", help="also print a kernel's instructions with the cycles of each")
    p.add_argument(
        "--trace",
        type=Path,
        metavar="OUT.json",
        help="write a trace, and the estimate beside it, for ui.perfetto.dev or chrome://tracing",
    )
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate, compare, print."""
    from dory.cli.plans import load_app
    from dory.errors import UserError
    from dory.report.progress import Progress
    from dory.report.simulation import print_asm, print_profile, print_simulation
    from dory.sim.application import check_exit, simulate, simulated_energy, summary
    from dory.sim.iss import IssParams
    from dory.verify import compare_crc, stored_crcs

    plan, target = load_app(args.app, args.target)
    params = with_clocks(IssParams.of(target), args.fc_mhz, args.cluster_mhz)
    if args.icache is not None:
        params = replace(params, icache_bytes=args.icache)
    if args.max_cycles < 1:
        raise UserError(f"{args.max_cycles}; a positive number is wanted", where="--max-cycles")
    profile = args.profile or bool(args.asm)
    with Progress(quiet=args.json) as progress:
        sim = simulate(
            args.app,
            params,
            max_cycles=args.max_cycles,
            profile=profile,
            trace=args.trace is not None,
            progress=progress,
        )
    compare_crc(sim.dump, plan, stored_crcs(args.app))
    check_exit(sim, args.app)
    if args.trace:
        write_text(args.trace, json.dumps(_trace(sim)), "--trace")
    energy = simulated_energy(sim, target.power)
    if args.json:
        json.dump(summary(sim, target.name, energy), sys.stdout, indent=1)
        print()
        return 0
    print_simulation(sim, target.name, energy)
    if args.profile:
        print_profile(sim)
    if args.asm:
        print_asm(sim, args.asm)
    return 0


def _trace(sim: Simulation) -> dict[str, Any]:
    """What was simulated and what the cycle model says of it, the latter laid over the reported inference."""
    from dory.report.estimate import trace_events
    from dory.sim.iss.trace import process, trace_file
    from dory.sim.model.network import estimate

    mhz = sim.params.cluster_khz / 1000
    predicted = estimate(sim.plan, sim.params, timeline=True)
    start = sim.run.layers[-len(sim.layers)].begin
    return trace_file(
        process(sim.run.events, mhz, 1, "simulated"), process(trace_events(predicted, start), mhz, 2, "estimated")
    )
