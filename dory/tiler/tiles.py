"""L2 -> L1 tiles of a network: for every layer the legal tiles, what they cost, and the choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dory.errors import PlanError
from dory.graph.types import Shape
from dory.plan import L1Buffer
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import shipped
from dory.tiler.search import Found, search
from dory.tiler.space import LayerSpace

DIRECT_CYCLES = 2.0
"""Cycles per output of layers that run on L2 in place."""


@dataclass(frozen=True)
class Tile:
    """Chosen tile: (h, w, c) output elements, loop order, the L1 buffers with their offsets, predicted cycles, and
    input channels of a step (0: all at once)."""

    shape: Shape
    inputs_outer: bool
    l1: tuple[L1Buffer, ...]
    cycles: int
    depth: int = 0


Chooser = Callable[[LayerSpace], Tile]
"""A way to choose a layer's tile. PlanError when none fits."""


def cheapest(p: IssParams) -> Chooser:
    """The tile that the cycle model predicts to be fastest on a chip; layers that cost the same are searched once."""
    coefficients, known = shipped(), dict[object, Found]()

    def choose(space: LayerSpace) -> Tile:
        if space.geometry.direct:
            return in_place(space)
        found = known.get(space.key)
        if found is None:
            result = search(space, coefficients, p)
            if result is None:
                raise infeasible(space)
            found = known[space.key] = result
        best = found.best
        buffers = space.deep_buffers(best.shape, best.depth) if best.depth else space.buffers(best.shape)
        return Tile(best.shape, best.inputs_outer, buffers, best.cycles, best.depth)

    return choose


def in_place(space: LayerSpace) -> Tile:
    """Of a layer without tiles."""
    h, w, c = space.geometry.out
    return Tile((h, w, c), False, (), round(DIRECT_CYCLES * h * w * c))


def infeasible(space: LayerSpace) -> PlanError:
    """Why no tile fits: the smallest legal one, its largest terms, what would make it fit."""
    buffers = space.buffers(space.smallest)
    names = {"w": "weights", "y": "output", "scratch": "scratch"}
    terms = sorted(buffers, key=lambda b: -b.bytes * b.copies)[:3]
    text = ", ".join(
        f"{names.get(b.operand, 'input ' + b.operand[1:])} {_kb(b.bytes)}{f' x {b.copies}' if b.copies > 1 else ''}"
        for b in terms
    )
    return PlanError(
        f"the smallest legal tile needs {_kb(buffers[-1].end)} of L1, {_kb(space.budget)} are free;"
        f" largest terms: {text}",
        where=f"layer {space.node.name} ({space.node.op})",
        hint=f"--l1 {buffers[-1].end} or more, or a layer with fewer input channels",
    )


def _kb(size: int) -> str:
    return f"{size / 1000:.1f} kB"
