"""Why a layer has its tile: what came second, where the cycles go, what would change with more L1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import shipped
from dory.sim.model.events import run_block
from dory.sim.model.network import CAUSES
from dory.sim.model.tiles import Block, LayerTiles
from dory.tiler.baselines import at_random, by_score, largest, timed, weighted
from dory.tiler.bounds import Tiling
from dory.tiler.search import Found, search
from dory.tiler.space import LayerSpace

MATTERS = 0.02
"""Share of the cycles from which on a cause is said to bind."""


@dataclass(frozen=True)
class Explanation:
    """A layer's tile. by_cause are the predicted cycles, operands in L2.

    reread: how often inputs are loaded, 1 being each element once. roomier: the best tiling with twice the L1, if that
    takes fewer cycles.
    """

    space: LayerSpace
    found: Found
    by_cause: Mapping[str, int]
    tiles: int
    reread: float
    roomier: Tiling | None

    @property
    def best(self) -> Tiling:
        """The choice."""
        return self.found.best

    @property
    def runner_up(self) -> Tiling | None:
        """The second best tiling that is another tile."""
        return next((t for t in self.found.tilings[1:] if t.shape != self.best.shape), None)

    @property
    def binds(self) -> tuple[str, ...]:
        """What keeps the layer from being faster: "cores", "transfers", "halo", "loop", "L1"."""
        total, out = self.best.cycles, []
        for cause, name in (("imbalance", "cores"), ("dma", "transfers"), ("overhead", "loop")):
            if self.by_cause[cause] > MATTERS * total:
                out.append(name)
        if self.reread > 1 + MATTERS:
            out.append("halo" if self._has_halo else "inputs read again")
        if self.roomier and self.roomier.cycles < (1 - MATTERS / 4) * total:
            out.append("L1")
        return tuple(out)

    @property
    def _has_halo(self) -> bool:
        return any(x.window.span(a) > x.window.stride[a] for x in self.space.probe.inputs for a in (0, 1))

    @property
    def terms(self) -> tuple[tuple[str, int, int], ...]:
        """(operand, bytes, copies) of the L1 buffers."""
        best = self.best
        space = best.space(self.space)
        buffers = space.deep_buffers(best.shape, best.depth) if best.depth else space.buffers(best.shape)
        return tuple((b.operand, b.bytes, b.copies) for b in buffers)


def explain(space: LayerSpace, found: Found, p: IssParams) -> Explanation:
    """Everything about a layer's tile."""
    best, coefficients = found.best, shipped()
    own = best.space(space)
    layer = own.deep_at(best.shape, best.depth) if best.depth else own.at(best.shape, best.inputs_outer)
    tiles = LayerTiles(
        replace(layer, l1=()),
        p,
        space.cores,
        lambda x, work: round(coefficients.kernel(x, work, p.icache_bytes)),
        coefficients.repack,
    )
    steps = tiles.steps(Block(0, layer.output.shape[0]))
    run = run_block(steps, coefficients.costs(layer, p), p, single=best.single)
    causes = dict.fromkeys(CAUSES, 0) | {"compute": run.compute, "imbalance": run.imbalance, "dma": run.dma}
    causes["overhead"] = best.cycles - sum(causes.values())
    loaded = sum(c.bytes for tile, new_x, _, _ in steps if new_x for c in tile.x)
    size = sum(prod(x.shape) for x in layer.inputs)
    roomier = search(replace(space, budget=2 * space.budget), coefficients, p)
    better = roomier.best if roomier and roomier.best.cycles < best.cycles else None
    return Explanation(space, found, causes, len(steps), loaded / size, better)


def compared(space: LayerSpace, p: IssParams, seed: int = 0) -> dict[str, int]:
    """Predicted cycles of other ways to choose the tile: largest in L1, published weights, at random."""
    random = at_random(p, seed, deep=0.0)(space)
    out = {"largest": by_score(p, largest)(space).cycles, "weighted": by_score(p, weighted)(space).cycles}
    return out | {"random": random.cycles if random.depth else timed(space, p, random.shape).cycles}
