"""Which kind of ONNX network a file holds: QDQ or not, and kinds that no importer takes."""

from __future__ import annotations

from dory.frontend.onnx_file import OnnxFile
from dory.frontend.rewrite import REWRITES

DYNAMIC = ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
QUANTIZE_HINT = (
    "deploy it with --calibration DIR (typical inputs), or quantise it first:"
    " python -m dory quantize MODEL.onnx --calibration DIR -o MODEL_q.onnx"
)


def refuse(file: OnnxFile) -> None:
    """UserError that names the kind for a network that cannot be imported in any form."""
    for node in file.nodes:
        if node.op in DYNAMIC:
            raise node.error(
                "dynamic quantisation computes scales at run time",
                "quantise statically, with calibration data: python -m dory quantize MODEL.onnx --calibration DIR",
            )


def why_not_qdq(file: OnnxFile) -> str | None:
    """None for a network that is QDQ, or that can be written so; else the reason why it is none."""
    if any(n.op in ("QuantizeLinear", "DequantizeLinear") for n in file.nodes):
        return None
    reasons = [r.lacks for r in REWRITES if r.rules]
    if any(r.found(file) for r in REWRITES):
        return None
    return ", ".join(["it has no QuantizeLinear", *reasons])
