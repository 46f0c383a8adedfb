"""QONNX: Quant, BipolarQuant and Trunc nodes, which quantise a float value and give a float value.

    Quant:  y = (clip(round(x / scale + zero), lo, hi) - zero) * scale
    Bipolar: y = scale where x >= 0, else -scale
    Trunc:  y = round(clip(round(x / scale), lo, hi) / 2**n) * out_scale

Constants are computed here, exactly as the nodes define it. Activations become QuantizeLinear with a range, and
DequantizeLinear. The definitions are those of the package `qonnx`, whose results the tests compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from dory.frontend.onnx_file import Array, NodeView
from dory.frontend.rewrite.editor import Editor, input_name
from dory.frontend.rewrite.rule import Rewrite, Rule, by_name, walk
from dory.frontend.rounding import ROUNDINGS

DOMAINS = ("qonnx.", "finn.", "onnx.brevitas")
_BITS = "accepted are 1 to 8 bits for activations and weights, and up to 32 for biases"


def _parameter(e: Editor, node: NodeView, i: int, what: str) -> Array:
    value = e.constant(input_name(node, i)) if input_name(node, i) else None
    if value is None or not value.size or not np.all(np.isfinite(value)):
        raise node.error(f"its {what} is not a constant number", "accepted are constants: export for inference")
    return value


def _number(e: Editor, node: NodeView, i: int, what: str) -> int:
    value = _parameter(e, node, i, what)
    first = float(value.reshape(-1)[0])
    if np.any(value != first) or first != int(first):
        raise node.error(f"its {what} is {value.reshape(-1)[:4].tolist()}", f"accepted is one integer {what}")
    return int(first)


def _rounding(node: NodeView, default: str) -> str:
    mode = node.text("rounding_mode", default).upper()
    if mode not in ROUNDINGS:
        raise node.error(f"rounding_mode {mode}", f"accepted are {', '.join(ROUNDINGS)}")
    return mode


def int_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Lowest and highest integer; a narrow type lacks the lowest of a signed one, the highest of an unsigned one."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def _quant(e: Editor, node: NodeView) -> None:
    scale = _parameter(e, node, 1, "scale")
    bits = _number(e, node, 3, "bit width")
    mode = _rounding(node, "ROUND")
    signed = bool(node.integer("signed", 1))
    if not 1 <= bits <= 32:
        raise node.error(f"{bits} bits", _BITS)
    lo, hi = int_range(bits, signed, bool(node.integer("narrow", 0)))
    x = e.constant(node.inputs[0])
    if x is not None:
        zero = _parameter(e, node, 2, "zero-point")
        with np.errstate(all="ignore"):
            ints = ROUNDINGS[mode](np.asarray(x, np.float32) / np.asarray(scale, np.float32) + zero.astype(np.float32))
        _constant(e, node, np.clip(ints.astype(np.float64), lo, hi), scale, zero)
        return
    if bits > 8:
        raise node.error(f"an activation of {bits} bits", _BITS)
    _activation(e, node, scale, _number(e, node, 2, "zero-point"), (lo, hi), signed, mode)


def _constant(e: Editor, node: NodeView, ints: Array, scale: Array, zero: Array) -> None:
    """DequantizeLinear of integers, with a scale and zero-point per tensor or along one axis."""
    if not np.all(np.isfinite(ints)):
        raise node.error("it quantises weights that are not finite", "train or export the network again")
    if ints.size == 0:
        raise node.error("it quantises an empty constant", "export the network again")
    axis = _axis(node, ints.shape, scale, zero)
    dtype = next(
        t for t in (np.int8, np.uint8, np.int32) if np.iinfo(t).min <= ints.min() <= ints.max() <= np.iinfo(t).max
    )
    names = [e.store(f"{node.label}/integers", ints.astype(dtype))]
    for what, array in (("scale", scale.astype(np.float32)), ("zero", zero)):
        names.append(e.store(f"{node.label}/{what}", _along(array, axis, ints.shape)))
    z = e.constants[names[2]]
    if np.any(z != np.rint(z)):
        raise node.error("its zero-point is not an integer", "accepted are integers")
    e.constants[names[2]] = z.astype(np.int32)
    e.dequantised(node, names[0], names[1], names[2], output=node.outputs[0], axis=axis)


def _axis(node: NodeView, shape: tuple[int, ...], *parameters: Array) -> int:
    """The only axis of a constant along which its parameters vary."""
    axes: set[int] = set()
    for p in parameters:
        if p.ndim > len(shape) and p.size > 1:
            raise node.error(f"a scale of shape {list(p.shape)} for {list(shape)}", "export the network again")
        aligned = (1,) * (len(shape) - p.ndim) + tuple(p.shape)
        axes |= {i for i, s in enumerate(aligned[-len(shape) :] if shape else ()) if s != 1}
    if len(axes) > 1:
        raise node.error("its scale varies along several axes", "accepted are one per tensor or per channel")
    return axes.pop() if axes else 0


def _along(p: Array, axis: int, shape: tuple[int, ...]) -> Array:
    return p.reshape(()) if p.size == 1 else np.broadcast_to(p, shape).swapaxes(0, axis).reshape(shape[axis], -1)[:, 0]


def _activation(
    e: Editor,
    node: NodeView,
    scale: Array,
    zero: int,
    limits: tuple[int, int],
    signed: bool,
    mode: str,
    out_scale: Array | None = None,
) -> None:
    """QuantizeLinear to the range and DequantizeLinear, with another scale if given."""
    dtype = np.int8 if signed else np.uint8
    info = np.iinfo(dtype)
    if not info.min <= zero <= info.max:
        raise node.error(f"a zero-point of {zero}", f"accepted for {np.dtype(dtype)} are {info.min}..{info.max}")
    s = e.store(f"{node.label}/scale", scale.astype(np.float32))
    z = e.store(f"{node.label}/zero", np.asarray(zero, dtype))
    q = e.quantised(node, [node.inputs[0], s, z], limits=limits, rounding=mode)
    s = s if out_scale is None else e.store(f"{node.label}/out_scale", out_scale.astype(np.float32))
    e.dequantised(node, q, s, z, output=node.outputs[0])


def _bipolar(e: Editor, node: NodeView) -> None:
    scale = _parameter(e, node, 1, "scale")
    x = e.constant(node.inputs[0])
    if x is not None:
        _constant(e, node, np.where(np.asarray(x) >= 0, 1.0, -1.0), scale, np.zeros(()))
        return
    if scale.size != 1:
        raise node.error(f"an activation with {scale.size} scales", "activations are quantised per tensor")
    sign = e.add(node, "Sign", [node.inputs[0]])
    half = e.add(node, "Add", [sign, e.store(f"{node.label}/half", np.float32(0.5))])  # 0 counts as positive
    one = e.add(node, "Sign", [half])
    s = e.store(f"{node.label}/scale", scale.astype(np.float32).reshape(()))
    real = e.add(node, "Mul", [one, s])
    z = e.store(f"{node.label}/zero", np.int8(0))
    q = e.quantised(node, [real, s, z], limits=(-1, 1))
    e.dequantised(node, q, s, z, output=node.outputs[0])


def _trunc(e: Editor, node: NodeView) -> None:
    """Both versions: with the output's scale among six inputs, or five inputs and the scale of the input kept."""
    if _number(e, node, 2, "zero-point"):
        raise node.error("a truncation with a zero-point", "accepted is zero-point 0")
    scale, in_bits = _parameter(e, node, 1, "scale"), _number(e, node, 3, "input bit width")
    second = len(node.inputs) > 5
    out_bits = _number(e, node, 5 if second else 4, "output bit width")
    if second:
        out_scale = _parameter(e, node, 4, "output scale")
        power = np.rint(np.log2(np.asarray(out_scale, np.float64) / scale))
        signed = bool(node.integer("signed", 1))
        limits = int_range(out_bits, signed, bool(node.integer("narrow", 0))) if 1 <= out_bits <= 8 else (0, 0)
    else:
        out_scale, power = scale, np.asarray(float(in_bits - out_bits))
        signed = _signed(e, node)
        limits = int_range(out_bits, signed, False) if 1 <= out_bits <= 8 else (0, 0)
    if not 1 <= out_bits <= 8:
        raise node.error(f"an activation of {out_bits} bits", _BITS)
    step = np.asarray(scale, np.float64) * 2.0**power
    _activation(e, node, step, 0, limits, signed, _rounding(node, "FLOOR"), np.asarray(out_scale))


