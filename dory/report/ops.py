"""The table of supported operators, made from the importer's own registry."""

from __future__ import annotations

from rich.table import Table

from dory.frontend import ops_table
from dory.report.deployment import plain_console


def rows() -> list[tuple[str, str, str]]:
    """(ONNX operator, what is accepted, layer), sorted."""
    return sorted(ops_table())


def markdown() -> str:
    """The table of the README."""
    lines = ["| ONNX operator | accepted | layer |", "|---|---|---|"]
    lines += [f"| {a} | {b} | {c} |" for a, b, c in rows()]
    return "\n".join(lines) + "\n"


def print_table() -> None:
    """On a terminal or into a pipe."""
    table = Table(box=None, pad_edge=False)
    for title in ("ONNX operator", "accepted", "layer"):
        table.add_column(title, overflow="fold")
    for row in rows():
        table.add_row(*row)
    plain_console().print(table)
