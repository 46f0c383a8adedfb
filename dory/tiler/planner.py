"""Graph + target -> Plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from dory.errors import PlanError
from dory.graph.types import Graph, Node, Tensor
from dory.layers import LAYERS
from dory.layers.base import Access, PackedWeights
from dory.layers.conv import DEEP_KERNEL
from dory.layers.subbyte import CODE as REPACK_CODE
from dory.layers.subbyte import narrowed, subbyte_tensors, weight_bits
from dory.plan import SCHEMA, L2Buffer, LayerPlan, Operand, Plan, Port, Weights
from dory.sim.iss.params import IssParams
from dory.targets import Target
from dory.tiler.keep import keep
from dory.tiler.layout import Layout, lay_out
from dory.tiler.memory import LayerMemory, Streaming
from dory.tiler.space import LayerSpace
from dory.tiler.tiles import Chooser, Tile, cheapest

# Bytes of generated code and tables in L2 per network and per layer, besides the kernels; a test holds the sum against
# the size of the compiled applications.
CODE_BASE, CODE_PER_LAYER = 14848, 616
# Of dory_conv_sums and its loop, when a layer takes its input channels in steps.
CODE_OF_STEPS = 5632

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph with the packed constants of its layers (None where a layer has none)."""

    graph: Graph
    packed: tuple[PackedWeights | None, ...]


def lower(graph: Graph, subbyte: bool = True) -> Lowered:
    """Find every layer its kernel, and pack its constants.

    subbyte: tensors and weights that provably fit 4 or 2 bits are stored in them.
    """
    ways = [LAYERS[n.op].lowered(n.attrs, _shapes(graph, n)) for n in graph.nodes]
    nodes = [replace(n, op=op, attrs=attrs) for n, (op, attrs) in zip(graph.nodes, ways, strict=True)]
    graph = replace(graph, nodes=tuple(nodes))
    packed = [LAYERS[n.op].weights(n.attrs) for n in graph.nodes]
    if not subbyte:
        return Lowered(graph, tuple(packed))
    return Lowered(subbyte_tensors(graph), tuple(p and narrowed(p, weight_bits(p)) for p in packed))


def code_bytes(graph: Graph, in_steps: Sequence[bool] = (), repacked: bool = False) -> int:
    """Estimate of the application's code and constant tables in L2; which layers take their input channels in steps.

    repacked: something has fewer than 8 bits.
    """
    steps = in_steps or [False] * len(graph.nodes)
    whole = [n for n, deep in zip(graph.nodes, steps, strict=True) if not deep]
    kernels = sum(LAYERS[op].code_bytes([n.attrs for n in whole if n.op == op]) for op in {n.op for n in whole})
    kernels += CODE_OF_STEPS * any(steps) + REPACK_CODE * repacked
    return CODE_BASE + CODE_PER_LAYER * len(graph.nodes) + kernels


def any_subbyte(lowered: Lowered) -> bool:
    """Whether some layer's operand or weights have fewer than 8 bits."""
    tensors = lowered.graph.tensors.values()
    return any(t.qtype.bits < 8 for t in tensors) or any(p.bits < 8 for p in lowered.packed if p)


def make_plan(
    lowered: Lowered, target: Target, progress: Progress | None = None, chooser: Chooser | None = None
) -> Plan:
    """Choose tiles, memories and addresses. PlanError when the network does not fit the target.

    chooser: another way to choose tiles than the cycle model.
    """
    graph = lowered.graph
    repacked = any_subbyte(lowered)
    code = code_bytes(graph, repacked=repacked)
    if code >= target.l2_budget:
        raise PlanError(
            f"the code alone takes about {code} bytes of L2, {target.l2_budget} are free", hint="a larger --l2"
        )
    every = spaces(lowered, target)
    if chooser:
        tiles = [chooser(space) for space in every]
    else:
        tiles = cheapest(every, IssParams.of(target), lambda n: progress("tile", n, len(every)) if progress else None)
    code = code_bytes(graph, [t.depth > 0 for t in tiles], repacked)
    memories = [
        LayerMemory(
            *(n.name, n.inputs, n.output, s.geometry, p, t.cycles, t.shape[2]),
            single=_single(t),
            blocks=ceil(t.shape[0] * t.shape[1] / 4),
            cores=s.cores,
        )
        for n, s, p, t in zip(graph.nodes, every, lowered.packed, tiles, strict=True)
    ]
    layout = lay_out(graph, memories, target.l2_budget - code, target.l3.bytes)
    memories = list(layout.layers)
    if not chooser:
        tiles = _within_memories(every, tiles, memories, layout, target)
        tiles = keep(graph, every, tiles, layout.choice, IssParams.of(target))
    return _assemble(lowered, target, tiles, memories, layout, code)


