"""The cycle model against the simulator: python benchmarks/accuracy.py [--write] [--check] [--layers N] [NETWORK ...].

All networks that the project makes, those in ../shared/models (when there), and random layers that calibration never
saw. `--write` renews docs/accuracy.md, `--check` fails when an error exceeds its bound.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dory import targets
from dory.errors import DoryError
from dory.targets import Target
from dory.testing.accuracy import SEED, Compared, Pair, Spread, compare, compare_random, spread
from dory.testing.networks import NETWORKS

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
PAGE = ROOT / "docs" / "accuracy.md"
BOUNDS = {
    "gap8": {"mean": 0.03, "p95": 0.08, "total": 0.02},
    "gap8-gvsoc": {"mean": 0.06, "p95": 0.18, "total": 0.08},
}
"""By target; looser than the goal (3 %, 8 %, 2 %), so that a change of the compiler does not fail the build at once."""

HEAD = """# How close the cycle model is

Written by `python benchmarks/accuracy.py --write`; do not edit. `estimate` against `simulate`, cycles of a layer or a
network, the second of two inferences. The model's coefficients come from other random layers (`make calibrate`); none
of the layers below was seen by it. Errors are relative to the simulator; "total" is signed.
"""


def models(names: list[str]) -> Iterator[tuple[str, object]]:
    """Name and model, or file, of every network."""
    for name, network in NETWORKS.items():
        if not names or name in names:
            yield name, network.build()
    for path in sorted(SHARED.glob("**/*.onnx")):
        name = path.stem if path.stem != "model" else path.parent.name
        if not names or name in names:
            yield name, path


def run(target: Target, names: list[str], count: int) -> tuple[dict[str, Compared], list[Pair]]:
    """Everything on one target."""
    found = {}
    for name, model in models(names):
        print(f"{target.name}: {name}", file=sys.stderr)
        try:
            found[name] = compare(model, target, name)  # type: ignore[arg-type]
        except DoryError as e:
            print(f"  left out: {str(e).splitlines()[0]}", file=sys.stderr)
    print(f"{target.name}: {count} random layers", file=sys.stderr)
    return found, compare_random(count, target) if count else []


def rows_of_networks(found: dict[str, Compared]) -> list[tuple[str, ...]]:
    """Table cells."""
    out = []
    for name, c in found.items():
        s = spread(c.layers)
        kcycles = (f"{c.total.measured / 1e3:,.0f}", f"{c.total.estimated / 1e3:,.0f}")
        out.append((name, *kcycles, f"{c.total.error:+.2%}", *_cells(s)))
    return out


def rows_of_layers(pairs: list[Pair]) -> list[tuple[str, ...]]:
    """Table cells: one row an operator, and one for all."""
    by_op: dict[str, list[Pair]] = defaultdict(list)
    for p in pairs:
        by_op[p.op].append(p)
    return [(op, *_cells(spread(by_op[op]))) for op in sorted(by_op)] + (
        [("all", *_cells(spread(pairs)))] if pairs else []
    )


def _cells(s: Spread) -> tuple[str, ...]:
    return (str(s.n), f"{s.mean:.2%}", f"{s.p95:.2%}", f"{s.worst:.2%}")


NETWORK_TITLES = ("network", "simulated, kcycles", "estimated", "total", "layers", "mean", "95th", "worst")
LAYER_TITLES = ("random layers", "layers", "mean", "95th", "worst")


def show(console: Console, title: str, titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table."""
    table = Table(title=title, box=None)
    for i, t in enumerate(titles):
        table.add_column(t, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def markdown(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table for the page."""
    lines = [titles, tuple(["---"] + ["---:"] * (len(titles) - 1)), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def failures(target: str, found: dict[str, Compared], pairs: list[Pair]) -> list[str]:
    """What exceeds its bound."""
    bounds = BOUNDS.get(target, BOUNDS["gap8"])
    out = [f"{n}: total {c.total.error:+.2%}" for n, c in found.items() if abs(c.total.error) > bounds["total"]]
    if pairs:
        s = spread(pairs)
        out += [f"random layers: mean {s.mean:.2%}"] * (s.mean > bounds["mean"])
        out += [f"random layers: 95th percentile {s.p95:.2%}"] * (s.p95 > bounds["p95"])
    return out


def main() -> int:
    """Print the tables; exit code 1 when a bound is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help="only these; default all, and the random layers")
    parser.add_argument("--target", action="append", help="default: all that ship")
    parser.add_argument("--layers", type=int, default=200, help="random layers (default 200)")
    parser.add_argument("--write", action="store_true", help="write docs/accuracy.md")
    parser.add_argument("--check", action="store_true", help="fail when an error exceeds its bound")
    parser.add_argument("--worst", type=int, default=0, help="print so many of the worst layers")
    args = parser.parse_args()
    console, page, wrong = Console(width=140), HEAD, []
    for name in args.target or targets.names():
        found, pairs = run(targets.load(name), args.networks, 0 if args.networks else args.layers)
        nets, layers = rows_of_networks(found), rows_of_layers(pairs)
        show(console, f"{name}: networks", NETWORK_TITLES, nets)
        show(console, f"{name}: random layers, seed {SEED}", LAYER_TITLES, layers)
        every = [(n, p) for n, c in found.items() for p in c.layers] + [("random", p) for p in pairs]
        for n, p in sorted(every, key=lambda x: -abs(x[1].error))[: args.worst]:
            console.print(f"{p.error:+.1%} {n} {p.op} {p.shape}: {p.estimated} for {p.measured}")
        page += f"\n## {name}\n\n{markdown(NETWORK_TITLES, nets)}\n{markdown(LAYER_TITLES, layers)}"
        wrong += [f"{name}: {w}" for w in failures(name, found, pairs)]
    if args.write:
        PAGE.write_text(page, encoding="utf-8")
    for w in wrong:
        console.print(f"[red]{w}[/red]")
    return 1 if args.check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
