"""python -m dory inspect."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dory.cli.options import add_input_type, add_target


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "inspect",
        help="what an ONNX file is, and whether each node can be deployed",
        description="Say what an ONNX file is: exporter, quantisation, operators, work and size, what each node becomes"
        " or why it is refused, and the memory it would take. Nothing is written.",
    )
    p.add_argument("model", type=Path, metavar="MODEL.onnx")
    add_input_type(p)
    add_target(p)
    p.add_argument("--all", action="store_true", help="list also nodes that become no layer of their own")
    p.add_argument("--json", action="store_true", help="print everything as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Inspect and print; 0 also for a network that cannot be deployed."""
    from dory import targets
    from dory.errors import DoryError
    from dory.frontend.inspection import inspect_file
    from dory.report.inspection import as_json, print_inspection
    from dory.tiler.planner import lower, make_plan

    target = targets.load(args.target).with_budgets(args.l1, args.l2)
    found = inspect_file(args.model, signed_inputs=args.input_type == "int8")
    plan, problem = None, ""
    if found.graph:
        try:
            plan = make_plan(lower(found.graph), target)
        except DoryError as exc:
            problem = str(exc)
    if args.json:
        sys.stdout.write(as_json(found, plan, problem))
    else:
        print_inspection(found, plan, problem, args.all)
    return 0
