"""python -m dory ops."""

from __future__ import annotations

import argparse
import json
import sys


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser("ops", help="ONNX operators that can be deployed")
    p.add_argument("--json", action="store_true", help="print the table as JSON")
    p.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the tables that the importers are made of."""
    from dory.report.ops import as_dicts, markdown, print_tables

    if args.json:
        json.dump(as_dicts(), sys.stdout, indent=1)
        print()
    elif args.markdown:
        print(markdown(), end="")
    else:
        print_tables()
    return 0
