"""Layers without a network, for tests of the tiler: random geometries, layers whose constants mean nothing."""

from __future__ import annotations

from math import ceil

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from dory import targets
from dory.graph.types import Node, Requant, Window
from dory.layers import LAYERS
from dory.layers.base import Access, Geometry, PackedWeights, PlaneScratch
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs
from dory.layers.pool import MaxPoolAttrs
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import shipped
from dory.sim.model.events import run_block
from dory.sim.model.tiles import Block, LayerTiles
from dory.tiler.space import LayerSpace, l1_buffers

SIZE = st.integers(1, 9)
PARAMS = IssParams.of(targets.load("gap8"))
COEFFICIENTS = shipped()


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Geometry, PackedWeights | None]:
    """A random layer: window, asymmetric padding, stride > kernel, dilation, full or sliced channels, 1 or 2 inputs."""
    window = draw(windows())
    h, w, cin = draw(SIZE), draw(SIZE), draw(SIZE)
    oh, ow = window.out_size(0, h), window.out_size(1, w)
    assume(oh >= 1 and ow >= 1)
    sliced = draw(st.booleans())
    cout = cin if sliced else draw(SIZE)
    step = draw(st.sampled_from([1, 4]))
    access = Access((h, w, cin), window, "slice" if sliced else "all")
    inputs = (access, access) if draw(st.booleans()) else (access,)
    packed = None
    if draw(st.booleans()):
        group_bytes = 4 * draw(st.integers(1, 20))
        packed = PackedWeights(bytes(ceil(cout / step) * group_bytes), step, group_bytes)
    geometry = Geometry((oh, ow, cout), inputs, step, draw(st.booleans()), draw(st.booleans()))
    return geometry, packed


@st.composite
def windows(draw: st.DrawFn) -> Window:
    return Window(
        (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        (draw(st.integers(1, 5)), draw(st.integers(1, 5))),
        (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        tuple(draw(st.integers(0, 2)) for _ in range(4)),  # type: ignore[arg-type]
    )


planes = st.builds(
    PlaneScratch,
    unit=st.integers(1, 40),
    limit=st.integers(0, 2000),
    span=st.tuples(st.integers(1, 5), st.integers(1, 8)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    turned=st.booleans(),
)


class AnySpace(LayerSpace):
    """A layer of any geometry and scratch."""

    def __init__(self, geometry, packed, scratch, plane, budget):
        super().__init__(Node("n", "conv", ("x",), "y", None), (), packed, 8, budget)
        self.__dict__.update(geometry=geometry, fixed_scratch=scratch, planes=plane)

    def bytes(self, tile, single=""):
        scratch = self.fixed_scratch + (self.planes.bytes(tile) if self.planes else 0)
        return l1_buffers(self.geometry, self.packed, scratch, tile, single)[-1].end


def requant(n: int, mult: int = 20000) -> Requant:
    return Requant(np.full(n, mult), np.full(n, 30), 0, 0, 255)


def layer_of(op: str, window: Window, shape: tuple[int, int, int], channels: int, budget: int) -> LayerSpace:
    """A layer with constants that mean nothing."""
    c, node = shape[2], None
    if op == "linear":
        k = int(np.prod(shape))
        node = Node(
            "n",
            op,
            ("x",),
            "y",
            LinearAttrs(np.ones((channels, k), np.int64), np.zeros(channels, np.int64), requant(channels)),
        )
    elif op == "maxpool":
        node = Node("n", op, ("x",), "y", MaxPoolAttrs(window))
    else:
        n, per = (c, 1) if op == "depthwise" else (channels, c)
        weights = np.ones((n, *window.kernel, per), np.int64)
        groups = c if op == "depthwise" else 1
        conv = ConvAttrs(window, weights, np.zeros(n, np.int64), requant(n), 0, groups)
        node = Node("n", op, ("x",), "y", LAYERS[op].tuned(conv, [shape]))
    return LayerSpace(node, (shape,), LAYERS[op].weights(node.attrs), 8, budget)


@st.composite
def layers(draw: st.DrawFn, most: int = 12) -> LayerSpace:
    op = draw(st.sampled_from(["conv", "conv", "depthwise", "maxpool", "linear"]))
    window = Window((1, 1)) if op == "linear" or draw(st.integers(0, 3)) == 0 else draw(windows())
    shape = (draw(st.integers(1, most)), draw(st.integers(1, most)), draw(st.integers(1, 24)))
    assume(all(window.out_size(a, shape[a]) >= 1 for a in (0, 1)))
    return layer_of(op, window, shape, draw(st.integers(1, 24)), draw(st.integers(1500, 20000)))


def plain_cycles(space: LayerSpace, tile, outer: bool, single: str = "") -> int:
    """The estimate of a tiling, each tile's kernel evaluated by itself."""
    layer = space.at(tile, outer)
    kernel = lambda x, work: round(COEFFICIENTS.kernel(x, work, PARAMS.icache_bytes))  # noqa: E731
    steps = LayerTiles(layer, PARAMS, space.cores, kernel).steps(Block(0, layer.output.shape[0]))
    run = run_block(steps, COEFFICIENTS.costs(layer, PARAMS), PARAMS, single=single)
    return COEFFICIENTS.layer(layer) + run.cycles
