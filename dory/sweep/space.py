"""The points of a sweep, and what makes two sweeps the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

from dory import __version__
from dory.targets import Target


@dataclass(frozen=True)
class Memory:
    """What a plan hangs on: L1 and L2 in bytes that a network may use (None: all there is), and the cores."""

    l1: int | None
    l2: int | None
    cores: int


@dataclass(frozen=True)
class Clock:
    """Clocks of controller and cluster, kHz."""

    fc_khz: int
    cluster_khz: int


@dataclass(frozen=True)
class Point:
    """One row: l1 and l2 are the bytes that the target gives for the wish."""

    l1: int
    l2: int
    cores: int
    clock: Clock


@dataclass(frozen=True)
class Space:
    """The product of all axes."""

    l1: tuple[int | None, ...]
    l2: tuple[int | None, ...]
    cores: tuple[int, ...]
    clocks: tuple[Clock, ...]

    def memories(self) -> Iterator[Memory]:
        """One per plan."""
        return (Memory(l1, l2, cores) for cores in self.cores for l1 in self.l1 for l2 in self.l2)

    def points(self, memory: Memory, target: Target) -> list[Point]:
        """The rows of one plan."""
        offered = target.with_cores(memory.cores) if memory.cores <= target.cluster.cores else target
        l1, l2 = memory.l1 or offered.l1_budget, memory.l2 or offered.l2_budget
        return [Point(l1, l2, memory.cores, clock) for clock in self.clocks]


def key(model: Path, importing: str, target: Target) -> str:
    """Equal for sweeps whose rows may stand in one file: same model, target, options and version of the tool."""
    text = asdict(replace(target, timing={})) | {"timing": sorted(dict(target.timing).items(), key=lambda x: x[0])}
    digest = hashlib.sha256(model.read_bytes())
    digest.update(files("dory.sim.model").joinpath("coefficients.json").read_bytes())
    digest.update(f"{__version__} {importing} {text}".encode())
    return digest.hexdigest()[:12]
