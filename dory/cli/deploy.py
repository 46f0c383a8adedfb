"""python -m dory deploy."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dory.cli.options import add_input_type, add_target, load_arrays

if TYPE_CHECKING:
    from dory.deployment import Deployment, OnnxComparison


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "deploy",
        help="quantised ONNX to a verified C application",
        description="Turn a quantised (QDQ) ONNX network into a tiled, double-buffered C application for the target,"
        " and prove on this machine that it computes what the integer reference computes, layer by layer.",
    )
    p.add_argument("model", type=Path, metavar="MODEL.onnx")
    p.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="application folder (default: MODEL_app, beside you)"
    )
    p.add_argument(
        "--input", type=Path, metavar="FILE", help="example input, .npy or .npz by input name (default: random)"
    )
    p.add_argument(
        "--verify",
        choices=("host", "sim", "none"),
        default="host",
        help="how to check the C code: host (the default) builds it for this machine with sanitizers; sim runs it in"
        " the instruction-set simulator, which needs a RISC-V compiler and gives cycles",
    )
    p.add_argument(
        "--rescale-bits",
        type=int,
        choices=(15, 31),
        default=15,
        help="width of the requantisation multiplier (default 15)",
    )
    add_input_type(p)
    add_target(p)
    p.add_argument(
        "--compare-onnx",
        action="store_true",
        help="also run the model in onnxruntime and say how many outputs differ, layer by layer (extra: quantize)",
    )
    p.add_argument("--force", action="store_true", help="replace an output folder that dory did not make")
    p.add_argument("--json", action="store_true", help="print the summary as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Deploy and print what came out."""
    from dory import frontend, pipeline
    from dory.cli.plans import target_for
    from dory.report.deployment import as_json, print_deployment
    from dory.report.progress import Progress

    target = target_for(args.target, args.cores, args.l1, args.l2)
    output = args.output or Path(f"{args.model.stem}_app")
    with Progress(quiet=args.json) as progress:
        graph = None
        if args.input:
            progress("import")
            graph = frontend.load(args.model, rescale_bits=args.rescale_bits, signed_inputs=args.input_type == "int8")
        inputs = load_arrays(args.input, [graph.io_layouts[t].onnx_name for t in graph.inputs]) if graph else None
        options = pipeline.Options(
            output=output,
            target=target,
            inputs=inputs,
            rescale_bits=args.rescale_bits,
            verify=args.verify,
            force=args.force,
            signed_inputs=args.input_type == "int8",
        )
        if args.compare_onnx:
            _require_onnxruntime()
        result = pipeline.deploy(args.model, options, progress, graph=graph)
        ladder = None
        if args.compare_onnx:
            progress("compare with onnxruntime")
            ladder = _climb(args, result)
    if args.json:
        sys.stdout.write(as_json(result, output, ladder))
    else:
        print_deployment(result, output, ladder)
    return 0


def _require_onnxruntime() -> None:
    from dory.errors import UserError

    if importlib.util.find_spec("onnxruntime") is None:
        raise UserError("onnxruntime is not installed", where="--compare-onnx", hint="pip install 'dory[quantize]'")


def _climb(args: argparse.Namespace, result: Deployment) -> OnnxComparison:
    """Compare every layer with onnxruntime on the deployment's example input."""
    from dory.deployment import OnnxComparison
    from dory.frontend.io import from_hwc
    from dory.testing.ladder import climb

    graph = result.graph
    feeds = {graph.io_layouts[t].onnx_name: from_hwc(graph, t, result.values[t]) for t in graph.inputs}
    ladder = climb(args.model, feeds, rescale_bits=args.rescale_bits, signed_inputs=args.input_type == "int8")
    return OnnxComparison(ladder.elements, ladder.differing, ladder.max_lsb)
