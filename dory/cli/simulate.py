"""python -m dory simulate."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path


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
    p.add_argument("--fc-mhz", type=float, metavar="MHZ", help="clock of the fabric controller (default: the target's)")
    p.add_argument("--cluster-mhz", type=float, metavar="MHZ", help="clock of the cluster (default: the target's)")
    p.add_argument("--icache", type=int, metavar="BYTES", help="size of the cluster's instruction cache, e.g. 4096")
    p.add_argument("--max-cycles", type=int, default=20_000_000_000, metavar="N", help="fail after N cycles")
    p.add_argument("--profile", action="store_true", help="also print where each layer's functions spend their cycles")
    p.add_argument("--asm", metavar="KERNEL", help="also print a kernel's instructions with the cycles of each")
    p.add_argument(
        "--trace", type=Path, metavar="OUT.json", help="write a trace for ui.perfetto.dev or chrome://tracing"
    )
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate, compare, print."""
    from dory import targets
    from dory.errors import UserError
    from dory.plan import load_plan
    from dory.report.progress import Progress
    from dory.report.simulation import print_asm, print_profile, print_simulation
    from dory.sim.application import check_exit, simulate, summary
    from dory.sim.iss import IssParams
    from dory.sim.iss.trace import chrome_trace
    from dory.verify import compare_crc, stored_crcs

    plan = load_plan(args.app)
    target = targets.load(args.target or plan.target)
    params = IssParams.of(target)
    for option, key, value in (
        ("--fc-mhz", "fc_khz", args.fc_mhz),
        ("--cluster-mhz", "cluster_khz", args.cluster_mhz),
    ):
        if value is not None:
            if not 1 <= value <= 10_000:
                raise UserError(f"{value} MHz; accepted are 1 to 10000", where=option)
            params = replace(params, **{key: round(value * 1000)})
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
        _write(args.trace, json.dumps(chrome_trace(sim.run, params.cluster_khz / 1000)))
    if args.json:
        json.dump(summary(sim, target.name), sys.stdout, indent=1)
        print()
        return 0
    print_simulation(sim, target.name)
    if args.profile:
        print_profile(sim)
    if args.asm:
        print_asm(sim, args.asm)
    return 0


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    from dory.errors import UserError

    scratch = path.with_name(f".{path.name}.part")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as e:
        scratch.unlink(missing_ok=True)
        raise UserError(f"cannot be written: {e.strerror}", where=str(path), hint="another --trace") from e
