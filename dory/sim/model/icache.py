"""What the shared instruction cache has lost of a layer's code since it ran last, in expectation.

Replacement is random. Lines that run are taken to be a random part of contiguous code: those in sets that hold no more
lines than ways stay; a refill in one of the other sets evicts each of its lines with the same probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

from dory.sim.iss.params import IssParams

RUNS = 0.6
"""Share of a program's lines of code that run."""
Code = Mapping[str, float]
"""Pieces of code by name, with the number of lines of each that run."""


def missed_lines(p: IssParams, layers: Sequence[Code]) -> list[dict[str, float]]:
    """Lines of each piece that each layer has to fetch, in the second of two inferences."""
    if p.icache_bytes == 0 or not layers:
        return [dict.fromkeys(code, 0.0) for code in layers]
    sets = p.icache_bytes / p.icache_line / p.icache_ways
    distinct: dict[str, float] = {}
    for code in layers:
        distinct.update(code)
    crowded, share = _crowded(sum(distinct.values()) / sets, p.icache_ways)
    # Of a line in a crowded set, for one refill in any of these sets.
    survival = (1 - 1 / p.icache_ways) ** (1 / max(sets * crowded, 1.0))
    found: list[dict[str, float]] = []
    refills = 0.0
    last: dict[str, float] = {}
    for code in [*layers, *layers]:
        missed = {}
        for name, lines in code.items():
            kept = survival ** (refills - last[name]) if name in last else 0.0
            missed[name] = lines * share * (1 - kept)
            refills += missed[name]
            last[name] = refills
        found.append(missed)
    return found[len(layers) :]


def _crowded(mean: float, ways: int) -> tuple[float, float]:
    """Share of the sets that hold more lines than ways, and of the lines in them; `mean` lines a set.

    Code is contiguous, and of its lines some do not run: a set has a binomial number of those that do.
    """
    if mean == 0:
        return 0.0, 0.0
    n = max(round(mean / RUNS), 1)
    p = min(mean / n, 1.0)
    few = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(min(ways, n) + 1)]
    return max(1 - sum(few), 0.0), max(1 - sum(k * f for k, f in enumerate(few)) / mean, 0.0)
