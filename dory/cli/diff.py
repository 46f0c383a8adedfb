"""python -m dory diff."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dory.cli.options import add_clocks, size, with_clocks
from dory.cli.plans import PLANNING, add_planning, load_planned

if TYPE_CHECKING:
    from dory.report.estimate import Report
    from dory.report.progress import Progress


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "diff",
        help="two applications, plans or models side by side",
        description="Estimate two applications, plans or models and print what differs: layers, cycles, memory. Options"
        " hold for both sides, those of --b-... for B only: diff net.onnx net.onnx --b-l1 32k.",
    )
    for side in "ab":
        p.add_argument(side, type=Path, metavar=side.upper(), help="a model, an application folder, or a plan.json")
    add_planning(p)
    p.add_argument("--b-target", metavar="NAME|FILE.toml", help="hardware description of B")
    p.add_argument("--b-l1", type=size, metavar="BYTES", help="L1 that tiles of B may use")
    p.add_argument("--b-l2", type=size, metavar="BYTES", help="L2 of B")
    p.add_argument("--b-cores", type=int, metavar="N", help="cores of B")
    add_clocks(p)
    p.add_argument("--json", action="store_true", help="print both sides as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Estimate both, print the differences."""
    from dory.report.diff import Side, as_json, print_diff
    from dory.report.progress import Progress

    with Progress(quiet=args.json) as progress:
        a = Side(str(args.a), _estimate(args.a, args, progress))
        b = Side(str(args.b), _estimate(args.b, _of_b(args), progress))
    if args.json:
        sys.stdout.write(as_json(a, b))
    else:
        print_diff(a, b)
    return 0


def _of_b(args: argparse.Namespace) -> argparse.Namespace:
    keys = ("target", *(key for _, key in PLANNING))
    own = {k: getattr(args, f"b_{k}", None) for k in keys}
    return argparse.Namespace(**{**vars(args), **{k: v for k, v in own.items() if v is not None}})


def _estimate(source: Path, args: argparse.Namespace, progress: Progress) -> Report:
    from dory.report.estimate import Report
    from dory.sim.iss.params import IssParams
    from dory.sim.model.network import estimate

    plan, target = load_planned(source, args, progress)
    params = with_clocks(IssParams.of(target), args.fc_mhz, args.cluster_mhz)
    return Report.of(estimate(plan, params), target.name, target.power)
