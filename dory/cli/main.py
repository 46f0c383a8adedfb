"""Entry point: commands, exit codes, and errors without tracebacks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from dory import __version__
from dory.cli import deploy, diff, estimate, fuzz, inspect, ops, quantize, simulate, sweep, targets, tile, verify
from dory.errors import DoryError

COMMANDS = (quantize, deploy, verify, estimate, simulate, inspect, diff, tile, sweep, fuzz, ops, targets)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="python -m dory",
        description="Quantised ONNX networks to tiled, double-buffered, verified C for GAP8-class microcontrollers.",
        epilog="Exit codes: 0 done, 1 a check failed, 2 the input is wrong or unsupported, 3 no plan fits.",
    )
    top.add_argument("--version", action="version", version=f"dory {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.register(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the process's exit code."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except DoryError as e:
        print(f"dory {args.command}: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print(f"dory {args.command}: interrupted, nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
