"""Outputs that stay in L1 for the next layer: neither stored and loaded again, nor waited for.

A layer may leave its output in L1 where a single tile makes it and the next layer reads it as a whole. What that saves
depends on the layer's input and output alone, so the cheapest choice of kept tensors is a shortest path along the
layers: two states each, kept or not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from dory.graph.types import Graph, Shape
from dory.plan import L1Buffer, LayerPlan, guarded
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import Coefficients, shipped
from dory.sim.model.events import run_block
from dory.sim.model.tiles import Block, LayerTiles
from dory.tiler.memory import Choice
from dory.tiler.space import LayerSpace, parts
from dory.tiler.tiles import Tile

MANY = 48
"""Cuts along the channels from which on only those into equal parts are tried."""


@dataclass(frozen=True)
class _Way:
    """A layer's tile where its input, its output, or both are kept; the layer as its kernel works then."""

    space: LayerSpace
    shape: Shape
    inputs_outer: bool
    cycles: int
    least: int


class _Layer:
    """A layer and what it may keep: heir is the operand that may lie in L1 before it starts, -1 none."""

    def __init__(self, space: LayerSpace, tile: Tile, heir: int, stored: bool, part: int, c: Coefficients) -> None:
        self.space, self.tile, self.heir, self.stored, self.part, self._c = space, tile, heir, stored, part, c

    def plan(self, space: LayerSpace, shape: Shape, x_kept: bool, y_kept: bool) -> LayerPlan:
        """As the cycle model sees it."""
        probe = space.at(shape, False)
        inputs = tuple(replace(x, kept=x_kept and k == self.heir) for k, x in enumerate(probe.inputs))
        output = replace(probe.output, kept=y_kept)
        return replace(probe, inputs=inputs, output=output, stored=self.stored or not y_kept)

    def way(self, x_kept: bool, y_kept: bool, p: IssParams) -> _Way | None:
        """The cheapest tile for these ends; None when there is none."""
        tile = self.tile
        if not (x_kept or y_kept):
            return _Way(self.space, tile.shape, tile.inputs_outer, tile.cycles, round(tile.cycles / (1 + tile.gap)))
        h, w, c = self.space.geometry.out
        whole = y_kept or (self.heir >= 0 and self.space.geometry.inputs[self.heir].channels == "slice")
        cuts = [c] if whole else self._cuts()
        ways = []
        for space in (self.space, self.space.with_copies) if self.space.may_copy else (self.space,):
            shapes = [(h, w, n) for n in cuts if self._fits(space, (h, w, n))]
            ways += [_Way(space, s, False, self._cycles(space, s, x_kept, y_kept, p), 0) for s in shapes]
        if not ways:
            return None
        best = min(ways, key=lambda way: (way.cycles, way.shape))
        complete = whole or len(self.space.axes[2]) <= MANY
        return replace(best, least=best.cycles if complete else 0)

    def _cuts(self) -> Sequence[int]:
        steps = self.space.axes[2]
        g = self.space.geometry
        return steps if len(steps) <= MANY else parts(g.out[2], g.c_step)

    def _fits(self, space: LayerSpace, shape: Shape) -> bool:
        buffers = space.buffers(shape)
        single = any(b.operand in ("w", "y") and b.copies == 1 for b in buffers)
        return buffers[-1].end <= self.space.budget and not (single and self.part < self.space.geometry.out[2])

    def _cycles(self, space: LayerSpace, shape: Shape, x_kept: bool, y_kept: bool, p: IssParams) -> int:
        layer, c = self.plan(space, shape, x_kept, y_kept), self._c
        tiles = LayerTiles(layer, p, self.space.cores, lambda x, work: round(c.kernel(x, work, p.icache_bytes)))
        steps = tiles.steps(Block(0, layer.output.shape[0]))
        return c.layer(layer) + run_block(steps, c.costs(layer, p), p).cycles


def keep(graph: Graph, spaces: Sequence[LayerSpace], tiles: Sequence[Tile], choice: Choice, p: IssParams) -> list[Tile]:
    """The tiles, where outputs stay in L1 if the cycle model says that it pays.

    choice: what lies in L3, and weights that come in parts.
    """
    c = shipped()
    heirs = [-1, *(_heir(graph, spaces, tiles, choice, i) for i in range(1, len(tiles)))]
    layers = []
    for i, (space, tile) in enumerate(zip(spaces, tiles, strict=True)):
        option = choice.weights[i]
        part = option.channels if option else space.geometry.out[2]
        layers.append(_Layer(space, tile, heirs[i], _wanted_in_l2(graph, space.node.output), part, c))
    ways = _cheapest(layers, [h >= 0 for h in heirs], p)
    return _placed([_kept(layer, *way) for layer, way in zip(layers, ways, strict=True)])


