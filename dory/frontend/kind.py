"""Which kind of ONNX network a file holds, and a clear refusal of those that cannot be imported."""

from __future__ import annotations

from dory.errors import UserError
from dory.frontend.onnx_file import OnnxFile

DYNAMIC = ("DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
QUANTIZE_HINT = "quantise it first: python -m dory quantize MODEL.onnx --calibration DIR -o MODEL_q.onnx"


def require_qdq(file: OnnxFile) -> None:
    """Return for a QDQ network; UserError that names the kind for any other."""
    where = str(file.path)
    ops = {n.op for n in file.nodes}
    for node in file.nodes:
        if node.op in DYNAMIC:
            raise node.error(
                "dynamic quantisation computes scales at run time",
                "quantise statically, with calibration data: python -m dory quantize MODEL.onnx --calibration DIR",
            )
    operator_form = sorted(o for o in ops if o.startswith("QLinear") or o in ("QGemm", "QAttention"))
    if operator_form:
        raise UserError(
            f"onnxruntime's QOperator form ({', '.join(operator_form)}) is not yet accepted",
            where=where,
            hint="quantise again with quant_format=QuantFormat.QDQ",
        )
    if "QuantizeLinear" in ops or "DequantizeLinear" in ops:
        return
    exported = [n for n in file.nodes if any(a.endswith(("_bits", "_n_levels", "_rq")) for a in n.attrs)]
    integers = {"Floor", "Div"} <= ops or {"Div", "Clip", "Cast"} <= ops
    if exported or integers:
        raise UserError(
            "a network of integers held in floats (NEMO, Quantlab) is not yet accepted",
            where=where,
            hint="export it as QDQ (QuantizeLinear and DequantizeLinear)",
        )
    raise UserError("a float network: it has no QuantizeLinear", where=where, hint=QUANTIZE_HINT)
