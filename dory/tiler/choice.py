"""Which tiling each layer gets: a CPMpy model over the survivors of the search."""

from __future__ import annotations

from collections.abc import Sequence

from dory.tiler.bounds import Tiling
from dory.tiler.search import Found

OFFERED = 16
"""Tilings of a layer that the solver chooses from: the cheapest ones."""


def decide(layers: Sequence[Found], budget: int) -> list[Tiling]:
    """The tiling of each layer with the least sum of cycles, every one within `budget` bytes of L1.

    Of tilings that take equally long, the one that takes less L1 (their order in `Found`). Deterministic.
    """
    if not layers:
        return []
    import cpmpy as cp

    model, objective, picks = cp.Model(), 0, []
    for i, found in enumerate(layers):
        offered = found.tilings[:OFFERED]
        pick = [cp.boolvar(name=f"tile{i}_{k}") for k in range(len(offered))]
        model += cp.sum(pick) == 1
        model += cp.sum([t.bytes * v for t, v in zip(offered, pick, strict=True)]) <= budget
        objective += cp.sum([(t.cycles * OFFERED + k) * v for k, (t, v) in enumerate(zip(offered, pick, strict=True))])
        picks.append(pick)
    model.minimize(objective)
    # The solver's own handler of Ctrl-C would stay behind, and end later runs without a word.
    if not model.solve(solver="ortools", num_workers=1, random_seed=1, catch_sigint_signal=False):
        raise AssertionError("every tiling of the search fits")
    return [
        next(t for t, v in zip(found.tilings, pick, strict=False) if v.value())
        for found, pick in zip(layers, picks, strict=True)
    ]
