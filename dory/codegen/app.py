"""Plan -> the files of an application, as bytes by relative path; deterministic."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import jinja2
import numpy as np

from dory import streaming
from dory.graph import subbyte
from dory.graph.types import Graph, IntArray
from dory.layers import LAYERS
from dory.layers.base import PackedWeights
from dory.layers.subbyte import KERNELS as REPACK_KERNELS
from dory.plan import L1Buffer, LayerPlan, Operand, Plan
from dory.resources import csrc_dir

MARKER = "plan.json"  # its presence makes a folder one of ours
RUNTIME_COMMON = (
    "iss_calls.h",
    "sim.ld",
    "dory_engine.h",
    "dory_engine.c",
    "dory_sums.h",
    "dory_sums.c",
    "dory_ctx.h",
    "dory_device.h",
    "dory_rt.h",
    "dory_stream.h",
    "dory_stream.c",
    "dory_tile.h",
    "dory_crc32.h",
    "dory_crc32.c",
)
RUNTIME_PREFIXES = ("rt_", "device_")


def application(
    plan: Plan, graph: Graph, packed: Iterable[PackedWeights | None], values: Mapping[str, IntArray]
) -> dict[str, bytes]:
    """All files of the application. `values` are the tensors of one inference (the example), uint8 in HWC order."""
    env = _environment()
    functions = [f"layer_{layer.index:03d}_{layer.op}" for layer in plan.layers]
    stream = streaming.schedule(plan)
    shared = {"plan": plan, "functions": functions, "l2": {b.name: b for b in plan.l2}, "stream": stream}
    files: dict[str, bytes] = {MARKER: plan.to_json().encode()}
    for layer, function, node in zip(plan.layers, functions, graph.nodes, strict=True):
        module = LAYERS[node.op]
        constants = {**module.constants(node.attrs), **module.tile_constants(node.attrs, layer.tile, plan.cores)}
        files[f"src/{function}.c"] = _layer(env, layer, function, constants, shared)
    crcs = [zlib.crc32(_stored(layer.output, values[layer.output.tensor])) for layer in plan.layers]
    files["data/crc32.json"] = (json.dumps([f"{c:08x}" for c in crcs]) + "\n").encode()
    network = {
        **shared,
        "crcs": crcs,
        "l2_live": [_live_l2(plan, i) for i in range(len(plan.layers))],
        "l1_live": [_live_l1(layer) for layer in plan.layers],
        "resident": [layer.weights for layer in plan.layers if layer.weights and layer.weights.mode == "resident"],
        "flips": any(p.xor for p in (*plan.inputs, *plan.outputs)),
    }
    files["include/network.h"] = _render(env, "network.h", network)
    files["include/layers.h"] = _render(env, "layers.h", network)
    files["src/network.c"] = _render(env, "network.c", network)
    files["src/main.c"] = _render(env, "main.c", network)
    files["data/weights.bin"] = b"".join(p.data for p in packed if p)
    for i, port in enumerate(plan.inputs):
        files[f"data/input{i}.bin"] = _bytes(values[port.tensor] ^ port.xor)
    for i, port in enumerate(plan.outputs):
        files[f"data/output{i}.bin"] = _bytes(values[port.tensor] ^ port.xor)
    if graph.epilogue:
        files["host/epilogue.onnx"] = graph.epilogue
    files.update(_sources(plan))
    kernels = sorted(Path(f).name for f in files if f.startswith("kernels/") and f.endswith(".c"))
    data = sorted(Path(f).name for f in files if f.startswith("data/") and f.endswith(".bin"))
    build = {**shared, "deep": any(x.depth for x in plan.layers), "kernels": kernels, "data": data}
    build["defines"] = defines(plan)
    for name, template in (("Makefile", "gap8.mk"), ("host.mk", "host.mk"), ("sim.mk", "sim.mk")):
        files[name] = _render(env, template, build)
    return dict(sorted(files.items()))


def defines(plan: Plan) -> list[str]:
    """What of the kernels and the runtime this network needs."""
    subbyte = any(x.subbyte for x in plan.layers)
    wide = any(x.op == "depthwise" and "wide" in x.form for x in plan.layers)
    return ["DORY_SUBBYTE"] * subbyte + ["DORY_DW_NO_WIDE"] * (not wide)


def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("dory.codegen", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters["comment"] = comment_safe
    return env


def comment_safe(text: str) -> str:
    """Any string as part of a C comment: printable ASCII, no way to end the comment."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")[:120]


