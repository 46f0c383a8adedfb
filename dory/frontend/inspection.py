"""What an ONNX file is: exporter, quantisation, work and size, and what the importer makes of each node."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from dory.errors import UserError
from dory.frontend.formats import FORMATS, Format, ImportOptions, choose_format
from dory.frontend.kind import refuse
from dory.frontend.onnx_file import NodeView, OnnxFile, constant_value, read
from dory.frontend.registry import OPERATORS
from dory.frontend.survey import Verdict
from dory.graph.types import Graph

WEIGHTED = (
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
)
PARAMETERS = {"QLinearConv": (3, 8), "QLinearMatMul": (3,), "QGemm": (3, 6)}  # inputs among scales and zero-points
BEFORE_WEIGHTS = ("QuantizeLinear", "DequantizeLinear", "Quant", "IntQuant", "BipolarQuant", "Clip", "Transpose")
QUANTISER = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, eq=False)
class NodeReport:
    """One node: ONNX output shape (None where it is not known), multiply-accumulates, parameters, and the verdict."""

    verdict: Verdict
    shape: tuple[int, ...] | None
    macs: int
    parameters: int
    layers: tuple[str, ...]  # operators of the integer graph that came from it

    @property
    def folded(self) -> bool:
        """It is accepted and no layer of its own: a constant, a view, or part of another layer's rescale."""
        return self.verdict.state == "taken" and not self.layers and not self.macs

    @property
    def text(self) -> str:
        """The verdict in words."""
        state = self.verdict.state
        if state == "taken":
            return ", ".join(self.layers) or ("accepted" if self.macs else "folded")
        if state == "host":
            return "left to the host"
        return f"{'no' if state == 'refused' else 'not checked'}: {self.verdict.reason}"


@dataclass(frozen=True, eq=False)
class Inspection:
    """All facts of a file. `graph` is None when it cannot be imported, `error` says why."""

    path: Path
    size: int
    ir_version: int
    producer: str
    opsets: Mapping[str, int]
    checker: str
    exporter: str
    format: str
    refusals: Mapping[str, str]
    scheme: tuple[str, ...]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    nodes: tuple[NodeReport, ...]
    graph: Graph | None
    error: str
    hint: str

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(n.macs for n in self.nodes)

    @property
    def parameters(self) -> int:
        """Weights and biases of the layers."""
        return sum(n.parameters for n in self.nodes)


def inspect_file(path: Path, *, signed_inputs: bool = False, rescale_bits: int = 15) -> Inspection:
    """Look at a file without deploying it; onnx.checker's opinion is reported, not required.

    UserError for a file that is no ONNX network at all.
    """
    file = read(path)
    model = onnx.load_model(str(path), load_external_data=False)
    options = ImportOptions(rescale_bits, signed_inputs)
    found, graph, error = _chosen(file), None, None
    verdicts = [_by_name(n) for n in file.nodes]
    try:
        choose_format(file)
        if found is not None:
            verdicts = found.survey(file, options)
            graph = found.load(file, options).graph
    except UserError as exc:
        error = exc
    shapes = _shapes(model, file)
    made: dict[str, tuple[str, ...]] = {}
    for layer in graph.nodes if graph else ():
        made[layer.source] = (*made.get(layer.source, ()), layer.op)
    arrays = _arrays(file)
    reports = tuple(_report(file, v, arrays, shapes, made) for v in verdicts)
    return Inspection(
        path=path,
        size=path.stat().st_size,
        ir_version=int(model.ir_version),
        producer=f"{model.producer_name} {model.producer_version}".strip() or "not told",
        opsets={o.domain or "ai.onnx": int(o.version) for o in model.opset_import},
        checker=_checker(model),
        exporter=_exporter(file, model.producer_name),
        format=found.name if found else "none",
        refusals={f.name: reason for f in FORMATS if (reason := f.why_not(file)) is not None},
        scheme=tuple(_scheme(file)),
        inputs=tuple((p.name, _port(p.shape, p.elem_type)) for p in file.inputs),
        outputs=tuple((p.name, _port(p.shape, p.elem_type)) for p in file.outputs),
        nodes=reports,
        graph=graph,
        error="" if error is None else f"{error.where}: {error.message}" if error.where else error.message,
        hint="" if error is None else error.hint,
    )


def _by_name(node: NodeView) -> Verdict:
    """The verdict on a node of a file that is not quantised: by its operator's name only."""
    operator = OPERATORS.get(node.op) if not node.domain else None
    if operator is None and node.op not in ("Constant", "Gather"):
        return Verdict(node, "refused", f"operator {node.op} is not supported")
    return Verdict(node, "unchecked", "quantise the network first")


def _chosen(file: OnnxFile) -> Format | None:
    try:
        refuse(file)
    except UserError:
        return None
    return next((f for f in FORMATS if f.why_not(file) is None), None)


def _checker(model: onnx.ModelProto) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            onnx.checker.check_model(model)
    except Exception as exc:  # the checker's own errors are of several kinds
        return f"refuses it: {str(exc).strip().splitlines()[0][:150]}"
    return "accepts it"


def _exporter(file: OnnxFile, producer: str) -> str:
    attrs = {a for n in file.nodes for a in n.attrs}
    ops = {n.op for n in file.nodes}
    domains = {n.domain for n in file.nodes}
    if any(a.endswith(("_bits", "_n_levels", "_rq")) for a in attrs):
        return "Quantlab"
    if any("qonnx" in d or "brevitas" in d for d in domains) or "Quant" in ops:
        return "Brevitas or QONNX"
    if producer == "onnx.quantize" or "com.microsoft" in domains:
        return "onnxruntime.quantization"
    if producer == "tf2onnx":
        return "tf2onnx (TensorFlow)"
    if ops & set(QUANTISER) or any(o.startswith("QLinear") for o in ops):
        return f"QDQ, by {producer or 'an unknown tool'}"
    return "NEMO" if FORMATS_BY_NAME["integers in floats"].why_not(file) is None else (producer or "unknown")


