"""Work per cycle of single kernels on the simulator: python benchmarks/kernels.py [--only WORD ...] [--profile].

Whole layers in L1, 8 cores, fork and barriers included, the second of two calls; every output is compared with the
layer's reference. A row is measured in each rescale form that it has; bar and aim are for the cheapest one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import kernel_rows_conv
import kernel_rows_depthwise
import kernel_rows_other
from kernel_rows import Row, as_bytes
from rich.console import Console
from rich.table import Table

from dory.testing.kernel_runs import Done, run

FORMS = ("narrow", "mul15", "wide")
MODULES = (kernel_rows_conv, kernel_rows_depthwise, kernel_rows_other)
AT_A_TIME = 8  # rows in one simulation, whose operands all fit L2
console = Console(width=150)


def main() -> int:
    """Print the table; 1 when an output is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="gap8-gvsoc", help="(default gap8-gvsoc: the vendor's simulator's timing)")
    parser.add_argument("--only", nargs="*", default=[], help="rows whose names contain all of these words")
    parser.add_argument("--profile", action="store_true", help="print what the cores' cycles went to")
    args = parser.parse_args()
    rows = [row for module in MODULES for form in FORMS for row in module.rows(form)]
    rows = [row for row in rows if all(word in row.name for word in args.only)]
    done = simulate(rows, args.target, args.profile)
    wrong = print_table(rows, done, args.target)
    if args.profile:
        for result in done:
            print_stalls(result)
    return int(wrong > 0)


def simulate(rows: Sequence[Row], target: str, profile: bool) -> list[Done]:
    """All rows, each in a program of its kernel alone: what else is linked moves code in the instruction cache."""
    found: dict[int, Done] = {}
    for kernel in dict.fromkeys(row.job.kernel for row in rows):
        mine = [i for i, row in enumerate(rows) if row.job.kernel == kernel]
        for at in range(0, len(mine), AT_A_TIME):
            some = mine[at : at + AT_A_TIME]
            found.update(zip(some, run([rows[i].job for i in some], target, profile), strict=True))
    return [found[i] for i in range(len(rows))]


def print_table(rows: Sequence[Row], done: Sequence[Done], target: str) -> int:
    """One line a layer; the number of wrong outputs."""
    table = Table(title=f"work per cycle, simulated on {target}", box=None)
    for head in ("layer", "work", *FORMS, "bar", "aim", ""):
        table.add_column(head, justify="left" if head in ("layer", "") else "right")
    wrong = 0
    for name in dict.fromkeys(row.name for row in rows):
        mine = [(row, result) for row, result in zip(rows, done, strict=True) if row.name == name]
        rates = {row.form: result.rate for row, result in mine}
        best, row = max(rates.values()), mine[0][0]
        bad = sum(int((result.output != as_bytes(row.want)).sum()) for row, result in mine)
        wrong += bad
        verdict = "" if not row.bar else "aim" if best >= row.aim else "bar" if best >= row.bar else "below"
        cells = [
            f"{rates[f]:.2f}" if f in rates else f"{rates['']:.2f}" if f == FORMS[0] and "" in rates else ""
            for f in FORMS
        ]
        goal = (f"{row.bar:g}", f"{row.aim:g}") if row.bar else ("", "")
        table.add_row(name, f"{row.job.work}", *cells, *goal, f"{bad} WRONG" if bad else verdict)
    console.print(table)
    return wrong


def print_stalls(result: Done) -> None:
    """Where the cycles of the cores went, as the mean over them."""
    cores = result.layer.cores[: result.job.cores]
    parts = {"instructions": sum(t.instructions for t in cores) / len(cores)}
    for cause in cores[0].stalls:
        parts[cause] = sum(t.stalls[cause] for t in cores) / len(cores)
    text = ", ".join(f"{k} {v:.0f}" for k, v in parts.items() if v >= 0.5)
    console.print(f"{result.job.name}: {result.cycles} cycles: {text}")


if __name__ == "__main__":
    sys.exit(main())