def _render(env: jinja2.Environment, template: str, context: Mapping[str, object]) -> bytes:
    return env.get_template(f"{template}.j2").render(**context).encode()


def _layer(
    env: jinja2.Environment, layer: LayerPlan, function: str, constants: object, shared: Mapping[str, object]
) -> bytes:
    reads = [(i, x) for i, x in enumerate(layer.inputs) if x.l3_offset >= 0]
    parts = len(streaming.part_starts(layer))
    l1 = {b.operand: b for b in layer.l1}
    return _render(
        env,
        "conv_sums.c" if layer.depth else f"{layer.op}.c",
        {
            **shared,
            "L": layer,
            "k": constants,
            "function": function,
            "l1": l1,
            "l1_inputs": [b for b in layer.l1 if b.operand.startswith("x")],
            **_pointers(layer, l1),
            "reads": reads,
            "parts": parts if parts > 1 else 0,
            "streams": bool(reads) or layer.output.l3_offset >= 0,
        },
    )


def _pointers(layer: LayerPlan, l1: Mapping[str, L1Buffer]) -> dict[str, object]:
    """C expressions for a tile's operands as its kernel sees them: where they were unpacked, if they were."""

    def at(operand: str, plain: str) -> str:
        wide = l1.get(f"u{operand}")
        return f"t->l1 + {wide.offset}" if wide else plain

    x = [at(f"x{i}", f"t->x[{i}]") for i in range(len(layer.inputs))]
    return {"x": x, "w": at("w", "t->weights"), "y": at("y", "t->y")}


def _bytes(values: IntArray) -> bytes:
    return values.astype(np.uint8).tobytes()


def _stored(operand: Operand, values: IntArray) -> bytes:
    """A tensor as it lies in memory."""
    return subbyte.pack(values.reshape(operand.shape), operand.bits).tobytes()


def _live_l2(plan: Plan, step: int) -> list[int]:
    """[offset, size, ...] of every L2 block that lives at a layer."""
    out: list[int] = []
    for b in plan.l2:
        if b.first <= step <= b.last:
            for k in range(b.copies):
                out += [b.offset + k * b.stride, b.bytes]
    return out


def _live_l1(layer: LayerPlan) -> list[int]:
    """[offset, size, ...] of every L1 buffer, the one with an input that was kept there first."""
    kept = [f"x{i}" for i, x in enumerate(layer.inputs) if x.kept]
    buffers = sorted(layer.l1, key=lambda b: b.operand not in kept)
    return [v for b in buffers for k in range(b.copies) for v in (b.offset + k * b.stride, b.bytes)]


def _sources(plan: Plan) -> dict[str, bytes]:
    """The kernels that the plan uses and the runtime, copied as they are."""
    root = csrc_dir()
    out: dict[str, bytes] = {}
    wanted = {f"{layer.kernel}.c" for layer in plan.layers}
    wanted |= {f"dory_conv_{layer.form}.c" for layer in plan.layers if layer.kernel == "dory_conv"}
    if any(layer.subbyte for layer in plan.layers):
        wanted |= {f"{name}.c" for name in REPACK_KERNELS}
    for f in sorted((root / "gap8_kernels").iterdir()):
        if f.suffix == ".h" or f.name in wanted:
            out[f"kernels/{f.name}"] = f.read_bytes()
    for f in sorted((root / "runtime").iterdir()):
        if f.name in RUNTIME_COMMON or f.name.startswith(RUNTIME_PREFIXES):
            out[f"runtime/{f.name}"] = f.read_bytes()
    return out
