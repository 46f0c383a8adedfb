"""python -m dory tile."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dory.cli.plans import add_planning, lowered_model, target_for
from dory.errors import UserError


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "tile",
        help="the L1 tile of every layer, and why it is that one",
        description="Search every layer's tile and say why it is the best one: the runner-up, what binds, how many were"
        " tried, and how far the choice may be from the optimum of the cycle model (0 is proved).",
    )
    p.add_argument("model", type=Path, metavar="MODEL.onnx")
    p.add_argument("--layer", metavar="NAME", help="one layer in detail: its L1, its cycles, the best tilings")
    p.add_argument(
        "--baselines", action="store_true", help="also the cycles of other ways to choose tiles, on the same model"
    )
    add_planning(p)
    p.add_argument("--json", action="store_true", help="print everything as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Search and print."""
    from dory.report.progress import Progress
    from dory.report.tiles import as_json, print_layer, print_tiles
    from dory.sim.iss.params import IssParams
    from dory.tiler.explain import compared, explain
    from dory.tiler.keep import keep
    from dory.tiler.memory import Choice
    from dory.tiler.planner import spaces
    from dory.tiler.tiles import in_place, search_all, tile_of

    target = target_for(args.target, args.cores, args.l1, args.l2)
    params = IssParams.of(target)
    with Progress(quiet=args.json) as progress:
        progress("import")
        lowered = lowered_model(args.model, args.rescale_bits, args.input_type, args.pack)
        every = spaces(lowered, target)
        if args.layer is not None:
            every = [s for s in every if s.node.name == args.layer]
            if not every:
                names = ", ".join(n.name for n in lowered.graph.nodes[:12])
                more = ", ..." if len(lowered.graph.nodes) > 12 else ""
                raise UserError(f"no layer {args.layer}", where=str(args.model), hint=f"one of {names}{more}")
        progress("search")
        found = search_all(every, params)
        progress("explain")
        reasons = [explain(s, f, params) if f else None for s, f in zip(every, found, strict=True)]
        others = [compared(s, params) if args.baselines and f else None for s, f in zip(every, found, strict=True)]
        tiles = [tile_of(s, f.best, f.gap) if f else in_place(s) for s, f in zip(every, found, strict=True)]
        chosen = (
            [] if args.layer else keep(lowered.graph, every, tiles, Choice((None,) * len(every), frozenset()), params)
        )
    rows = list(zip(every, reasons, others, strict=True))
    if args.json:
        sys.stdout.write(as_json(lowered.graph.name, target, rows, chosen))
    elif args.layer is not None and reasons[0]:
        print_layer(reasons[0], others[0])
    else:
        print_tiles(lowered.graph.name, target, rows, chosen)
    return 0
