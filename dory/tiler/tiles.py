"""L2 -> L1 tiles of a network: for every layer the legal tiles, what they cost, and the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dory.errors import PlanError
from dory.graph.types import Shape
from dory.plan import L1Buffer
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import shipped
from dory.tiler.bounds import Tiling
from dory.tiler.choice import decide
from dory.tiler.search import Found, search
from dory.tiler.space import LayerSpace

DIRECT_CYCLES = 2.0
"""Cycles per output of layers that run on L2 in place."""


@dataclass(frozen=True)
class Tile:
    """Chosen tile: (h, w, c) output elements, loop order, the L1 buffers with their offsets, predicted cycles,
    input channels of a step (0: all at once), how far the cycles may be above the optimum, as a share of it, and
    whether the kernel copies tiles with their padding.

    heir: the input that the layer before has left in L1 (-1: none); kept: the output stays there; stored: it goes to
    L2.
    """

    shape: Shape
    inputs_outer: bool
    l1: tuple[L1Buffer, ...]
    cycles: int
    depth: int = 0
    gap: float = 0.0
    padded: bool = False
    heir: int = -1
    kept: bool = False
    stored: bool = True


Chooser = Callable[[LayerSpace], Tile]
"""A way to choose a layer's tile. PlanError when none fits."""


def search_all(
    spaces: Sequence[LayerSpace], p: IssParams, progress: Callable[[int], None] | None = None
) -> list[Found | None]:
    """What the search finds for each layer (None: runs in place); layers that cost the same are searched once.

    PlanError when no tile of a layer fits. `progress` hears how many layers are done.
    """
    coefficients, known = shipped(), dict[object, Found]()
    out: list[Found | None] = []
    for space in spaces:
        found = None
        if not space.geometry.direct:
            found = known.get(space.key) or search(space, coefficients, p)
            if found is None:
                raise infeasible(space)
            known[space.key] = found
        out.append(found)
        if progress:
            progress(len(out))
    return out


def cheapest(spaces: Sequence[LayerSpace], p: IssParams, progress: Callable[[int], None] | None = None) -> list[Tile]:
    """The tiles that the cycle model predicts to be fastest on a chip. Errors as of `search_all`."""
    layers = search_all(spaces, p, progress)
    picks = iter(decide([f for f in layers if f], spaces[0].budget if spaces else 0))
    return [
        in_place(space) if found is None else tile_of(space, next(picks), found.gap)
        for space, found in zip(spaces, layers, strict=True)
    ]


def tile_of(space: LayerSpace, tiling: Tiling, gap: float) -> Tile:
    """The tile of a tiling, with its buffers."""
    shape, depth = tiling.shape, tiling.depth
    space = tiling.space(space)
    buffers = space.deep_buffers(shape, depth) if depth else space.buffers(shape)
    return Tile(shape, tiling.inputs_outer, buffers, tiling.cycles, depth, gap, tiling.padded)


def in_place(space: LayerSpace) -> Tile:
    """Of a layer without tiles."""
    h, w, c = space.geometry.out
    return Tile((h, w, c), False, (), round(DIRECT_CYCLES * h * w * c))


def infeasible(space: LayerSpace) -> PlanError:
    """Why no tile fits: the smallest legal one, its largest terms, what would make it fit."""
    buffers = space.buffers(space.smallest)
    if space.deep and space.deep.channels > 4:
        buffers = min(buffers, space.deep_buffers(space.smallest, 4), key=lambda b: b[-1].end)
    names = {"w": "weights", "y": "output", "sums": "sums", "heads": "biases", "tails": "multipliers"}
    terms = sorted(buffers, key=lambda b: -b.bytes * b.copies)[:3]
    text = ", ".join(
        f"{_operand(b.operand, names)} {_kb(b.bytes)}{f' x {b.copies}' if b.copies > 1 else ''}" for b in terms
    )
    return PlanError(
        f"the smallest legal tile needs {_kb(buffers[-1].end)} of L1, {_kb(space.budget)} are free;"
        f" largest terms: {text}",
        where=f"layer {space.node.name} ({space.node.op})",
        hint=f"--l1 {buffers[-1].end} or more, or a layer with fewer input channels"
        + (", or --pack off" if space.probe.subbyte else ""),
    )


def _operand(name: str, names: Mapping[str, str]) -> str:
    if name.startswith("u"):
        return f"unpacked {_operand(name[1:], names)}"
    return names.get(name) or (f"input {name[1:]}" if name.startswith("x") else name)


def _kb(size: int) -> str:
    return f"{size / 1000:.1f} kB"
