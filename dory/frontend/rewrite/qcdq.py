"""Clip between QuantizeLinear and DequantizeLinear (Brevitas): types of fewer bits, or without their lowest value.

The bounds become the range that QuantizeLinear saturates to. Other clips of integers are left to the importer.
"""

from __future__ import annotations

from collections.abc import Mapping

from dory.frontend.onnx_file import LIMITS, NodeView, OnnxFile
from dory.frontend.rewrite.editor import Editor, input_name, readers
from dory.frontend.rewrite.rule import Rewrite, walk


def _clips(file: OnnxFile) -> Mapping[str, NodeView]:
    """The QuantizeLinear before each Clip of its result, by the Clip's output."""
    makers = {n.outputs[0]: n for n in file.nodes if n.op == "QuantizeLinear" and n.outputs[0]}
    return {
        n.outputs[0]: makers[n.inputs[0]]
        for n in file.nodes
        if n.op == "Clip" and not n.domain and input_name(n, 0) in makers
    }


def _bounds(e: Editor, node: NodeView) -> tuple[int, int] | None:
    """The constant bounds of a Clip, None when they are not constant integers."""
    found = [-(2**31), 2**31 - 1]
    for i in (1, 2):
        if name := input_name(node, i):
            array = e.constant(name)
            if array is None or array.size != 1:
                return None
            found[i - 1] = int(array.reshape(-1)[0])
    return (found[0], found[1]) if found[0] <= found[1] else None


def _run(file: OnnxFile) -> OnnxFile:
    clips, reading = _clips(file), readers(file)
    kept = {p.name for p in file.outputs}

    def step(e: Editor, node: NodeView) -> None:
        if node.op == "QuantizeLinear" and node.outputs[0] not in kept:
            after = reading.get(node.outputs[0], [])
            if all(n.outputs[0] in clips and _bounds(e, n) is not None for n in after):
                return
        quantiser = clips.get(node.outputs[0]) if node.outputs else None
        bounds = _bounds(e, node) if quantiser is not None else None
        if quantiser is None or bounds is None:
            e.keep(node)
            return
        lo, hi = quantiser.attrs.get(LIMITS, bounds)
        limits = (max(lo, bounds[0]), min(hi, bounds[1]))
        copy = ("axis", "block_size", "output_dtype", "saturate")
        e.quantised(quantiser, quantiser.inputs, output=node.outputs[0], copy=copy, limits=limits)

    return walk(file, step)


QCDQ = Rewrite(
    "QCDQ",
    "Clip between QuantizeLinear and DequantizeLinear (Brevitas)",
    "no Clip after a QuantizeLinear",
    lambda file: bool(_clips(file)),
    _run,
)
