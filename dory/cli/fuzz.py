"""python -m dory fuzz."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dory.errors import UserError

if TYPE_CHECKING:
    from dory.report.progress import Progress
    from dory.testing.fuzz import Options, Result

DEFAULT = {"tile": 250, "host": 30, "sim": 30}  # networks: about half a minute each


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "fuzz",
        help="random networks through the tiler, the C code and the simulator",
        description="Draw random layers and small networks in awkward shapes, under tight and full memories and teams"
        " of any size, and check them: plans tile by tile (tile), also the generated C against the integer reference"
        " with sanitizers (host), or in the simulator (sim). The first failure is shrunk to a small network and saved.",
    )
    p.add_argument("--level", choices=tuple(DEFAULT), default="tile", help="how far each network goes (default tile)")
    p.add_argument(
        "--count", type=int, metavar="N", help="networks (default: some half a minute's; none with --seconds)"
    )
    p.add_argument("--seconds", type=float, metavar="S", help="stop after so many seconds")
    p.add_argument("--seed", type=int, metavar="N", help="the same seed draws the same networks (default: a new one)")
    p.add_argument("--target", default="gap8", metavar="NAME|FILE.toml", help="hardware description (default gap8)")
    p.add_argument(
        "-o", "--output", type=Path, default=Path("fuzz-failures"), metavar="DIR",
        help="where a failing network is saved (default fuzz-failures)",
    )  # fmt: skip
    p.add_argument("--replay", type=Path, metavar="FILE.onnx", help="run a saved network again, at its own level")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fuzz, or replay; 1 when something fails."""
    from dory import targets
    from dory.report.progress import Progress
    from dory.testing.fuzz import Options, fuzz

    if args.replay:
        return _replay(args)
    for option, value in (("--count", args.count), ("--seconds", args.seconds), ("--seed", args.seed)):
        if value is not None and (value < 0 or (value == 0 and option != "--seed")):
            raise UserError(f"{value}; a positive number is wanted", where=option)
    targets.load(args.target)
    count = args.count if args.count or args.seconds else DEFAULT[args.level]
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    options = Options(args.level, count, args.seconds, seed, args.target, args.output)
    with Progress(quiet=args.json) as progress:
        progress(f"fuzz {args.level} --seed {seed}")
        result = fuzz(options, _shown(progress, options))
    if args.json:
        json.dump(_as_json(result, options), sys.stdout, indent=1)
        print()
    else:
        _print(result, options)
    return 1 if result.failure else 130 if result.interrupted else 0


def _shown(progress: Progress, options: Options) -> Callable[[Result, str], None]:
    def show(result: Result, doing: str) -> None:
        if doing:
            progress.status(doing)
        elif options.count:
            progress.count(result.networks, options.count, f"networks, {result.layers} layers")
        else:
            progress.status(f"{result.networks} networks, {result.layers} layers")

    return show


def _replay(args: argparse.Namespace) -> int:
    """Run a saved case; its error is the answer."""
    from dory.testing.fuzz import check_case, load_case

    case = load_case(args.replay)
    plan = check_case(args.replay, case)
    print(f"{args.replay}: {len(plan.layers)} layers at level {case.level}, no failure")
    return 0


def _print(result: Result, options: Options) -> None:
    state = "interrupted after" if result.interrupted else "done:"
    refused = f", {result.refused} of them fit no memory" if result.refused else ""
    print(
        f"fuzz {options.level} {state} {result.networks} networks{refused}, {result.layers} layers,"
        f" {'1 failure' if result.failure else 'no failure'}; --seed {options.seed}"
    )
    failure = result.failure
    if failure is None:
        return
    print(f"\n{failure.message}\n")
    print("smallest network found" + ("" if failure.shrunk else " before the interrupt") + f", {failure.path}:")
    for line in failure.layers:
        print(f"  {line}")
    print(f"again: {failure.reproducer}")


def _as_json(result: Result, options: Options) -> dict[str, object]:
    failure = result.failure
    return {
        "level": options.level,
        "seed": options.seed,
        "networks": result.networks,
        "layers": result.layers,
        "refused": result.refused,
        "interrupted": result.interrupted,
        "failure": failure
        and {
            "file": str(failure.path),
            "message": failure.message,
            "layers": list(failure.layers),
            "reproducer": failure.reproducer,
        },
    }
