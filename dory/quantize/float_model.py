"""A float ONNX file, checked and prepared for quantisation: fixed shapes, a recent opset, BatchNormalization folded."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper, shape_inference, version_converter

from dory.errors import UserError
from dory.frontend.formats import FORMATS
from dory.frontend.kind import DYNAMIC
from dory.frontend.onnx_file import OnnxFile, read
from dory.quantize.heads import split_heads
from dory.quantize.runtime import first_line, quiet

OLDEST, OPSET = 13, 17
"""Scales per channel need opset 13; an older network is converted to 17."""


@dataclass(frozen=True)
class Input:
    """A network input and its shape, batch 1 included."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FloatModel:
    """The prepared network; `activations` are its float values in the order of the nodes, inputs first."""

    path: Path
    model: onnx.ModelProto
    inputs: tuple[Input, ...]
    activations: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self.path)


def load(path: Path) -> FloatModel:
    """Read and prepare. UserError for a file that is no float network with fixed sizes."""
    _require_float(read(path))
    model = onnx.load(str(path), load_external_data=False)
    if any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer):
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    notes: list[str] = []
    inputs = _fix_inputs(model, path, notes)
    model = _fold(_convert(model, path, notes), path)
    model = split_heads(model)
    _require_finite(model, path)
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    model = _inferred(model, path)
    return FloatModel(path, model, inputs, _activations(model), tuple(notes))


def _require_float(file: OnnxFile) -> None:
    """UserError for a network that is quantised already, in whatever form."""
    kind = next((f.name for f in FORMATS if f.why_not(file) is None), None)
    found = Counter(n.op for n in file.nodes if n.op in DYNAMIC or "QuantizeLinear" in n.op)
    if kind is None and not found:
        return
    counts = ", ".join([*([kind] if kind else []), *(f"{count} {op}" for op, count in sorted(found.items()))])
    raise UserError(
        f"it is quantised already: {counts}",
        where=str(file.path),
        hint="deploy it as it is (without --calibration), or give the float network that it was made from",
    )


def _fix_inputs(model: onnx.ModelProto, path: Path, notes: list[str]) -> tuple[Input, ...]:
    """Batch 1, no initialisers among the inputs."""
    constants = {t.name for t in model.graph.initializer}
    ports = [i for i in model.graph.input if i.name not in constants]
    inputs = []
    for port in ports:
        where = f"{path}: network input '{port.name}'"
        tensor = port.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT:
            raise UserError(
                f"it is {_type_name(tensor.elem_type)}", where=where, hint="export the network with float32 inputs"
            )
        dims = tensor.shape.dim
        if dims and not dims[0].dim_value > 0:
            notes.append(f"the batch size of '{port.name}' is not fixed in the file; it is 1 now")
            dims[0].Clear()
            dims[0].dim_value = 1
        sizes = [d.dim_value if d.dim_value > 0 else None for d in dims]
        fixed = [s for s in sizes if s is not None]
        if len(fixed) != len(sizes) or not sizes:
            raise UserError(
                f"its shape {[d.dim_param or d.dim_value or '?' for d in dims]} is not fixed",
                where=where,
                hint="export with fixed sizes (only the batch may vary), or fix them with"
                " python -m onnxruntime.tools.make_dynamic_shape_fixed",
            )
        if fixed[0] != 1:
            raise UserError(
                f"its shape {fixed} has a batch of {fixed[0]}", where=where, hint="export with batch size 1"
            )
        inputs.append(Input(port.name, tuple(fixed)))
    if not inputs:
        raise UserError("the network has no input", where=str(path), hint="export it again")
    del model.graph.input[:]
    model.graph.input.extend(ports)
    for value in (*model.graph.output, *model.graph.value_info):
        value.type.tensor_type.ClearField("shape")  # they may name the batch; they are inferred again
    del model.graph.value_info[:]
    return tuple(inputs)


def _convert(model: onnx.ModelProto, path: Path, notes: list[str]) -> onnx.ModelProto:
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if opset >= OLDEST:
        return model
    try:
        converted = version_converter.convert_version(shape_inference.infer_shapes(model), OPSET)
    except Exception as e:  # the converter raises RuntimeError, and ConvertError of its C++ side
        raise UserError(
            f"opset {opset} cannot be converted to {OPSET}: {first_line(e)}",
            where=str(path),
            hint=f"export with opset {OLDEST} or newer",
        ) from e
    notes.append(f"converted from opset {opset} to {OPSET}")
    return converted


def _fold(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Constants, BatchNormalization and the like folded by onnxruntime's basic optimisations."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="dory-") as folder, quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "folded.onnx"
        onnx.save(model, str(source))
        try:
            quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
        except Exception as e:  # whatever its tools raise says that the network is not valid
            raise UserError(
                f"onnxruntime cannot prepare it: {first_line(e)}",
                where=str(path),
                hint="check the file with onnx.checker, or export it again",
            ) from e
        return onnx.load(str(target))


def _inferred(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    try:
        return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as e:  # InferenceError of the C++ side
        raise UserError(
            f"its shapes cannot be inferred: {first_line(e)}", where=str(path), hint="export it again"
        ) from e


def _require_finite(model: onnx.ModelProto, path: Path) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and not np.all(np.isfinite(numpy_helper.to_array(tensor))):
            raise UserError(
                f"the weights '{tensor.name}' hold values that are not finite",
                where=str(path),
                hint="train or export the network again",
            )


def _activations(model: onnx.ModelProto) -> tuple[str, ...]:
    graph = model.graph
    known = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    made = [i.name for i in graph.input] + [o for n in graph.node if n.op_type != "Constant" for o in n.output if o]
    return tuple(n for n in made if known.get(n) == TensorProto.FLOAT)


def _type_name(code: int) -> str:
    try:
        return str(helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, TypeError):
        return f"ONNX type {code}"
