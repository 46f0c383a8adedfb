"""python -m dory sweep."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dory.cli.options import add_input_type, add_pack, size, with_clocks, write_text
from dory.errors import UserError

if TYPE_CHECKING:
    from dory.sweep.run import Pool
    from dory.sweep.space import Clock
    from dory.targets import Target
    from dory.tiler.planner import Lowered

T = TypeVar("T")
MOST_VALUES = 10_000


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "sweep",
        help="estimate a model over memory sizes, cores and clocks",
        description="Plan a model for every combination of memory sizes and cores, estimate each plan at every pair of"
        " clocks, and write a CSV or a page. Lists are 32k,48k or first:last:step (last included). A sweep that was"
        " stopped goes on where it was; points that do not fit are recorded with the reason.",
    )
    p.add_argument("model", type=Path, metavar="MODEL.onnx")
    p.add_argument("--target", default="gap8", metavar="NAME|FILE.toml", help="hardware description (default gap8)")
    for option, what in (("--l1", "L1 that tiles may use"), ("--l2", "L2 for code, weights and activations")):
        p.add_argument(option, type=values(size), metavar="BYTES,...", help=f"{what} (default: all there is)")
    p.add_argument("--cores", type=values(int), metavar="N,...", help="cores of the cluster (default: all)")
    for name, what in (("fc", "controller"), ("cluster", "cluster")):
        p.add_argument(f"--{name}-mhz", type=values(float), metavar="MHZ,...", help=f"clock of the {what}")
    p.add_argument("--rescale-bits", type=int, choices=(15, 31), default=15, help="as for deploy (default 15)")
    add_pack(p)
    add_input_type(p)
    p.add_argument(
        "-o", "--output", type=Path, default=Path("sweep.csv"), metavar="FILE.csv|FILE.html",
        help="where the points go (default sweep.csv); with .html also FILE.csv, from which the page is made",
    )  # fmt: skip
    p.add_argument("--jobs", type=int, metavar="N", help="processes on this machine (default: one per core)")
    p.add_argument("--dask", metavar="tcp://HOST:PORT", help="run on this Dask cluster instead (extra: sweep)")
    p.add_argument("--json", action="store_true", help="print all points as JSON")
    p.set_defaults(run=run)


def values(item: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A list of items, each once: 1,2,4 or 50:250:25 (last included)."""

    def parse(text: str) -> tuple[T, ...]:
        out: list[T] = []
        for part in text.split(","):
            bounds = part.split(":")
            try:
                if len(bounds) == 1:
                    out.append(item(part))
                elif len(bounds) == 3:
                    out += _range(item, *bounds)
                else:
                    raise ValueError(part)
            except ValueError as e:
                raise argparse.ArgumentTypeError(f"{part!r} in {text!r}; accepted are e.g. 1,2,4 or 50:250:25") from e
        return tuple(dict.fromkeys(out))

    return parse


def _range(item: Callable[[str], T], first: str, last: str, step: str) -> list[T]:
    unit = re.sub(r"[\d.]+", "", first)
    low, high, by = (float(re.sub(r"[^\d.]", "", x)) for x in (first, last, step))
    if any(re.sub(r"[\d.]+", "", x) != unit for x in (last, step)) or by <= 0 or not low <= high:
        raise ValueError(first)
    count = int((high - low) / by + 1e-9) + 1
    if count > MOST_VALUES:
        raise ValueError(first)
    return [item(f"{low + i * by:.9g}{unit}") for i in range(count)]


def run(args: argparse.Namespace) -> int:
    """Sweep, write, and print the best points."""
    from dory import targets
    from dory.cli.plans import lowered_model
    from dory.report.progress import Progress
    from dory.report.sweep import as_json, print_sweep, sweep_page
    from dory.sweep.record import Record
    from dory.sweep.run import Sweep
    from dory.sweep.run import run as fill
    from dory.sweep.space import Space, key

    target = targets.load(args.target)
    csv, page = _outputs(args.output)
    space = Space(args.l1 or (None,), args.l2 or (None,), args.cores or (target.cluster.cores,), _clocks(args, target))
    if any(n < 1 for n in space.cores):
        raise UserError(f"{min(space.cores)}; a positive number is wanted", where="--cores")
    with Progress(quiet=args.json) as progress:
        progress("import")
        lowered = lowered_model(args.model, args.rescale_bits, args.input_type, args.pack)
        importing = f"{args.rescale_bits} {args.input_type or 'uint8'} {args.pack or 'auto'}"
        sweep = Sweep(lowered, target, space, key(args.model, importing, target))
        with _pool(args, lowered) as pool, Record(csv, sweep.key) as record:
            progress("sweep")
            try:
                added = fill(sweep, record, pool, lambda n, of: progress.count(n, of, "points"))
            except KeyboardInterrupt:
                have = f"{csv} has {len(record.rows)} points"
                print(f"dory sweep: interrupted; {have}, the same command goes on", file=sys.stderr)
                return 130
            rows = list(record.rows)
        if page:
            progress("page")
            write_text(page, sweep_page(rows), "-o")
    if args.json:
        sys.stdout.write(as_json(rows))
    else:
        print_sweep(rows, added, page or csv)
    return 0


def _outputs(output: Path) -> tuple[Path, Path | None]:
    if output.suffix == ".csv":
        return output, None
    if output.suffix == ".html":
        return output.with_suffix(".csv"), output
    raise UserError("ends neither in .csv nor in .html", where=str(output), hint="-o sweep.csv")


def _clocks(args: argparse.Namespace, target: Target) -> tuple[Clock, ...]:
    """Every pair. UserError for clocks that are none."""
    from dory.sim.iss.params import IssParams
    from dory.sweep.space import Clock

    params = IssParams.of(target)
    pairs = [with_clocks(params, fc, cl) for fc in args.fc_mhz or (None,) for cl in args.cluster_mhz or (None,)]
    return tuple(dict.fromkeys(Clock(p.fc_khz, p.cluster_khz) for p in pairs))


def _pool(args: argparse.Namespace, lowered: Lowered) -> AbstractContextManager[Pool]:
    from dory.sweep.run import dask_pool, local_jobs, local_pool

    if args.dask:
        return dask_pool(args.dask, lowered)
    if args.jobs is not None and not 1 <= args.jobs <= 1024:
        raise UserError(f"{args.jobs}; accepted are 1 to 1024", where="--jobs")
    return local_pool(args.jobs or local_jobs(), lowered)