def _wanted_in_l2(graph: Graph, tensor: str) -> bool:
    """Whether more than one operand reads the tensor, or the user does."""
    return tensor in graph.outputs or sum(n.inputs.count(tensor) for n in graph.nodes) > 1


def _heir(graph: Graph, spaces: Sequence[LayerSpace], tiles: Sequence[Tile], choice: Choice, i: int) -> int:
    """The operand of layer i in which the output of layer i - 1 may stay; -1 when it may not."""
    pair = (spaces[i - 1], spaces[i])
    tensor = pair[0].node.output
    if pair[1].node.inputs.count(tensor) != 1:
        return -1
    if any(s.geometry.direct or s.probe.subbyte or _in_l3(s, choice.spilled) for s in pair):
        return -1
    if any(t.depth for t in tiles[i - 1 : i + 1]):
        return -1
    k = pair[1].node.inputs.index(tensor)
    x, out = pair[1].probe.inputs[k], pair[1].geometry.out
    if any(x.window.in_range(axis, 0, out[axis], x.shape[axis])[:2] != (0, x.shape[axis]) for axis in (0, 1)):
        return -1
    return k


def _in_l3(space: LayerSpace, spilled: Collection[str]) -> bool:
    return any(t in spilled for t in (*space.node.inputs, space.node.output))


def _cheapest(layers: Sequence[_Layer], linked: Sequence[bool], p: IssParams) -> list[tuple[_Way, bool, bool]]:
    """(way, input kept, output kept) of every layer, the cheapest sum."""
    known: dict[object, _Way | None] = {}
    # By whether the last layer's output is kept: cycles, kept tensors, and the ways so far.
    best: dict[bool, tuple[int, int, list[tuple[_Way, bool, bool]]]] = {False: (0, 0, [])}
    for i, layer in enumerate(layers):
        after: dict[bool, tuple[int, int, list[tuple[_Way, bool, bool]]]] = {}
        for y_kept in (False, True) if i + 1 < len(layers) and linked[i + 1] else (False,):
            for x_kept, (cycles, n, ways) in best.items():
                key = (layer.space.key, layer.heir, layer.stored, layer.part, x_kept, y_kept)
                if key not in known or not (x_kept or y_kept):
                    known[key] = layer.way(x_kept, y_kept, p)
                way = known[key]
                if way is None:
                    continue
                total = (cycles + way.cycles, n + y_kept, [*ways, (way, x_kept, y_kept)])
                if y_kept not in after or total[:2] < after[y_kept][:2]:
                    after[y_kept] = total
        best = after
    return best[False][2]


@dataclass(frozen=True)
class _Kept:
    tile: Tile
    x: str  # the operand that is kept, "": none


def _kept(layer: _Layer, way: _Way, x_kept: bool, y_kept: bool) -> _Kept:
    tile = layer.tile
    if x_kept or y_kept:
        gap = max(way.cycles - way.least, 0) / way.least if way.least else tile.gap
        buffers = way.space.buffers(way.shape)
        tile = Tile(way.shape, way.inputs_outer, buffers, way.cycles, 0, gap, way.space.padded)
        heir = layer.heir if x_kept else -1
        tile = replace(tile, heir=heir, kept=y_kept, stored=layer.stored or not y_kept)
    return _Kept(tile, f"x{layer.heir}" if x_kept else "")


def _placed(layers: Sequence[_Kept]) -> list[Tile]:
    """Addresses: along a chain of layers, what is kept lies at the bottom and at the top of L1 in turns."""
    out: list[Tile] = []
    chain: list[_Kept] = []
    for layer in layers:
        chain.append(layer)
        if not layer.tile.kept:
            out += _chain(chain)
            chain = []
    return out


def _chain(chain: Sequence[_Kept]) -> list[Tile]:
    if len(chain) == 1:
        return [chain[0].tile]
    top = max(layer.tile.l1[-1].end for layer in chain)
    out: list[Tile] = []
    for i, layer in enumerate(chain):
        x_low = i % 2 == 0  # an input at the bottom, an output at the top
        ends = {layer.x: x_low} | ({"y": not x_low} if layer.tile.kept else {})
        out.append(replace(layer.tile, l1=_around(layer.tile.l1, ends, top)))
    return out


def _around(buffers: Sequence[L1Buffer], ends: dict[str, bool], top: int) -> tuple[L1Buffer, ...]:
    """Buffers with kept ones at the ends of L1 (True: the bottom), the others one behind the other between them."""
    at = sum(guarded(b.bytes) for b in buffers if ends.get(b.operand) is True)
    placed = []
    for b in buffers:
        low = ends.get(b.operand)
        if low is None:
            placed.append(replace(b, offset=at))
            at = placed[-1].end
        else:
            placed.append(replace(b, offset=0 if low else top - guarded(b.bytes)))
    return tuple(placed)
