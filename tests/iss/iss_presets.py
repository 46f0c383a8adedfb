"""Parameters of the shipped targets."""

from __future__ import annotations

from dory import targets
from dory.sim.iss import IssParams


def gap8() -> IssParams:
    """GAP8 with board figures where there are some."""
    return IssParams.of(targets.load("gap8"))


def gap8_gvsoc() -> IssParams:
    """GAP8 as the vendor's simulator has it."""
    return IssParams.of(targets.load("gap8-gvsoc"))
