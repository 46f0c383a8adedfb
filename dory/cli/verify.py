"""python -m dory verify."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "verify",
        help="build an application for this machine and check every layer",
        description="Build an application folder for this machine with sanitizers, run its example twice and compare"
        " every layer's output with the CRC-32 of the integer reference's.",
    )
    p.add_argument("app", type=Path, metavar="APP")
    p.add_argument(
        "--sanitizer",
        choices=("address", "thread", "none"),
        default="address",
        help="address (and undefined behaviour; the default), thread (data races; slow), none",
    )
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify and print one line, or JSON."""
    from dory.report.progress import Progress
    from dory.verify import verify_folder

    with Progress(quiet=args.json) as progress:
        layers = verify_folder(args.app, sanitizer=args.sanitizer, progress=progress)
    if args.json:
        json.dump({"app": str(args.app), "layers": layers, "runs": 2, "equal": True}, sys.stdout)
        print()
    else:
        print(f"{args.app}: {layers} layers, two inferences in a row, every layer equal to the reference")
    return 0