def _within_memories(
    every: list[LayerSpace], tiles: list[Tile], memories: list[LayerMemory], layout: Layout, target: Target
) -> list[Tile]:
    """The tiles, where stripes of layers with operands in L3 are cut into equal parts, and weights that come in parts
    pass once: tiles that want them again and again give way."""
    changed = {}
    for i, (tile, memory, option) in enumerate(zip(tiles, memories, layout.choice.weights, strict=True)):
        spilled = any(t in layout.choice.spilled for _, t in memory.operands)
        uneven = spilled and memory.stripe_rows % min(tile.shape[0], memory.geometry.out[0]) != 0
        in_parts = option is not None and option.parts > 1
        if uneven or (in_parts and tile.inputs_outer):
            rows = memory.stripe_rows if uneven else every[i].rows
            changed[i] = replace(every[i], rows=rows, in_parts=in_parts)
    found = cheapest(list(changed.values()), IssParams.of(target))
    # The same kernel as before: its code is counted.
    better = {i: t for i, t in zip(changed, found, strict=True) if (t.depth > 0) == (tiles[i].depth > 0)}
    return [better.get(i, t) for i, t in enumerate(tiles)]


def _single(tile: Tile) -> bool:
    """Whether constants or outputs of a tile have one buffer in L1."""
    return any(b.operand in ("w", "y") and b.copies == 1 for b in tile.l1)


def spaces(lowered: Lowered, target: Target) -> list[LayerSpace]:
    """The tiles of every layer."""
    graph = lowered.graph
    return [
        LayerSpace(
            node, tuple(_shapes(graph, node)), packed, target.cluster.cores, target.l1_budget, bits=_bits(graph, node)
        )
        for node, packed in zip(graph.nodes, lowered.packed, strict=True)
    ]


def _shapes(graph: Graph, node: Node) -> list[tuple[int, int, int]]:
    return [graph.tensors[t].shape for t in node.inputs]


def _bits(graph: Graph, node: Node) -> tuple[int, ...]:
    return tuple(graph.tensors[t].qtype.bits for t in (*node.inputs, node.output))


def _buffers(graph: Graph, memories: list[LayerMemory], layout: Layout) -> tuple[L2Buffer, ...]:
    out = []
    known = {b.name: b for b in layout.blocks}
    for b in layout.blocks:
        offset = layout.offsets[b.name]
        if b.name.startswith("t:"):
            size = graph.tensors[b.name[2:]].nbytes
            out.append(L2Buffer(size, 1, offset, b.name, "activation", b.first, b.last))
    for i, memory in enumerate(memories):
        w = known.get(f"w{i}")
        if w and memory.packed:
            option = layout.choice.weights[i]
            size, copies = (option.part_bytes, option.slots) if option else (memory.weight_bytes, 1)
            out.append(L2Buffer(size, copies, layout.offsets[w.name], w.name, "weights", w.first, w.last))
        for label, _ in memory.operands:
            s = known.get(f"s{i}{label}")
            if s:
                size, copies = memory.stripe_bytes(label), memory.stripe_copies
                out.append(L2Buffer(size, copies, layout.offsets[s.name], s.name, "stripe", s.first, s.last))
    return tuple(out)


