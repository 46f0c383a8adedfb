"""python -m dory deploy."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dory.cli.options import add_input_type, add_pack, add_target, load_arrays, write_bytes
from dory.cli.quantize import add_calibration, quantised, refuse_without_calibration

if TYPE_CHECKING:
    from dory.deployment import Deployment, OnnxComparison
    from dory.quantize import Quantised
    from dory.report.progress import Progress


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "deploy",
        help="quantised ONNX to a verified C application",
        description="Turn a quantised (QDQ) ONNX network into a tiled, double-buffered C application for the target,"
        " and prove on this machine that it computes what the integer reference computes, layer by layer."
        " A float network is quantised first when --calibration is given.",
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
    add_pack(p)
    add_input_type(p)
    add_target(p)
    p.add_argument(
        "--compare-onnx",
        action="store_true",
        help="also run the model in onnxruntime and say how many outputs differ, layer by layer (extra: quantize)",
    )
    p.add_argument("--force", action="store_true", help="replace an output folder that dory did not make")
    p.add_argument("--json", action="store_true", help="print the summary as JSON")
    group = p.add_argument_group("float networks", "quantised first, as by dory quantize (extra: quantize)")
    add_calibration(group, required=False)
    group.add_argument("--quantized", type=Path, metavar="Q.onnx", help="also keep the quantised network")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Deploy and print what came out."""
    from dory.report.deployment import as_json, print_deployment
    from dory.report.progress import Progress
    from dory.report.quantize import as_dict, summary

    output = args.output or Path(f"{args.model.stem}_app")
    with Progress(quiet=args.json) as progress, tempfile.TemporaryDirectory(prefix="dory-") as scratch:
        made = _quantised(args, output, Path(scratch), progress)
        result, ladder = _deploy(args, Path(scratch) / args.model.name if made else args.model, output, progress, made)
        if made and args.quantized:
            write_bytes(args.quantized, made.data, "--quantized")
    if args.json:
        sys.stdout.write(as_json(result, output, ladder, as_dict(made, args.quantized) if made else None))
        return 0
    if made:
        print("\n".join(summary(made)), end="\n\n")
    print_deployment(result, output, ladder)
    return 0


def _quantised(args: argparse.Namespace, output: Path, scratch: Path, progress: Progress) -> Quantised | None:
    """With --calibration: the model, quantised into a file of its own name in `scratch`."""
    from dory.codegen.write import check_replaceable
    from dory.errors import UserError

    if args.calibration is None:
        refuse_without_calibration(args)
        return None
    check_replaceable(output, args.force)  # before the work, not after it
    made = quantised(args, progress)
    if made.refused:
        raise UserError(
            f"quantised, it is not accepted: {made.refused}",
            where=str(args.model),
            hint="python -m dory ops, for what is; python -m dory quantize writes the quantised network to look at",
        )
    (scratch / args.model.name).write_bytes(made.data)
    return made


def _deploy(
    args: argparse.Namespace, model: Path, output: Path, progress: Progress, made: Quantised | None
) -> tuple[Deployment, OnnxComparison | None]:
    """Deploy a quantised network; `made` gives the example input when the model was quantised here."""
    from dory import frontend, pipeline
    from dory.cli.plans import target_for

    target = target_for(args.target, args.cores, args.l1, args.l2)
    graph = None
    inputs = made.example if made else None
    if args.input:
        progress("import")
        graph = frontend.load(model, rescale_bits=args.rescale_bits, signed_inputs=args.input_type == "int8")
        inputs = load_arrays(args.input, [graph.io_layouts[t].onnx_name for t in graph.inputs])
    options = pipeline.Options(
        output=output,
        target=target,
        inputs=inputs,
        rescale_bits=args.rescale_bits,
        pack=args.pack or "auto",
        verify=args.verify,
        force=args.force,
        signed_inputs=args.input_type == "int8",
    )
    if args.compare_onnx:
        from dory.quantize.runtime import require

        require("onnxruntime", "onnxruntime", "--compare-onnx")
    result = pipeline.deploy(model, options, progress, graph=graph)
    if not args.compare_onnx:
        return result, None
    progress("compare with onnxruntime")
    return result, _climb(args, model, result)


def _climb(args: argparse.Namespace, model: Path, result: Deployment) -> OnnxComparison:
    """Compare every layer with onnxruntime on the deployment's example input."""
    from dory.deployment import OnnxComparison
    from dory.frontend.io import from_hwc
    from dory.testing.ladder import climb

    graph = result.graph
    feeds = {graph.io_layouts[t].onnx_name: from_hwc(graph, t, result.values[t]) for t in graph.inputs}
    ladder = climb(model, feeds, rescale_bits=args.rescale_bits, signed_inputs=args.input_type == "int8")
    return OnnxComparison(ladder.elements, ladder.differing, ladder.max_lsb)
