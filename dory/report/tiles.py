"""What `tile` prints: every layer's tile and why, as a table or as JSON; one layer in detail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from dory.report.deployment import plain_console
from dory.report.estimate import LABELS
from dory.report.tables import fitted
from dory.targets import Target
from dory.tiler.bounds import Tiling
from dory.tiler.explain import Explanation
from dory.tiler.space import LayerSpace
from dory.tiler.tiles import Tile

Row = tuple[LayerSpace, Explanation | None, Mapping[str, int] | None]
"""A layer, why it has its tile (None: it runs in place), and the cycles of other choices."""
BASELINES: Mapping[str, str] = {"largest": "most L1", "weighted": "DORY's weights", "random": "at random"}
SHOWN = 8


def as_json(network: str, target: Target, rows: Sequence[Row], chosen: Sequence[Tile]) -> str:
    """Bytes, cycles of the cluster, elements. chosen: tiles where outputs stay in L1 for the next layer."""
    return (
        json.dumps(
            {
                "schema": 1,
                "network": network,
                "target": target.name,
                "l1_budget": target.l1_budget,
                "cores": target.cluster.cores,
                "layers": [_as_dict(*row) for row in rows],
                "with_outputs_in_l1": [_chosen(t) for t in chosen],
            },
            indent=1,
        )
        + "\n"
    )


def _as_dict(space: LayerSpace, e: Explanation | None, others: Mapping[str, int] | None) -> dict[str, Any]:
    out: dict[str, Any] = {"name": space.node.name, "op": space.node.op, "output": space.geometry.out}
    if e is None:
        return out | {"in_place": True}
    found = e.found
    return out | {
        "tile": _tiling(e.best),
        "tiles": e.tiles,
        "cycles_by_cause": dict(e.by_cause),
        "reread": round(e.reread, 4),
        "binds": list(e.binds),
        "l1": [{"operand": o, "bytes": b, "copies": n} for o, b, n in e.terms],
        "runner_up": _tiling(e.runner_up) if e.runner_up else None,
        "with_twice_the_l1": _tiling(e.roomier) if e.roomier else None,
        "legal": found.legal,
        "fitting": found.fitting,
        "survivors": found.survivors,
        "timed": found.timed,
        "gap": found.gap,
        "baselines": dict(others) if others else None,
    }


def _chosen(t: Tile) -> dict[str, Any]:
    return {"tile": t.shape, "cycles": t.cycles, "output_kept": t.kept, "output_stored": t.stored}


def _tiling(t: Tiling) -> dict[str, Any]:
    return {
        **dict(zip("hwc", t.shape, strict=True)),
        "input_channels_a_step": t.depth or None,
        "outer": "inputs" if t.inputs_outer else "weights",
        "l1_bytes": t.bytes,
        "cycles": t.cycles,
    }


def print_tiles(network: str, target: Target, rows: Sequence[Row], chosen: Sequence[Tile]) -> None:
    """One line per layer, then the network. chosen: tiles where outputs stay in L1 for the next layer."""
    console = plain_console()
    titles = ["layer", "operator", "output", "tile", "tiles", "L1 B", "kcycles", "runner-up", "costs", "binds", "tried"]
    baselines = any(others for _, _, others in rows)
    if baselines:
        titles += BASELINES.values()
    table = [_cells(*row) for row in rows]
    width = len(titles)
    lines = [(cells + [""] * width)[:width] for cells in table]
    console.print(fitted(console, titles, lines, left=(0, 1, 9), spare=(10, 1, 7, 8, 4)))
    searched = [e for _, e, _ in rows if e]
    proved = sum(e.found.gap == 0 for e in searched)
    cycles = sum(e.best.cycles for e in searched)
    console.print()
    console.print(
        f"{network} on {target.name}: {cycles / 1000:.0f} kcycles, operands in L2;"
        f" optimum proved for {proved} of {len(searched)} layers"
    )
    kept = sum(t.kept for t in chosen)
    if kept:
        less = sum(t.cycles for t in chosen)
        console.print(f"with {kept} outputs kept in L1 for the next layer: {less / 1000:.0f} kcycles")
    worst = max((e.found.gap for e in searched), default=0.0)
    if worst:
        console.print(f"largest gap that is left: {worst:.1%}")
    console.print(
        "tried: legal tiles > that fit L1 > with a bound below the best known > timed; binds: what costs > 2 %"
    )
    if baselines:
        _print_sums(console, rows, cycles)


def _print_sums(console: Console, rows: Sequence[Row], cycles: int) -> None:
    for key, name in BASELINES.items():
        total = sum(others[key] for _, _, others in rows if others)
        console.print(f"{name}: {total / 1000:.0f} kcycles, {total / cycles:.2f} times as many")


def _cells(space: LayerSpace, e: Explanation | None, others: Mapping[str, int] | None) -> list[str]:
    head = [space.node.name[:28], space.node.op, _x(space.geometry.out)]
    if e is None:
        return [*head, "in place"]
    second, found = e.runner_up, e.found
    return [
        *head,
        _name(e.best),
        str(e.tiles),
        str(e.best.bytes),
        f"{e.best.cycles / 1000:.1f}",
        _name(second) if second else "",
        f"+{second.cycles / e.best.cycles - 1:.1%}" if second else "",
        ", ".join(e.binds) or "-",
        f"{found.legal} > {found.fitting} > {found.survivors} > {found.timed}",
        *([f"{others[k] / e.best.cycles:.2f}x" for k in BASELINES] if others else []),
    ]


def print_layer(e: Explanation, others: Mapping[str, int] | None) -> None:
    """One layer in detail."""
    console, best, space = plain_console(), e.best, e.space
    out = console.print
    out(f"{space.node.name} ({space.node.op}): {_x(space.geometry.out)} from {' and '.join(map(_x, space.shapes))}")
    out(f"tile {_name(best)}, {e.tiles} {'steps' if best.depth else 'tiles'}, {_order(best)} in the outer loop")
    out()
    console.print(_terms(console, e))
    out(f"L1 {best.bytes} of {space.budget} bytes ({best.bytes / space.budget:.0%})")
    out()
    causes = ", ".join(f"{LABELS[k]} {v / best.cycles:.0%}" for k, v in e.by_cause.items() if v)
    out(f"{best.cycles} cycles predicted, operands in L2: {causes}")
    out(f"inputs are loaded {e.reread:.2f} times; binds: {', '.join(e.binds) or 'nothing but the work itself'}")
    if e.roomier:
        gain = 1 - e.roomier.cycles / best.cycles
        out(f"with twice the L1 a tile of {_name(e.roomier)} would take {gain:.1%} less")
    f = e.found
    out(f"{f.legal} tiles are legal, {f.fitting} fit L1, {f.survivors} have a low enough bound, {f.timed} were timed")
    out("optimum of the cycle model: proved" if f.gap == 0 else f"at most {f.gap:.2%} above the optimum")
    out()
    rows = [
        [_name(t), _order(t), str(t.bytes), str(t.cycles), f"+{t.cycles / best.cycles - 1:.2%}"]
        for t in f.tilings[:SHOWN]
    ]
    console.print(fitted(console, ["tile", "outer", "L1 B", "cycles", "costs"], rows))
    for key, name in BASELINES.items():
        if others:
            out(f"{name}: {others[key]} cycles, {others[key] / best.cycles:.2f} times as many")


def _terms(console: Console, e: Explanation) -> Any:
    names = {"w": "weights", "y": "output", "sums": "partial sums", "heads": "biases", "tails": "multipliers"}
    rows = [
        [names.get(o, f"input {o[1:]}" if o.startswith("x") else o), str(size), str(copies), str(size * copies)]
        for o, size, copies in e.terms
    ]
    return fitted(console, ["in L1", "bytes", "copies", "in all"], rows)


def _order(t: Tiling) -> str:
    return "inputs" if t.inputs_outer else "weights"


def _name(t: Tiling) -> str:
    return _x(t.shape) + (f" by {t.depth}" if t.depth else "")


def _x(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
