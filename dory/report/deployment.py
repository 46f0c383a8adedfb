"""What `deploy` prints: one line per layer, memory use, what was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dory.deployment import Deployment, OnnxComparison
from dory.plan import LayerPlan, Plan
from dory.streaming import part_starts


def as_json(
    result: Deployment,
    output: Path,
    onnx: OnnxComparison | None = None,
    quantised: Mapping[str, Any] | None = None,
) -> str:
    """Summary in the schema of the other commands, with wall seconds per stage.

    `quantised` is the report of the quantisation when there was one.
    """
    plan = result.plan
    summary = {
        "schema": plan.schema,
        "target": plan.target,
        "source": "plan",
        "output": str(output),
        "verified": bool(result.checks),
        "network": {
            "name": plan.network,
            "macs": plan.macs,
            "weight_bytes": plan.weight_bytes,
            "l1_peak_bytes": plan.l1_bytes,
            "l2_peak_bytes": plan.l2_bytes,
            "l2_code_bytes": plan.l2_code,
            "l3_bytes": plan.l3_bytes,
        },
        "layers": [_layer(layer) for layer in plan.layers],
        "notes": list(plan.notes),
        "onnxruntime": asdict(onnx) if onnx else None,
        "quantised": quantised,
        "wall_s": {k: round(v, 4) for k, v in result.wall_s.items()},
    }
    return json.dumps(summary, indent=1) + "\n"


def _layer(layer: LayerPlan) -> dict[str, object]:
    return {
        "name": layer.name,
        "op": layer.op,
        "form": layer.form,
        "macs": layer.macs,
        "bits": {
            "inputs": [x.bits for x in layer.inputs],
            "weights": layer.weights.bits if layer.weights else None,
            "output": layer.output.bits,
        },
        "output": layer.output.shape,
        "tile": {"h": layer.tile[0], "w": layer.tile[1], "c": layer.tile[2], "count": layer.tiles},
        "l1_bytes": layer.l1_bytes,
        "stripes": layer.stripes,
        "weights": asdict(layer.weights) if layer.weights else None,
    }


def print_deployment(result: Deployment, output: Path, onnx: OnnxComparison | None = None) -> None:
    """The same for a person."""
    plan = result.plan
    console = plain_console()
    packed = any(layer.subbyte for layer in plan.layers)
    table = Table(box=None, pad_edge=False)
    for title, right in (
        ("layer", False),
        ("operator", False),
        ("rescale", False),
        *([("bits", False)] if packed else []),
        ("output", True),
        ("tile", True),
        ("tiles", True),
        ("L1 B", True),
        ("weights", True),
        ("where", False),
        ("kMAC", True),
    ):
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for layer in plan.layers:
        table.add_row(
            layer.name[:28],
            layer.op,
            layer.form,
            *([_bits(layer)] if packed else []),
            _shape(layer.output.shape),
            "in L2" if layer.direct else _shape(layer.tile),
            str(layer.tiles[0] * layer.tiles[1] * layer.tiles[2] if not layer.direct else 1),
            str(layer.l1_bytes),
            str(layer.weights.bytes) if layer.weights else "",
            where(layer),
            f"{layer.macs / 1000:.0f}" if layer.macs else "",
        )
    console.print(table)
    console.print()
    for line in memory_lines(plan):
        console.print(line)
    for note in plan.notes:
        console.print(f"note: {note}")
    layers = len(plan.layers)
    if result.checks:
        where_run = "on this machine" if result.cycles is None else "in the simulator"
        console.print(f"verified {where_run}: {layers} layers, two inferences, every byte equal to the reference")
    else:
        console.print("not verified (--verify none)")
    if result.cycles is not None:
        console.print(f"simulated: {result.cycles} cluster cycles, {plan.macs / result.cycles:.2f} MAC/cycle")
    if onnx:
        console.print(
            f"against onnxruntime, layer by layer: {onnx.differing} of {onnx.elements} outputs differ,"
            f" by at most {onnx.max_lsb}"
        )
    console.print(f"{output}: ready; build with the GAP SDK: make -C {output} all run")


def plain_console() -> Console:
    """A console that never cuts a column when its output is piped into a file or a program."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=160)


