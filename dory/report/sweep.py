"""What `sweep` prints and draws. Rows are those of its CSV file: texts by column."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dory.report.deployment import plain_console
from dory.report.html import render
from dory.report.tables import fitted

Row = Mapping[str, str]
TEXTS = ("network", "target", "status", "reason", "key")
MOST_LINES = 16
"""Best points that are printed."""


def best(rows: Sequence[Row], columns: Sequence[str] = ("ms", "mj", "l1_used")) -> list[Row]:
    """The points that no other one beats in one column without losing in another, smallest `columns[0]` first.

    Of points equal in all of them the first one stays.
    """
    values = [(tuple(float(r[c]) for c in columns), r) for r in rows if r["status"] == "ok"]
    values.sort(key=lambda x: x[0])
    kept: list[tuple[tuple[float, ...], Row]] = []
    for mine, row in values:  # whoever beats this one comes before it
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) for other, _ in kept):
            kept.append((mine, row))
    return [row for _, row in kept]


def as_json(rows: Sequence[Row]) -> str:
    """All points, numbers as numbers, null where there are none."""
    return json.dumps({"schema": 1, "source": "model", "points": [_numbers(r) for r in rows]}, indent=1) + "\n"


def _numbers(row: Row) -> dict[str, Any]:
    return {k: v if k in TEXTS else _number(v) for k, v in row.items()}


def _number(text: str) -> float | int | None:
    if not text:
        return None
    value = float(text)
    return int(value) if value.is_integer() and "." not in text and "e" not in text else value


def print_sweep(rows: Sequence[Row], added: int, written: Path) -> None:
    """The best points, why others do not exist, and where all of them are."""
    console = plain_console()
    good = best(rows)
    shown = good[:: max(1, -(-len(good) // MOST_LINES))]
    titles = ["L1 B", "L2 B", "cores", "FC MHz", "cluster MHz", "cycles", "ms", "mJ", "MAC/cycle", "L1 used", "L3 B"]
    lines = [
        [
            *(r[c] for c in ("l1", "l2", "cores", "fc_mhz", "cluster_mhz", "cycles")),
            f"{float(r['ms']):.3f}",
            f"{float(r['mj']):.3f}",
            f"{float(r['mac_per_cycle']):.2f}",
            r["l1_used"],
            str(int(r["l3_read"]) + int(r["l3_written"])),
        ]
        for r in shown
    ]
    if good:
        many = f" (every {-(-len(good) // MOST_LINES)}. of {len(good)})" if len(shown) < len(good) else ""
        console.print(f"points that no other one beats in time, energy and L1{many}:")
        console.print(fitted(console, titles, lines, left=(), spare=(10, 9, 1, 8, 5)))
    for reason, count in Counter(r["reason"] for r in rows if r["status"] != "ok").most_common(5):
        console.print(f"{count} points are infeasible: {reason}", soft_wrap=True)
    console.print(f"{len(rows)} points, {added} of them new: {written}")


def sweep_page(rows: Sequence[Row]) -> str:
    """A self-contained page: any two columns against each other, the front, and the table of its points."""
    reasons = Counter(r["reason"] for r in rows if r["status"] != "ok")
    first: Row = rows[0] if rows else {"network": "", "target": ""}
    return render(
        "sweep.html.j2",
        data={"points": [_numbers(r) for r in rows if r["status"] == "ok"]},
        network=first["network"],
        target=first["target"],
        count=len(rows),
        reasons=reasons.most_common(),
    )