def _signed(e: Editor, node: NodeView) -> bool:
    """Whether the value before a truncation, which does not tell, was quantised as a signed one."""
    name = node.inputs[0]
    while (before := e.maker(name)) is not None and before.inputs:
        if before.op in ("Quant", "IntQuant"):
            return bool(before.integer("signed", 1))
        if before.op == "Relu":
            return False
        name = before.inputs[0]
    raise node.error(
        "the type of its input is not known", "accepted after a Quant node, or with signed among its attributes"
    )


RULES = (
    Rule(
        ("Quant", "IntQuant"),
        "1 to 8 bits (biases to 32), signed, narrow; constants per channel, with any rounding_mode",
        "QuantizeLinear with a range",
        _quant,
    ),
    Rule(
        ("BipolarQuant",),
        "constants; activations that are functions of a quantised one",
        "Sign, QuantizeLinear",
        _bipolar,
    ),
    Rule(("Trunc",), "zero-point 0; both versions", "QuantizeLinear with a range", _trunc),
)
_RULES: Mapping[str, Rule] = MappingProxyType(by_name(RULES))


def _rule(node: NodeView) -> Rule | None:
    return _RULES.get(node.op) if node.domain.startswith(DOMAINS) else None


def _step(e: Editor, node: NodeView) -> None:
    rule = _rule(node)
    run: Callable[[Editor, NodeView], None] | None = rule.run if rule else None
    if run is None:
        e.keep(node)
    else:
        run(e, node)


QONNX = Rewrite(
    "QONNX",
    "Quant nodes of any width up to 8 bits (Brevitas, QKeras, FINN)",
    "no Quant node of QONNX",
    lambda file: any(_rule(n) for n in file.nodes),
    lambda file: walk(file, _step),
    RULES,
)