def memory_lines(plan: Plan) -> list[str]:
    """Memory use, a line per level."""
    l2 = plan.l2_bytes + plan.l2_code
    lines = [
        f"{plan.network} on {plan.target}: {plan.macs / 1e6:.2f} MMAC, {plan.weight_bytes / 1000:.1f} kB of weights",
        f"L1 {plan.l1_bytes} of {plan.l1_budget} bytes ({plan.l1_bytes / plan.l1_budget:.0%})",
        f"L2 {l2} of {plan.l2_budget} bytes ({l2 / plan.l2_budget:.0%}): data {plan.l2_bytes}, code {plan.l2_code}",
        f"L3 {plan.l3_bytes} of {plan.l3_budget} bytes ({plan.l3_bytes / plan.l3_budget:.0%})",
        *_kept(plan),
        *_proofs(plan),
    ]
    return lines + packed_lines(plan)


def _kept(plan: Plan) -> list[str]:
    """How many outputs stay in L1."""
    kept = [layer for layer in plan.layers if layer.output.kept]
    if not kept:
        return []
    stored = sum(layer.stored for layer in kept)
    also = f", {stored} of them stored as well" if stored else ""
    return [f"kept in L1 for the next layer: {len(kept)} of {len(plan.layers)} outputs{also}"]


def packed_lines(plan: Plan) -> list[str]:
    """What is stored in fewer than 8 bits, in a line; no line when nothing is."""
    weights = [x.weights for x in plan.layers if x.weights and x.weights.bits < 8]
    tensors = {x.output.tensor: x.output for x in plan.layers if x.output.bits < 8}.values()
    if not weights and not tensors:
        return []
    has = sum(w.bytes for w in weights) + sum(x.shape[0] * x.row_bytes for x in tensors)
    whole = sum(w.bytes // w.group_bytes * w.kernel_group_bytes for w in weights) + sum(prod(x.shape) for x in tensors)
    return [
        f"packed in 4 or 2 bits: the weights of {len(weights)} layers and {len(tensors)} tensors,"
        f" {has / 1000:.1f} kB instead of {whole / 1000:.1f} kB (--pack off)"
    ]


def _bits(layer: LayerPlan) -> str:
    """Bits of inputs, weights and output, such as x4 w4 y8."""
    weights = [f"w{layer.weights.bits}"] if layer.weights and layer.weights.unit else []
    return " ".join(["x" + "+".join(str(x.bits) for x in layer.inputs), *weights, f"y{layer.output.bits}"])


def _proofs(plan: Plan) -> list[str]:
    """How far tiles and the schedule of L3 may be from the optimum of their models."""
    tiled = [layer for layer in plan.layers if layer.predicted]
    if not tiled:
        return []
    proved = sum(layer.gap == 0 for layer in tiled)
    worst = max(layer.gap for layer in tiled)
    tiles = f"tiles: optimum of the cycle model proved for {proved} of {len(tiled)} layers"
    tiles += f", others within {worst:.1%}" if worst else ""
    streams = any(layer.weights and layer.weights.mode != "resident" for layer in plan.layers)
    spills = any(x.l3_offset >= 0 for layer in plan.layers for x in (*layer.inputs, layer.output))
    if not streams and not spills:
        return [tiles]
    schedule = "optimum of its model proved" if plan.l3_gap == 0 else f"within {plan.l3_gap:.0%} of its model's bound"
    return [tiles, f"L2 and L3 schedule: {schedule}"]


def where(layer: LayerPlan) -> str:
    """Where a layer's weights and activations come from, in a word or two."""
    parts = []
    if layer.weights and layer.weights.mode != "resident":
        pieces = len(part_starts(layer))
        parts.append(f"w: L3{f' in {pieces}' if pieces > 1 else ''}{' ahead' if layer.weights.lead else ''}")
    if any(x.l3_offset >= 0 for x in layer.inputs):
        parts.append("x: L3")
    if layer.output.l3_offset >= 0:
        parts.append("y: L3")
    return ", ".join(parts) or "L2"


def _shape(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))
