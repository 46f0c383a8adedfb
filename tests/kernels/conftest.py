"""The C harness in its builds; compiled once a session."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from harness import Harness, command_for, compile_program

Build = Callable[[str, str], list[str]]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(main, mode): the command that runs a file of this folder with all kernels and the host runtime."""
    folder: Path = tmp_path_factory.mktemp("kernels")
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")

    @cache
    def run(main: str, mode: str) -> list[str]:
        program = folder / f"{Path(main).stem}-{mode}"
        compile_program(main, mode, program)
        return command_for(mode, program)

    return run


def _running(command: list[str]) -> Iterator[Harness]:
    harness = Harness(command)
    yield harness
    errors = harness.close()
    assert not errors, errors


@pytest.fixture(scope="session")
def harness(build: Build) -> Iterator[Harness]:
    """Every kernel under the address and undefined-behaviour sanitizers."""
    yield from _running(build("harness.c", "asan"))


@pytest.fixture(scope="session")
def harness_tsan(build: Build) -> Iterator[Harness]:
    """Every kernel under the thread sanitizer."""
    yield from _running(build("harness.c", "tsan"))


@pytest.fixture(scope="session")
def harness_builtin(build: Build) -> Iterator[Harness]:
    """Every kernel in the GAP SDK's spelling."""
    yield from _running(build("harness.c", "builtin"))
