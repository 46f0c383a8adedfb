"""The Plan: every address, size, lifetime and tile of a deployed network; the single source of truth.

Code generation, verification, reports and cycle models read it and recompute nothing. Sizes and offsets are bytes,
shapes elements. Constructing a Plan checks its invariants; it round-trips through JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dory.errors import PlanError, UserError
from dory.graph.types import Shape, Window

SCHEMA = 2
GUARD = 16  # bytes left free after every L1 and L2 buffer, so that an overrun is seen and hits nothing


@dataclass(frozen=True)
class Buffer:
    """`copies` blocks of `bytes` at offset in an arena; each is rounded up and guarded."""

    bytes: int
    copies: int
    offset: int

    @property
    def stride(self) -> int:
        """Distance of two copies."""
        return guarded(self.bytes)

    @property
    def end(self) -> int:
        """First byte after the buffer and its last guard."""
        return self.offset + self.copies * self.stride


@dataclass(frozen=True)
class L2Buffer(Buffer):
    """A buffer in the L2 arena, alive from layer first to last.

    first -1 is before the network starts, last = number of layers is after its end.
    """

    name: str
    kind: Literal["activation", "weights", "stripe"]
    first: int
    last: int


@dataclass(frozen=True)
class L1Buffer(Buffer):
    """A buffer in the L1 arena.

    operand is x0, x1, ..., w, y, scratch; ux0, ..., uw, uy: the same unpacked; sums, heads and tails of layers in
    steps.
    """

    operand: str


@dataclass(frozen=True)
class Operand:
    """An activation operand of a layer: the (H, W, C) view, how tiles read it, and where it lives.

    l3_offset >= 0: the tensor is in L3 and l2_buffer holds stripes of it; else l2_buffer is the whole tensor. Elements
    have `bits` bits, lowest first; each pixel begins on a byte. kept: an input that the layer before has left in L1, an
    output that stays there for the next layer.
    """

    tensor: str
    shape: Shape
    window: Window
    channels: Literal["all", "slice"]
    l2_buffer: str
    l3_offset: int = -1
    bits: int = 8
    kept: bool = False

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel of the view."""
        return packed_bytes(self.shape[2], self.bits)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the view."""
        return self.shape[1] * self.pixel_bytes


@dataclass(frozen=True)
class Unit:
    """What packed weights repeat: `head` bytes of constants, `body` bytes of int8 weights, `tail` bytes of constants.

    Sizes are multiples of 4. Narrow weights are packed into whole words, constants stay as they are.
    """

    head: int
    body: int
    tail: int

    def bytes(self, bits: int = 8) -> int:
        """Bytes in memory, with weights of `bits` bits."""
        return self.head + ceil(self.body * bits / 32) * 4 + self.tail


@dataclass(frozen=True)
class Weights:
    """Packed constants of a layer. `group` 0: one block for all channels.

    resident: copied to L2 once, at init. streamed: read from L3 in every inference, in parts of part_channels that take
    turns in the copies of the L2 buffer; the first ones are read from `lead` layers before this one on. streaming.py
    has the order. Weights of fewer than 8 bits are packed in memory, and unpacked in L1.
    """

    mode: Literal["resident", "streamed"]
    bytes: int
    group: int
    group_bytes: int
    l3_offset: int
    l2_buffer: str
    part_channels: int
    lead: int = 0
    bits: int = 8
    unit: Unit | None = None

    def bytes_for(self, channels: int) -> int:
        """Bytes of the groups that hold `channels` output channels."""
        return self.group_bytes if self.group == 0 else ceil(channels / self.group) * self.group_bytes

    @property
    def units(self) -> int:
        """Units of a group, when weights are narrow."""
        return self.group_bytes // self.unit.bytes(self.bits) if self.unit else 0

    @property
    def kernel_group_bytes(self) -> int:
        """Bytes of a group as the kernel reads it."""
        return self.units * self.unit.bytes() if self.unit and self.bits < 8 else self.group_bytes


@dataclass(frozen=True)
class LayerPlan:
    """One layer: tiles of `tile` (h, w, c) outputs in L1, inside stripes of stripe_rows output rows.

    form is how sums become outputs (dory.layers.rescale; "" where nothing is rescaled by a form). turned: the kernel
    takes a tile's columns for its rows. padded: it copies tiles with their padding first. depth: input channels of a
    step, where a tile adds them up in several (0: all at once). predicted: cycles that the tile was chosen for,
    operands in L2 or kept in L1. gap: how far they may be above the optimum, as a share of it. stored: the output goes
    to L2; not so where it is kept and nothing else wants it.
    Order "weights" keeps a weight tile in L1 while the spatial tiles pass, "inputs" the other way round. `direct`
    layers run on L2 without tiles.
    """

    index: int
    name: str
    op: str
    kernel: str
    source: str
    macs: int
    inputs: tuple[Operand, ...]
    output: Operand
    weights: Weights | None
    tile: Shape
    order: Literal["weights", "inputs"]
    stripe_rows: int
    direct: bool
    l1: tuple[L1Buffer, ...]
    form: str = ""
    turned: bool = False
    padded: bool = False
    depth: int = 0
    predicted: int = 0
    gap: float = 0.0
    stored: bool = True

    @property
    def l1_bytes(self) -> int:
        """Bytes of the L1 buffers, guards included."""
        return sum(b.copies * b.stride for b in self.l1)

    @property
    def l1_end(self) -> int:
        """First byte of L1 behind all buffers."""
        return max((b.end for b in self.l1), default=0)

    @property
    def single(self) -> str:
        """Of "x" (the inputs), "w" and "y", those that have one buffer: loaded behind the kernel that reads it, stored
        before it is written again."""
        if self.depth or not self.l1:
            return ""
        one = {b.operand for b in self.l1 if b.copies == 1}
        inputs = all(f"x{i}" in one for i in range(len(self.inputs)))
        return "x" * inputs + "w" * ("w" in one) + "y" * ("y" in one)

    def l1_buffer(self, operand: str) -> L1Buffer:
        """The L1 buffer of an operand."""
        return next(b for b in self.l1 if b.operand == operand)

    @property
    def kept_buffer(self) -> L1Buffer:
        """The L1 buffer of the input that the layer before has left there."""
        return self.l1_buffer(next(f"x{i}" for i, x in enumerate(self.inputs) if x.kept))

    @property
    def tiles(self) -> Shape:
        """Number of tiles along (h, w, c), when the layer is one stripe and one part."""
        h, w, c = (ceil(o / t) for o, t in zip(self.output.shape, self.tile, strict=True))
        return (h, w, c)

    @property
    def subbyte(self) -> bool:
        """Whether something has fewer than 8 bits, so that tiles are unpacked and packed in L1."""
        weights = self.weights.bits if self.weights else 8
        return min(weights, self.output.bits, *(x.bits for x in self.inputs)) < 8

    @property
    def stripes(self) -> int:
        """Number of stripes."""
        return ceil(self.output.shape[0] / self.stripe_rows)


@dataclass(frozen=True)
class Port:
    """A network input or output and its L2 buffer; real = scale * (q - zero_point); xor 128 turns int8 into uint8.

    word_bytes 4: elements are int32, shape counts their bytes.
    """

    tensor: str
    name: str
    shape: Shape
    scale: float
    zero_point: int
    xor: int
    l2_buffer: str
    word_bytes: int = 1

    @property
    def c_type(self) -> str:
        """Element type of the user's API."""
        return "int32_t" if self.word_bytes == 4 else "int8_t" if self.xor else "uint8_t"

    @property
    def elements(self) -> Shape:
        """(height, width, channels) in elements of that type."""
        h, w, c = self.shape
        return (h, w, c // self.word_bytes)


@dataclass(frozen=True)
class Plan:
    """A network on a target. budgets in bytes: what tiles (L1), activations and weights (L2), RAM (L3) may use.

    l3_gap: how far the plan of L2 and L3 may be above the optimum of its model, as a share of the cycles.
    """

    schema: int
    network: str
    target: str
    cores: int
    l1_budget: int
    l2_budget: int
    l2_code: int
    l3_budget: int
    l3_bytes: int
    stack_core0: int
    stack_worker: int
    l2: tuple[L2Buffer, ...]
    layers: tuple[LayerPlan, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    notes: tuple[str, ...] = ()
    l3_gap: float = 0.0

    def __post_init__(self) -> None:
        check(self)

    @property
    def l1_bytes(self) -> int:
        """L1 arena of all layers."""
        return max((layer.l1_end for layer in self.layers), default=0)

    @property
    def l2_bytes(self) -> int:
        """L2 arena bytes, guards included."""
        return max((b.end for b in self.l2), default=0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Packed constants of all layers."""
        return sum(layer.weights.bytes for layer in self.layers if layer.weights)

    def buffer(self, name: str) -> L2Buffer:
        """The L2 buffer of that name."""
        return next(b for b in self.l2 if b.name == name)

    def to_json(self) -> str:
        """The plan as JSON text, deterministic."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Plan:
        """Inverse of to_json; ValueError or KeyError for anything else."""
        plan = _decode(Plan, json.loads(text))
        assert isinstance(plan, Plan)
        return plan


def load_plan(app: Path) -> Plan:
    """The plan of an application folder; UserError when it is none."""
    try:
        return Plan.from_json((app / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"not an application made by dory ({type(e).__name__})",
            where=str(app),
            hint="python -m dory deploy MODEL -o APP",
        ) from e


def packed_bytes(elements: int, bits: int) -> int:
    """Bytes of a run of elements of `bits` bits, such as a pixel's channels."""
    return (elements * bits + 7) // 8


def guarded(size: int) -> int:
    """Bytes that a block takes with its guard: the size rounded up to 8, plus GUARD."""
    return (size + 7) // 8 * 8 + GUARD


def check(plan: Plan) -> None:
    """Raise PlanError when a budget is exceeded, ValueError when buffers that live together overlap."""
    if plan.l2_bytes + plan.l2_code > plan.l2_budget:
        raise PlanError(
            f"the plan needs {plan.l2_bytes} bytes of L2 for data and {plan.l2_code} for code,"
            f" {plan.l2_budget} are free"
        )
    if plan.l3_bytes > plan.l3_budget:
        raise PlanError(f"the plan needs {plan.l3_bytes} bytes of L3, {plan.l3_budget} are there")
    for layer in plan.layers:
        if layer.l1_end > plan.l1_budget:
            raise PlanError(f"layer {layer.name} needs {layer.l1_end} bytes of L1, {plan.l1_budget} are free")
        _check_disjoint([(b.offset, b.end, b.operand) for b in layer.l1], f"L1 of {layer.name}")
    for a, b in pairwise(plan.layers):
        _check_kept(a, b)
    for i in range(-1, len(plan.layers) + 1):
        live = [(b.offset, b.end, b.name) for b in plan.l2 if b.first <= i <= b.last]
        _check_disjoint(live, f"L2 at layer {i}")


def _check_kept(a: LayerPlan, b: LayerPlan) -> None:
    """What layer a keeps in L1, b finds there."""
    found = [x.tensor for x in b.inputs if x.kept]
    wanted = [a.output.tensor] if a.output.kept else []
    if found != wanted:
        raise ValueError(f"layer {b.name} wants {found} in L1, layer {a.name} leaves {wanted}")
    if wanted and a.l1_buffer("y").offset != b.kept_buffer.offset:
        raise ValueError(f"layer {b.name} looks for {wanted} where layer {a.name} has not left it")


def _check_disjoint(spans: list[tuple[int, int, str]], where: str) -> None:
    spans = sorted(spans)
    for (_, end, a), (start, _, b) in pairwise(spans):
        if start < end:
            raise ValueError(f"{where}: buffers {a} and {b} overlap")


def _decode(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(**{f.name: _decode(hints[f.name], value[f.name]) for f in fields(hint)})
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple:
        inner = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        return tuple(_decode(h, v) for h, v in zip(inner, value, strict=True))
    if origin in (Union, UnionType):
        return None if value is None else _decode(next(a for a in args if a is not type(None)), value)
    return value
