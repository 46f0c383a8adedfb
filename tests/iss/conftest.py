"""Machines and programs for the simulator's tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import iss_toolchain as toolchain
import pytest
from iss_presets import gap8_gvsoc

from dory.sim.iss import Machine


@pytest.fixture
def machine() -> Machine:
    """The vendor simulator's constants, no instruction cache: as with a warm one."""
    return Machine(dataclasses.replace(gap8_gvsoc(), icache_bytes=0))


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """build({"main.c": text}, *flags): the program, linked for the simulator."""
    if toolchain.GCC is None:
        pytest.skip("riscv64-unknown-elf-gcc is not installed")

    def make(sources: dict[str, str], *flags: str, optimise: str = "-O2") -> Path:
        return toolchain.build(tmp_path, sources, *flags, optimise=optimise)

    return make