def _operand(memory: LayerMemory, i: int, k: int, layout: Layout) -> Operand:
    """Operand k of layer i, -1 for the output."""
    label, tensor = memory.operands[k]
    access = Access(memory.geometry.out, bits=memory.geometry.bits) if k < 0 else memory.geometry.inputs[k]
    spilled = tensor in layout.choice.spilled
    return Operand(
        tensor,
        access.shape,
        access.window,
        access.channels,
        f"s{i}{label}" if spilled else f"t:{tensor}",
        layout.l3_offsets[tensor] if spilled else -1,
        access.bits,
    )


def _in_parts(weights: Weights | None, memory: LayerMemory) -> bool:
    return weights is not None and weights.part_channels < memory.geometry.out[2]


def _weights(memory: LayerMemory, option: Streaming | None, l3: int, buffer: str) -> Weights:
    p = memory.packed
    assert p is not None
    sizes = (len(p.data), p.group, p.group_bytes, l3, buffer)
    if option is None:
        return Weights("resident", *sizes, memory.geometry.out[2], bits=p.bits, unit=p.unit)
    return Weights("streamed", *sizes, option.channels, option.lead, p.bits, p.unit)


def _assemble(
    lowered: Lowered,
    target: Target,
    tiles: list[Tile],
    memories: list[LayerMemory],
    layout: Layout,
    code: int,
) -> Plan:
    graph = lowered.graph
    layers, l3 = [], 0
    for i, (node, tile, memory) in enumerate(zip(graph.nodes, tiles, memories, strict=True)):
        module = LAYERS[node.op]
        constants = module.constants(node.attrs)
        weights = None
        if memory.packed:
            weights = _weights(memory, layout.choice.weights[i], l3, f"w{i}")
            l3 += weights.bytes
        inputs = tuple(replace(_operand(memory, i, k, layout), kept=k == tile.heir) for k in range(len(node.inputs)))
        output = replace(_operand(memory, i, -1, layout), kept=tile.kept)
        striped = any(o.l3_offset >= 0 for o in (*inputs, output))
        layers.append(
            LayerPlan(
                index=i,
                name=node.name,
                op=node.op,
                kernel=DEEP_KERNEL if tile.depth else module.kernel,
                source=node.source,
                macs=module.macs(node.attrs, _shapes(graph, node)),
                inputs=inputs,
                output=output,
                weights=weights,
                tile=tile.shape,
                # Parts of weights pass once: the channels are the outer loop.
                order="inputs" if tile.inputs_outer and not _in_parts(weights, memory) else "weights",
                stripe_rows=memory.stripe_rows if striped else memory.geometry.out[0],
                direct=memory.geometry.direct,
                l1=tile.l1,
                form=constants.get("form", ""),
                turned=constants.get("turned", False),
                padded=tile.padded,
                depth=tile.depth,
                predicted=tile.cycles,
                gap=round(tile.gap, 6),
                stored=tile.stored,
            )
        )
    return Plan(
        schema=SCHEMA,
        network=graph.name,
        target=target.name,
        cores=target.cluster.cores,
        l1_budget=target.l1_budget,
        l2_budget=target.l2_budget,
        l2_code=code,
        l3_budget=target.l3.bytes,
        l3_bytes=layout.l3_bytes,
        stack_core0=target.l1.stack_core0,
        stack_worker=target.l1.stack_worker,
        l2=_buffers(graph, memories, layout),
        layers=tuple(layers),
        inputs=_ports(graph, graph.inputs),
        outputs=_ports(graph, graph.outputs),
        notes=graph.notes,
        l3_gap=round(layout.choice.gap, 6),
    )


def _ports(graph: Graph, names: tuple[str, ...]) -> tuple[Port, ...]:
    ports = []
    for name in names:
        t: Tensor = graph.tensors[name]
        layout = graph.io_layouts.get(name)
        ports.append(
            Port(
                tensor=name,
                name=layout.onnx_name if layout else name,
                shape=t.shape,
                scale=t.scale,
                zero_point=t.zero_point,
                xor=layout.signed_offset if layout else 0,
                l2_buffer=f"t:{name}",
                word_bytes=layout.word_bytes if layout else 1,
            )
        )
    return tuple(ports)
