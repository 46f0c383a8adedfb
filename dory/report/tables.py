"""Tables that fit the terminal: the columns that can be spared go first, no cell is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

GAP = 2


def fitted(
    console: Console,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[int] = (0,),
    spare: Sequence[int] = (),
) -> Table:
    """A table of all columns, or without those of `spare` (indices, the first one goes first) that do not fit.

    Columns of `left` are aligned to the left.
    """
    widths = [max(len(title), *(len(row[i]) for row in rows)) if rows else len(title) for i, title in enumerate(titles)]
    shown = list(range(len(titles)))
    for i in spare:
        if sum(widths[k] + GAP for k in shown) - GAP > console.width:
            shown.remove(i)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for i in shown:
        table.add_column(titles[i], justify="left" if i in left else "right", no_wrap=True, min_width=widths[i])
    for row in rows:
        table.add_row(*(row[i] for i in shown))
    return table
