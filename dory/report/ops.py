"""The tables of supported operators, made from the importers' own registries."""

from __future__ import annotations

from rich.table import Table

from dory.frontend.formats import tables
from dory.report.deployment import plain_console

Row = tuple[str, str, str]


def rows() -> dict[str, list[Row]]:
    """(ONNX operator, what is accepted, layer) by form, sorted."""
    return {table.name: sorted(table.rows) for table in tables()}


def markdown() -> str:
    """The tables of the README."""
    parts = []
    for f in tables():
        lines = [f"**{f.name}**: {f.summary}", "", "| ONNX operator | accepted | layer |", "|---|---|---|"]
        parts.append("\n".join([*lines, *(f"| {a} | {b} | {c} |" for a, b, c in rows()[f.name])]) + "\n")
    return "\n".join(parts)


def as_dicts() -> list[dict[str, str]]:
    """One entry per row, with its importer."""
    keys = ("format", "onnx", "accepted", "layer")
    return [dict(zip(keys, (name, *row), strict=True)) for name, table in rows().items() for row in table]


def print_tables() -> None:
    """On a terminal or into a pipe."""
    console = plain_console()
    for f in tables():
        table = Table(box=None, pad_edge=False, title=f"{f.name}: {f.summary}", title_justify="left")
        for title in ("ONNX operator", "accepted", "layer"):
            table.add_column(title, overflow="fold")
        for row in rows()[f.name]:
            table.add_row(*row)
        console.print(table)
        console.print()
