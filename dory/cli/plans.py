"""Where commands get a plan from: an application folder, a plan.json, or a model that is planned on the spot."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dory.cli.options import add_input_type, add_pack, add_target
from dory.errors import UserError

if TYPE_CHECKING:
    from dory.plan import Plan
    from dory.targets import Target
    from dory.tiler.planner import Lowered

PLANNING = (
    ("--l1", "l1"),
    ("--l2", "l2"),
    ("--cores", "cores"),
    ("--rescale-bits", "rescale_bits"),
    ("--input-type", "input_type"),
    ("--pack", "pack"),
)
"""Options that change a plan."""


def add_planning(parser: argparse.ArgumentParser) -> None:
    """--target, --l1, --l2, --cores, --rescale-bits, --input-type, --pack: as for deploy, None where not given."""
    add_target(parser)
    parser.set_defaults(target=None)
    parser.add_argument(
        "--rescale-bits", type=int, choices=(15, 31), help="width of the requantisation multiplier (default 15)"
    )
    add_input_type(parser)
    add_pack(parser)


def lowered_model(model: Path, rescale_bits: int | None, input_type: str | None, pack: str | None = None) -> Lowered:
    """An ONNX file, imported and packed under the options of that name. UserError when it cannot be."""
    from dory import frontend
    from dory.tiler.planner import lower

    graph = frontend.load(model, rescale_bits=rescale_bits or 15, signed_inputs=input_type == "int8")
    return lower(graph, pack != "off")


def target_for(name: str | None, cores: int | None, l1: int | None, l2: int | None) -> Target:
    """A target with the user's limits; gap8 by default."""
    from dory import targets

    target = targets.load(name or "gap8")
    if cores is not None:
        target = target.with_cores(cores)
    return target.with_budgets(l1, l2)


def load_app(app: Path, target: str | None) -> tuple[Plan, Target]:
    """The plan of an application folder and the target that it was made for, or the one given."""
    from dory.plan import load_plan

    plan = load_plan(app)
    return plan, _target_of(plan, app, target)


def load_planned(source: Path, args: argparse.Namespace, progress: Callable[[str], None]) -> tuple[Plan, Target]:
    """The plan of an application folder, of a plan.json, or of a model under the options of add_planning.

    Raises UserError for files that are none of these and for options that cannot change a finished plan, PlanError
    when the model does not fit.
    """
    if source.is_dir() or source.suffix == ".json":
        for option, key in PLANNING:
            if getattr(args, key) is not None:
                raise UserError(
                    f"{source} holds a finished plan, which this option cannot change", where=option, hint="the model"
                )
        if source.is_dir():
            return load_app(source, args.target)
        plan = _plan_file(source)
        return plan, _target_of(plan, source, args.target)
    from dory.tiler.planner import make_plan

    target = target_for(args.target, args.cores, args.l1, args.l2)
    progress("import")
    lowered = lowered_model(source, args.rescale_bits, args.input_type, args.pack)
    progress("plan")
    return make_plan(lowered, target), target


def _plan_file(path: Path) -> Plan:
    from dory.plan import Plan

    try:
        return Plan.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise UserError("no such file", where=str(path), hint="APP/plan.json") from e
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"not a plan of this version ({type(e).__name__})", where=str(path), hint="APP/plan.json"
        ) from e


def _target_of(plan: Plan, source: Path, name: str | None) -> Target:
    from dory import targets

    if name is None and plan.target not in targets.names():
        raise UserError(
            f"was planned for the target {plan.target}, which is not one of the shipped ones",
            where=str(source),
            hint="--target FILE.toml, with its description",
        )
    target = targets.load(name or plan.target)
    for what, has, most in (
        ("cores", plan.cores, target.cluster.cores),
        ("bytes of L1", plan.l1_bytes, target.l1_budget),
        ("bytes of L2", plan.l2_bytes + plan.l2_code, target.l2_budget),
        ("bytes of L3", plan.l3_bytes, target.l3.bytes),
    ):
        if has > most:
            raise UserError(
                f"needs {has} {what}, the target {target.name} gives {most}",
                where=str(source),
                hint="deploy or estimate the model for this target",
            )
    return target
