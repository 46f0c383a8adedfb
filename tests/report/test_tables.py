"""Tables fit their terminal by leaving out columns, never by cutting cells."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dory.report.tables import fitted

CELLS = st.text("abcXYZ019.%", min_size=1, max_size=9)


def printed(width: int, titles: list[str], rows: list[list[str]], spare: list[int]) -> list[str]:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    console.print(fitted(console, titles, rows, spare=spare))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(st.data(), st.integers(1, 6), st.integers(0, 5))
def test_no_cell_is_cut_while_columns_can_be_spared(data: st.DataObject, columns: int, lines: int) -> None:
    table = data.draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=lines, max_size=lines))
    titles = data.draw(st.lists(CELLS, min_size=columns, max_size=columns))
    spare = list(range(1, columns))
    width = data.draw(st.integers(9, 80))
    out = printed(width, titles, table, spare)
    assert all(len(line) <= width for line in out) and "…" not in "".join(out)
    kept = len(out[0].split())
    assert kept == columns or sum(max(map(len, c)) + 2 for c in zip(titles, *table, strict=True)) - 2 > width
    for row, line in zip([titles, *table], out, strict=True):
        assert line.split() == [row[0], *row[columns - kept + 1 :]]


def test_the_first_spare_column_goes_first() -> None:
    assert printed(13, ["aaa", "bbb", "ccc"], [], [1, 2])[0].split() == ["aaa", "bbb", "ccc"]
    assert printed(12, ["aaa", "bbb", "ccc"], [], [1, 2])[0].split() == ["aaa", "ccc"]
    assert printed(7, ["aaa", "bbb", "ccc"], [], [2, 1])[0].split() == ["aaa"]
