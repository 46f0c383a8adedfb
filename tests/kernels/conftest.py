"""Builds C programs for this machine; the harness that runs kernels is compiled once a session."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from harness import ASAN, HERE, INCLUDE, STRICT, TSAN, Harness, sources

Build = Callable[[Sequence[Path], Sequence[str], str], Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(sources, flags, name): compiles and links with the host's gcc, returns the executable."""
    folder: Path = tmp_path_factory.mktemp("kernels")
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")

    def run(files: Sequence[Path], flags: Sequence[str], name: str) -> Path:
        command = ["gcc", *STRICT, *flags, *INCLUDE, *map(str, files), "-o", str(folder / name), "-lpthread"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return folder / name

    return run


def _running(executable: Path, prefix: Sequence[str] = ()) -> Iterator[Harness]:
    harness = Harness(executable, prefix)
    yield harness
    errors = harness.close()
    assert not errors, errors


@pytest.fixture(scope="session")
def harness(build: Build) -> Iterator[Harness]:
    """Every kernel under the address and undefined-behaviour sanitizers."""
    yield from _running(build([*sources(), HERE / "harness.c"], ASAN, "harness_asan"))


@pytest.fixture(scope="session")
def harness_tsan(build: Build) -> Iterator[Harness]:
    """Every kernel under the thread sanitizer, which does not work with every kernel's address randomisation."""
    fixed = shutil.which("setarch") and subprocess.run(["setarch", "-R", "true"], capture_output=True).returncode == 0
    prefix = ["setarch", "-R"] if fixed else []
    yield from _running(build([*sources(), HERE / "harness.c"], TSAN, "harness_tsan"), prefix)
