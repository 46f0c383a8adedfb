"""Types of the compiled parts."""

from collections.abc import Sequence

def survivors(
    out: tuple[int, int, int],
    hs: Sequence[int],
    ws: Sequence[int],
    cs: Sequence[int],
    accesses: Sequence[Sequence[int]],
    group: int,
    group_bytes: int,
    scratch: int,
    planes: tuple[int, int, int, int, int, int, int] | None,
    guard: int,
    budget: int,
    ideal: float,
    more_h: Sequence[float],
    more_w: Sequence[float],
    more_c: Sequence[float],
    per_tile: float,
    per_byte: float,
    limit: float,
    out_bits: int = 8,
    kernel_group_bytes: int = 0,
    between: float = -1,
) -> tuple[list[tuple[int, ...]], int]: ...
def place(first: Sequence[int], last: Sequence[int], size: Sequence[int]) -> list[int]: ...