FORMATS_BY_NAME = {f.name: f for f in FORMATS}


def _arrays(file: OnnxFile) -> dict[str, np.ndarray]:
    """Initialisers and Constant nodes."""
    out = dict(file.constants)
    for node in file.nodes:
        if node.op == "Constant" and node.outputs:
            try:
                out[node.outputs[0]] = constant_value(node)
            except (UserError, ValueError, TypeError):
                continue
    return out


def _weights_of(file: OnnxFile, node: NodeView, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The constants a node reads, looked for behind quantisers and reshapes."""
    makers = {name: n for n in file.nodes for name in n.outputs}
    found = []
    known = PARAMETERS.get(node.op, range(1, len(node.inputs)))
    for at in (node.inputs[i] for i in known if i < len(node.inputs)):
        while at not in arrays and at in makers and makers[at].inputs and makers[at].op in BEFORE_WEIGHTS:
            at = makers[at].inputs[0]
        if at in arrays:
            found.append(arrays[at])
    return found


def _report(
    file: OnnxFile,
    verdict: Verdict,
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    made: Mapping[str, tuple[str, ...]],
) -> NodeReport:
    node, macs, parameters = verdict.node, 0, 0
    shape = shapes.get(node.outputs[0]) if node.outputs else None
    if node.op in WEIGHTED:
        constants = [a for a in _weights_of(file, node, arrays) if a.ndim]
        weights = max(constants, key=lambda a: a.ndim * 2**40 + a.size, default=np.zeros(0))
        parameters = weights.size + sum(a.size for a in constants if a.ndim == 1 and a is not weights)
        if shape is not None and weights.ndim > 2:
            macs = int(np.prod(shape[2:], dtype=np.int64)) * weights.size
        elif shape is not None and weights.ndim == 2:
            macs = int(np.prod(shape[:-1], dtype=np.int64)) * weights.size
    return NodeReport(verdict, shape, macs, int(parameters), made.get(node.label, ()))


def _shapes(model: onnx.ModelProto, file: OnnxFile) -> dict[str, tuple[int, ...]]:
    """ONNX shapes as far as onnx can infer them; a free batch counts as 1."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for value in plain.graph.input:
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if i == 0 and not dim.dim_value:
                dim.dim_value = 1
    try:
        plain = onnx.shape_inference.infer_shapes(plain, data_prop=True)
    except Exception:  # a file that inference cannot handle is inspected without shapes
        return {}
    out = {}
    for value in (*plain.graph.value_info, *plain.graph.output):
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if dims and all(d > 0 for d in dims):
            out[value.name] = tuple(int(d) for d in dims)
    return out


def _scheme(file: OnnxFile) -> list[str]:
    """Types of activations and weights, in words."""
    arrays, lines = _arrays(file), []
    bits: dict[str, int] = {}
    for node in file.nodes:
        weights = [a for a in _weights_of(file, node, arrays) if a.ndim > 1] if node.op in WEIGHTED else []
        if weights:
            kind = _weight_type(weights[0])
            bits[kind] = bits.get(kind, 0) + 1
    if bits:
        lines.append("weights: " + ", ".join(f"{k} ({n} layer{'s' * (n > 1)})" for k, n in sorted(bits.items())))
    clips: dict[str, int] = {}
    for node in file.nodes:
        kind = _activation_type(node, arrays)
        if kind:
            clips[kind] = clips.get(kind, 0) + 1
    if clips:
        lines.append("activations: " + ", ".join(f"{k} ({n})" for k, n in sorted(clips.items())))
    axes = [n for n in file.nodes if n.op == "DequantizeLinear" and n.inputs[:1] and n.inputs[0] in arrays]
    if axes:
        per_axis = sum(arrays[n.inputs[1]].size > 1 for n in axes if len(n.inputs) > 1 and n.inputs[1] in arrays)
        lines.append(f"quantised constants: {len(axes)}, {per_axis} of them with a scale per channel")
    return lines


def _weight_type(weights: np.ndarray) -> str:
    if weights.dtype.kind != "f":
        return str(weights.dtype)
    if not weights.size or not np.array_equal(weights, np.rint(weights)):
        return "float"
    top = max(-float(weights.min()) - 1, float(weights.max()), 0.0)
    if top >= 2**31:
        return "float"
    return f"integers of {int(top).bit_length() + 1} bits in {weights.dtype}"


def _activation_type(node: NodeView, arrays: Mapping[str, np.ndarray]) -> str:
    if node.op == "QuantizeLinear":
        zero = arrays.get(node.inputs[2]) if len(node.inputs) > 2 else None
        return "uint8" if zero is None else str(zero.dtype)
    if node.op == "Clip":
        bounds = [node.attrs.get("min"), node.attrs.get("max")]
        for i in (1, 2):
            if len(node.inputs) > i and node.inputs[i] in arrays and arrays[node.inputs[i]].size == 1:
                bounds[i - 1] = float(arrays[node.inputs[i]].reshape(-1)[0])
        low, high = (f"{b:g}" if isinstance(b, (int, float)) else "-" for b in bounds)
        return f"clipped to {low}..{high}"
    return ""


def _port(shape: tuple[int | None, ...], elem_type: int) -> str:
    try:
        name = onnx.TensorProto.DataType.Name(elem_type).lower()
    except ValueError:
        name = f"type {elem_type}"
    return f"{name} {'x'.join('?' if s is None else str(s) for s in shape)}"
