"""python -m dory estimate."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dory.cli.options import add_clocks, with_clocks, write_text
from dory.cli.plans import add_planning, load_planned


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    p = commands.add_parser(
        "estimate",
        help="cycles, time and energy of a model or an application, without running it",
        description="Predict cycles, milliseconds and millijoules per layer from the plan alone, and where they go."
        " The estimate of an application folder is that of its model under the same options.",
    )
    p.add_argument("source", type=Path, metavar="MODEL.onnx|APP", help="a model, an application folder, or a plan.json")
    add_planning(p)
    add_clocks(p)
    p.add_argument("--html", type=Path, metavar="FILE", help="write a self-contained page with charts")
    p.add_argument(
        "--trace", type=Path, metavar="OUT.json", help="write a trace for ui.perfetto.dev or chrome://tracing"
    )
    p.add_argument("--json", action="store_true", help="print the estimate as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Estimate and print."""
    from dory.report.estimate import Report, as_json, print_estimate, trace_events
    from dory.report.progress import Progress
    from dory.sim.iss.params import IssParams
    from dory.sim.iss.trace import process, trace_file
    from dory.sim.model.network import estimate

    with Progress(quiet=args.json) as progress:
        plan, target = load_planned(args.source, args, progress)
        params = with_clocks(IssParams.of(target), args.fc_mhz, args.cluster_mhz)
        progress("estimate")
        found = estimate(plan, params, timeline=bool(args.html or args.trace))
        report = Report.of(found, target.name, target.power)
        if args.html:
            from dory.report.html import estimate_page

            write_text(args.html, estimate_page(report), "--html")
        if args.trace:
            mhz = params.cluster_khz / 1000
            trace = trace_file(process(trace_events(found), mhz, 2, "estimated"))
            write_text(args.trace, json.dumps(trace), "--trace")
    if args.json:
        sys.stdout.write(as_json(report))
    else:
        print_estimate(report)
    return 0
