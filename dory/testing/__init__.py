"""Networks, strategies and checks for tests of dory, of plans, and of what is built on them; docs/testing.md.

networks.py holds named quantised networks with seeded random weights, qdq_builder.py what they are written with.
strategies.py and layer_strategies.py draw random networks and layers with Hypothesis, plan_checks.py checks a plan,
fuzz.py runs both until something fails. onnxruntime is imported only where a function compares with it.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dory.testing.fuzz import Case, check_case, check_deployment, load_case, plan_within, save_case
    from dory.testing.layer_strategies import (
        Deployment,
        LayerSpec,
        Limits,
        build_layers,
        deployments,
        fuzz_networks,
        layer_networks,
        layer_specs,
        limits,
    )
    from dory.testing.plan_checks import KINDS, check_plan, require_sound
    from dory.testing.qdq_builder import QdqBuilder
    from dory.testing.strategies import RandomNetwork, small_qdq_networks
    from dory.testing.tile_checks import Fault

__all__ = [
    "KINDS",
    "Case",
    "Deployment",
    "Fault",
    "LayerSpec",
    "Limits",
    "QdqBuilder",
    "RandomNetwork",
    "build_layers",
    "check_case",
    "check_deployment",
    "check_plan",
    "deployments",
    "fuzz_networks",
    "layer_networks",
    "layer_specs",
    "limits",
    "load_case",
    "plan_within",
    "require_sound",
    "save_case",
    "small_qdq_networks",
]
_HOMES = MappingProxyType(
    {
        "fuzz": ("Case", "check_case", "check_deployment", "load_case", "plan_within", "save_case"),
        "layer_strategies": (
            "Deployment",
            "LayerSpec",
            "Limits",
            "build_layers",
            "deployments",
            "fuzz_networks",
            "layer_networks",
            "layer_specs",
            "limits",
        ),
        "plan_checks": ("KINDS", "check_plan", "require_sound"),
        "qdq_builder": ("QdqBuilder",),
        "strategies": ("RandomNetwork", "small_qdq_networks"),
        "tile_checks": ("Fault",),
    }
)


def __getattr__(name: str) -> Any:
    """Hypothesis and the planner are imported when they are wanted, not by every import of a module in here."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
