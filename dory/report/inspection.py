"""What `inspect` prints: facts of the file, one line per node, memory at a glance."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from dory.frontend.inspection import Inspection, NodeReport
from dory.plan import Plan
from dory.report.deployment import memory_lines, plain_console


def as_json(found: Inspection, plan: Plan | None, problem: str) -> str:
    """Everything as JSON."""
    summary = {
        "schema": 1,
        "model": str(found.path),
        "bytes": found.size,
        "producer": found.producer,
        "exporter": found.exporter,
        "ir_version": found.ir_version,
        "opsets": dict(found.opsets),
        "onnx_checker": found.checker,
        "format": found.format,
        "not_other_formats": dict(found.refusals),
        "scheme": list(found.scheme),
        "inputs": [{"name": n, "type": t} for n, t in found.inputs],
        "outputs": [{"name": n, "type": t} for n, t in found.outputs],
        "operators": dict(_operators(found)),
        "macs": found.macs,
        "parameters": found.parameters,
        "deployable": plan is not None,
        "problem": found.error or problem,
        "hint": found.hint,
        "notes": list(found.graph.notes) if found.graph else [],
        "memory": _memory(plan) if plan else None,
        "nodes": [_node(n) for n in found.nodes],
    }
    return json.dumps(summary, indent=1) + "\n"


def _node(n: NodeReport) -> dict[str, object]:
    return {
        "name": n.verdict.node.label,
        "op": n.verdict.node.op,
        "output": list(n.shape) if n.shape else None,
        "macs": n.macs,
        "parameters": n.parameters,
        "state": n.verdict.state,
        "layers": list(n.layers),
        "reason": n.verdict.reason,
    }


def _memory(plan: Plan) -> dict[str, object]:
    return {
        "target": plan.target,
        "l1_peak_bytes": plan.l1_bytes,
        "l1_budget_bytes": plan.l1_budget,
        "l2_peak_bytes": plan.l2_bytes,
        "l2_code_bytes": plan.l2_code,
        "l2_budget_bytes": plan.l2_budget,
        "l3_bytes": plan.l3_bytes,
        "weight_bytes": plan.weight_bytes,
    }


def _operators(found: Inspection) -> list[tuple[str, int]]:
    return sorted(Counter(n.verdict.node.op for n in found.nodes).items())


def print_inspection(found: Inspection, plan: Plan | None, problem: str, every: bool = False) -> None:
    """The same for a person; folded nodes only when `every` one is wanted."""
    console = plain_console()
    opsets = ", ".join(f"{d} {v}" for d, v in found.opsets.items())
    lines = [
        f"{found.path}: {found.size} bytes, IR {found.ir_version}, opset {opsets}",
        f"exporter: {found.exporter}; producer in the file: {found.producer}; onnx.checker {found.checker}",
        f"importer: {found.format}" + "".join(f"; not {name}: {why}" for name, why in found.refusals.items()),
        *found.scheme,
        "inputs: " + ", ".join(f"{n} ({t})" for n, t in found.inputs),
        "outputs: " + ", ".join(f"{n} ({t})" for n, t in found.outputs),
        "operators: " + ", ".join(f"{op} {n}" for op, n in _operators(found)),
        f"{found.macs / 1e6:.2f} MMAC, {found.parameters} parameters",
    ]
    for line in lines:
        console.print(line)
    console.print()
    folded = 0 if every else sum(n.folded for n in found.nodes)
    console.print(_table([n for n in found.nodes if every or not n.folded]))
    if folded:
        console.print(f"and {folded} nodes that are constants, views, or in a layer's rescale: --all lists them")
    console.print()
    for line in memory_lines(plan) if plan else ():
        console.print(line)
    for note in found.graph.notes if found.graph else ():
        console.print(f"note: {note}")
    if found.error or problem:
        console.print(f"cannot be deployed: {found.error or problem}")
        if found.hint:
            console.print(f"  try: {found.hint}")
    else:
        console.print(f"can be deployed: python -m dory deploy {found.path}")


def _table(nodes: Sequence[NodeReport]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title, right in (("node", False), ("operator", False), ("output", True), ("kMAC", True), ("parameters", True)):
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    table.add_column("deployed as", overflow="fold")
    for n in nodes:
        node = n.verdict.node
        table.add_row(
            node.label[:28],
            f"{node.domain}.{node.op}" if node.domain else node.op,
            "x".join(map(str, n.shape)) if n.shape else "?",
            f"{n.macs / 1000:.0f}" if n.macs else "",
            str(n.parameters) if n.parameters else "",
            n.text,
        )
    return table
