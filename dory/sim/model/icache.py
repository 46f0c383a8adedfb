"""What the shared instruction cache has lost of a layer's code since it ran last, in expectation.

Replacement is random. Lines are taken to be spread over the sets at random: those in sets that hold no more lines than
ways stay; a refill in one of the other sets evicts each of its lines with the same probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

from dory.sim.iss.params import IssParams

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
    """Share of the sets that hold more lines than ways, and of the lines in them; `mean` lines a set (Poisson)."""
    few = few_lines = 0.0
    probability = exp(-mean)
    for n in range(ways + 1):
        few += probability
        few_lines += n * probability
        probability *= mean / (n + 1)
    return max(1 - few, 0.0), max(1 - few_lines / mean, 0.0) if mean else 0.0
