"""python -m dory targets."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dory.targets import Target


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser("targets", help="hardware descriptions: the shipped ones, or files to check")
    p.add_argument("names", nargs="*", metavar="NAME|FILE.toml", help="which (default: all that ship with the package)")
    p.add_argument("--json", action="store_true", help="print them as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print name, description and budgets of every target, or of the given ones."""
    from dory import targets

    found = [targets.load(name) for name in args.names or targets.names()]
    if args.json:
        json.dump([_as_dict(t) for t in found], sys.stdout, indent=1)
        print()
        return 0
    for t in found:
        print(f"{t.name}: {t.description}")
        print(f"  for a network: L1 {t.l1_budget} bytes, L2 {t.l2_budget} bytes, L3 {t.l3.bytes} bytes")
    return 0


def _as_dict(target: Target) -> dict[str, Any]:
    return {**asdict(replace(target, timing={})), "timing": dict(target.timing)}
