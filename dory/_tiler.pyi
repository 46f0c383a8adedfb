"""Types of the compiled pruner."""

from collections.abc import Sequence

def cheapest(
    out: tuple[int, int, int],
    c_step: int,
    split_w: bool,
    split_c: bool,
    accesses: Sequence[Sequence[int]],
    group: int,
    group_bytes: int,
    scratch: int,
    planes: tuple[int, int, int, int, int, int] | None,
    guard: int,
    cores: int,
    budget: int,
    work: float,
    setup: int,
) -> tuple[int, int, int, bool, int, float] | None: ...
