"""python -m dory quantize, and the options of deploy that quantise first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dory.cli.options import write_bytes
from dory.errors import UserError

if TYPE_CHECKING:
    from dory.quantize import Options, Quantised
    from dory.report.progress import Progress

METHODS = ("minmax", "percentile", "entropy")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "quantize",
        help="float ONNX and calibration data to quantised ONNX",
        description="Quantise a float network for the chip: uint8 activations, symmetric int8 weights per channel,"
        " BatchNormalization folded. Prints how far each activation is from the float network's, worst first, and the"
        " accuracy before and after when there are labels. Needs the extra quantize.",
    )
    p.add_argument("model", type=Path, metavar="FLOAT.onnx")
    add_calibration(p, required=True)
    p.add_argument(
        "-o", "--output", type=Path, metavar="Q.onnx", help="quantised network (default: FLOAT_q.onnx, beside you)"
    )
    p.add_argument("--json", action="store_true", help="print all layers and figures as JSON")
    p.set_defaults(run=run)


def add_calibration(p: argparse.ArgumentParser | argparse._ArgumentGroup, *, required: bool) -> None:
    """--calibration, --preprocess, --method, --percentile, --weights, --samples, --labels, --test."""
    p.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR|FILE",
        required=required,
        help="folder of images, .npy and .npz, or one such file; typical data, some hundred samples are plenty",
    )
    p.add_argument(
        "--preprocess",
        type=Path,
        metavar="FILE.toml",
        help="resize, crop, channels, scale, mean, std, layout of images and uint8 arrays (default: pixel / 255)",
    )
    p.add_argument("--method", choices=METHODS, help="how ranges are chosen (default minmax)")
    p.add_argument(
        "--percentile", type=float, metavar="P", help="per cent of the values that are not clipped (default 99.999)"
    )
    p.add_argument(
        "--weights",
        metavar="BITS|LAYER=BITS,...",
        help="4 or 2: round the weights of all layers, or of the layers named, to fewer bits (default: 8 bits)",
    )
    p.add_argument("--samples", type=int, metavar="N", help="calibrate with N samples, evenly spread (default: all)")
    p.add_argument(
        "--labels", type=Path, metavar="FILE.csv", help="lines file,label: accuracy before and after is printed"
    )
    p.add_argument(
        "--test", type=Path, metavar="DIR|FILE", help="measure accuracy on these samples instead of the calibration's"
    )


def run(args: argparse.Namespace) -> int:
    """Quantise, write, print."""
    from dory.report.progress import Progress
    from dory.report.quantize import as_json, print_quantised

    output: Path = args.output or Path(f"{args.model.stem}_q.onnx")
    if output.exists() and args.model.exists() and output.samefile(args.model):
        raise UserError("is the float network itself", where=str(output), hint="another -o")
    if output.is_dir() or not output.absolute().parent.is_dir():
        what = "is a folder" if output.is_dir() else f"the folder {output.absolute().parent} does not exist"
        raise UserError(what, where=str(output), hint="another -o, like net_q.onnx")
    with Progress(quiet=args.json) as progress:
        made = quantised(args, progress)
        progress("write")
        write_bytes(output, made.data, "-o")
    if args.json:
        sys.stdout.write(as_json(made, output))
    else:
        print_quantised(made, output)
    return 0


def quantised(args: argparse.Namespace, progress: Progress) -> Quantised:
    """The quantised network of the command line's model and calibration data."""
    options = _options(args)
    from dory.quantize import quantize

    return quantize(args.model, options, progress)


def refuse_without_calibration(args: argparse.Namespace) -> None:
    """UserError for options that have no meaning without --calibration."""
    for option in ("preprocess", "method", "percentile", "weights", "samples", "labels", "test", "quantized"):
        if getattr(args, option) is not None:
            raise UserError(
                "has no meaning without --calibration", where=f"--{option}", hint="--calibration DIR, with the data"
            )


def _weights(text: str | None) -> dict[str, int]:
    """'4' or 'conv_1=4,conv_2=2' to bits by layer; the layer "" is all of them."""
    bits: dict[str, int] = {}
    for part in text.split(",") if text else ():
        name, _, number = part.rpartition("=")
        if number.strip() not in ("2", "4", "8"):
            raise UserError(f"{part!r}; accepted are 2, 4 and 8", where="--weights", hint="--weights 4, or conv_1=4")
        bits[name.strip()] = int(number)
    return bits


def _options(args: argparse.Namespace) -> Options:
    from dory.quantize import Method, Options, Settings

    method: Method = args.method or ("minmax" if args.percentile is None else "percentile")
    if args.percentile is not None and method != "percentile":
        raise UserError(f"has no meaning with --method {method}", where="--percentile", hint="--method percentile")
    percentile = 99.999 if args.percentile is None else args.percentile
    if not 50 < percentile <= 100:
        raise UserError(f"{percentile:g}; accepted are numbers above 50 up to 100", where="--percentile", hint="99.99")
    if args.samples is not None and args.samples < 1:
        raise UserError(f"{args.samples}; a positive number is wanted", where="--samples")
    return Options(
        calibration=args.calibration,
        preprocess=args.preprocess,
        settings=Settings(method, percentile),
        weights=_weights(args.weights),
        samples=args.samples,
        labels=args.labels,
        test=args.test,
    )
